//! Waiting between tries: 50 ms, doubling to 2 s, or to less while others make progress. Real time,
//! because what is waited for is a machine.

use std::time::Duration;

use crate::inbox::InboxError;

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(2);
/// The longest wait while some items are taken: they must not suffer for the others.
const LAST_WITH_PROGRESS: Duration = Duration::from_millis(400);

/// How long to wait before the next try.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    /// Whether nothing was waited for since the last success.
    pub(crate) fn is_fresh(&self) -> bool {
        self.0 == 0
    }

    /// Something went well.
    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }

    /// Waits.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next(LAST)).await;
    }

    /// Says that the inbox does not answer, once, and waits.
    pub(crate) async fn told(&mut self, error: &InboxError) {
        if self.is_fresh() {
            tracing::error!(%error, "the inbox does not answer; trying on");
        } else {
            tracing::debug!(%error, "the inbox does not answer");
        }
        self.wait().await;
    }

    /// Waits, while others make progress.
    pub(crate) async fn wait_with_progress(&mut self) {
        tokio::time::sleep(self.next(LAST_WITH_PROGRESS)).await;
    }

    fn next(&mut self, most: Duration) -> Duration {
        let span = FIRST.saturating_mul(1 << self.0.min(10)).min(most);
        self.0 = self.0.saturating_add(1);
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_two_seconds() {
        let mut backoff = Backoff::default();
        let spans: Vec<u128> = (0..8).map(|_| backoff.next(LAST).as_millis()).collect();
        assert_eq!(spans, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        backoff.reset();
        assert!(backoff.is_fresh() && backoff.next(LAST) == FIRST);
    }
}
