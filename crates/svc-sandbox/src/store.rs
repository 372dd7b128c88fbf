//! The sandbox's tables. What it must remember to go on after a crash is kept as documents; what
//! people look at afterwards (requests, deliveries, phones) as append-only tables. Everything one
//! group of operations changed is written in one transaction with one statement per table: SQLite
//! reads the rows from a JSON array. The sandbox is always embedded, so this needs no other
//! database.

use std::path::Path;

use core_types::{Content, Timestamp};
use lib_storage::{Migration, SqliteFile, StorageError};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use crate::state::{Delivery, GraphSend, PhoneEntry, PhoneWhat, ThreadKey};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "documents, requests, deliveries, phones",
    sql: "
        CREATE TABLE document (
            kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
            PRIMARY KEY (kind, name)
        ) WITHOUT ROWID;
        CREATE TABLE graph_send (
            sequence INTEGER PRIMARY KEY, at BIGINT NOT NULL, number_id TEXT NOT NULL,
            callback_data TEXT NOT NULL, body TEXT NOT NULL, answered_status INTEGER NOT NULL,
            message_id TEXT NOT NULL, answer_lost INTEGER NOT NULL, traceparent TEXT NOT NULL,
            recipient TEXT NOT NULL
        );
        CREATE TABLE delivery (
            sequence INTEGER PRIMARY KEY, account TEXT NOT NULL, created_at BIGINT NOT NULL,
            attempts INTEGER NOT NULL, last_status INTEGER NOT NULL, done INTEGER NOT NULL,
            next_at BIGINT NOT NULL, body TEXT NOT NULL, takes TEXT NOT NULL
        );
        CREATE INDEX delivery_open ON delivery (sequence) WHERE done = 0;
        CREATE TABLE phone_event (
            sequence INTEGER PRIMARY KEY, customer INTEGER NOT NULL, number_id TEXT NOT NULL,
            at BIGINT NOT NULL, message_id TEXT NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL
        );
        CREATE INDEX phone_event_thread ON phone_event (number_id, customer, sequence);
        CREATE INDEX phone_event_message ON phone_event (message_id);
    ",
}];

/// What one group of operations changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Kind, name and JSON of documents written.
    pub(crate) documents: Vec<(&'static str, String, String)>,
    /// Kind and name of documents removed.
    pub(crate) removed: Vec<(&'static str, String)>,
    /// Requests to the messages endpoint.
    pub(crate) sends: Vec<GraphSend>,
    /// Requests whose caller never got the answer.
    pub(crate) lost: Vec<u64>,
    /// Deliveries that came into being.
    pub(crate) deliveries: Vec<Delivery>,
    /// Deliveries tried: sequence, attempts, last status, done, next attempt.
    pub(crate) tried: Vec<(u64, u32, u16, bool, i64)>,
    /// What phones show now.
    pub(crate) phone: Vec<PhoneEntry>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.documents.is_empty()
            && self.removed.is_empty()
            && self.sends.is_empty()
            && self.lost.is_empty()
            && self.deliveries.is_empty()
            && self.tried.is_empty()
            && self.phone.is_empty()
    }
}

/// What is read back at start.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Kind, name and JSON.
    pub(crate) documents: Vec<(String, String, String)>,
    /// Deliveries that have not been taken.
    pub(crate) deliveries: Vec<Delivery>,
    /// Last sequence numbers of the three append-only tables.
    pub(crate) last_send: u64,
    pub(crate) last_delivery: u64,
    pub(crate) last_phone: u64,
}

/// A delivery as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    pub(crate) sequence: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) last_status: u32,
    pub(crate) done: bool,
    pub(crate) body: String,
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store(SqliteFile);

type Result<T> = std::result::Result<T, StorageError>;

impl Store {
    /// Opens or creates the file.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        Ok(Self(SqliteFile::open(path, MIGRATIONS).await?))
    }

    /// Reads what the sandbox remembers.
    pub(crate) async fn load(&self) -> Result<Loaded> {
        let documents = sqlx::query_as("SELECT kind, name, body FROM document")
            .fetch_all(self.0.readers())
            .await?;
        let open = sqlx::query("SELECT * FROM delivery WHERE done = 0 ORDER BY sequence")
            .fetch_all(self.0.readers())
            .await?;
        let deliveries = open.iter().map(open_delivery).collect::<Result<_>>()?;
        let (last_send, last_delivery, last_phone) = sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT (SELECT COALESCE(MAX(sequence), 0) FROM graph_send),
                    (SELECT COALESCE(MAX(sequence), 0) FROM delivery),
                    (SELECT COALESCE(MAX(sequence), 0) FROM phone_event)",
        )
        .fetch_one(self.0.readers())
        .await?;
        Ok(Loaded {
            documents,
            deliveries,
            last_send: unsigned(last_send),
            last_delivery: unsigned(last_delivery),
            last_phone: unsigned(last_phone),
        })
    }

    /// Writes everything or nothing. It survives a crash of the process; that a power cut may undo
    /// the last moments is fine for a stand-in.
    pub(crate) async fn commit(&self, changes: &Changes) -> Result<()> {
        let mut tx = self.0.begin_rederivable().await?;
        write_documents(&mut tx, changes).await?;
        write_sends(&mut tx, changes).await?;
        write_deliveries(&mut tx, changes).await?;
        write_phone(&mut tx, changes).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Requests to the messages endpoint after the first `offset`, and how many there are.
    pub(crate) async fn sends(&self, offset: u64, limit: u32) -> Result<(Vec<GraphSend>, u64)> {
        let rows =
            sqlx::query("SELECT * FROM graph_send WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(signed(offset))
                .bind(limit)
                .fetch_all(self.0.readers())
                .await?;
        let total: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM graph_send")
            .fetch_one(self.0.readers())
            .await?;
        let sends = rows.iter().map(graph_send).collect::<Result<_>>()?;
        Ok((sends, unsigned(total)))
    }

    /// Deliveries after the first `offset`, and how many there are.
    pub(crate) async fn deliveries(
        &self,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<DeliveryRow>, u64)> {
        let rows =
            sqlx::query("SELECT * FROM delivery WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(signed(offset))
                .bind(limit)
                .fetch_all(self.0.readers())
                .await?;
        let total: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM delivery")
            .fetch_one(self.0.readers())
            .await?;
        let deliveries = rows.iter().map(delivery_row).collect::<Result<_>>()?;
        Ok((deliveries, unsigned(total)))
    }

    /// What a phone shows of one number, after event `from` and up to event `until`.
    pub(crate) async fn phone(
        &self,
        thread: &ThreadKey,
        from: u64,
        until: u64,
        limit: u32,
    ) -> Result<Vec<PhoneEntry>> {
        let rows = sqlx::query(
            "SELECT * FROM phone_event
             WHERE number_id = $1 AND customer = $2 AND sequence > $3 AND sequence <= $4
             ORDER BY sequence LIMIT $5",
        )
        .bind(&thread.number)
        .bind(signed(thread.customer))
        .bind(signed(from))
        .bind(signed(until))
        .bind(limit)
        .fetch_all(self.0.readers())
        .await?;
        rows.iter().map(phone_entry).collect()
    }

    /// The thread in which the customer wrote the message with this id.
    pub(crate) async fn thread_of(&self, message_id: &str) -> Result<Option<ThreadKey>> {
        let row = sqlx::query(
            "SELECT customer, number_id FROM phone_event
             WHERE message_id = $1 AND kind = 'sent' LIMIT 1",
        )
        .bind(message_id)
        .fetch_optional(self.0.readers())
        .await?;
        row.map(|row| {
            Ok(ThreadKey {
                customer: unsigned(row.try_get("customer")?),
                number: row.try_get("number_id")?,
            })
        })
        .transpose()
    }
}

async fn write_documents(tx: &mut Transaction<'static, Sqlite>, changes: &Changes) -> Result<()> {
    if !changes.documents.is_empty() {
        sqlx::query(
            "INSERT INTO document (kind, name, body)
             SELECT value->>0, value->>1, value->>2 FROM json_each($1) WHERE true
             ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body",
        )
        .bind(rows(&changes.documents)?)
        .execute(&mut **tx)
        .await?;
    }
    if !changes.removed.is_empty() {
        sqlx::query(
            "DELETE FROM document WHERE (kind, name) IN
             (SELECT value->>0, value->>1 FROM json_each($1))",
        )
        .bind(rows(&changes.removed)?)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn write_sends(tx: &mut Transaction<'static, Sqlite>, changes: &Changes) -> Result<()> {
    if !changes.sends.is_empty() {
        let values: Vec<_> = changes
            .sends
            .iter()
            .map(|send| {
                (
                    send.sequence,
                    send.at.as_micros(),
                    &send.number,
                    &send.callback_data,
                    &send.body,
                    send.answered_status,
                    &send.message,
                    u8::from(send.answer_lost),
                    &send.traceparent,
                    &send.to,
                )
            })
            .collect();
        sqlx::query(
            "INSERT INTO graph_send (sequence, at, number_id, callback_data, body,
                answered_status, message_id, answer_lost, traceparent, recipient)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6,
                value->>7, value->>8, value->>9 FROM json_each($1)",
        )
        .bind(rows(&values)?)
        .execute(&mut **tx)
        .await?;
    }
    if !changes.lost.is_empty() {
        sqlx::query(
            "UPDATE graph_send SET answer_lost = 1
             WHERE sequence IN (SELECT value FROM json_each($1))",
        )
        .bind(rows(&changes.lost)?)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn write_deliveries(tx: &mut Transaction<'static, Sqlite>, changes: &Changes) -> Result<()> {
    if !changes.deliveries.is_empty() {
        let mut values = Vec::with_capacity(changes.deliveries.len());
        for delivery in &changes.deliveries {
            values.push((
                delivery.sequence,
                &delivery.account,
                delivery.created_at.as_micros(),
                delivery.next_at.as_micros(),
                &*delivery.body,
                rows(&delivery.takes)?,
            ));
        }
        sqlx::query(
            "INSERT INTO delivery (sequence, account, created_at, next_at, body, takes,
                attempts, last_status, done)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, 0, 0, 0
             FROM json_each($1)",
        )
        .bind(rows(&values)?)
        .execute(&mut **tx)
        .await?;
    }
    if !changes.tried.is_empty() {
        sqlx::query(
            "UPDATE delivery SET attempts = tried.value->>1, last_status = tried.value->>2,
                done = tried.value->>3, next_at = tried.value->>4
             FROM json_each($1) AS tried WHERE delivery.sequence = tried.value->>0",
        )
        .bind(rows(&changes.tried)?)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn write_phone(tx: &mut Transaction<'static, Sqlite>, changes: &Changes) -> Result<()> {
    if changes.phone.is_empty() {
        return Ok(());
    }
    let mut values = Vec::with_capacity(changes.phone.len());
    for entry in &changes.phone {
        let (kind, content) = match &entry.what {
            PhoneWhat::Arrived(content) => ("arrived", rows(content)?),
            PhoneWhat::Sent(content) => ("sent", rows(content)?),
            PhoneWhat::Taken => ("taken", String::new()),
            PhoneWhat::BusinessRead => ("business_read", String::new()),
        };
        values.push((
            entry.sequence,
            entry.thread.customer,
            &entry.thread.number,
            entry.at.as_micros(),
            &entry.message,
            kind,
            content,
        ));
    }
    sqlx::query(
        "INSERT INTO phone_event (sequence, customer, number_id, at, message_id, kind, content)
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6
         FROM json_each($1)",
    )
    .bind(rows(&values)?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Values as JSON for `json_each`.
fn rows(values: &(impl serde::Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(values).map_err(|error| StorageError::corrupt("json", "", error))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn sequence(row: &SqliteRow) -> Result<u64> {
    Ok(unsigned(row.try_get("sequence")?))
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp> {
    Ok(Timestamp::from_micros(row.try_get(column)?))
}

fn open_delivery(row: &SqliteRow) -> Result<Delivery> {
    let sequence = sequence(row)?;
    let takes: String = row.try_get("takes")?;
    Ok(Delivery {
        sequence,
        account: row.try_get("account")?,
        created_at: time(row, "created_at")?,
        attempts: row.try_get("attempts")?,
        last_status: row.try_get("last_status")?,
        next_at: time(row, "next_at")?,
        body: row.try_get::<String, _>("body")?.into(),
        takes: serde_json::from_str(&takes)
            .map_err(|error| StorageError::corrupt("delivery", sequence.to_string(), error))?,
    })
}

fn delivery_row(row: &SqliteRow) -> Result<DeliveryRow> {
    Ok(DeliveryRow {
        sequence: sequence(row)?,
        created_at: time(row, "created_at")?,
        attempts: row.try_get("attempts")?,
        last_status: row.try_get("last_status")?,
        done: row.try_get("done")?,
        body: row.try_get("body")?,
    })
}

fn graph_send(row: &SqliteRow) -> Result<GraphSend> {
    Ok(GraphSend {
        sequence: sequence(row)?,
        at: time(row, "at")?,
        number: row.try_get("number_id")?,
        callback_data: row.try_get("callback_data")?,
        body: row.try_get("body")?,
        answered_status: row.try_get("answered_status")?,
        message: row.try_get("message_id")?,
        answer_lost: row.try_get("answer_lost")?,
        traceparent: row.try_get("traceparent")?,
        to: row.try_get("recipient")?,
    })
}

fn phone_entry(row: &SqliteRow) -> Result<PhoneEntry> {
    let sequence = sequence(row)?;
    let content = || -> Result<Content> {
        let text: String = row.try_get("content")?;
        serde_json::from_str(&text)
            .map_err(|error| StorageError::corrupt("phone_event", sequence.to_string(), error))
    };
    let kind: String = row.try_get("kind")?;
    let what = match kind.as_str() {
        "arrived" => PhoneWhat::Arrived(content()?),
        "sent" => PhoneWhat::Sent(content()?),
        "taken" => PhoneWhat::Taken,
        "business_read" => PhoneWhat::BusinessRead,
        other => {
            let problem = format!("`{other}` is not a kind of event");
            return Err(StorageError::corrupt(
                "phone_event",
                sequence.to_string(),
                problem,
            ));
        }
    };
    Ok(PhoneEntry {
        sequence,
        thread: ThreadKey {
            customer: unsigned(row.try_get("customer")?),
            number: row.try_get("number_id")?,
        },
        at: time(row, "at")?,
        message: row.try_get("message_id")?,
        what,
    })
}
