//! Redis or Valkey: one server, or a Cluster. A [`Link`] reaches the server that has the keys of
//! one hash tag; commands, pipelines and scripts of the `redis` crate run on it.
//!
//! A link opens its connection when it is first used and again after a failure. It repeats nothing
//! by itself: an error may mean that a command was carried out and its answer lost
//! ([`RedisError::is_unknown`]), and only the caller knows whether asking again is harmless.
//!
//! Keys are named `fd:v1:{tag}:name`. The tag decides the server in a Cluster, so it holds numbers
//! and a letter only, and all keys of a script share one. `docs/SCRIPTS.md` lists the scripts, their
//! owners and their rules.

mod address;
mod durability;
mod error;
mod lease;
mod link;
mod slots;

use std::sync::Arc;
use std::time::Duration;

pub use error::RedisError;
pub use lease::RedisLeases;
pub use link::Link;

use crate::storage::RedisSettings;
use address::Address;
use link::{Pool, Servers};
use slots::slot_of_tag;

/// How long an answer may take, unless the link is told otherwise. Flushes to a busy disk have been
/// seen to take 0.4 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// The Redis of an installation. Cheap to clone; nothing is connected before the first use.
#[derive(Clone, Debug)]
pub struct Redis {
    servers: Arc<Servers>,
    shared: Arc<Pool>,
}

impl RedisSettings {
    /// Whether `url` can be used, as far as can be seen without asking the server.
    ///
    /// # Errors
    /// With what is wrong; nothing of the URL is repeated, it may hold a password.
    pub fn check(url: &str) -> Result<(), String> {
        match Address::parse(url) {
            Ok(_) => Ok(()),
            Err(RedisError::Address { problem }) => Err(problem),
            Err(other) => Err(other.to_string()),
        }
    }
}

impl Redis {
    /// Reads the address.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(settings: &RedisSettings) -> Result<Self, RedisError> {
        let address = Address::parse(&settings.url)?;
        Ok(Self {
            servers: Arc::new(Servers::new(address)),
            shared: Arc::new(Pool::new()),
        })
    }

    /// A link for keys with this hash tag, over connections shared with other links. Never for
    /// commands that block, which would hold up the others.
    pub fn link(&self, tag: &str) -> Link {
        let (servers, shared) = (Arc::clone(&self.servers), Arc::clone(&self.shared));
        Link::new(servers, shared, slot_of_tag(tag), PATIENCE)
    }

    /// A link of its own for keys with this hash tag: for commands that block, at most as long as
    /// `patience`, and for `WAIT`, which waits for what was written on the same connection.
    pub fn own_link(&self, tag: &str, patience: Duration) -> Link {
        let servers = Arc::clone(&self.servers);
        Link::new(servers, Arc::new(Pool::new()), slot_of_tag(tag), patience)
    }

    /// What the server's clock says, in microseconds since 1970.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn time(&self) -> Result<i64, RedisError> {
        let mut link = self.link("0");
        let (seconds, micros): (i64, i64) = ::redis::cmd("TIME").query_async(&mut link).await?;
        Ok(seconds * 1_000_000 + micros)
    }

    /// Leases kept under this hash tag.
    pub fn leases(&self, tag: &str) -> RedisLeases {
        RedisLeases::new(self.link(tag), tag)
    }
}
