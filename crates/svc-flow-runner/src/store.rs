//! The tables of the flow-runner and every query on them. Rows of `flow_version` are only ever
//! inserted; a trigger refuses anything else. Every column is named: PostgreSQL refuses a prepared
//! `SELECT *` once a newer version has added a column.

use core_types::Timestamp;
use lib_proto::flow_runner::{Flow, FlowVersion};
use lib_proto::timestamp_to_proto;
use lib_storage::{Migration, Row, StorageError, Target, Tx, sql};

mod credentials;

pub(crate) use self::credentials::{
    CredentialRow, credential, credentials, put_credential, remove_credential,
};

/// Every step of the schema.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "flows",
        sql: FLOWS,
    },
    Migration {
        version: 2,
        name: "credentials",
        sql: CREDENTIALS,
    },
];

const FLOWS: &str = r#"
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
--only sqlite
CREATE TRIGGER flow_version_is_never_changed BEFORE UPDATE ON flow_version
BEGIN SELECT RAISE(ABORT, 'a published version is never changed'); END;
CREATE TRIGGER flow_version_is_never_removed BEFORE DELETE ON flow_version
BEGIN SELECT RAISE(ABORT, 'a published version is never removed'); END;
--only postgres
ALTER TABLE flow ALTER COLUMN id TYPE TEXT COLLATE "C";
CREATE FUNCTION flow_version_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'a published version is never changed or removed'; END $$;
CREATE TRIGGER flow_version_stays BEFORE UPDATE OR DELETE ON flow_version
FOR EACH ROW EXECUTE FUNCTION flow_version_stays();
CREATE TRIGGER flow_version_is_never_emptied BEFORE TRUNCATE ON flow_version
FOR EACH STATEMENT EXECUTE FUNCTION flow_version_stays();
--both
"#;

const CREDENTIALS: &str = "
CREATE TABLE credential (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    hosts TEXT NOT NULL,
    secret TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
";

/// On which replicas announce publications: `tenant/flow/version`.
pub(crate) const PUBLISHED: &str = "flow_runner_published";

/// A flow as stored.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
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

/// A row of `flow`.
fn flow_row(row: &Row) -> Result<FlowRow, StorageError> {
    Ok(FlowRow {
        id: row.get("id")?,
        name: row.get("name")?,
        draft: row.get("draft")?,
        revision: row.get("revision")?,
        published_version: row.get("published_version")?,
        created_from: row.get("created_from")?,
        updated_at: row.get("updated_at")?,
    })
}

/// A row of `flow_version`.
fn version_row(row: &Row) -> Result<VersionRow, StorageError> {
    Ok(VersionRow {
        flow_id: row.get("flow_id")?,
        version: row.get("version")?,
        revision: row.get("revision")?,
        definition: row.get("definition")?,
        author: row.get("author")?,
        note: row.get("note")?,
        published_at: row.get("published_at")?,
    })
}

/// A flow with its draft.
pub(crate) async fn flow<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    id: &str,
) -> Result<Option<FlowRow>, StorageError> {
    let row = sql(
        "SELECT id, name, draft, revision, published_version, created_from, updated_at \
         FROM flow WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant)
    .bind(id)
    .fetch_optional(on)
    .await?;
    row.as_ref().map(flow_row).transpose()
}

/// At most `most` flows of a tenant whose id is after `after`, by id, without their drafts.
pub(crate) async fn flows<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    after: &str,
    most: usize,
) -> Result<Vec<FlowRow>, StorageError> {
    let rows = sql(
        "SELECT id, name, '' AS draft, revision, published_version, created_from, updated_at \
         FROM flow WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(tenant)
    .bind(after)
    .bind(most as i64)
    .fetch_all(on)
    .await?;
    rows.iter().map(flow_row).collect()
}

/// A published version.
pub(crate) async fn version<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    flow: &str,
    version: i64,
) -> Result<Option<VersionRow>, StorageError> {
    let row = sql(
        "SELECT flow_id, version, revision, definition, author, note, published_at \
         FROM flow_version WHERE tenant_id = $1 AND flow_id = $2 AND version = $3",
    )
    .bind(tenant)
    .bind(flow)
    .bind(version)
    .fetch_optional(on)
    .await?;
    row.as_ref().map(version_row).transpose()
}

/// Number of the newest published version; `None` when there is none, or no such flow.
pub(crate) async fn newest<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    flow: &str,
) -> Result<Option<u32>, StorageError> {
    let row = sql("SELECT published_version FROM flow WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(flow)
        .fetch_optional(on)
        .await?;
    let newest = row.map(|row| row.get(0)).transpose()?;
    Ok(newest.map(number).filter(|version| *version > 0))
}

/// At most `most` versions of a flow older than `before`, newest first, without definitions.
pub(crate) async fn versions<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    flow: &str,
    before: i64,
    most: usize,
) -> Result<Vec<VersionRow>, StorageError> {
    let rows = sql(
        "SELECT flow_id, version, revision, '' AS definition, author, note, published_at \
         FROM flow_version WHERE tenant_id = $1 AND flow_id = $2 AND version < $3 \
         ORDER BY version DESC LIMIT $4",
    )
    .bind(tenant)
    .bind(flow)
    .bind(before)
    .bind(most as i64)
    .fetch_all(on)
    .await?;
    rows.iter().map(version_row).collect()
}

/// Stores a new flow.
pub(crate) async fn insert_flow(
    tx: &mut Tx,
    tenant: &str,
    row: &FlowRow,
) -> Result<(), StorageError> {
    sql(
        "INSERT INTO flow (tenant_id, id, name, draft, revision, published_version, created_from, \
         updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant)
    .bind(&row.id)
    .bind(&row.name)
    .bind(&row.draft)
    .bind(row.revision)
    .bind(row.published_version)
    .bind(&row.created_from)
    .bind(row.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores what of a flow may change.
pub(crate) async fn update_flow(
    tx: &mut Tx,
    tenant: &str,
    row: &FlowRow,
) -> Result<(), StorageError> {
    sql(
        "UPDATE flow SET name = $3, draft = $4, revision = $5, published_version = $6, \
         updated_at = $7 WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant)
    .bind(&row.id)
    .bind(&row.name)
    .bind(&row.draft)
    .bind(row.revision)
    .bind(row.published_version)
    .bind(row.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores a new version, and announces it to the other replicas.
pub(crate) async fn insert_version(
    tx: &mut Tx,
    tenant: &str,
    row: &VersionRow,
) -> Result<(), StorageError> {
    sql(
        "INSERT INTO flow_version (tenant_id, flow_id, version, revision, definition, author, \
         note, published_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant)
    .bind(&row.flow_id)
    .bind(row.version)
    .bind(row.revision)
    .bind(&row.definition)
    .bind(&row.author)
    .bind(&row.note)
    .bind(row.published_at)
    .execute(tx)
    .await?;
    let told = format!("{tenant}/{}/{}", row.flow_id, row.version);
    tx.notify(PUBLISHED, &told).await
}
