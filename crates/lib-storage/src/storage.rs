//! Where an installation keeps what it knows.

use std::path::{Path, PathBuf};

use crate::database::Database;
use crate::error::StorageError;
use crate::migration::Migration;
use crate::postgres::PostgresSettings;

/// Where an installation keeps what it knows. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In one folder, one SQLite file per service; one process at a time.
    Embedded {
        /// The folder. It exists.
        folder: PathBuf,
    },
    /// On servers that many processes share.
    Servers(Servers),
}

/// The servers of an installation.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Records. Absent for services that keep none.
    pub postgres: Option<PostgresSettings>,
    /// Inbox, queue state, rate windows, presence. Absent for services that use none.
    pub redis: Option<RedisSettings>,
    /// What the servers promise to survive.
    pub profile: Profile,
}

/// How to reach Redis.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://:password@host:6379` for one server, `redis+cluster://host:port,host:port` for a
    /// Cluster; `rediss` for TLS.
    pub url: String,
}

impl std::fmt::Debug for RedisSettings {
    /// Shows no password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.url.rsplit_once('@').map_or_else(
            || self.url.split_once("://").map_or("", |(_, host)| host),
            |(_, host)| host,
        );
        f.debug_struct("RedisSettings")
            .field("server", &host)
            .finish()
    }
}

/// What the servers promise to survive (`docs/OPERATIONS.md`, “Durability profiles”).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// A crash or power cut of the one Redis: nothing confirmed is lost (`appendfsync always`).
    #[default]
    A,
    /// As A, and the loss of the primary: confirmed means on a replica too (`WAIT`).
    B,
    /// A crash of the process. A power cut may lose about a second of what Redis confirmed
    /// (`appendfsync everysec`).
    C,
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "A" => Ok(Self::A),
            "B" => Ok(Self::B),
            "C" => Ok(Self::C),
            _ => Err("must be A, B or C".to_owned()),
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        })
    }
}

impl Storage {
    /// Opens a service's records and brings its schema up to date.
    ///
    /// # Errors
    /// When they cannot be opened, a migration fails, or they were written by a newer version.
    pub async fn database(
        &self,
        service: &str,
        migrations: &[Migration],
    ) -> Result<Database, StorageError> {
        match self {
            Self::Embedded { folder } => {
                Database::open_file(&file(folder, service), migrations).await
            }
            Self::Servers(Servers {
                postgres: Some(settings),
                ..
            }) => Database::open_postgres(settings, service, migrations).await,
            Self::Servers(_) => Err(StorageError::Address {
                problem: "it is missing".to_owned(),
            }),
        }
    }

    /// The path of an embedded file; `None` on servers.
    pub fn file(&self, service: &str) -> Option<PathBuf> {
        match self {
            Self::Embedded { folder } => Some(file(folder, service)),
            Self::Servers(_) => None,
        }
    }

    /// The servers; `None` when embedded.
    pub fn servers(&self) -> Option<&Servers> {
        match self {
            Self::Embedded { .. } => None,
            Self::Servers(servers) => Some(servers),
        }
    }
}

fn file(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.db"))
}
