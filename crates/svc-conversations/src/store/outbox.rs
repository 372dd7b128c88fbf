//! Reading the outbox: what may be sent, and from when on.

use core_conversation::{Conversation, Message};
use core_types::{ConversationId, Timestamp};
use lib_proto::conversations as pb;
use lib_storage::query::Query;
use lib_storage::{Database, Row, StorageError, list, sql};

use super::load::{conversation_id, parse};

/// A message that may be sent, from `at` on.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// Its conversation.
    pub(crate) conversation: ConversationId,
    /// When.
    pub(crate) at: Timestamp,
    /// What egress is told.
    pub(crate) intent: pb::OutboxIntent,
}

/// What egress is told of attempt `attempt` to send `message`.
pub(crate) fn intent(
    owner: &Conversation,
    message: &Message,
    attempt: u32,
    traceparent: &str,
) -> pb::OutboxIntent {
    let reply_to = message
        .context
        .as_ref()
        .and_then(|context| context.message_id.as_ref());
    pb::OutboxIntent {
        message_id: message.id.to_string(),
        conversation_id: owner.id.to_string(),
        tenant_id: owner.tenant.to_string(),
        number_id: owner.number_id.to_string(),
        contact: Some((&owner.contact).into()),
        content: Some((&message.content).into()),
        attempt,
        reply_to: reply_to.map(ToString::to_string).unwrap_or_default(),
        traceparent: traceparent.to_owned(),
    }
}

macro_rules! ready {
    ($from:literal, $condition:literal) => {
        concat!(
            "SELECT o.conversation_id, o.ready_at, o.attempt, m.id, m.record, m.traceparent, \
             c.state FROM ",
            $from,
            " JOIN message m ON m.id = o.message_id JOIN conversation c \
             ON c.id = o.conversation_id WHERE ",
            $condition
        )
    };
}

async fn fetch(database: &Database, query: Query) -> Result<Vec<Ready>, StorageError> {
    let rows = query.fetch_all(database).await?;
    rows.iter().map(ready).collect()
}

fn ready(row: &Row) -> Result<Ready, StorageError> {
    let owner: Conversation = parse("conversation", row.text(0)?, row.text(6)?)?;
    let message: Message = parse("message", row.text(3)?, row.text(4)?)?;
    Ok(Ready {
        conversation: conversation_id("outbox", row.text(0)?)?,
        at: Timestamp::from_micros(row.get(1)?),
        intent: intent(&owner, &message, row.get(2)?, row.text(5)?),
    })
}

/// At most `most` messages that may be sent at `now`, of conversations after `after`.
pub(crate) async fn page(
    database: &Database,
    after: &str,
    now: Timestamp,
    most: usize,
) -> Result<Vec<Ready>, StorageError> {
    let query = sql(ready!(
        "outbox o",
        "o.conversation_id > $1 AND o.ready_at <= $2 ORDER BY o.conversation_id LIMIT $3"
    ));
    let query = query.bind(after).bind(now.as_micros()).bind(most as i64);
    fetch(database, query).await
}

/// What may be sent of these conversations, now or later.
pub(crate) async fn of(
    database: &Database,
    conversations: &[ConversationId],
) -> Result<Vec<Ready>, StorageError> {
    let query = sql(ready!(
        "each($1) j lookup(outbox o, o.conversation_id = j.c0)",
        "1 = 1"
    ));
    fetch(database, query.bind(list(conversations))).await
}

/// What may be sent of these parts, now or later.
pub(crate) async fn of_parts(
    database: &Database,
    parts: &[u16],
) -> Result<Vec<Ready>, StorageError> {
    let query = sql(ready!(
        "outbox o",
        "o.part IN (SELECT CAST(c0 AS BIGINT) FROM each($1) j)"
    ));
    fetch(database, query.bind(list(parts))).await
}

/// What entries after `position` up to `until` have left to be sent, now or later.
pub(crate) async fn changed(
    database: &Database,
    position: i64,
    until: i64,
) -> Result<Vec<Ready>, StorageError> {
    let query = sql(ready!("outbox o", "o.position > $1 AND o.position <= $2"));
    fetch(database, query.bind(position).bind(until)).await
}

/// Every conversation whose next message may go after `now` only, and when.
pub(crate) async fn later(
    database: &Database,
    now: Timestamp,
) -> Result<Vec<(ConversationId, Timestamp)>, StorageError> {
    let query = sql("SELECT conversation_id, ready_at FROM outbox WHERE ready_at > $1");
    let rows = query.bind(now.as_micros()).fetch_all(database).await?;
    rows.iter()
        .map(|row| {
            let id = conversation_id("outbox", row.text(0)?)?;
            Ok((id, Timestamp::from_micros(row.get(1)?)))
        })
        .collect()
}
