//! Outcomes that could not be reported before a stop. They are kept on disk and reported first at
//! the next start, so that a planned restart leaves nothing ambiguous behind.

use std::path::Path;

use lib_proto::conversations::AttemptResult;
use lib_storage::{Migration, SqliteFile, StorageError};
use prost::Message as _;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "unreported outcomes",
    sql: "
CREATE TABLE unreported (
    message_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    result BLOB NOT NULL,
    PRIMARY KEY (message_id, attempt)
);
",
}];

/// The table of outcomes still to be reported. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    database: SqliteFile,
}

impl Spool {
    /// Opens or creates the database.
    pub(crate) async fn open(path: &Path) -> Result<Self, StorageError> {
        let database = SqliteFile::open(path, MIGRATIONS).await?;
        Ok(Self { database })
    }

    /// Keeps an outcome.
    pub(crate) async fn keep(&self, result: &AttemptResult) -> Result<(), StorageError> {
        let key = result.attempt.clone().unwrap_or_default();
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO unreported (message_id, attempt, result) VALUES ($1, $2, $3) \
             ON CONFLICT (message_id, attempt) DO NOTHING",
        )
        .bind(&key.message_id)
        .bind(i64::from(key.attempt))
        .bind(result.encode_to_vec())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// All that is kept.
    pub(crate) async fn all(&self) -> Result<Vec<AttemptResult>, StorageError> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT message_id, result FROM unreported ORDER BY message_id, attempt",
        )
        .fetch_all(self.database.readers())
        .await?;
        rows.into_iter()
            .map(|(id, bytes)| {
                AttemptResult::decode(bytes.as_slice())
                    .map_err(|error| StorageError::corrupt("unreported", id, error))
            })
            .collect()
    }

    /// Forgets all that is kept: it has been reported.
    pub(crate) async fn clear(&self) -> Result<(), StorageError> {
        let mut tx = self.database.begin().await?;
        sqlx::query("DELETE FROM unreported")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
