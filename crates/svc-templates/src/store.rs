//! The tables of the registry and every query on them.

use std::collections::BTreeMap;
use std::path::Path;

use core_types::Timestamp;
use lib_storage::{Migration, SqliteFile, StorageError};
use sqlx::{Sqlite, Transaction};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "templates",
    sql: "
CREATE TABLE template (
    tenant_id TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    category TEXT NOT NULL,
    status TEXT NOT NULL,
    meta_id TEXT NOT NULL,
    components TEXT NOT NULL,
    quality TEXT NOT NULL,
    rejected_reason TEXT NOT NULL,
    parameter_format TEXT NOT NULL,
    PRIMARY KEY (tenant_id, connector_id, name, language)
);
CREATE TABLE synced (
    tenant_id TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    waba_id TEXT NOT NULL,
    read_at BIGINT NOT NULL,
    stale BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, connector_id)
);
CREATE TABLE position (
    id BIGINT PRIMARY KEY,
    cursor TEXT NOT NULL
);
",
}];

/// A writing transaction.
pub(crate) type Tx = Transaction<'static, Sqlite>;

/// A template of one connector.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Record {
    /// Its name.
    pub(crate) name: String,
    /// Its language, such as `en_US`.
    pub(crate) language: String,
    /// Meta's word, such as `UTILITY`.
    pub(crate) category: String,
    /// Meta's word, such as `APPROVED`.
    pub(crate) status: String,
    /// Meta's id.
    pub(crate) meta_id: String,
    /// The components as Meta gives them (JSON).
    pub(crate) components: String,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`, or empty.
    pub(crate) quality: String,
    /// Why Meta refused it; empty when it did not.
    pub(crate) rejected_reason: String,
    /// `positional` or `named`.
    pub(crate) parameter_format: String,
}

/// When a connector's templates were read.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Synced {
    /// The tenant.
    pub(crate) tenant_id: String,
    /// The connector.
    pub(crate) connector_id: String,
    /// Meta's id of its account.
    pub(crate) waba_id: String,
    /// When, in microseconds.
    pub(crate) read_at: i64,
    /// Something has changed since that only Meta can tell.
    pub(crate) stale: bool,
}

/// What a reading of all templates changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Templates that are new.
    pub(crate) added: u32,
    /// Templates that are different.
    pub(crate) changed: u32,
    /// Templates that are gone.
    pub(crate) removed: u32,
    /// Templates there are now.
    pub(crate) total: u32,
}

/// A connector: tenant and id.
pub(crate) type Key<'a> = (&'a str, &'a str);

/// The registry's database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: SqliteFile,
}

impl Store {
    /// Opens or creates the database.
    pub(crate) async fn open(path: &Path) -> Result<Self, StorageError> {
        let database = SqliteFile::open(path, MIGRATIONS).await?;
        Ok(Self { database })
    }

    /// Starts the one writing transaction.
    pub(crate) async fn begin(&self) -> Result<Tx, StorageError> {
        // Meta and the log can tell all of it again.
        self.database.begin_rederivable().await
    }

    /// One template.
    pub(crate) async fn template(
        &self,
        (tenant, connector): Key<'_>,
        (name, language): (&str, &str),
    ) -> Result<Option<Record>, StorageError> {
        Ok(sqlx::query_as(
            "SELECT * FROM template WHERE tenant_id = $1 AND connector_id = $2 AND name = $3 \
             AND language = $4",
        )
        .bind(tenant)
        .bind(connector)
        .bind(name)
        .bind(language)
        .fetch_optional(self.database.readers())
        .await?)
    }

    /// The languages there are of a template.
    pub(crate) async fn languages(
        &self,
        (tenant, connector): Key<'_>,
        name: &str,
    ) -> Result<Vec<String>, StorageError> {
        Ok(sqlx::query_scalar(
            "SELECT language FROM template WHERE tenant_id = $1 AND connector_id = $2 \
             AND name = $3 ORDER BY language",
        )
        .bind(tenant)
        .bind(connector)
        .bind(name)
        .fetch_all(self.database.readers())
        .await?)
    }

    /// At most `most` templates after (name, language), in that order; only those in one of
    /// `statuses`, when there are any.
    pub(crate) async fn page(
        &self,
        (tenant, connector): Key<'_>,
        (name, language): (&str, &str),
        statuses: &[String],
        most: usize,
    ) -> Result<Vec<Record>, StorageError> {
        let wanted = if statuses.is_empty() {
            String::new()
        } else {
            format!(",{},", statuses.join(","))
        };
        Ok(sqlx::query_as(
            "SELECT * FROM template WHERE tenant_id = $1 AND connector_id = $2 \
             AND (name, language) > ($3, $4) AND ($5 = '' OR $5 LIKE '%,' || status || ',%') \
             ORDER BY name, language LIMIT $6",
        )
        .bind(tenant)
        .bind(connector)
        .bind(name)
        .bind(language)
        .bind(wanted)
        .bind(most as i64)
        .fetch_all(self.database.readers())
        .await?)
    }

    /// When a connector was last read, if it was.
    pub(crate) async fn synced(
        &self,
        (tenant, connector): Key<'_>,
    ) -> Result<Option<Synced>, StorageError> {
        Ok(
            sqlx::query_as("SELECT * FROM synced WHERE tenant_id = $1 AND connector_id = $2")
                .bind(tenant)
                .bind(connector)
                .fetch_optional(self.database.readers())
                .await?,
        )
    }

    /// Connectors that must be read again.
    pub(crate) async fn stale(&self) -> Result<Vec<Synced>, StorageError> {
        Ok(
            sqlx::query_as(
                "SELECT * FROM synced WHERE stale <> 0 ORDER BY tenant_id, connector_id",
            )
            .fetch_all(self.database.readers())
            .await?,
        )
    }

    /// Where in the log to go on; empty at first.
    pub(crate) async fn cursor(&self) -> Result<String, StorageError> {
        let cursor: Option<String> = sqlx::query_scalar("SELECT cursor FROM position WHERE id = 1")
            .fetch_optional(self.database.readers())
            .await?;
        Ok(cursor.unwrap_or_default())
    }

    /// Makes `read`, which began at `began`, the connector's templates.
    pub(crate) async fn replace(
        &self,
        key: Key<'_>,
        waba_id: &str,
        read: &BTreeMap<(String, String), Record>,
        began: Timestamp,
    ) -> Result<Difference, StorageError> {
        let mut tx = self.begin().await?;
        let known: Vec<Record> =
            sqlx::query_as("SELECT * FROM template WHERE tenant_id = $1 AND connector_id = $2")
                .bind(key.0)
                .bind(key.1)
                .fetch_all(&mut *tx)
                .await?;
        let known: BTreeMap<(String, String), Record> = known
            .into_iter()
            .map(|record| ((record.name.clone(), record.language.clone()), record))
            .collect();
        let mut difference = Difference {
            total: u32::try_from(read.len()).unwrap_or(u32::MAX),
            ..Difference::default()
        };
        for (name, record) in read {
            match known.get(name) {
                Some(before) if before == record => continue,
                Some(_) => difference.changed += 1,
                None => difference.added += 1,
            }
            put(&mut tx, key, record).await?;
        }
        for (name, language) in known.keys().filter(|name| !read.contains_key(*name)) {
            difference.removed += 1;
            remove(&mut tx, key, (name, language)).await?;
        }
        sqlx::query(
            "INSERT INTO synced (tenant_id, connector_id, waba_id, read_at, stale) \
             VALUES ($1, $2, $3, $4, 0) ON CONFLICT (tenant_id, connector_id) \
             DO UPDATE SET waba_id = excluded.waba_id, read_at = excluded.read_at, stale = 0",
        )
        .bind(key.0)
        .bind(key.1)
        .bind(waba_id)
        .bind(began.as_micros())
        .execute(&mut *tx)
        .await?;
        lib_platform::failpoint!("templates.commit");
        tx.commit().await?;
        Ok(difference)
    }
}

/// Stores a template, new or changed.
pub(crate) async fn put(
    tx: &mut Tx,
    (tenant, connector): Key<'_>,
    record: &Record,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO template (tenant_id, connector_id, name, language, category, status, \
         meta_id, components, quality, rejected_reason, parameter_format) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (tenant_id, connector_id, name, language) DO UPDATE SET \
         category = excluded.category, status = excluded.status, meta_id = excluded.meta_id, \
         components = excluded.components, quality = excluded.quality, \
         rejected_reason = excluded.rejected_reason, \
         parameter_format = excluded.parameter_format",
    )
    .bind(tenant)
    .bind(connector)
    .bind(&record.name)
    .bind(&record.language)
    .bind(&record.category)
    .bind(&record.status)
    .bind(&record.meta_id)
    .bind(&record.components)
    .bind(&record.quality)
    .bind(&record.rejected_reason)
    .bind(&record.parameter_format)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes a template.
pub(crate) async fn remove(
    tx: &mut Tx,
    (tenant, connector): Key<'_>,
    (name, language): (&str, &str),
) -> Result<(), StorageError> {
    sqlx::query(
        "DELETE FROM template WHERE tenant_id = $1 AND connector_id = $2 AND name = $3 \
         AND language = $4",
    )
    .bind(tenant)
    .bind(connector)
    .bind(name)
    .bind(language)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that a connector must be read again.
pub(crate) async fn mark_stale(
    tx: &mut Tx,
    (tenant, connector): Key<'_>,
) -> Result<(), StorageError> {
    sqlx::query("UPDATE synced SET stale = 1 WHERE tenant_id = $1 AND connector_id = $2")
        .bind(tenant)
        .bind(connector)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Moves the position in the log, with the transaction in which its entries took effect.
pub(crate) async fn move_to(tx: &mut Tx, cursor: &str) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO position (id, cursor) VALUES (1, $1) \
         ON CONFLICT (id) DO UPDATE SET cursor = excluded.cursor",
    )
    .bind(cursor)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
