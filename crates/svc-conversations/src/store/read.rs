//! Look-ups and lists for people and programs. Every one takes the tenant wall: an empty tenant
//! means a service of this installation, which sees all.

use core_conversation::{Conversation, Engagement, Stage};
use core_types::ConversationId;
use lib_storage::{SqliteFile, StorageError};
use sqlx::Row as _;

use super::load::{StoredMessage, conversation_id, parse, stored_message};

/// The word of a stage in tables.
pub(crate) fn stage_word(stage: &Stage) -> &'static str {
    match stage {
        Stage::InFlow => "in_flow",
        Stage::Queued => "queued",
        Stage::Offered { .. } => "offered",
        Stage::Assigned { .. } => "assigned",
        Stage::WrapUp { .. } => "wrap_up",
        Stage::Closed { .. } => "closed",
    }
}

/// One conversation.
pub(crate) async fn conversation(
    database: &SqliteFile,
    tenant: &str,
    id: &str,
) -> Result<Option<Conversation>, StorageError> {
    let sql = "SELECT state FROM conversation WHERE id = $1 AND ($2 = '' OR tenant = $2)";
    let state: Option<String> = sqlx::query_scalar(sql)
        .bind(id)
        .bind(tenant)
        .fetch_optional(database.readers())
        .await?;
    state
        .map(|state| parse("conversation", id, &state))
        .transpose()
}

/// What conversations are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConversationQuery {
    /// Whose.
    pub(crate) tenant: String,
    /// Part of an identity, or empty.
    pub(crate) contact: String,
    /// The number, or empty.
    pub(crate) number_id: String,
    /// After this (last activity, id); newest first.
    pub(crate) after: Option<(i64, String)>,
    /// At most this many.
    pub(crate) most: i64,
}

/// Conversations, newest activity first.
pub(crate) async fn conversations(
    database: &SqliteFile,
    query: &ConversationQuery,
) -> Result<Vec<Conversation>, StorageError> {
    let sql = "SELECT id, state FROM conversation WHERE ($1 = '' OR tenant = $1) \
               AND ($2 = '' OR number_id = $2) \
               AND ($3 = '' OR user_id = $3 OR (phone <> '' AND instr(phone, $4) > 0) \
               OR username = $3 COLLATE NOCASE OR instr(lower(display_name), lower($3)) > 0) \
               AND (last_activity < $5 OR (last_activity = $5 AND id < $6)) \
               ORDER BY last_activity DESC, id DESC LIMIT $7";
    let (at, id) = query.after.clone().unwrap_or((i64::MAX, String::new()));
    let digits: String = query.contact.chars().filter(char::is_ascii_digit).collect();
    // A name without digits must not match every phone number.
    let digits = if digits.len() < 3 {
        "-".to_owned()
    } else {
        digits
    };
    let rows = sqlx::query(sql)
        .bind(&query.tenant)
        .bind(&query.number_id)
        .bind(&query.contact)
        .bind(digits)
        .bind(at)
        .bind(id)
        .bind(query.most)
        .fetch_all(database.readers())
        .await?;
    rows.iter()
        .map(|row| parse("conversation", row.get(0), row.get(1)))
        .collect()
}

/// An engagement with the conversation it belongs to.
pub(crate) struct StoredEngagement {
    /// The engagement.
    pub(crate) engagement: Engagement,
    /// Its conversation as it is now.
    pub(crate) conversation: Conversation,
}

/// One engagement.
pub(crate) async fn engagement(
    database: &SqliteFile,
    tenant: &str,
    id: &str,
) -> Result<Option<StoredEngagement>, StorageError> {
    let sql = "SELECT e.id, e.record, c.state FROM engagement e \
               JOIN conversation c ON c.id = e.conversation_id \
               WHERE e.id = $1 AND ($2 = '' OR e.tenant = $2)";
    let row = sqlx::query(sql)
        .bind(id)
        .bind(tenant)
        .fetch_optional(database.readers())
        .await?;
    row.as_ref().map(stored_engagement).transpose()
}

fn stored_engagement(row: &sqlx::sqlite::SqliteRow) -> Result<StoredEngagement, StorageError> {
    Ok(StoredEngagement {
        engagement: parse("engagement", row.get(0), row.get(1))?,
        conversation: parse("conversation", row.get(0), row.get(2))?,
    })
}

/// What engagements are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct EngagementQuery {
    /// Whose.
    pub(crate) tenant: String,
    /// The conversation, or empty.
    pub(crate) conversation: String,
    /// Stages as JSON list; empty means all.
    pub(crate) stages: Vec<&'static str>,
    /// The agent, or empty.
    pub(crate) agent: String,
    /// The queue, or empty.
    pub(crate) queue: String,
    /// After this (opened, id); newest first.
    pub(crate) after: Option<(i64, String)>,
    /// At most this many.
    pub(crate) most: i64,
}

/// Engagements, newest first.
pub(crate) async fn engagements(
    database: &SqliteFile,
    query: &EngagementQuery,
) -> Result<Vec<StoredEngagement>, StorageError> {
    let sql = "SELECT e.id, e.record, c.state FROM engagement e \
               JOIN conversation c ON c.id = e.conversation_id \
               WHERE ($1 = '' OR e.tenant = $1) AND ($2 = '' OR e.conversation_id = $2) \
               AND ($3 = '[]' OR e.stage IN (SELECT value FROM json_each($3))) \
               AND ($4 = '' OR e.agent = $4) AND ($5 = '' OR e.queue = $5) \
               AND (e.opened_at < $6 OR (e.opened_at = $6 AND e.id < $7)) \
               ORDER BY e.opened_at DESC, e.id DESC LIMIT $8";
    let stages = serde_json::to_string(&query.stages)
        .map_err(|error| StorageError::corrupt("engagement", "stages", error))?;
    let (at, id) = query.after.clone().unwrap_or((i64::MAX, String::new()));
    let rows = sqlx::query(sql)
        .bind(&query.tenant)
        .bind(&query.conversation)
        .bind(stages)
        .bind(&query.agent)
        .bind(&query.queue)
        .bind(at)
        .bind(id)
        .bind(query.most)
        .fetch_all(database.readers())
        .await?;
    rows.iter().map(stored_engagement).collect()
}

/// What messages are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageQuery {
    /// The conversation; its tenant has been checked.
    pub(crate) conversation: String,
    /// The engagement, or empty.
    pub(crate) engagement: String,
    /// After this place in the conversation, in the order asked for.
    pub(crate) after: Option<i64>,
    /// Newest first.
    pub(crate) newest_first: bool,
    /// At most this many.
    pub(crate) most: i64,
}

/// Messages of one conversation, each with its place.
pub(crate) async fn messages(
    database: &SqliteFile,
    query: &MessageQuery,
) -> Result<Vec<(i64, StoredMessage)>, StorageError> {
    let (sql, start) = if query.newest_first {
        (
            "SELECT id, conversation_id, record, traceparent, seq FROM message \
             WHERE conversation_id = $1 AND ($2 = '' OR engagement_id = $2) AND seq < $3 \
             ORDER BY seq DESC LIMIT $4",
            i64::MAX,
        )
    } else {
        (
            "SELECT id, conversation_id, record, traceparent, seq FROM message \
             WHERE conversation_id = $1 AND ($2 = '' OR engagement_id = $2) AND seq > $3 \
             ORDER BY seq LIMIT $4",
            0,
        )
    };
    let rows = sqlx::query(sql)
        .bind(&query.conversation)
        .bind(&query.engagement)
        .bind(query.after.unwrap_or(start))
        .bind(query.most)
        .fetch_all(database.readers())
        .await?;
    rows.iter().map(numbered_message).collect()
}

/// One message.
pub(crate) async fn message(
    database: &SqliteFile,
    tenant: &str,
    id: &str,
) -> Result<Option<StoredMessage>, StorageError> {
    let sql = "SELECT id, conversation_id, record, traceparent FROM message \
               WHERE id = $1 AND ($2 = '' OR tenant = $2)";
    let row = sqlx::query(sql)
        .bind(id)
        .bind(tenant)
        .fetch_optional(database.readers())
        .await?;
    row.map(stored_message).transpose()
}

fn numbered_message(row: &sqlx::sqlite::SqliteRow) -> Result<(i64, StoredMessage), StorageError> {
    let stored = StoredMessage {
        conversation: message_owner(row)?,
        message: parse("message", row.get(0), row.get(2))?,
        traceparent: row.get(3),
    };
    Ok((row.get(4), stored))
}

fn message_owner(row: &sqlx::sqlite::SqliteRow) -> Result<ConversationId, StorageError> {
    conversation_id("message", row.get(1))
}

/// Messages whose text has all words of `query`, newest first, after `before`; each with its place
/// in the index.
pub(crate) async fn search(
    database: &SqliteFile,
    tenant: &str,
    query: &str,
    before: Option<i64>,
    most: i64,
) -> Result<Vec<(i64, StoredMessage)>, StorageError> {
    let Some(words) = match_expression(query) else {
        return Ok(Vec::new());
    };
    let sql = "SELECT m.id, m.conversation_id, m.record, m.traceparent, t.place FROM \
               (SELECT message_id, MAX(rowid) AS place FROM message_text \
                WHERE message_text MATCH $1 AND ($2 = '' OR tenant = $2) GROUP BY message_id) t \
               JOIN message m ON m.id = t.message_id WHERE t.place < $3 \
               ORDER BY t.place DESC LIMIT $4";
    let rows = sqlx::query(sql)
        .bind(words)
        .bind(tenant)
        .bind(before.unwrap_or(i64::MAX))
        .bind(most)
        .fetch_all(database.readers())
        .await?;
    rows.iter().map(numbered_message).collect()
}

/// Every word as a quoted term, so that nothing a person types is an operator.
fn match_expression(query: &str) -> Option<String> {
    let words: Vec<String> = query
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| format!("text:\"{}\"", word.replace('"', "\"\"")))
        .collect();
    (!words.is_empty()).then(|| words.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::match_expression;

    #[test]
    fn words_are_terms_and_never_operators() {
        assert_eq!(match_expression("  \t-- "), None);
        let expression = match_expression("a\"b OR NEAR(c)").unwrap();
        assert_eq!(
            expression,
            "text:\"a\"\"b\" AND text:\"OR\" AND text:\"NEAR(c)\""
        );
    }
}
