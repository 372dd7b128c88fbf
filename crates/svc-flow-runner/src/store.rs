//! The tables of the flow-runner and every query on them. Rows of `flow_version` are only ever
//! inserted; a trigger refuses anything else.

use std::path::Path;

use core_types::Timestamp;
use lib_proto::flow_runner::{Flow, FlowVersion};
use lib_proto::timestamp_to_proto;
use lib_storage::{Migration, SqliteFile, StorageError};
use sqlx::{FromRow, Sqlite, Transaction};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "flows",
    sql: "
CREATE TABLE flow (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    draft TEXT NOT NULL,
    revision BIGINT NOT NULL,
    published_version BIGINT NOT NULL,
    created_from BLOB NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE flow_version (
    tenant_id TEXT NOT NULL,
    flow_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    definition TEXT NOT NULL,
    author TEXT NOT NULL,
    note TEXT NOT NULL,
    published_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, flow_id, version),
    FOREIGN KEY (tenant_id, flow_id) REFERENCES flow (tenant_id, id)
);
CREATE TRIGGER flow_version_is_never_changed BEFORE UPDATE ON flow_version
BEGIN SELECT RAISE(ABORT, 'a published version is never changed'); END;
CREATE TRIGGER flow_version_is_never_removed BEFORE DELETE ON flow_version
BEGIN SELECT RAISE(ABORT, 'a published version is never removed'); END;
",
}];

/// A writing transaction.
pub(crate) type Tx = Transaction<'static, Sqlite>;

/// A flow as stored.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct FlowRow {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Empty in lists.
    pub(crate) draft: String,
    /// Counts changes of name or draft, from 1.
    pub(crate) revision: i64,
    /// 0 before the first publication.
    pub(crate) published_version: i64,
    /// SHA-256 of what the flow was created from: a repeated creation is known by it.
    pub(crate) created_from: Vec<u8>,
    pub(crate) updated_at: i64,
}

impl FlowRow {
    /// Changes with every change of the flow's name or draft.
    pub(crate) fn etag(&self) -> String {
        self.revision.to_string()
    }
}

impl From<FlowRow> for Flow {
    fn from(row: FlowRow) -> Self {
        Self {
            etag: row.etag(),
            id: row.id,
            name: row.name,
            draft: row.draft,
            published_version: number(row.published_version),
            updated_at: Some(timestamp_to_proto(Timestamp::from_micros(row.updated_at))),
        }
    }
}

/// A published version as stored.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct VersionRow {
    pub(crate) flow_id: String,
    pub(crate) version: i64,
    /// The revision of the flow it was made from.
    pub(crate) revision: i64,
    /// Empty in lists.
    pub(crate) definition: String,
    pub(crate) author: String,
    pub(crate) note: String,
    pub(crate) published_at: i64,
}

impl From<VersionRow> for FlowVersion {
    fn from(row: VersionRow) -> Self {
        Self {
            version: number(row.version),
            flow_id: row.flow_id,
            definition: row.definition,
            author: row.author,
            note: row.note,
            published_at: Some(timestamp_to_proto(Timestamp::from_micros(row.published_at))),
        }
    }
}

/// A stored version number; we only ever store those that fit.
fn number(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(0)
}

/// The flow-runner's database. Cheap to clone.
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

    /// Starts the one writing transaction. What it has read cannot change before its end.
    pub(crate) async fn begin(&self) -> Result<Tx, StorageError> {
        self.database.begin().await
    }

    /// A flow with its draft.
    pub(crate) async fn flow(
        &self,
        tenant: &str,
        id: &str,
    ) -> Result<Option<FlowRow>, StorageError> {
        let row = sqlx::query_as("SELECT * FROM flow WHERE tenant_id = $1 AND id = $2")
            .bind(tenant)
            .bind(id)
            .fetch_optional(self.database.readers())
            .await?;
        Ok(row)
    }

    /// At most `most` flows of a tenant whose id is after `after`, by id, without their drafts.
    pub(crate) async fn flows(
        &self,
        tenant: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<FlowRow>, StorageError> {
        let rows = sqlx::query_as(
            "SELECT id, name, '' AS draft, revision, published_version, created_from, updated_at
             FROM flow WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(tenant)
        .bind(after)
        .bind(most as i64)
        .fetch_all(self.database.readers())
        .await?;
        Ok(rows)
    }

    /// A published version.
    pub(crate) async fn version(
        &self,
        tenant: &str,
        flow: &str,
        version: u32,
    ) -> Result<Option<VersionRow>, StorageError> {
        let row = sqlx::query_as(
            "SELECT * FROM flow_version WHERE tenant_id = $1 AND flow_id = $2 AND version = $3",
        )
        .bind(tenant)
        .bind(flow)
        .bind(i64::from(version))
        .fetch_optional(self.database.readers())
        .await?;
        Ok(row)
    }

    /// Number of the newest published version; `None` when there is none, or no such flow.
    pub(crate) async fn newest(
        &self,
        tenant: &str,
        flow: &str,
    ) -> Result<Option<u32>, StorageError> {
        let newest: Option<i64> = sqlx::query_scalar(
            "SELECT published_version FROM flow WHERE tenant_id = $1 AND id = $2",
        )
        .bind(tenant)
        .bind(flow)
        .fetch_optional(self.database.readers())
        .await?;
        Ok(newest.map(number).filter(|version| *version > 0))
    }

    /// At most `most` versions of a flow older than `before`, newest first, without definitions.
    pub(crate) async fn versions(
        &self,
        tenant: &str,
        flow: &str,
        before: i64,
        most: usize,
    ) -> Result<Vec<VersionRow>, StorageError> {
        let rows = sqlx::query_as(
            "SELECT flow_id, version, revision, '' AS definition, author, note, published_at
             FROM flow_version WHERE tenant_id = $1 AND flow_id = $2 AND version < $3
             ORDER BY version DESC LIMIT $4",
        )
        .bind(tenant)
        .bind(flow)
        .bind(before)
        .bind(most as i64)
        .fetch_all(self.database.readers())
        .await?;
        Ok(rows)
    }
}

/// The flow as the transaction sees it.
pub(crate) async fn flow_in(
    tx: &mut Tx,
    tenant: &str,
    id: &str,
) -> Result<Option<FlowRow>, StorageError> {
    let row = sqlx::query_as("SELECT * FROM flow WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row)
}

/// The version as the transaction sees it.
pub(crate) async fn version_in(
    tx: &mut Tx,
    tenant: &str,
    flow: &str,
    version: i64,
) -> Result<Option<VersionRow>, StorageError> {
    let row = sqlx::query_as(
        "SELECT * FROM flow_version WHERE tenant_id = $1 AND flow_id = $2 AND version = $3",
    )
    .bind(tenant)
    .bind(flow)
    .bind(version)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// Stores a new flow.
pub(crate) async fn insert_flow(
    tx: &mut Tx,
    tenant: &str,
    row: &FlowRow,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO flow (tenant_id, id, name, draft, revision, published_version, created_from,
                           updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant)
    .bind(&row.id)
    .bind(&row.name)
    .bind(&row.draft)
    .bind(row.revision)
    .bind(row.published_version)
    .bind(&row.created_from)
    .bind(row.updated_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores what of a flow may change.
pub(crate) async fn update_flow(
    tx: &mut Tx,
    tenant: &str,
    row: &FlowRow,
) -> Result<(), StorageError> {
    sqlx::query(
        "UPDATE flow SET name = $3, draft = $4, revision = $5, published_version = $6,
                         updated_at = $7
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant)
    .bind(&row.id)
    .bind(&row.name)
    .bind(&row.draft)
    .bind(row.revision)
    .bind(row.published_version)
    .bind(row.updated_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores a new version.
pub(crate) async fn insert_version(
    tx: &mut Tx,
    tenant: &str,
    row: &VersionRow,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO flow_version (tenant_id, flow_id, version, revision, definition, author, note,
                                   published_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant)
    .bind(&row.flow_id)
    .bind(row.version)
    .bind(row.revision)
    .bind(&row.definition)
    .bind(&row.author)
    .bind(&row.note)
    .bind(row.published_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
