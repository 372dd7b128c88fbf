//! Reading the log, the outbox and the timers.

use core_types::{ConversationId, MessageId, Timestamp};
use lib_storage::{SqliteFile, StorageError};
use sqlx::Row as _;

use super::load::{self, conversation_id, parse};
use super::write::{LogEvent, NewEntry};

/// Which entries a follower may and wants to see; empty texts mean all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Whose.
    pub(crate) tenant: String,
    /// Which conversation.
    pub(crate) conversation: String,
    /// Which engagement.
    pub(crate) engagement: String,
}

impl Filter {
    /// Whether an entry passes.
    pub(crate) fn passes(&self, tenant: &str, conversation: &str, engagement: &str) -> bool {
        let same = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        same(&self.tenant, tenant)
            && same(&self.conversation, conversation)
            && same(&self.engagement, engagement)
    }
}

/// At most `most` entries after `position`, in order.
pub(crate) async fn after(
    database: &SqliteFile,
    position: i64,
    filter: &Filter,
    most: usize,
) -> Result<Vec<(i64, NewEntry)>, StorageError> {
    let sql = if filter.conversation.is_empty() {
        "SELECT * FROM event WHERE position > $1 AND ($2 = '' OR tenant = $2) \
         AND ($3 = '' OR conversation_id = $3) AND ($4 = '' OR engagement_id = $4) \
         ORDER BY position LIMIT $5"
    } else {
        "SELECT * FROM event INDEXED BY event_by_conversation WHERE position > $1 \
         AND ($2 = '' OR tenant = $2) AND conversation_id = $3 AND conversation_id <> '' \
         AND ($4 = '' OR engagement_id = $4) ORDER BY seq LIMIT $5"
    };
    let rows = sqlx::query(sql)
        .bind(position)
        .bind(&filter.tenant)
        .bind(&filter.conversation)
        .bind(&filter.engagement)
        .bind(most as i64)
        .fetch_all(database.readers())
        .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &sqlx::sqlite::SqliteRow) -> Result<(i64, NewEntry), StorageError> {
    let position: i64 = row.get("position");
    let conversation: String = row.get("conversation_id");
    let (id, event): (String, &str) = (position.to_string(), row.get("event"));
    let event = if conversation.is_empty() {
        LogEvent::Account(parse("event", &id, event)?)
    } else {
        LogEvent::Conversation(parse("event", &id, event)?)
    };
    let sequence: i64 = row.get("seq");
    let entry = NewEntry {
        tenant: row.get("tenant"),
        conversation,
        engagement: row.get("engagement_id"),
        sequence: sequence as u64,
        recorded_at: Timestamp::from_micros(row.get("recorded_at")),
        number_id: row.get("number_id"),
        waba_id: row.get("waba_id"),
        traceparent: row.get("traceparent"),
        event,
    };
    Ok((position, entry))
}

/// The position of the last entry; 0 before the first.
pub(crate) async fn head(database: &SqliteFile) -> Result<i64, StorageError> {
    let sql = "SELECT COALESCE(MAX(position), 0) FROM event";
    Ok(sqlx::query_scalar(sql)
        .fetch_one(database.readers())
        .await?)
}

/// Every timer.
pub(crate) async fn timers(
    database: &SqliteFile,
) -> Result<Vec<(ConversationId, Timestamp)>, StorageError> {
    due_rows(database, "SELECT conversation_id, due FROM timer").await
}

/// Every conversation with a message that may go, and from when on.
pub(crate) async fn outbox_times(
    database: &SqliteFile,
) -> Result<Vec<(ConversationId, Timestamp)>, StorageError> {
    due_rows(database, "SELECT conversation_id, ready_at FROM outbox").await
}

async fn due_rows(
    database: &SqliteFile,
    sql: &'static str,
) -> Result<Vec<(ConversationId, Timestamp)>, StorageError> {
    let rows = sqlx::query(sql).fetch_all(database.readers()).await?;
    rows.iter()
        .map(|row| {
            let id = conversation_id("timer", row.get(0))?;
            Ok((id, Timestamp::from_micros(row.get(1))))
        })
        .collect()
}

/// A message that may be sent.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// The message.
    pub(crate) stored: load::StoredMessage,
    /// The attempt this would be.
    pub(crate) attempt: u32,
}

/// At most `most` messages that may be sent at `now`, of conversations after `after`.
pub(crate) async fn ready(
    database: &SqliteFile,
    after: &str,
    now: Timestamp,
    most: usize,
) -> Result<Vec<Ready>, StorageError> {
    let sql = "SELECT message_id, attempt FROM outbox WHERE conversation_id > $1 \
               AND ready_at <= $2 ORDER BY conversation_id LIMIT $3";
    let rows = sqlx::query(sql)
        .bind(after)
        .bind(now.as_micros())
        .bind(most as i64)
        .fetch_all(database.readers())
        .await?;
    with_messages(database, rows).await
}

/// What may be sent of these conversations at `now`.
pub(crate) async fn ready_of(
    database: &SqliteFile,
    conversations: &[ConversationId],
    now: Timestamp,
) -> Result<Vec<Ready>, StorageError> {
    let list = serde_json::to_string(conversations)
        .map_err(|error| StorageError::corrupt("outbox", "list", error))?;
    let sql = "SELECT o.message_id, o.attempt FROM json_each($1) j CROSS JOIN outbox o \
               ON o.conversation_id = j.value WHERE o.ready_at <= $2";
    let rows = sqlx::query(sql)
        .bind(list)
        .bind(now.as_micros())
        .fetch_all(database.readers())
        .await?;
    with_messages(database, rows).await
}

async fn with_messages(
    database: &SqliteFile,
    rows: Vec<sqlx::sqlite::SqliteRow>,
) -> Result<Vec<Ready>, StorageError> {
    let mut attempts = std::collections::BTreeMap::new();
    for row in rows {
        let (id, attempt): (String, i64) = (row.get(0), row.get(1));
        let id = MessageId::new(&id).map_err(|error| StorageError::corrupt("outbox", id, error))?;
        attempts.insert(id, u32::try_from(attempt).unwrap_or(u32::MAX));
    }
    let ids: Vec<MessageId> = attempts.keys().cloned().collect();
    let mut found = load::messages(database, &ids).await?;
    found.sort_by(|a, b| a.conversation.cmp(&b.conversation));
    Ok(found
        .into_iter()
        .filter_map(|stored| {
            let attempt = *attempts.get(&stored.message.id)?;
            Some(Ready { stored, attempt })
        })
        .collect())
}
