//! One service's records, in SQLite or PostgreSQL behind the same calls.
//!
//! A writing transaction has the service's records to itself, on both engines: SQLite has one
//! writer, and on PostgreSQL [`Database::begin`] takes the service's advisory lock, which replicas
//! share. What does not need that says so with [`Database::begin_concurrent`].

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Postgres, Sqlite, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::StorageError;
use crate::migration::{Engine, Migration};
use crate::postgres::{self, PostgresPool, PostgresSettings};
use crate::query::{Query, Row, Value};
use crate::sqlite::SqliteFile;

/// One service's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Sqlite(SqliteFile),
    Postgres(PostgresPool),
}

/// A writing transaction. Dropped without [`Tx::commit`], nothing of it is kept.
#[derive(Debug)]
pub struct Tx {
    inner: TxInner,
    // Held to the end: see `begin`.
    _turn: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum TxInner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Where a query runs: on the database, reading what is committed, or inside a transaction.
#[derive(Debug)]
pub enum Target<'a> {
    /// Reads what is committed.
    Database(&'a Database),
    /// Reads and writes inside it.
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Database> for Target<'a> {
    fn from(database: &'a Database) -> Self {
        Self::Database(database)
    }
}

impl<'a> From<&'a mut Tx> for Target<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Tx(tx)
    }
}

impl Database {
    /// Opens or creates an SQLite file and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be opened, a migration fails, or it was written by a newer version.
    pub async fn open_file(
        path: &std::path::Path,
        migrations: &[Migration],
    ) -> Result<Self, StorageError> {
        let file = SqliteFile::open(path, migrations).await?;
        Ok(Self(Inner::Sqlite(file)))
    }

    /// Connects to PostgreSQL and brings the service's schema up to date. Replicas that start
    /// together wait for each other.
    ///
    /// # Errors
    /// When it cannot be reached, is not fit to keep records, a migration fails, or it was written
    /// by a newer version.
    pub async fn open_postgres(
        settings: &PostgresSettings,
        service: &str,
        migrations: &[Migration],
    ) -> Result<Self, StorageError> {
        let pool = PostgresPool::open(settings, service).await?;
        pool.check_fit().await?;
        postgres::migrate(&pool, migrations).await?;
        Ok(Self(Inner::Postgres(pool)))
    }

    /// Which engine it is.
    pub fn engine(&self) -> Engine {
        match &self.0 {
            Inner::Sqlite(_) => Engine::Sqlite,
            Inner::Postgres(_) => Engine::Postgres,
        }
    }

    /// Asks the server whether it still keeps records safely, and whether it can be reached.
    ///
    /// # Errors
    /// With what is wrong and what to do.
    pub async fn check(&self) -> Result<(), StorageError> {
        match &self.0 {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(pool) => pool.check_fit().await,
        }
    }

    /// Starts a writing transaction; others of this service wait for its end.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn begin(&self) -> Result<Tx, StorageError> {
        match &self.0 {
            Inner::Sqlite(file) => Ok(Tx::sqlite(file.begin().await?)),
            Inner::Postgres(pool) => {
                // One connection waits for the lock, not all of them.
                let turn = pool.turn().await?;
                Ok(Tx::postgres(pool.begin_alone().await?, Some(turn)))
            }
        }
    }

    /// Like [`Database::begin`], for what can be told again: a follower's rows together with its
    /// cursor, a registry read from elsewhere. A crash of the process loses nothing of it; a power
    /// cut may undo the last commits as a whole, and the follower goes on from before them. It
    /// spares SQLite a flush for each commit; PostgreSQL commits it like any other.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn begin_rederivable(&self) -> Result<Tx, StorageError> {
        match &self.0 {
            Inner::Sqlite(file) => Ok(Tx::sqlite(file.begin_rederivable().await?)),
            Inner::Postgres(_) => self.begin().await,
        }
    }

    /// Starts a writing transaction beside others: for statements that are right whatever others
    /// write meanwhile. On SQLite there is one writer all the same.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn begin_concurrent(&self) -> Result<Tx, StorageError> {
        match &self.0 {
            Inner::Sqlite(file) => Ok(Tx::sqlite(file.begin().await?)),
            Inner::Postgres(pool) => Ok(Tx::postgres(pool.begin().await?, None)),
        }
    }

    pub(crate) fn postgres(&self) -> Option<&PostgresPool> {
        match &self.0 {
            Inner::Sqlite(_) => None,
            Inner::Postgres(pool) => Some(pool),
        }
    }

    /// Listens for what [`Tx::notify`] announces on `channel`, also from other replicas. `None` on
    /// SQLite, which has no other replicas.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn listen(
        &self,
        channel: &str,
    ) -> Result<Option<sqlx::postgres::PgListener>, StorageError> {
        match &self.0 {
            Inner::Sqlite(_) => Ok(None),
            Inner::Postgres(pool) => Ok(Some(pool.listen(channel).await?)),
        }
    }
}

impl Tx {
    fn sqlite(inner: Transaction<'static, Sqlite>) -> Self {
        Self {
            inner: TxInner::Sqlite(inner),
            _turn: None,
        }
    }

    fn postgres(inner: Transaction<'static, Postgres>, turn: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            inner: TxInner::Postgres(inner),
            _turn: turn,
        }
    }

    /// Which engine it is on.
    pub fn engine(&self) -> Engine {
        match &self.inner {
            TxInner::Sqlite(_) => Engine::Sqlite,
            TxInner::Postgres(_) => Engine::Postgres,
        }
    }

    /// Keeps all of it; it is on disk when this returns.
    ///
    /// # Errors
    /// When the database refuses. If the connection broke during the call it is not known whether
    /// it was kept: do the same, idempotent thing again.
    pub async fn commit(self) -> Result<(), StorageError> {
        match self.inner {
            TxInner::Sqlite(tx) => tx.commit().await?,
            TxInner::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Announces `payload` on `channel` at the commit, to every replica that listens. Nothing on
    /// SQLite.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn notify(&mut self, channel: &str, payload: &str) -> Result<(), StorageError> {
        if self.engine() == Engine::Postgres {
            crate::sql("SELECT 1::bigint FROM (SELECT pg_notify($1, $2)) AS told")
                .bind(channel)
                .bind(payload)
                .fetch_all(self)
                .await?;
        }
        Ok(())
    }
}

macro_rules! bound {
    ($query:expr, Engine::$kind:ident) => {{
        let mut query = sqlx::query(AssertSqlSafe($query.text(Engine::$kind).into_owned()));
        for value in $query.values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
                columns => bound!(@columns query, columns, $kind),
            };
        }
        query
    }};
    (@columns $query:expr, $columns:expr, Postgres) => {
        match $columns {
            Value::Ints(values) => $query.bind(values),
            Value::Texts(values) => $query.bind(values),
            Value::Blobs(values) => $query.bind(values),
            Value::Int(_) | Value::Text(_) | Value::Bytes(_) => $query,
        }
    };
    // SQLite has no arrays, and nothing makes one for it.
    (@columns $query:expr, $columns:expr, Sqlite) => {{
        let _ = $columns;
        $query.bind(None::<String>)
    }};
}

impl Query {
    /// All rows.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn fetch_all<'a>(self, on: impl Into<Target<'a>>) -> Result<Vec<Row>, StorageError> {
        let rows = match on.into() {
            Target::Database(Database(Inner::Sqlite(file))) => {
                let query = bound!(self, Engine::Sqlite);
                return Ok(sqlite_rows(query.fetch_all(file.readers()).await?));
            }
            Target::Database(Database(Inner::Postgres(pool))) => {
                bound!(self, Engine::Postgres)
                    .fetch_all(pool.pool())
                    .await?
            }
            Target::Tx(Tx { inner, .. }) => match inner {
                TxInner::Sqlite(tx) => {
                    let query = bound!(self, Engine::Sqlite);
                    return Ok(sqlite_rows(query.fetch_all(&mut **tx).await?));
                }
                TxInner::Postgres(tx) => {
                    bound!(self, Engine::Postgres).fetch_all(&mut **tx).await?
                }
            },
        };
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn fetch_optional<'a>(
        self,
        on: impl Into<Target<'a>>,
    ) -> Result<Option<Row>, StorageError> {
        Ok(self.fetch_all(on).await?.into_iter().next())
    }

    /// The first row.
    ///
    /// # Errors
    /// When the database refuses or there is none.
    pub async fn fetch_one<'a>(self, on: impl Into<Target<'a>>) -> Result<Row, StorageError> {
        let row = self.fetch_optional(on).await?;
        row.ok_or(StorageError::Query(sqlx::Error::RowNotFound))
    }

    /// Does it. Returns how many rows it touched.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn execute(self, tx: &mut Tx) -> Result<u64, StorageError> {
        Ok(match &mut tx.inner {
            TxInner::Sqlite(tx) => bound!(self, Engine::Sqlite)
                .execute(&mut **tx)
                .await?
                .rows_affected(),
            TxInner::Postgres(tx) => bound!(self, Engine::Postgres)
                .execute(&mut **tx)
                .await?
                .rows_affected(),
        })
    }
}

fn sqlite_rows(rows: Vec<sqlx::sqlite::SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

/// One writer at a time within the process; see [`Database::begin`].
pub(crate) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}
