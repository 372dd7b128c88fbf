//! SQLite: the embedded default. One file per service, one writer, write-ahead log, every commit on
//! disk before it returns (`synchronous=FULL`), except what can be told again
//! ([`SqliteFile::begin_rederivable`]).

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection as _, Sqlite, Transaction};

use crate::error::StorageError;
use crate::migration::{Engine, Migration};

/// One service's SQLite file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteFile {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// Readers per file.
const READERS: u32 = 4;

impl SqliteFile {
    /// Opens or creates the file and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be opened, a migration fails, or it was written by a newer version.
    pub async fn open(path: &Path, migrations: &[Migration]) -> Result<Self, StorageError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            .statement_cache_capacity(256)
            .pragma("cache_size", "-32000")
            .pragma("temp_store", "memory");
        let open = |most: u32, options: SqliteConnectOptions| async move {
            let pool = SqlitePoolOptions::new()
                .max_connections(most)
                .min_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                // A commit that failed on a full disk has ended the transaction for SQLite, but
                // not for sqlx: such a connection never begins another one.
                .before_acquire(|connection, _| {
                    let usable = !connection.is_in_transaction();
                    Box::pin(async move { Ok(usable) })
                })
                .connect_with(options)
                .await;
            pool.map_err(|cause| StorageError::Open {
                database: path.display().to_string(),
                cause,
            })
        };
        let writer = open(1, options.clone()).await?;
        let database = Self {
            readers: open(READERS, options.pragma("query_only", "on")).await?,
            writer,
        };
        database.migrate(path, migrations).await?;
        Ok(database)
    }

    /// Connections that only read. What one reads may be a moment older than a transaction under
    /// way.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Starts the one writing transaction; others wait for its end. Dropped without commit, it is
    /// rolled back.
    ///
    /// # Errors
    /// When the database is locked by another process or refuses.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StorageError> {
        Ok(self
            .writer
            .begin_with("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")
            .await?)
    }

    /// Like [`SqliteFile::begin`], for what can be told again: a follower's rows together with its
    /// cursor, a registry read from elsewhere. A crash of the process loses nothing of it; a power
    /// cut may undo the last commits as a whole, and the follower goes on from before them. It
    /// spares the disk a flush for each commit.
    ///
    /// # Errors
    /// When the database is locked by another process or refuses.
    pub async fn begin_rederivable(&self) -> Result<Transaction<'static, Sqlite>, StorageError> {
        Ok(self
            .writer
            .begin_with("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE")
            .await?)
    }

    async fn migrate(&self, path: &Path, migrations: &[Migration]) -> Result<(), StorageError> {
        let mut tx = self.begin().await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
            .execute(&mut *tx)
            .await?;
        let found: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_version")
            .fetch_one(&mut *tx)
            .await?;
        let known = migrations.last().map_or(0, |migration| migration.version);
        if found > known {
            return Err(StorageError::Newer {
                database: path.display().to_string(),
                found,
                known,
            });
        }
        for migration in migrations
            .iter()
            .filter(|migration| migration.version > found)
        {
            let Migration { version, name, .. } = *migration;
            let sql = migration.text(Engine::Sqlite);
            let failed = |cause| StorageError::Migrate {
                database: path.display().to_string(),
                version,
                name,
                cause,
            };
            sqlx::raw_sql(AssertSqlSafe(sql))
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration {
        version: 1,
        name: "notes",
        sql: "CREATE TABLE note (id TEXT PRIMARY KEY);",
    };
    const BROKEN: Migration = Migration {
        version: 2,
        name: "broken",
        sql: "CREATE TABEL x (y);",
    };

    #[tokio::test]
    async fn migrations_run_once_and_newer_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        for _ in 0..2 {
            SqliteFile::open(&path, &[FIRST]).await.unwrap();
        }
        let failed = SqliteFile::open(&path, &[FIRST, BROKEN]).await.unwrap_err();
        assert!(
            matches!(failed, StorageError::Migrate { version: 2, .. }),
            "{failed}"
        );
        let newer = SqliteFile::open(&path, &[]).await.unwrap_err();
        assert!(
            matches!(
                newer,
                StorageError::Newer {
                    found: 1,
                    known: 0,
                    ..
                }
            ),
            "{newer}"
        );
    }

    #[tokio::test]
    async fn only_what_can_be_told_again_may_skip_the_flush() {
        let folder = tempfile::tempdir().unwrap();
        let database = SqliteFile::open(&folder.path().join("t.db"), &[FIRST])
            .await
            .unwrap();
        let mut levels: Vec<i64> = Vec::new();
        for rederivable in [false, true, false] {
            let begun = if rederivable {
                database.begin_rederivable().await
            } else {
                database.begin().await
            };
            let mut tx = begun.unwrap();
            let level = sqlx::query_scalar("PRAGMA synchronous")
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            levels.push(level);
            tx.commit().await.unwrap();
        }
        assert_eq!(levels, [2, 1, 2]);
    }

    #[tokio::test]
    async fn readers_cannot_write_and_duplicates_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let database = SqliteFile::open(&folder.path().join("t.db"), &[FIRST])
            .await
            .unwrap();
        let insert = "INSERT INTO note (id) VALUES ('a')";
        assert!(
            sqlx::query(insert)
                .execute(database.readers())
                .await
                .is_err()
        );
        let mut tx = database.begin().await.unwrap();
        sqlx::query(insert).execute(&mut *tx).await.unwrap();
        let again = sqlx::query(insert).execute(&mut *tx).await.unwrap_err();
        assert!(StorageError::from(again).is_duplicate());
    }
}
