//! What a service is given when it starts.

use std::path::PathBuf;

use lib_storage::Storage;
use lib_storage::lease::Member;

use crate::channel::{AuthorizedChannel, Peers};
use crate::clock::Clock;
use crate::ids::IdSource;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// Everything a service gets from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: IdSource,
    /// Start and stop.
    pub life: Lifecycle,
    /// The other services.
    pub peers: Peers,
    /// Where things are kept.
    pub storage: Storage,
    /// This replica: its stable name, and where others reach it.
    pub me: Member,
    /// Numbers about what it does.
    pub metrics: Metrics,
    /// Whether it may be given work.
    pub readiness: Readiness,
}

impl Context {
    /// A context for one process that keeps everything in `folder`.
    pub fn embedded(
        clock: Clock,
        ids: IdSource,
        life: Lifecycle,
        peers: Peers,
        folder: PathBuf,
    ) -> Self {
        Self {
            clock,
            ids,
            life,
            peers,
            storage: Storage::Embedded { folder },
            me: Member {
                name: "frontdesk".to_owned(),
                address: String::new(),
            },
            metrics: Metrics::new(),
            readiness: Readiness::new(),
        }
    }

    /// The channel to another service.
    ///
    /// # Errors
    /// When no address is configured for it.
    pub fn channel(&self, service: &str) -> anyhow::Result<AuthorizedChannel> {
        self.peers.channel(service)
    }

    /// The path of an embedded database of this installation, such as `conversations.db`.
    pub fn database_file(&self, service: &str) -> PathBuf {
        let file = self.storage.file(service);
        file.unwrap_or_else(|| PathBuf::from(format!("{service}.db")))
    }
}
