//! Where a service under test keeps its records: a folder of its own, or a PostgreSQL database of
//! its own, which several replicas may share.

use std::path::Path;

use lib_platform::{Clock, Context};
use lib_storage::lease::Member;
use lib_storage::{Database, Migration, PostgresSettings, Profile, Servers, Storage};
use tempfile::TempDir;

use crate::servers::PostgresServer;

/// Where a service under test keeps its records. Dropped, the folder is gone; a database goes with
/// its server.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    servers: Option<Servers>,
}

impl Place {
    /// An empty folder.
    ///
    /// # Panics
    /// When there can be none.
    pub fn folder() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            servers: None,
        }
    }

    /// An empty database on `server`.
    ///
    /// # Panics
    /// When there can be none.
    pub async fn on(server: &PostgresServer) -> Self {
        let postgres = PostgresSettings {
            url: server.create_database().await,
            connections: 6,
        };
        Self {
            servers: Some(Servers {
                postgres: Some(postgres),
                redis: None,
                profile: Profile::A,
            }),
            ..Self::folder()
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.servers.is_none()
    }

    /// Where that is, for a context.
    pub fn storage(&self) -> Storage {
        match &self.servers {
            Some(servers) => Storage::Servers(servers.clone()),
            None => Storage::Embedded {
                folder: self.path().to_owned(),
            },
        }
    }

    /// What a service starts with; see [`crate::context`].
    pub fn context(&self, clock: &Clock, peers: &str) -> Context {
        Context {
            storage: self.storage(),
            ..crate::context(self.path(), clock, peers)
        }
    }

    /// What the replica `name` of a service starts with.
    pub fn replica(&self, name: &str, clock: &Clock, peers: &str) -> Context {
        let me = Member {
            name: name.to_owned(),
            address: String::new(),
        };
        Context {
            me,
            ..self.context(clock, peers)
        }
    }

    /// A service's records, whose schema stands at `version`: to look at them from outside.
    ///
    /// # Panics
    /// When they cannot be opened.
    pub async fn database(&self, service: &str, version: i64) -> Database {
        let stands = Migration {
            version,
            name: "it stands",
            sql: "",
        };
        let database = self.storage().database(service, &[stands]).await;
        database.expect("the service's records")
    }
}

/// Makes tests of functions `async fn name(place: &Place)`: each on SQLite in a folder of its own,
/// and all of them on one PostgreSQL server, each in a database of its own.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&$crate::Place::folder()).await;
                }
            )*
        }

        #[tokio::test]
        async fn the_same_on_postgresql() {
            let server = $crate::servers::PostgresServer::start().await;
            $($name(&$crate::Place::on(&server).await).await;)*
        }
    };
}
