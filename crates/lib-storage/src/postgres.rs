//! PostgreSQL: one database for the installation, one schema for each service. A server that would
//! lose what it confirmed is refused.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::StorageError;
use crate::migration::{Engine, Migration};

/// Oldest version tried: 14.
const OLDEST: i64 = 140_000;
/// How long a connection is believed to stand after its last use.
const FRESH: Duration = Duration::from_millis(500);
/// How long to wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// How to reach PostgreSQL.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:5432/name`, with libpq's parameters such as `sslmode`.
    pub url: String,
    /// Most connections of this process, at least 2.
    pub connections: u32,
}

impl std::fmt::Debug for PostgresSettings {
    /// Shows no password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("server", &self.server())
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl PostgresSettings {
    /// Whether `url` can be used, as far as can be seen without asking the server.
    ///
    /// # Errors
    /// With what is wrong; nothing of the URL is repeated, it may hold a password.
    pub fn check(url: &str) -> Result<(), String> {
        options(url).map(|_| ())
    }

    fn options(&self) -> Result<PgConnectOptions, StorageError> {
        options(&self.url).map_err(|problem| StorageError::Address { problem })
    }

    /// Host, port and database, for people: no password.
    pub fn server(&self) -> String {
        match self.options() {
            Ok(options) => format!(
                "PostgreSQL at {}:{}/{}",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or("postgres")
            ),
            Err(_) => "PostgreSQL at an address that cannot be read".to_owned(),
        }
    }
}

fn options(url: &str) -> Result<PgConnectOptions, String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err("it does not begin with postgres://".to_owned());
    }
    let (plain, parameters) = url.split_once('?').unwrap_or((url, ""));
    let Ok(options) = PgConnectOptions::from_str(plain) else {
        return Err("it is not a URL (is a character of the password unescaped?)".to_owned());
    };
    if options.get_database().is_none_or(str::is_empty) {
        return Err("it names no database".to_owned());
    }
    if parameters.is_empty() {
        return Ok(options);
    }
    PgConnectOptions::from_str(url).map_err(|_| {
        "a parameter behind the `?` cannot be used; sslmode is disable, allow, prefer, require, \
         verify-ca or verify-full"
            .to_owned()
    })
}

/// Connections to one service's schema.
#[derive(Clone, Debug)]
pub(crate) struct PostgresPool {
    pool: PgPool,
    schema: Arc<str>,
    server: Arc<str>,
    turns: Arc<Semaphore>,
}

impl PostgresPool {
    pub(crate) async fn open(
        settings: &PostgresSettings,
        service: &str,
    ) -> Result<Self, StorageError> {
        let schema = service.replace('-', "_");
        let options = settings
            .options()?
            .application_name(&format!("frontdesk {service}"))
            .statement_cache_capacity(256)
            .options([
                ("search_path", schema.as_str()),
                ("lock_timeout", "15s"),
                ("statement_timeout", "60s"),
                ("idle_in_transaction_session_timeout", "30s"),
                // A short query is planned and run faster than it is compiled.
                ("jit", "off"),
                // Every query looks up keys that have an index. Of a young table, without statistics
                // yet, the planner believes that reading all of it is cheaper, and keeps that plan
                // for the prepared statement while the table grows.
                ("enable_seqscan", "off"),
                // All that differs between two uses of a statement are the keys in its lists: there
                // is nothing to gain from planning it anew each time.
                ("plan_cache_mode", "force_generic_plan"),
            ]);
        let server: Arc<str> = settings.server().into();
        let failed = |cause| StorageError::Open {
            database: server.to_string(),
            cause,
        };
        // A pool tries again until its patience ends, and then does not say why.
        match tokio::time::timeout(ACQUIRE, options.connect()).await {
            Ok(Ok(first)) => first.close().await.map_err(failed)?,
            Ok(Err(cause)) => return Err(failed(cause)),
            Err(_) => return Err(failed(sqlx::Error::PoolTimedOut)),
        }
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections.max(2))
            .min_connections(1)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            // What the server closed meanwhile is thrown away unseen. One in use just now is not
            // asked, which would be a round trip for each statement.
            .before_acquire(|connection, known| {
                Box::pin(async move {
                    if known.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await
            .map_err(failed)?;
        Ok(Self {
            pool,
            schema: schema.into(),
            server,
            turns: crate::database::turns(),
        })
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, StorageError> {
        Ok(self.pool.begin().await?)
    }

    /// A transaction that has the schema's advisory lock until its end.
    pub(crate) async fn begin_alone(&self) -> Result<Transaction<'static, Postgres>, StorageError> {
        let begin = format!(
            "BEGIN; SELECT pg_advisory_xact_lock(hashtext('frontdesk'), hashtext('{}'))",
            self.schema
        );
        Ok(self.pool.begin_with(AssertSqlSafe(begin)).await?)
    }

    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, StorageError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(|_| StorageError::Query(sqlx::Error::PoolClosed))
    }

    pub(crate) async fn listen(&self, channel: &str) -> Result<PgListener, StorageError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(channel).await?;
        Ok(listener)
    }

    /// Refuses a server that is a replica, too old, or would lose what it confirmed.
    pub(crate) async fn check_fit(&self) -> Result<(), StorageError> {
        let (version, replica, reads, fsync, pages, commit): (
            i64,
            bool,
            bool,
            String,
            String,
            String,
        ) = sqlx::query_as(
            "SELECT current_setting('server_version_num')::bigint, pg_is_in_recovery(), \
                 current_setting('default_transaction_read_only')::boolean, \
                 current_setting('fsync'), current_setting('full_page_writes'), \
                 current_setting('synchronous_commit')",
        )
        .fetch_one(&self.pool)
        .await?;
        let facts = Facts {
            version,
            replica,
            reads,
            fsync: &fsync,
            pages: &pages,
            commit: &commit,
        };
        facts.problem().map_or(Ok(()), |problem| {
            Err(StorageError::Unfit {
                database: self.server.to_string(),
                problem,
            })
        })
    }
}

/// What a server says of itself.
struct Facts<'a> {
    /// `server_version_num`.
    version: i64,
    replica: bool,
    /// `default_transaction_read_only`.
    reads: bool,
    fsync: &'a str,
    /// `full_page_writes`.
    pages: &'a str,
    /// `synchronous_commit`.
    commit: &'a str,
}

impl Facts<'_> {
    /// What makes the server unfit to keep records, and the remedy.
    fn problem(&self) -> Option<String> {
        let told = if self.replica {
            "is a read-only replica; point postgres.url at the primary"
        } else if self.reads {
            "takes no writes (default_transaction_read_only is on, as managed services set it when \
             storage is full); free space, then set it off"
        } else if self.version < OLDEST {
            return Some(format!(
                "is version {}; 14 or newer is needed",
                self.version / 10_000
            ));
        } else if self.fsync != "on" {
            "runs with fsync=off and would lose records in a power cut; set fsync = on"
        } else if self.pages != "on" {
            "runs with full_page_writes=off and may corrupt records in a power cut; set \
             full_page_writes = on"
        } else if self.commit == "off" {
            "runs with synchronous_commit=off and would lose what it confirmed; set \
             synchronous_commit = on"
        } else {
            return None;
        };
        Some(told.to_owned())
    }
}

/// Brings the schema up to date, all of it or nothing, one replica at a time.
pub(crate) async fn migrate(
    pool: &PostgresPool,
    migrations: &[Migration],
) -> Result<(), StorageError> {
    let schema = &pool.schema;
    let mut tx = pool.begin_alone().await?;
    // A step may take as long as its table is large; cut off, it would only begin again.
    let prepare = format!(
        "SET LOCAL statement_timeout = 0; CREATE SCHEMA IF NOT EXISTS {schema}; \
         CREATE TABLE IF NOT EXISTS {schema}.schema_version (version BIGINT NOT NULL); \
         CREATE TABLE IF NOT EXISTS {schema}.lease (work TEXT NOT NULL, part BIGINT NOT NULL, \
         owner TEXT NOT NULL, address TEXT NOT NULL, fence BIGINT NOT NULL, \
         until TIMESTAMPTZ NOT NULL, PRIMARY KEY (work, part)); \
         CREATE TABLE IF NOT EXISTS {schema}.lease_member (work TEXT NOT NULL, name TEXT NOT NULL, \
         address TEXT NOT NULL, seen TIMESTAMPTZ NOT NULL, PRIMARY KEY (work, name))"
    );
    sqlx::raw_sql(AssertSqlSafe(prepare))
        .execute(&mut *tx)
        .await
        .map_err(|cause| StorageError::Open {
            database: pool.server.to_string(),
            cause,
        })?;
    let found: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_version")
        .fetch_one(&mut *tx)
        .await?;
    let known = migrations.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(StorageError::Newer {
            database: format!("{}, schema {schema}", pool.server),
            found,
            known,
        });
    }
    for migration in migrations.iter().filter(|step| step.version > found) {
        let Migration { version, name, .. } = *migration;
        let failed = |cause| StorageError::Migrate {
            database: format!("{}, schema {schema}", pool.server),
            version,
            name,
            cause,
        };
        sqlx::raw_sql(AssertSqlSafe(migration.text(Engine::Postgres)))
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Facts;

    const FIT: Facts<'_> = Facts {
        version: 140_000,
        replica: false,
        reads: false,
        fsync: "on",
        pages: "on",
        commit: "on",
    };

    #[test]
    fn a_server_that_is_too_old_is_named() {
        assert_eq!(FIT.problem(), None);
        let newest = Facts {
            version: 180_004,
            commit: "local",
            ..FIT
        };
        assert_eq!(newest.problem(), None);
        let older = Facts {
            version: 130_022,
            ..FIT
        };
        let told = older.problem().unwrap();
        assert_eq!(told, "is version 13; 14 or newer is needed");
    }
}
