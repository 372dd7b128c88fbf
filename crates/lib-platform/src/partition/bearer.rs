//! Two processes under one instance name take each other's leases without end. Each says again and
//! again that it bears the name; the one that began later finds the one before it still at it, and
//! ends.
//!
//! A process that takes the place of one that has died finds its word too, but not a second time: it
//! waits for nothing.

use std::time::Duration;

use lib_storage::lease::{Leases, Member};
use tokio::time::Instant;

use crate::ids::IdSource;

/// What a process knows of who else bears its name.
#[derive(Debug)]
pub(super) struct Bearer {
    /// This process, as others see it.
    run: String,
    /// When this process said so last.
    said: Option<Instant>,
    /// The process found when this one said so first.
    before: Option<String>,
}

impl Bearer {
    pub(super) fn new() -> Self {
        Self {
            run: IdSource::random().next("run"),
            said: None,
            before: None,
        }
    }

    /// Says that this process bears the name of `me`. Returns whether another, that began before,
    /// does too.
    pub(super) async fn is_second(
        &mut self,
        leases: &dyn Leases,
        work: &str,
        me: &Member,
        live: Duration,
    ) -> bool {
        if self.said.is_some_and(|said| said.elapsed() > live) {
            // Suspended or cut off, and perhaps replaced since: then it is this one that comes later.
            *self = Self::new();
        }
        let Ok(found) = leases.bear(work, me, &self.run, live).await else {
            // The store is away; the leases' own beat tells.
            return false;
        };
        if self.said.replace(Instant::now()).is_none() {
            self.before = found;
        } else if found.is_some() {
            if found == self.before {
                return true;
            }
            let name = &me.name;
            tracing::warn!(work, name, "another process began under this instance name");
        }
        false
    }
}
