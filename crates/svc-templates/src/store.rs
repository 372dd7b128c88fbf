//! The tables of the registry and every query on them. Reads run on the database or inside a
//! transaction, which is alone while it lasts, on either engine and with any number of replicas.
//! Every column is named: PostgreSQL refuses a prepared `SELECT *` once a newer version has added a
//! column.

use std::collections::BTreeMap;

use core_types::Timestamp;
use lib_storage::{Database, Insert, Migration, Row, StorageError, Target, Tx, list, sql};

/// Every step of the schema.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
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
    },
    Migration {
        version: 2,
        name: "changes between replicas",
        sql: r#"
CREATE TABLE told (
    tenant_id TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    changes BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, connector_id)
);
--only postgres
ALTER TABLE template ALTER COLUMN name TYPE TEXT COLLATE "C";
ALTER TABLE template ALTER COLUMN language TYPE TEXT COLLATE "C";
--both
"#,
    },
];

/// On which replicas announce that a connector has become stale.
pub(crate) const STALE: &str = "templates_stale";

/// A template of one connector.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    /// The connector.
    pub(crate) connector_id: String,
    /// Meta's id of its account.
    pub(crate) waba_id: String,
    /// When, in microseconds.
    pub(crate) read_at: i64,
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

/// Templates, with what [`record`] reads.
macro_rules! select_template {
    () => {
        "SELECT name, language, category, status, meta_id, components, quality, rejected_reason, \
         parameter_format FROM template "
    };
}

/// Readings, with what [`synced_row`] reads.
macro_rules! select_synced {
    () => {
        "SELECT connector_id, waba_id, read_at FROM synced "
    };
}

fn record(row: &Row) -> Result<Record, StorageError> {
    Ok(Record {
        name: row.get("name")?,
        language: row.get("language")?,
        category: row.get("category")?,
        status: row.get("status")?,
        meta_id: row.get("meta_id")?,
        components: row.get("components")?,
        quality: row.get("quality")?,
        rejected_reason: row.get("rejected_reason")?,
        parameter_format: row.get("parameter_format")?,
    })
}

fn synced_row(row: &Row) -> Result<Synced, StorageError> {
    Ok(Synced {
        connector_id: row.get("connector_id")?,
        waba_id: row.get("waba_id")?,
        read_at: row.get("read_at")?,
    })
}

/// One template.
pub(crate) async fn template<'a>(
    on: impl Into<Target<'a>>,
    (tenant, connector): Key<'_>,
    (name, language): (&str, &str),
) -> Result<Option<Record>, StorageError> {
    let row = sql(concat!(
        select_template!(),
        "WHERE tenant_id = $1 AND connector_id = $2 AND name = $3 AND language = $4"
    ))
    .bind(tenant)
    .bind(connector)
    .bind(name)
    .bind(language)
    .fetch_optional(on)
    .await?;
    row.as_ref().map(record).transpose()
}

/// The languages there are of a template.
pub(crate) async fn languages<'a>(
    on: impl Into<Target<'a>>,
    (tenant, connector): Key<'_>,
    name: &str,
) -> Result<Vec<String>, StorageError> {
    let rows = sql(
        "SELECT language FROM template WHERE tenant_id = $1 AND connector_id = $2 \
         AND name = $3 ORDER BY language",
    )
    .bind(tenant)
    .bind(connector)
    .bind(name)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// At most `most` templates after (name, language), in that order; only those in one of
/// `statuses`, when there are any.
pub(crate) async fn page<'a>(
    on: impl Into<Target<'a>>,
    (tenant, connector): Key<'_>,
    (name, language): (&str, &str),
    statuses: &[String],
    most: usize,
) -> Result<Vec<Record>, StorageError> {
    let rows = sql(concat!(
        select_template!(),
        "WHERE tenant_id = $1 AND connector_id = $2 AND (name, language) > ($3, $4) \
         AND ($5 = 1 OR status IN (SELECT c0 FROM each($6) wanted)) \
         ORDER BY name, language LIMIT $7"
    ))
    .bind(tenant)
    .bind(connector)
    .bind(name)
    .bind(language)
    .bind(statuses.is_empty())
    .bind(list(statuses))
    .bind(most as i64)
    .fetch_all(on)
    .await?;
    rows.iter().map(record).collect()
}

/// When a connector was last read, if it was.
pub(crate) async fn synced<'a>(
    on: impl Into<Target<'a>>,
    (tenant, connector): Key<'_>,
) -> Result<Option<Synced>, StorageError> {
    let row = sql(concat!(
        select_synced!(),
        "WHERE tenant_id = $1 AND connector_id = $2"
    ))
    .bind(tenant)
    .bind(connector)
    .fetch_optional(on)
    .await?;
    row.as_ref().map(synced_row).transpose()
}

/// Connectors that must be read again.
pub(crate) async fn stale<'a>(on: impl Into<Target<'a>>) -> Result<Vec<Synced>, StorageError> {
    let rows = sql(concat!(
        select_synced!(),
        "WHERE stale <> 0 ORDER BY tenant_id, connector_id"
    ))
    .fetch_all(on)
    .await?;
    rows.iter().map(synced_row).collect()
}

/// How many templates there are, by status.
pub(crate) async fn statuses<'a>(
    on: impl Into<Target<'a>>,
) -> Result<Vec<(String, u64)>, StorageError> {
    let rows = sql("SELECT status, COUNT(*) FROM template GROUP BY status")
        .fetch_all(on)
        .await?;
    let count = |row: &Row| Ok((row.get(0)?, row.get::<i64>(1)?.unsigned_abs()));
    rows.iter().map(count).collect()
}

/// Where in the log to go on; empty at first.
pub(crate) async fn cursor<'a>(on: impl Into<Target<'a>>) -> Result<String, StorageError> {
    let row = sql("SELECT cursor FROM position WHERE id = 1")
        .fetch_optional(on)
        .await?;
    Ok(row.map(|row| row.get(0)).transpose()?.unwrap_or_default())
}

/// How many changes of a connector the log has told of.
pub(crate) async fn told<'a>(
    on: impl Into<Target<'a>>,
    (tenant, connector): Key<'_>,
) -> Result<i64, StorageError> {
    let row = sql("SELECT changes FROM told WHERE tenant_id = $1 AND connector_id = $2")
        .bind(tenant)
        .bind(connector)
        .fetch_optional(on)
        .await?;
    Ok(row.map(|row| row.get(0)).transpose()?.unwrap_or(0))
}

/// Makes `read` the connector's templates, unless another replica has written a later reading. The
/// reading began at `began`, when the log had told of `changes`; if it has told of more since, the
/// reading may be older than they are: the connector is marked to be read again.
pub(crate) async fn replace(
    database: &Database,
    key: Key<'_>,
    waba_id: &str,
    read: &BTreeMap<(String, String), Record>,
    (began, changes): (Timestamp, i64),
) -> Result<Difference, StorageError> {
    // Meta can tell all of it again.
    let mut tx = database.begin_rederivable().await?;
    let mut difference = Difference {
        total: u32::try_from(read.len()).unwrap_or(u32::MAX),
        ..Difference::default()
    };
    let last = synced(&mut tx, key).await?;
    if last.is_some_and(|last| last.read_at > began.as_micros()) {
        return Ok(difference);
    }
    let known = all(&mut tx, key).await?;
    let mut changed = Vec::new();
    for (name, record) in read {
        match known.get(name) {
            Some(before) if before == record => continue,
            Some(_) => difference.changed += 1,
            None => difference.added += 1,
        }
        changed.push(record);
    }
    put(&mut tx, key, &changed).await?;
    for (name, language) in known.keys().filter(|name| !read.contains_key(*name)) {
        difference.removed += 1;
        remove(&mut tx, key, (name, language)).await?;
    }
    let stale = told(&mut tx, key).await? != changes;
    sql(
        "INSERT INTO synced (tenant_id, connector_id, waba_id, read_at, stale) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, connector_id) \
         DO UPDATE SET waba_id = excluded.waba_id, read_at = excluded.read_at, \
         stale = excluded.stale",
    )
    .bind(key.0)
    .bind(key.1)
    .bind(waba_id)
    .bind(began.as_micros())
    .bind(stale)
    .execute(&mut tx)
    .await?;
    if stale {
        tx.notify(STALE, "").await?;
    }
    lib_platform::failpoint!("templates.commit");
    tx.commit().await?;
    Ok(difference)
}

/// Every template of a connector, by name and language.
async fn all(
    tx: &mut Tx,
    (tenant, connector): Key<'_>,
) -> Result<BTreeMap<(String, String), Record>, StorageError> {
    let rows = sql(concat!(
        select_template!(),
        "WHERE tenant_id = $1 AND connector_id = $2"
    ))
    .bind(tenant)
    .bind(connector)
    .fetch_all(tx)
    .await?;
    rows.iter().map(|row| Ok(named(record(row)?))).collect()
}

fn named(record: Record) -> ((String, String), Record) {
    ((record.name.clone(), record.language.clone()), record)
}

/// Stores templates, new or changed; each once.
pub(crate) async fn put(
    tx: &mut Tx,
    (tenant, connector): Key<'_>,
    records: &[&Record],
) -> Result<(), StorageError> {
    let mut rows = Insert::into(
        "template (tenant_id, connector_id, name, language, category, status, meta_id, \
         components, quality, rejected_reason, parameter_format)",
    )
    .on_conflict(
        "ON CONFLICT (tenant_id, connector_id, name, language) DO UPDATE SET \
         category = excluded.category, status = excluded.status, meta_id = excluded.meta_id, \
         components = excluded.components, quality = excluded.quality, \
         rejected_reason = excluded.rejected_reason, \
         parameter_format = excluded.parameter_format",
    );
    for record in records {
        rows.row([
            tenant.into(),
            connector.into(),
            (&record.name).into(),
            (&record.language).into(),
            (&record.category).into(),
            (&record.status).into(),
            (&record.meta_id).into(),
            (&record.components).into(),
            (&record.quality).into(),
            (&record.rejected_reason).into(),
            (&record.parameter_format).into(),
        ]);
    }
    rows.execute(tx).await?;
    Ok(())
}

/// Removes a template.
pub(crate) async fn remove(
    tx: &mut Tx,
    (tenant, connector): Key<'_>,
    (name, language): (&str, &str),
) -> Result<(), StorageError> {
    sql(
        "DELETE FROM template WHERE tenant_id = $1 AND connector_id = $2 AND name = $3 \
         AND language = $4",
    )
    .bind(tenant)
    .bind(connector)
    .bind(name)
    .bind(language)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that the log has told of a change.
pub(crate) async fn count_told(
    tx: &mut Tx,
    (tenant, connector): Key<'_>,
) -> Result<(), StorageError> {
    sql(
        "INSERT INTO told (tenant_id, connector_id, changes) VALUES ($1, $2, 1) \
         ON CONFLICT (tenant_id, connector_id) DO UPDATE SET changes = told.changes + 1",
    )
    .bind(tenant)
    .bind(connector)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that a connector must be read again, and announces it.
pub(crate) async fn mark_stale(
    tx: &mut Tx,
    (tenant, connector): Key<'_>,
) -> Result<(), StorageError> {
    sql("UPDATE synced SET stale = 1 WHERE tenant_id = $1 AND connector_id = $2")
        .bind(tenant)
        .bind(connector)
        .execute(tx)
        .await?;
    tx.notify(STALE, "").await
}

/// Moves the position in the log, with the transaction in which its entries took effect.
pub(crate) async fn move_to(tx: &mut Tx, cursor: &str) -> Result<(), StorageError> {
    sql("INSERT INTO position (id, cursor) VALUES (1, $1) \
         ON CONFLICT (id) DO UPDATE SET cursor = excluded.cursor")
    .bind(cursor)
    .execute(tx)
    .await?;
    Ok(())
}
