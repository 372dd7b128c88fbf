//! One commit: the log and everything derived from it, in one transaction.

use std::collections::HashMap;

use core_conversation::{Conversation, Engagement, Message};
use core_types::{
    AccountFact, ContactKey, ConversationId, EngagementId, StatusUpdate, Timestamp,
    WhatsAppMessageId,
};
use lib_storage::{SqliteFile, StorageError};
use serde::Serialize;
use sqlx::{QueryBuilder, Sqlite, Transaction};

/// How long duplicates, orphaned statuses and idempotency keys are remembered
/// (`reliability.md`, section 0, finding 6).
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(8 * 24 * 3_600);
/// Most rows per statement, a power of two: well under SQLite's 32,766 parameters.
const ROWS: usize = 256;

/// What happened, as a log entry before it has a position.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    /// Whose.
    pub(crate) tenant: String,
    /// Empty for account-level entries.
    pub(crate) conversation: String,
    /// Empty outside engagements.
    pub(crate) engagement: String,
    /// Position in the conversation, from 1; 0 for account-level entries.
    pub(crate) sequence: u64,
    /// When.
    pub(crate) recorded_at: Timestamp,
    /// The number.
    pub(crate) number_id: String,
    /// The account, for account-level entries.
    pub(crate) waba_id: String,
    /// The trace.
    pub(crate) traceparent: String,
    /// What.
    pub(crate) event: LogEvent,
}

/// The content of a log entry.
#[derive(Clone, Debug)]
pub(crate) enum LogEvent {
    /// Something in a conversation.
    Conversation(core_conversation::Event),
    /// Something about an account.
    Account(AccountFact),
}

/// A message to write, new or changed.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    /// Its conversation.
    pub(crate) conversation: ConversationId,
    /// The message.
    pub(crate) message: Message,
    /// The trace it came with.
    pub(crate) traceparent: String,
    /// Whether its text has to be indexed.
    pub(crate) index: bool,
}

/// Everything one commit writes.
#[derive(Default)]
pub(crate) struct Commit {
    /// Log entries, in order.
    pub(crate) entries: Vec<NewEntry>,
    /// Conversations after them.
    pub(crate) conversations: Vec<Conversation>,
    /// Messages after them.
    pub(crate) messages: Vec<MessageRow>,
    /// Engagements after them.
    pub(crate) engagements: Vec<(ConversationId, Engagement)>,
    /// Keys taken in: scope and key.
    pub(crate) dedupe: Vec<String>,
    /// Statuses whose message is not known.
    pub(crate) orphans: Vec<NewOrphan>,
    /// Orphans that found their message: number, message, key.
    pub(crate) adopted: Vec<(String, String, String)>,
    /// Tenant, key and message of requests that must not be repeated.
    pub(crate) idempotency: Vec<(String, String, String)>,
    /// Keys that no longer name a conversation's customer.
    pub(crate) dropped_keys: Vec<(ConversationId, ContactKey)>,
    /// Keys by which conversations can be found from now on.
    pub(crate) new_keys: Vec<(ConversationId, ContactKey)>,
}

/// A status whose message is not known.
#[derive(Clone, Debug)]
pub(crate) struct NewOrphan {
    /// The number.
    pub(crate) number_id: String,
    /// Its dedupe key.
    pub(crate) key: String,
    /// The trace it came with.
    pub(crate) traceparent: String,
    /// What it says.
    pub(crate) status: StatusUpdate,
}

impl Commit {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.dedupe.is_empty() && self.orphans.is_empty()
    }
}

/// Cuts rows into blocks whose sizes are powers of two, so that there are few different statements
/// and each is prepared once.
fn blocks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = 1 << rest.len().checked_ilog2()?;
        let (block, after) = rest.split_at(ROWS.min(size));
        rest = after;
        Some(block)
    })
}

type Tx = Transaction<'static, Sqlite>;
type Owners<'a> = HashMap<&'a ConversationId, &'a Conversation>;

fn text<T: Serialize>(table: &'static str, what: &T) -> Result<String, StorageError> {
    serde_json::to_string(what).map_err(|error| StorageError::corrupt(table, "new", error))
}

fn micros(at: Timestamp) -> i64 {
    at.as_micros()
}

/// Writes everything or nothing. Returns the position of the last entry, when there is one.
pub(crate) async fn commit(
    database: &SqliteFile,
    commit: &Commit,
    now: Timestamp,
) -> Result<Option<i64>, StorageError> {
    let mut tx = database.begin().await?;
    let head = entries(&mut tx, &commit.entries).await?;
    conversations(&mut tx, &commit.conversations).await?;
    let owners = commit.conversations.iter().map(|owner| (&owner.id, owner));
    let owners: Owners<'_> = owners.collect();
    contact_keys(&mut tx, commit, &owners).await?;
    messages(&mut tx, &commit.messages, &owners).await?;
    engagements(&mut tx, &commit.engagements, &owners).await?;
    schedule(&mut tx, &commit.conversations).await?;
    bookkeeping(&mut tx, commit, now).await?;
    tx.commit().await?;
    Ok(head)
}

async fn entries(tx: &mut Tx, entries: &[NewEntry]) -> Result<Option<i64>, StorageError> {
    let mut head = None;
    for chunk in blocks(entries) {
        let mut rows = Vec::with_capacity(chunk.len());
        for entry in chunk {
            let event = match &entry.event {
                LogEvent::Conversation(event) => text("event", event)?,
                LogEvent::Account(fact) => text("event", fact)?,
            };
            rows.push((entry, event));
        }
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO event (tenant, conversation_id, engagement_id, seq, recorded_at, \
             number_id, waba_id, traceparent, event) ",
        );
        sql.push_values(rows, |mut row, (entry, event)| {
            row.push_bind(&entry.tenant)
                .push_bind(&entry.conversation)
                .push_bind(&entry.engagement)
                .push_bind(entry.sequence as i64)
                .push_bind(micros(entry.recorded_at))
                .push_bind(&entry.number_id)
                .push_bind(&entry.waba_id)
                .push_bind(&entry.traceparent)
                .push_bind(event);
        });
        let done = sql.build().execute(&mut **tx).await?;
        head = Some(done.last_insert_rowid());
    }
    Ok(head)
}

async fn conversations(tx: &mut Tx, all: &[Conversation]) -> Result<(), StorageError> {
    for chunk in blocks(all) {
        let mut rows = Vec::with_capacity(chunk.len());
        for conversation in chunk {
            rows.push((conversation, text("conversation", conversation)?));
        }
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO conversation (id, tenant, number_id, user_id, phone, username, \
             display_name, last_activity, state) ",
        );
        sql.push_values(rows, |mut row, (conversation, state)| {
            let contact = &conversation.contact;
            row.push_bind(conversation.id.as_str())
                .push_bind(conversation.tenant.as_str())
                .push_bind(conversation.number_id.as_str())
                .push_bind(contact.user_id.as_deref().unwrap_or_default())
                .push_bind(contact.phone.as_deref().unwrap_or_default())
                .push_bind(contact.username.as_deref().unwrap_or_default())
                .push_bind(contact.display_name.as_deref().unwrap_or_default())
                .push_bind(micros(conversation.last_activity_at))
                .push_bind(state);
        });
        sql.push(
            " ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, phone = excluded.phone, \
             username = excluded.username, display_name = excluded.display_name, \
             last_activity = excluded.last_activity, state = excluded.state",
        );
        sql.build().execute(&mut **tx).await?;
    }
    Ok(())
}

async fn contact_keys(
    tx: &mut Tx,
    commit: &Commit,
    owners: &Owners<'_>,
) -> Result<(), StorageError> {
    let dropped = commit.dropped_keys.iter();
    let dropped = dropped.filter_map(|(id, key)| Some((*owners.get(id)?, key)));
    for (conversation, key) in dropped {
        let sql = "DELETE FROM contact_key WHERE tenant = $1 AND number_id = $2 AND key = $3 \
                   AND conversation_id = $4";
        sqlx::query(sql)
            .bind(conversation.tenant.as_str())
            .bind(conversation.number_id.as_str())
            .bind(key.to_text())
            .bind(conversation.id.as_str())
            .execute(&mut **tx)
            .await?;
    }
    let new = commit.new_keys.iter();
    let new = new.filter_map(|(id, key)| Some((*owners.get(id)?, key.to_text())));
    let new: Vec<_> = new.collect();
    for chunk in blocks(&new) {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO contact_key (tenant, number_id, key, conversation_id) ",
        );
        sql.push_values(chunk, |mut row, (conversation, key)| {
            row.push_bind(conversation.tenant.as_str())
                .push_bind(conversation.number_id.as_str())
                .push_bind(key)
                .push_bind(conversation.id.as_str());
        });
        sql.push(
            " ON CONFLICT (tenant, number_id, key) \
             DO UPDATE SET conversation_id = excluded.conversation_id",
        );
        sql.build().execute(&mut **tx).await?;
    }
    Ok(())
}

async fn messages(
    tx: &mut Tx,
    messages: &[MessageRow],
    owners: &Owners<'_>,
) -> Result<(), StorageError> {
    let mut rows = Vec::with_capacity(messages.len());
    for row in messages {
        let of = *owners.get(&row.conversation).ok_or_else(|| {
            StorageError::corrupt("message", row.message.id.as_str(), "it has no conversation")
        })?;
        rows.push((row, of, text("message", &row.message)?));
    }
    for chunk in blocks(&rows) {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO message (id, conversation_id, engagement_id, tenant, number_id, seq, \
             wamid, traceparent, record) ",
        );
        sql.push_values(chunk, |mut bind, (row, of, record)| {
            let message = &row.message;
            bind.push_bind(message.id.as_str())
                .push_bind(of.id.as_str())
                .push_bind(message.engagement.as_ref().map_or("", EngagementId::as_str))
                .push_bind(of.tenant.as_str())
                .push_bind(of.number_id.as_str())
                .push_bind(sequence_of(message))
                .push_bind(message.wamid.as_ref().map(WhatsAppMessageId::as_str))
                .push_bind(&row.traceparent)
                .push_bind(record);
        });
        sql.push(
            " ON CONFLICT (id) DO UPDATE SET wamid = excluded.wamid, record = excluded.record",
        );
        sql.build().execute(&mut **tx).await?;
    }
    let indexed: Vec<_> = rows.iter().filter(|(row, ..)| row.index).collect();
    for chunk in blocks(&indexed) {
        let mut sql =
            QueryBuilder::<Sqlite>::new("INSERT INTO message_text (text, tenant, message_id) ");
        sql.push_values(chunk, |mut bind, (row, of, _)| {
            let message = &row.message;
            let words = match &message.edited_text {
                Some(text) => text.clone(),
                None => message.content.summary(),
            };
            bind.push_bind(words)
                .push_bind(of.tenant.as_str())
                .push_bind(message.id.as_str());
        });
        sql.build().execute(&mut **tx).await?;
    }
    Ok(())
}

/// The number at the end of a message's id: its place in the conversation.
fn sequence_of(message: &Message) -> i64 {
    let number = message.id.as_str().rsplit_once(".m");
    number.and_then(|(_, n)| n.parse().ok()).unwrap_or_default()
}

async fn engagements(
    tx: &mut Tx,
    engagements: &[(ConversationId, Engagement)],
    owners: &Owners<'_>,
) -> Result<(), StorageError> {
    let mut rows = Vec::with_capacity(engagements.len());
    for (id, engagement) in engagements {
        if let Some(of) = owners.get(id) {
            rows.push((*of, engagement, text("engagement", engagement)?));
        }
    }
    for chunk in blocks(&rows) {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO engagement (id, conversation_id, tenant, stage, agent, queue, opened_at, \
             record) ",
        );
        sql.push_values(chunk, |mut bind, (of, engagement, record)| {
            bind.push_bind(engagement.id.as_str())
                .push_bind(of.id.as_str())
                .push_bind(of.tenant.as_str())
                .push_bind(super::read::stage_word(&engagement.stage))
                .push_bind(engagement.agent().map_or("", |agent| agent.as_str()))
                .push_bind(engagement.queue.as_ref().map_or("", |queue| queue.as_str()))
                .push_bind(micros(engagement.opened_at))
                .push_bind(record);
        });
        sql.push(
            " ON CONFLICT (id) DO UPDATE SET stage = excluded.stage, agent = excluded.agent, \
             queue = excluded.queue, record = excluded.record",
        );
        sql.build().execute(&mut **tx).await?;
    }
    Ok(())
}

/// Timers and outbox: both are read off the state, so that a restart finds them.
async fn schedule(tx: &mut Tx, conversations: &[Conversation]) -> Result<(), StorageError> {
    let (mut due, mut ready) = (Vec::new(), Vec::new());
    let (mut idle, mut quiet) = (Vec::new(), Vec::new());
    for conversation in conversations {
        let id = conversation.id.as_str();
        match conversation.next_deadline() {
            Some((at, _)) => due.push((id, at)),
            None => idle.push(id),
        }
        match conversation.ready() {
            Some((head, at)) => ready.push((id, head, at)),
            None => quiet.push(id),
        }
    }
    for (sql, gone) in [
        (
            "DELETE FROM timer WHERE conversation_id IN (SELECT value FROM json_each($1))",
            idle,
        ),
        (
            "DELETE FROM outbox WHERE conversation_id IN (SELECT value FROM json_each($1))",
            quiet,
        ),
    ] {
        if !gone.is_empty() {
            let gone = text("timer", &gone)?;
            sqlx::query(sql).bind(gone).execute(&mut **tx).await?;
        }
    }
    for chunk in blocks(&due) {
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO timer (conversation_id, due) ");
        sql.push_values(chunk, |mut row, (id, at)| {
            row.push_bind(*id).push_bind(micros(*at));
        });
        sql.push(" ON CONFLICT (conversation_id) DO UPDATE SET due = excluded.due");
        sql.build().execute(&mut **tx).await?;
    }
    for chunk in blocks(&ready) {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO outbox (conversation_id, ready_at, message_id, attempt) ",
        );
        sql.push_values(chunk, |mut row, (id, head, at)| {
            row.push_bind(*id)
                .push_bind(micros(*at))
                .push_bind(head.message_id.as_str())
                .push_bind(i64::from(head.attempts) + 1);
        });
        sql.push(
            " ON CONFLICT (conversation_id) DO UPDATE SET ready_at = excluded.ready_at, \
             message_id = excluded.message_id, attempt = excluded.attempt",
        );
        sql.build().execute(&mut **tx).await?;
    }
    Ok(())
}

async fn bookkeeping(tx: &mut Tx, commit: &Commit, now: Timestamp) -> Result<(), StorageError> {
    for chunk in blocks(&commit.dedupe) {
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO dedupe (key, at) ");
        sql.push_values(chunk, |mut row, key| {
            row.push_bind(key).push_bind(micros(now));
        });
        sql.build().execute(&mut **tx).await?;
    }
    for orphan in &commit.orphans {
        let sql = "INSERT INTO orphan_status (number_id, wamid, key, at, traceparent, status) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        sqlx::query(sql)
            .bind(&orphan.number_id)
            .bind(orphan.status.id.as_str())
            .bind(&orphan.key)
            .bind(micros(now))
            .bind(&orphan.traceparent)
            .bind(text("orphan_status", &orphan.status)?)
            .execute(&mut **tx)
            .await?;
    }
    for (number, wamid, key) in &commit.adopted {
        let sql = "DELETE FROM orphan_status WHERE number_id = $1 AND wamid = $2 AND key = $3";
        sqlx::query(sql)
            .bind(number)
            .bind(wamid)
            .bind(key)
            .execute(&mut **tx)
            .await?;
    }
    for (tenant, key, message) in &commit.idempotency {
        let sql = "INSERT INTO idempotency (tenant, key, message_id, at) VALUES ($1, $2, $3, $4)";
        sqlx::query(sql)
            .bind(tenant)
            .bind(key)
            .bind(message)
            .bind(micros(now))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Forgets keys and orphans older than 8 days. Returns how many.
pub(crate) async fn prune(database: &SqliteFile, now: Timestamp) -> Result<u64, StorageError> {
    let before = micros(now.minus(REMEMBERED));
    let mut tx = database.begin().await?;
    let mut gone = 0;
    for sql in [
        "DELETE FROM dedupe WHERE at < $1",
        "DELETE FROM orphan_status WHERE at < $1",
        "DELETE FROM idempotency WHERE at < $1",
    ] {
        let done = sqlx::query(sql).bind(before).execute(&mut *tx).await?;
        gone += done.rows_affected();
    }
    tx.commit().await?;
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn blocks_are_powers_of_two_and_lose_nothing() {
        let sizes =
            |rows: usize| -> Vec<usize> { blocks(&vec![0_u8; rows]).map(<[u8]>::len).collect() };
        assert_eq!(sizes(0), [0; 0]);
        assert_eq!(sizes(7), [4, 2, 1]);
        assert_eq!(sizes(600), [256, 256, 64, 16, 8]);
    }
}
