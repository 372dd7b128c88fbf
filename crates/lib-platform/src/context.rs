//! What a service is given when it starts.

use std::path::{Path, PathBuf};

use crate::channel::{AuthorizedChannel, Peers};
use crate::clock::Clock;
use crate::ids::IdSource;
use crate::lifecycle::Lifecycle;

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
    /// Folder for embedded storage; each service keeps its own files in it.
    pub data_dir: PathBuf,
}

impl Context {
    /// The channel to another service.
    ///
    /// # Errors
    /// When no address is configured for it.
    pub fn channel(&self, service: &str) -> anyhow::Result<AuthorizedChannel> {
        self.peers.channel(service)
    }

    /// The path of an embedded database of this installation, such as `conversations.db`.
    pub fn database_file(&self, service: &str) -> PathBuf {
        Path::new(&self.data_dir).join(format!("{service}.db"))
    }
}
