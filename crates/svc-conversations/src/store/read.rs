//! Look-ups and lists for people and programs. Every one takes the tenant wall: an empty tenant
//! means a service of this installation, which sees all.

use core_conversation::{Conversation, Engagement, Stage};
use lib_storage::{Database, Row, StorageError, list, sql};

use super::load::{self, StoredMessage, parse, sequence, stored_message};
use super::search::folded;

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
    database: &Database,
    tenant: &str,
    id: &str,
) -> Result<Option<Conversation>, StorageError> {
    let text = concat!(
        "SELECT c.state, ",
        sequence!(),
        " FROM conversation c WHERE c.id = $1 AND ($2 = '' OR c.tenant = $2)"
    );
    let row = sql(text).bind(id).bind(tenant);
    let row = row.fetch_optional(database).await?;
    row.map(|row| load::conversation(id, &row, 0)).transpose()
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

/// A pattern for names that hold `text`.
fn part_of_name(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for letter in folded(text).chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// Conversations, newest activity first.
pub(crate) async fn conversations(
    database: &Database,
    query: &ConversationQuery,
) -> Result<Vec<Conversation>, StorageError> {
    let text = concat!(
        "SELECT c.id, c.state, ",
        sequence!(),
        " FROM conversation c WHERE ($1 = '' OR tenant = $1) \
               AND ($2 = '' OR number_id = $2) \
               AND ($3 = '' OR user_id = $3 OR (phone <> '' AND phone LIKE $4) \
               OR lower(username) = lower($3) OR folded_name LIKE $5 ESCAPE '\\') \
               AND (last_activity < $6 OR (last_activity = $6 AND id < $7)) \
               ORDER BY last_activity DESC, id DESC LIMIT $8"
    );
    let (at, id) = query.after.clone().unwrap_or((i64::MAX, String::new()));
    let digits: String = query.contact.chars().filter(char::is_ascii_digit).collect();
    // A name without digits must not match every phone number.
    let digits = if digits.len() < 3 {
        "-".to_owned()
    } else {
        format!("%{digits}%")
    };
    let rows = sql(text)
        .bind(&query.tenant)
        .bind(&query.number_id)
        .bind(&query.contact)
        .bind(digits)
        .bind(part_of_name(&query.contact))
        .bind(at)
        .bind(id)
        .bind(query.most)
        .fetch_all(database)
        .await?;
    rows.iter()
        .map(|row| load::conversation(row.text(0)?, row, 1))
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
    database: &Database,
    tenant: &str,
    id: &str,
) -> Result<Option<StoredEngagement>, StorageError> {
    let text = concat!(
        "SELECT g.id, g.record, c.id, c.state, ",
        sequence!(),
        " FROM engagement g JOIN conversation c ON c.id = g.conversation_id \
         WHERE g.id = $1 AND ($2 = '' OR g.tenant = $2)"
    );
    let row = sql(text).bind(id).bind(tenant);
    let row = row.fetch_optional(database).await?;
    row.as_ref().map(stored_engagement).transpose()
}

fn stored_engagement(row: &Row) -> Result<StoredEngagement, StorageError> {
    Ok(StoredEngagement {
        engagement: parse("engagement", row.text(0)?, row.text(1)?)?,
        conversation: load::conversation(row.text(2)?, row, 3)?,
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
    database: &Database,
    query: &EngagementQuery,
) -> Result<Vec<StoredEngagement>, StorageError> {
    let text = concat!(
        "SELECT g.id, g.record, c.id, c.state, ",
        sequence!(),
        " FROM engagement g JOIN conversation c ON c.id = g.conversation_id \
         WHERE ($1 = '' OR g.tenant = $1) AND ($2 = '' OR g.conversation_id = $2) \
         AND ($3 = '[]' OR g.stage IN (SELECT c0 FROM each($3) j)) \
         AND ($4 = '' OR g.agent = $4) AND ($5 = '' OR g.queue = $5) \
         AND (g.opened_at < $6 OR (g.opened_at = $6 AND g.id < $7)) \
         ORDER BY g.opened_at DESC, g.id DESC LIMIT $8"
    );
    let (at, id) = query.after.clone().unwrap_or((i64::MAX, String::new()));
    let rows = sql(text)
        .bind(&query.tenant)
        .bind(&query.conversation)
        .bind(list(&query.stages))
        .bind(&query.agent)
        .bind(&query.queue)
        .bind(at)
        .bind(id)
        .bind(query.most)
        .fetch_all(database)
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
    database: &Database,
    query: &MessageQuery,
) -> Result<Vec<(i64, StoredMessage)>, StorageError> {
    let (text, start) = if query.newest_first {
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
    let rows = sql(text)
        .bind(&query.conversation)
        .bind(&query.engagement)
        .bind(query.after.unwrap_or(start))
        .bind(query.most)
        .fetch_all(database)
        .await?;
    rows.iter()
        .map(|row| Ok((row.get(4)?, stored_message(row, 0)?)))
        .collect()
}

/// One message.
pub(crate) async fn message(
    database: &Database,
    tenant: &str,
    id: &str,
) -> Result<Option<StoredMessage>, StorageError> {
    let text = "SELECT id, conversation_id, record, traceparent FROM message \
               WHERE id = $1 AND ($2 = '' OR tenant = $2)";
    let row = sql(text).bind(id).bind(tenant);
    let row = row.fetch_optional(database).await?;
    row.map(|row| stored_message(&row, 0)).transpose()
}
