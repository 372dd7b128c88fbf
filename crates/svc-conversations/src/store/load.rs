//! What the committer reads before it decides, in as few statements as can be. Lists of keys travel
//! as one value, so that the statements stay the same and stay prepared.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use core_conversation::{Conversation, Engagement, Message};
use core_types::{ConversationId, EngagementId, MessageId, StatusUpdate, WhatsAppMessageId};
use lib_storage::{Database, Row, StorageError, Value, list, sql};

/// A message with where it belongs.
#[derive(Clone, Debug)]
pub(crate) struct StoredMessage {
    /// Its conversation.
    pub(crate) conversation: ConversationId,
    /// The message.
    pub(crate) message: Arc<Message>,
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
    /// When it was put aside.
    at: i64,
}

/// Tenant, number and key of a contact.
pub(crate) type ContactKey = (String, String, String);

/// A number and Meta's id of a message.
pub(crate) type WamidKey = (String, WhatsAppMessageId);

pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    table: &'static str,
    id: &str,
    text: &str,
) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|error| StorageError::corrupt(table, id, error))
}

pub(crate) fn conversation_id(
    table: &'static str,
    id: &str,
) -> Result<ConversationId, StorageError> {
    ConversationId::new(id).map_err(|error| StorageError::corrupt(table, id, error))
}

/// How many entries the log of conversation `c` has: a column for a query.
macro_rules! sequence {
    () => {
        "(SELECT max(e.seq) FROM event e WHERE e.conversation_id = c.id \
         AND e.conversation_id <> '')"
    };
}
pub(crate) use sequence;

/// A conversation from its record in `column`, followed by the length of its log.
pub(crate) fn conversation(
    id: &str,
    row: &Row,
    column: usize,
) -> Result<Conversation, StorageError> {
    let mut state: Conversation = parse("conversation", id, row.text(column)?)?;
    let length: i64 = row.get(column + 1)?;
    state.sequence = length as u64;
    Ok(state)
}

/// What a batch wants to know.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Keys that may have been taken in before.
    pub(crate) dedupe: Vec<String>,
    /// Tenant, number and key of contacts.
    pub(crate) contacts: Vec<ContactKey>,
    /// Messages by number and Meta's id.
    pub(crate) wamids: Vec<WamidKey>,
    /// Scope and key of requests that must not be repeated.
    pub(crate) requests: Vec<(String, String)>,
    /// Messages by our id.
    pub(crate) messages: Vec<MessageId>,
    /// Messages whose statuses may have come before them.
    pub(crate) orphans: Vec<WamidKey>,
}

/// A conversation found by a contact key.
#[derive(Debug)]
pub(crate) struct Contact {
    /// Tenant, number and key.
    pub(crate) key: ContactKey,
    /// The conversation.
    pub(crate) conversation: ConversationId,
    /// The user id of its customer; empty when it is not known.
    pub(crate) user: String,
}

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Keys that were taken in before.
    pub(crate) taken: HashSet<String>,
    /// Conversations of contacts.
    pub(crate) contacts: Vec<Contact>,
    /// Messages by number and Meta's id.
    pub(crate) by_wamid: HashMap<WamidKey, StoredMessage>,
    /// The messages earlier requests made.
    pub(crate) requests: HashMap<(String, String), MessageId>,
    /// Messages by our id, those of requests among them.
    pub(crate) by_id: HashMap<MessageId, StoredMessage>,
    /// Statuses that waited, in the order they came.
    pub(crate) orphans: Vec<Orphan>,
}

/// The columns of every look-up: its kind, two keys, an id, and what is stored.
const LOOK_UPS: [&str; 6] = [
    "SELECT CAST(1 AS BIGINT), d.key, '', '', '', '', '' \
     FROM each($#) j lookup(dedupe d, d.key = j.c0)",
    "SELECT CAST(2 AS BIGINT), k.tenant, k.number_id, k.key, k.conversation_id, c.user_id, '' \
     FROM each($#, 3) j lookup(contact_key k, k.tenant = j.c0 AND k.number_id = j.c1 \
     AND k.key = j.c2) lookup(conversation c, c.id = k.conversation_id)",
    "SELECT CAST(3 AS BIGINT), m.number_id, '', m.id, m.conversation_id, m.record, m.traceparent \
     FROM each($#, 2) j lookup(message m, m.number_id = j.c0 AND m.wamid = j.c1)",
    "SELECT CAST(4 AS BIGINT), i.tenant, i.key, m.id, m.conversation_id, m.record, m.traceparent \
     FROM each($#, 2) j lookup(idempotency i, i.tenant = j.c0 AND i.key = j.c1) \
     lookup(message m, m.id = i.message_id)",
    "SELECT CAST(5 AS BIGINT), '', '', m.id, m.conversation_id, m.record, m.traceparent \
     FROM each($#) j lookup(message m, m.id = j.c0)",
    "SELECT CAST(6 AS BIGINT), o.number_id, o.wamid, o.key, CAST(o.at AS TEXT), o.status, \
     o.traceparent FROM each($#, 2) j \
     lookup(orphan_status o, o.number_id = j.c0 AND o.wamid = j.c1)",
];

/// Looks everything up that is `wanted`, in one statement.
pub(crate) async fn look_up(database: &Database, wanted: &Wanted) -> Result<Known, StorageError> {
    let lists: [(bool, Value); 6] = [
        (wanted.dedupe.is_empty(), list(&wanted.dedupe)),
        (wanted.contacts.is_empty(), list(&wanted.contacts)),
        (wanted.wamids.is_empty(), list(&wanted.wamids)),
        (wanted.requests.is_empty(), list(&wanted.requests)),
        (wanted.messages.is_empty(), list(&wanted.messages)),
        (wanted.orphans.is_empty(), list(&wanted.orphans)),
    ];
    let (mut text, mut values) = (String::new(), Vec::new());
    for (look_up, (empty, keys)) in LOOK_UPS.iter().zip(lists) {
        if empty {
            continue;
        }
        if !text.is_empty() {
            text.push_str(" UNION ALL ");
        }
        values.push(keys);
        text.push_str(&look_up.replace('#', &values.len().to_string()));
    }
    if values.is_empty() {
        return Ok(Known::default());
    }
    let query = values
        .into_iter()
        .fold(sql(text), lib_storage::query::Query::bind);
    let mut known = Known::default();
    for row in query.fetch_all(database).await? {
        known.take(&row)?;
    }
    known.orphans.sort_by(|a, b| {
        (a.at, a.status.occurred_at, &a.key).cmp(&(b.at, b.status.occurred_at, &b.key))
    });
    Ok(known)
}

impl Known {
    fn take(&mut self, row: &Row) -> Result<(), StorageError> {
        let text = |column: usize| row.get::<String>(column);
        match row.get::<i64>(0)? {
            1 => {
                self.taken.insert(text(1)?);
            }
            2 => self.contacts.push(Contact {
                key: (text(1)?, text(2)?, text(3)?),
                conversation: conversation_id("contact_key", row.text(4)?)?,
                user: text(5)?,
            }),
            3 => {
                let stored = stored_message(row, 3)?;
                if let Some(wamid) = stored.message.wamid.clone() {
                    self.by_wamid.insert((text(1)?, wamid), stored);
                }
            }
            4 => {
                let stored = stored_message(row, 3)?;
                let id = stored.message.id.clone();
                self.requests.insert((text(1)?, text(2)?), id.clone());
                self.by_id.insert(id, stored);
            }
            5 => {
                let stored = stored_message(row, 3)?;
                self.by_id.insert(stored.message.id.clone(), stored);
            }
            _ => self.orphans.push(Orphan {
                number_id: text(1)?,
                wamid: text(2)?,
                key: text(3)?,
                traceparent: text(6)?,
                status: parse("orphan_status", row.text(2)?, row.text(5)?)?,
                at: row.text(4)?.parse().unwrap_or_default(),
            }),
        }
        Ok(())
    }
}

/// A message from its id, conversation, record and trace, in this order from column `first` on.
pub(crate) fn stored_message(row: &Row, first: usize) -> Result<StoredMessage, StorageError> {
    Ok(StoredMessage {
        conversation: conversation_id("message", row.text(first + 1)?)?,
        message: Arc::new(parse("message", row.text(first)?, row.text(first + 2)?)?),
        traceparent: row.get(first + 3)?,
    })
}

/// Conversations by id; missing ones are missing.
pub(crate) async fn conversations(
    database: &Database,
    ids: &[&ConversationId],
) -> Result<Vec<Conversation>, StorageError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query = sql(concat!(
        "SELECT c.id, c.state, ",
        sequence!(),
        " FROM each($1) j lookup(conversation c, c.id = j.c0)"
    ));
    let rows = query.bind(list(ids)).fetch_all(database).await?;
    rows.iter()
        .map(|row| conversation(row.text(0)?, row, 1))
        .collect()
}

/// The numbers of conversations; missing ones are missing.
pub(crate) async fn numbers(
    database: &Database,
    ids: &[&ConversationId],
) -> Result<Vec<(ConversationId, String)>, StorageError> {
    let query = sql("SELECT c.id, c.number_id FROM each($1) j lookup(conversation c, c.id = j.c0)");
    let rows = query.bind(list(ids)).fetch_all(database).await?;
    rows.iter()
        .map(|row| Ok((conversation_id("conversation", row.text(0)?)?, row.get(1)?)))
        .collect()
}

/// Engagements by id; missing ones are missing.
pub(crate) async fn engagements(
    database: &Database,
    ids: &[EngagementId],
) -> Result<Vec<Engagement>, StorageError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query = sql("SELECT e.id, e.record FROM each($1) j lookup(engagement e, e.id = j.c0)");
    let rows = query.bind(list(ids)).fetch_all(database).await?;
    rows.iter()
        .map(|row| parse("engagement", row.text(0)?, row.text(1)?))
        .collect()
}

/// Messages by our id.
pub(crate) async fn messages(
    database: &Database,
    ids: Vec<MessageId>,
) -> Result<Vec<StoredMessage>, StorageError> {
    let wanted = Wanted {
        messages: ids,
        ..Wanted::default()
    };
    let known = look_up(database, &wanted).await?;
    Ok(known.by_id.into_values().collect())
}

/// Statuses that waited for these messages, in the order they came.
pub(crate) async fn orphans(
    database: &Database,
    keys: Vec<WamidKey>,
) -> Result<Vec<Orphan>, StorageError> {
    let wanted = Wanted {
        orphans: keys,
        ..Wanted::default()
    };
    Ok(look_up(database, &wanted).await?.orphans)
}

/// For which of the numbers statuses wait whose message is not known.
pub(crate) async fn numbers_with_orphans(
    database: &Database,
    numbers: &[String],
) -> Result<HashSet<String>, StorageError> {
    let query = sql("SELECT j.c0 FROM each($1) j \
         WHERE EXISTS (SELECT 1 FROM orphan_status o WHERE o.number_id = j.c0)");
    let rows = query.bind(list(numbers)).fetch_all(database).await?;
    rows.iter().map(|row| row.get(0)).collect()
}
