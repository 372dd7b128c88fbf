//! Waiting between attempts to reach another service: 50 ms, doubled up to 2 s. Wall time, because
//! a virtual clock may stand still.

use std::time::Duration;

use lib_platform::Lifecycle;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Failures in a row that are usual while services start; the next one is worth a warning.
const USUAL: u32 = 4;

/// How long to wait next.
pub(crate) struct Backoff {
    next: Duration,
    failures: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    pub(crate) fn new() -> Self {
        Self {
            next: FIRST,
            failures: 0,
        }
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Says what failed (as a warning only once), then waits; returns early when everything stops.
    pub(crate) async fn wait(&mut self, life: &Lifecycle, what: &str, cause: &str) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == USUAL + 1 {
            tracing::warn!(what, cause, "keeps failing; trying on");
        } else {
            tracing::debug!(what, cause, "failed; trying again");
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = life.stopped() => {}
        }
    }
}
