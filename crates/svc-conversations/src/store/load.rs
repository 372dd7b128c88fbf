//! What the committer reads before it decides: one query per kind of thing and batch. Lists of
//! keys travel as one JSON text, so that the statements stay the same and stay prepared.

use std::collections::{HashMap, HashSet};

use core_conversation::{Conversation, Engagement, Message};
use core_types::{ConversationId, EngagementId, MessageId, StatusUpdate, WhatsAppMessageId};
use lib_storage::{SqliteFile, StorageError};
use serde::Serialize;
use sqlx::Row as _;

/// A message with where it belongs.
#[derive(Clone, Debug)]
pub(crate) struct StoredMessage {
    /// Its conversation.
    pub(crate) conversation: ConversationId,
    /// The message.
    pub(crate) message: Message,
    /// The trace it came with.
    pub(crate) traceparent: String,
}

/// A status that came before its message was known.
#[derive(Clone, Debug)]
pub(crate) struct Orphan {
    /// Whose number.
    pub(crate) number_id: String,
    /// Which message.
    pub(crate) wamid: String,
    /// Its dedupe key.
    pub(crate) key: String,
    /// The trace it came with.
    pub(crate) traceparent: String,
    /// What it says.
    pub(crate) status: StatusUpdate,
}

fn json<T: Serialize>(what: &T) -> Result<String, StorageError> {
    serde_json::to_string(what).map_err(|error| StorageError::corrupt("keys", "list", error))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    table: &'static str,
    id: &str,
    text: &str,
) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|error| StorageError::corrupt(table, id, error))
}

pub(crate) fn conversation_id(
    table: &'static str,
    id: String,
) -> Result<ConversationId, StorageError> {
    ConversationId::new(&id).map_err(|error| StorageError::corrupt(table, id, error))
}

/// Which of `keys` were taken in before.
pub(crate) async fn known_keys(
    database: &SqliteFile,
    keys: &[String],
) -> Result<HashSet<String>, StorageError> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "SELECT d.key FROM json_each($1) j CROSS JOIN dedupe d ON d.key = j.value";
    let found = sqlx::query_scalar::<_, String>(sql)
        .bind(json(&keys)?)
        .fetch_all(database.readers())
        .await?;
    Ok(found.into_iter().collect())
}

/// A conversation found by a contact key.
pub(crate) struct Found {
    /// Tenant, number and key.
    pub(crate) key: (String, String, String),
    /// The conversation.
    pub(crate) conversation: ConversationId,
    /// The user id of its customer; empty when it is not known.
    pub(crate) user: String,
}

/// Conversations by (tenant, number, contact key).
pub(crate) async fn by_contact(
    database: &SqliteFile,
    keys: &[(String, String, String)],
) -> Result<Vec<Found>, StorageError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT k.tenant, k.number_id, k.key, k.conversation_id, c.user_id \
               FROM json_each($1) j \
               CROSS JOIN contact_key k ON k.tenant = json_extract(j.value, '$[0]') \
               AND k.number_id = json_extract(j.value, '$[1]') \
               AND k.key = json_extract(j.value, '$[2]') \
               CROSS JOIN conversation c ON c.id = k.conversation_id";
    let rows = sqlx::query(sql)
        .bind(json(&keys)?)
        .fetch_all(database.readers())
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Found {
                key: (row.get(0), row.get(1), row.get(2)),
                conversation: conversation_id("contact_key", row.get(3))?,
                user: row.get(4),
            })
        })
        .collect()
}

/// Conversations by id; missing ones are missing.
pub(crate) async fn conversations(
    database: &SqliteFile,
    ids: &[&ConversationId],
) -> Result<Vec<Conversation>, StorageError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT c.id, c.state FROM json_each($1) j CROSS JOIN conversation c \
               ON c.id = j.value";
    let rows = sqlx::query(sql)
        .bind(json(&ids)?)
        .fetch_all(database.readers())
        .await?;
    rows.into_iter()
        .map(|row| parse("conversation", row.get(0), row.get(1)))
        .collect()
}

/// Engagements by id; missing ones are missing.
pub(crate) async fn engagements(
    database: &SqliteFile,
    ids: &[EngagementId],
) -> Result<Vec<Engagement>, StorageError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT e.id, e.record FROM json_each($1) j CROSS JOIN engagement e \
               ON e.id = j.value";
    let rows = sqlx::query(sql)
        .bind(json(&ids)?)
        .fetch_all(database.readers())
        .await?;
    rows.into_iter()
        .map(|row| parse("engagement", row.get(0), row.get(1)))
        .collect()
}

/// Messages by our id.
pub(crate) async fn messages(
    database: &SqliteFile,
    ids: &[MessageId],
) -> Result<Vec<StoredMessage>, StorageError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT m.id, m.conversation_id, m.record, m.traceparent FROM json_each($1) j \
               CROSS JOIN message m ON m.id = j.value";
    let rows = sqlx::query(sql)
        .bind(json(&ids)?)
        .fetch_all(database.readers())
        .await?;
    rows.into_iter().map(stored_message).collect()
}

/// Messages by (number, Meta's id).
pub(crate) async fn messages_by_wamid(
    database: &SqliteFile,
    keys: &[(String, WhatsAppMessageId)],
) -> Result<HashMap<(String, WhatsAppMessageId), StoredMessage>, StorageError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT m.id, m.conversation_id, m.record, m.traceparent, m.number_id \
               FROM json_each($1) j CROSS JOIN message m \
               ON m.number_id = json_extract(j.value, '$[0]') \
               AND m.wamid = json_extract(j.value, '$[1]')";
    let rows = sqlx::query(sql)
        .bind(json(&keys)?)
        .fetch_all(database.readers())
        .await?;
    let mut found = HashMap::new();
    for row in rows {
        let number: String = row.get(4);
        let stored = stored_message(row)?;
        if let Some(wamid) = stored.message.wamid.clone() {
            found.insert((number, wamid), stored);
        }
    }
    Ok(found)
}

/// A message from its id, conversation, record and trace, in this order.
pub(crate) fn stored_message(row: sqlx::sqlite::SqliteRow) -> Result<StoredMessage, StorageError> {
    Ok(StoredMessage {
        conversation: conversation_id("message", row.get(1))?,
        message: parse("message", row.get(0), row.get(2))?,
        traceparent: row.get(3),
    })
}

/// Statuses that waited for these messages, in the order they came.
pub(crate) async fn orphans(
    database: &SqliteFile,
    keys: &[(String, WhatsAppMessageId)],
) -> Result<Vec<Orphan>, StorageError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT o.number_id, o.wamid, o.key, o.traceparent, o.status FROM json_each($1) j \
               CROSS JOIN orphan_status o ON o.number_id = json_extract(j.value, '$[0]') \
               AND o.wamid = json_extract(j.value, '$[1]') ORDER BY o.at, o.rowid";
    let rows = sqlx::query(sql)
        .bind(json(&keys)?)
        .fetch_all(database.readers())
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Orphan {
                number_id: row.get(0),
                wamid: row.get(1),
                key: row.get(2),
                traceparent: row.get(3),
                status: parse("orphan_status", row.get(1), row.get(4))?,
            })
        })
        .collect()
}

/// The messages earlier requests with these (tenant, key) made.
pub(crate) async fn idempotent(
    database: &SqliteFile,
    keys: &[(String, String)],
) -> Result<HashMap<(String, String), MessageId>, StorageError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT i.tenant, i.key, i.message_id FROM json_each($1) j CROSS JOIN idempotency i \
               ON i.tenant = json_extract(j.value, '$[0]') \
               AND i.key = json_extract(j.value, '$[1]')";
    let rows = sqlx::query(sql)
        .bind(json(&keys)?)
        .fetch_all(database.readers())
        .await?;
    rows.into_iter()
        .map(|row| {
            let id: String = row.get(2);
            let id = MessageId::new(&id)
                .map_err(|error| StorageError::corrupt("idempotency", id, error))?;
            Ok(((row.get(0), row.get(1)), id))
        })
        .collect()
}
