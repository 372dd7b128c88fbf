//! Where the service under test keeps what it knows. The suite is built four times: as `service`, on
//! embedded storage; as `service_on_servers`, on a real PostgreSQL and a real Redis; and, with the
//! live state elsewhere, as `service_on_valkey` and `service_on_cluster`.

use std::path::Path;

use lib_storage::{PostgresSettings, Profile, RedisSettings, Servers, Storage};
use lib_testkit::servers::{PostgresServer, RedisCluster, RedisOptions, RedisServer};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// One server for all tests of a process; each has a database of its own.
static POSTGRES: OnceCell<PostgresServer> = OnceCell::const_new();

/// Where the live state is.
pub(crate) enum Live {
    One(RedisServer),
    Cluster(RedisCluster),
}

impl Live {
    /// What the suite of this name is to run on; `None` for embedded storage.
    async fn of(suite: &str) -> Option<Self> {
        Some(match suite {
            "service_on_servers" => Self::One(RedisServer::start(RedisOptions::default()).await),
            "service_on_valkey" => Self::One(RedisServer::start(RedisOptions::valkey()).await),
            "service_on_cluster" => {
                Self::Cluster(RedisCluster::start(RedisOptions::default()).await)
            }
            _ => return None,
        })
    }

    fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }
}

pub(crate) struct Place {
    folder: TempDir,
    pub(crate) servers: Option<(String, Live)>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let servers = match Live::of(env!("CARGO_CRATE_NAME")).await {
            Some(live) => {
                let postgres = POSTGRES.get_or_init(PostgresServer::start).await;
                Some((postgres.create_database().await, live))
            }
            None => None,
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            servers,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn storage(&self) -> Storage {
        match &self.servers {
            None => Storage::Embedded {
                folder: self.folder().to_owned(),
            },
            Some((postgres, live)) => Storage::Servers(Servers {
                postgres: Some(PostgresSettings {
                    url: postgres.clone(),
                    connections: 4,
                }),
                redis: Some(RedisSettings { url: live.url() }),
                profile: Profile::A,
            }),
        }
    }
}
