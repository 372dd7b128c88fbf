//! Where the service under test keeps what it knows. The suite is built twice: as `service`, on
//! embedded storage, and as `service_on_servers`, on a real PostgreSQL and a real Redis.

use std::path::Path;

use lib_storage::{PostgresSettings, Profile, RedisSettings, Servers, Storage};
use lib_testkit::servers::{PostgresServer, RedisOptions, RedisServer};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// One server for all tests of a process; each has a database of its own.
static POSTGRES: OnceCell<PostgresServer> = OnceCell::const_new();

pub(crate) struct Place {
    folder: TempDir,
    pub(crate) servers: Option<(String, RedisServer)>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let servers = if env!("CARGO_CRATE_NAME") == "service_on_servers" {
            let postgres = POSTGRES.get_or_init(PostgresServer::start).await;
            let redis = RedisServer::start(RedisOptions::default()).await;
            Some((postgres.create_database().await, redis))
        } else {
            None
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
            Some((postgres, redis)) => Storage::Servers(Servers {
                postgres: Some(PostgresSettings {
                    url: postgres.clone(),
                    connections: 4,
                }),
                redis: Some(RedisSettings { url: redis.url() }),
                profile: Profile::A,
            }),
        }
    }
}
