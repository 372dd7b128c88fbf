//! Reading the log and the timers.

use core_types::{ConversationId, Timestamp};
use lib_storage::{Database, Engine, Row, StorageError, sql};

use super::load::{conversation_id, parse};
use super::write::{LogEvent, NewEntry};
use crate::events::Events;
use crate::shard::Shard;

/// Which entries a follower may and wants to see; empty texts mean all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Whose.
    pub(crate) tenant: String,
    /// Which conversation.
    pub(crate) conversation: String,
    /// Which engagement.
    pub(crate) engagement: String,
    /// Which share of the log.
    pub(crate) shard: Shard,
    /// Which events.
    pub(crate) events: Events,
}

impl Filter {
    /// Whether an entry passes.
    pub(crate) fn passes(&self, entry: &lib_proto::conversations::LogEntry) -> bool {
        let same = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        self.events.take(entry.event.as_ref())
            && same(&self.tenant, &entry.tenant_id)
            && same(&self.conversation, &entry.conversation_id)
            && same(&self.engagement, &entry.engagement_id)
            && self
                .shard
                .takes(&entry.tenant_id, &entry.number_id, &entry.waba_id)
    }
}

/// What [`entry`] reads. Every column is named: PostgreSQL refuses a prepared `SELECT *` once a newer
/// version has added a column, and the replicas of this version would fail until they are replaced.
const ENTRY: &str = "position, tenant, conversation_id, engagement_id, seq, recorded_at, \
     number_id, waba_id, traceparent, event";

/// At most `most` entries after `position`, in order; of any shard and event.
pub(crate) async fn after(
    database: &Database,
    position: i64,
    filter: &Filter,
    most: usize,
) -> Result<Vec<(i64, NewEntry)>, StorageError> {
    let one = match database.engine() {
        // Otherwise it walks the whole log.
        Engine::Sqlite => "INDEXED BY event_by_conversation ",
        Engine::Postgres => "",
    };
    let text = if filter.conversation.is_empty() {
        format!(
            "SELECT {ENTRY} FROM event WHERE position > $1 AND ($2 = '' OR tenant = $2) \
             AND ($3 = '' OR conversation_id = $3) AND ($4 = '' OR engagement_id = $4) \
             ORDER BY position LIMIT $5"
        )
    } else {
        format!(
            "SELECT {ENTRY} FROM event {one}WHERE position > $1 AND ($2 = '' OR tenant = $2) \
             AND conversation_id = $3 AND conversation_id <> '' \
             AND ($4 = '' OR engagement_id = $4) ORDER BY seq LIMIT $5"
        )
    };
    let rows = sql(text)
        .bind(position)
        .bind(&filter.tenant)
        .bind(&filter.conversation)
        .bind(&filter.engagement)
        .bind(most as i64)
        .fetch_all(database)
        .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<(i64, NewEntry), StorageError> {
    let position: i64 = row.get("position")?;
    let conversation: String = row.get("conversation_id")?;
    let (id, event) = (position.to_string(), row.text("event")?);
    let event = if conversation.is_empty() {
        LogEvent::Account(parse("event", &id, event)?)
    } else {
        LogEvent::Conversation(parse("event", &id, event)?)
    };
    let sequence: i64 = row.get("seq")?;
    let entry = NewEntry {
        tenant: row.get("tenant")?,
        conversation,
        engagement: row.get("engagement_id")?,
        sequence: sequence as u64,
        recorded_at: Timestamp::from_micros(row.get("recorded_at")?),
        number_id: row.get("number_id")?,
        waba_id: row.get("waba_id")?,
        traceparent: row.get("traceparent")?,
        event,
    };
    Ok((position, entry))
}

/// The position of the last entry; 0 before the first.
pub(crate) async fn head(database: &Database) -> Result<i64, StorageError> {
    let row = sql("SELECT position FROM log_head").fetch_one(database);
    row.await?.get(0)
}

/// Every timer of a part.
pub(crate) async fn timers(
    database: &Database,
    part: u16,
) -> Result<Vec<(ConversationId, Timestamp)>, StorageError> {
    let query = sql("SELECT conversation_id, due FROM timer WHERE part = $1");
    let rows = query.bind(part).fetch_all(database).await?;
    rows.iter()
        .map(|row| {
            let id = conversation_id("timer", row.text(0)?)?;
            Ok((id, Timestamp::from_micros(row.get(1)?)))
        })
        .collect()
}
