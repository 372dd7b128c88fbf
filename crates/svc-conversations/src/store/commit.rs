//! One commit: the log and everything derived from it, in one transaction. It shows the fences of
//! its parts first, so that a replica that lost one writes nothing of it. Positions are given out
//! under the lock of the log's head: without gaps, in one order over all replicas, and visible in
//! that order.

use std::collections::HashMap;

use core_conversation::{Conversation, Engagement};
use core_types::{ConversationId, EngagementId, Timestamp, WhatsAppMessageId};
use lib_storage::{
    Bundle, Database, Engine, Insert, Shown, StorageError, Target, Tx, Value, list, sql,
};
use serde::Serialize;

use super::search::{folded, index_words};
use super::write::{Changed, Commit, LogEvent, MessageRow, NewEntry};
use super::{WORK, part_of};

/// How long duplicates, orphaned statuses and idempotency keys are remembered
/// (`reliability.md`, section 0, finding 6).
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(8 * 24 * 3_600);
/// Rows forgotten at a time.
const PRUNED: i64 = 10_000;
/// The channel on which replicas tell each other what they committed.
pub(crate) const CHANNEL: &str = "frontdesk_conversations";

type Owners<'a> = HashMap<&'a ConversationId, &'a Conversation>;

fn text<T: Serialize>(table: &'static str, what: &T) -> Result<String, StorageError> {
    serde_json::to_string(what).map_err(|error| StorageError::corrupt(table, "new", error))
}

/// Writes everything or nothing, and tells other replicas as `teller`. Returns the position of the
/// last entry, when there is one.
///
/// # Errors
/// When a part is another replica's now, or the database refuses.
pub(crate) async fn commit(
    database: &Database,
    commit: &Commit,
    now: Timestamp,
    teller: &str,
) -> Result<Option<i64>, StorageError> {
    let owners = commit.conversations.iter().map(|owner| &owner.state);
    let owners = owners.map(|owner| (&owner.id, owner));
    let owners: Owners<'_> = owners.collect();
    let bundle = Bundle::new(database.engine());
    let bundle = bundle.insert(conversations(&commit.conversations)?);
    let bundle = bundle.insert(contact_keys(commit, &owners));
    let bundle = messages(bundle, database.engine(), &commit.messages, &owners)?;
    let bundle = bundle.insert(engagements(&commit.engagements, &owners)?);
    let bundle = schedule(bundle, &commit.conversations);
    let bundle = bookkeeping(bundle, commit, now)?;
    if database.engine() == Engine::Postgres && commit.dropped_keys.is_empty() {
        return shared_log(database, database, bundle, commit, teller).await;
    }
    let mut tx = database.begin_concurrent().await?;
    drop_keys(&mut tx, commit, &owners).await?;
    let head = match (database.engine(), commit.entries.is_empty()) {
        (Engine::Postgres, _) => shared_log(database, &mut tx, bundle, commit, teller).await?,
        (Engine::Sqlite, false) => Some(one_log(&mut tx, bundle, commit).await?),
        (Engine::Sqlite, true) => {
            bundle.execute(&mut tx).await?;
            None
        }
    };
    tx.commit().await?;
    Ok(head)
}

/// The columns of an entry, without its position.
fn entry(entry: &NewEntry) -> Result<[Value; 9], StorageError> {
    let event = match &entry.event {
        LogEvent::Conversation(event) => text("event", event)?,
        LogEvent::Account(fact) => text("event", fact)?,
    };
    Ok([
        (&entry.tenant).into(),
        (&entry.conversation).into(),
        (&entry.engagement).into(),
        (entry.sequence as i64).into(),
        entry.recorded_at.as_micros().into(),
        (&entry.number_id).into(),
        (&entry.waba_id).into(),
        (&entry.traceparent).into(),
        event.into(),
    ])
}

/// The columns of what may be sent from now on, without the position.
fn outbox(conversations: &[Changed]) -> impl Iterator<Item = [Value; 5]> {
    let changed = conversations.iter().filter(|changed| changed.ready);
    changed.filter_map(
        |Changed {
             state: conversation,
             ..
         }| {
            let (head, at) = conversation.ready()?;
            Some([
                conversation.id.as_str().into(),
                part_of(conversation.number_id.as_str()).into(),
                at.as_micros().into(),
                head.message_id.as_str().into(),
                (i64::from(head.attempts) + 1).into(),
            ])
        },
    )
}

/// `row` with its position at the end.
fn with<const SHORT: usize, const LONG: usize>(
    row: [Value; SHORT],
    position: i64,
) -> [Value; LONG] {
    let mut row = row.into_iter();
    std::array::from_fn(|_| row.next().unwrap_or_else(|| position.into()))
}

/// Writes the log where nobody else does.
async fn one_log(tx: &mut Tx, bundle: Bundle, commit: &Commit) -> Result<i64, StorageError> {
    let row = sql("SELECT position FROM log_head").fetch_one(&mut *tx);
    let before: i64 = row.await?.get(0)?;
    let head = before + commit.entries.len() as i64;
    let mut events = Insert::<10>::into(
        "event (tenant, conversation_id, engagement_id, seq, recorded_at, number_id, waba_id, \
         traceparent, event, position)",
    );
    for (position, new) in (before + 1..).zip(&commit.entries) {
        events.row(with(entry(new)?, position));
    }
    let mut waiting = Insert::<6>::into(
        "outbox (conversation_id, part, ready_at, message_id, attempt, position)",
    )
    .on_conflict(
        "ON CONFLICT (conversation_id) DO UPDATE SET ready_at = excluded.ready_at, \
         message_id = excluded.message_id, attempt = excluded.attempt, \
         position = excluded.position",
    );
    for row in outbox(&commit.conversations) {
        waiting.row(with(row, head));
    }
    let moved = sql("UPDATE log_head SET position = $1").bind(head);
    let bundle = bundle.insert(events).insert(waiting).and(moved);
    bundle.execute(tx).await?;
    Ok(head)
}

/// Writes everything together with the log that other replicas write too: shows the fences, writes
/// the records, takes the head, numbers the entries and announces them, in one statement. The head is
/// taken last, because the others wait for it.
async fn shared_log<'a>(
    database: &Database,
    on: impl Into<Target<'a>>,
    bundle: Bundle,
    commit: &Commit,
    teller: &str,
) -> Result<Option<i64>, StorageError> {
    let shown = Shown {
        work: WORK.name,
        parts: &commit.fences,
    };
    if commit.entries.is_empty() {
        let nothing = sql("done AS (SELECT 1 WHERE {ready}) SELECT count(*) FROM done");
        bundle.finish_with(on, database, shown, nothing).await?;
        return Ok(None);
    }
    let entries = commit.entries.iter().map(entry);
    let entries: Vec<[Value; 9]> = entries.collect::<Result<_, _>>()?;
    let count = entries.len() as i64;
    let waiting: Vec<[Value; 5]> = outbox(&commit.conversations).collect();
    let mut query = String::from(
        "head AS (UPDATE log_head SET position = position + $1 WHERE {ready} \
         RETURNING position), \
         events AS (INSERT INTO event (position, tenant, conversation_id, engagement_id, seq, \
         recorded_at, number_id, waba_id, traceparent, event) \
         SELECT head.position - $1 + new.n, new.tenant, new.conversation_id, new.engagement_id, \
         new.seq, new.recorded_at, new.number_id, new.waba_id, new.traceparent, new.event \
         FROM head, UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], \
         $7::text[], $8::text[], $9::text[], $10::text[]) WITH ORDINALITY AS new(tenant, \
         conversation_id, engagement_id, seq, recorded_at, number_id, waba_id, traceparent, \
         event, n))",
    );
    if !waiting.is_empty() {
        query.push_str(
            ", waiting AS (INSERT INTO outbox (conversation_id, part, ready_at, message_id, \
             attempt, position) SELECT new.id, new.part, new.at, new.message, new.attempt, \
             head.position FROM head, UNNEST($13::text[], $14::bigint[], $15::bigint[], \
             $16::text[], $17::bigint[]) AS new(id, part, at, message, attempt) \
             ON CONFLICT (conversation_id) DO UPDATE SET ready_at = excluded.ready_at, \
             message_id = excluded.message_id, attempt = excluded.attempt, \
             position = excluded.position)",
        );
    }
    query.push_str(
        " SELECT position, CAST(pg_notify($11, CAST($12 AS text) || ' ' || \
         CAST(position AS text)) AS text) FROM head",
    );
    let mut query = sql(query).bind(count);
    for column in Value::columns(entries) {
        query = query.bind(column);
    }
    query = query.bind(CHANNEL).bind(teller);
    if !waiting.is_empty() {
        for column in Value::columns(waiting) {
            query = query.bind(column);
        }
    }
    let row = bundle.finish_with(on, database, shown, query).await?;
    row.get(0).map(Some)
}

fn conversations(all: &[Changed]) -> Result<Insert<10>, StorageError> {
    let mut insert = Insert::into(
        "conversation (id, tenant, number_id, user_id, phone, username, display_name, \
         folded_name, last_activity, state)",
    )
    .on_conflict(
        "ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, phone = excluded.phone, \
         username = excluded.username, display_name = excluded.display_name, \
         folded_name = excluded.folded_name, last_activity = excluded.last_activity, \
         state = excluded.state",
    );
    for Changed {
        state: conversation,
        ..
    } in all.iter().filter(|changed| changed.record)
    {
        let contact = &conversation.contact;
        let name = contact.display_name.as_deref().unwrap_or_default();
        insert.row([
            conversation.id.as_str().into(),
            conversation.tenant.as_str().into(),
            conversation.number_id.as_str().into(),
            contact.user_id.as_deref().unwrap_or_default().into(),
            contact.phone.as_deref().unwrap_or_default().into(),
            contact.username.as_deref().unwrap_or_default().into(),
            name.into(),
            folded(name).into(),
            conversation.last_activity_at.as_micros().into(),
            text("conversation", conversation)?.into(),
        ]);
    }
    Ok(insert)
}

/// Before the new keys, which may be the same ones.
async fn drop_keys(tx: &mut Tx, commit: &Commit, owners: &Owners<'_>) -> Result<(), StorageError> {
    let dropped = commit.dropped_keys.iter();
    let dropped = dropped.filter_map(|(id, key)| Some((*owners.get(id)?, key)));
    for (conversation, key) in dropped {
        sql(
            "DELETE FROM contact_key WHERE tenant = $1 AND number_id = $2 AND key = $3 \
             AND conversation_id = $4",
        )
        .bind(conversation.tenant.as_str())
        .bind(conversation.number_id.as_str())
        .bind(key.to_text())
        .bind(conversation.id.as_str())
        .execute(tx)
        .await?;
    }
    Ok(())
}

fn contact_keys(commit: &Commit, owners: &Owners<'_>) -> Insert<4> {
    let mut insert = Insert::into("contact_key (tenant, number_id, key, conversation_id)")
        .on_conflict(
            "ON CONFLICT (tenant, number_id, key) \
             DO UPDATE SET conversation_id = excluded.conversation_id",
        );
    // The last one wins; one statement must not write a key twice.
    let mut last = HashMap::new();
    for (id, key) in &commit.new_keys {
        if let Some(owner) = owners.get(id) {
            let place = (
                owner.tenant.as_str(),
                owner.number_id.as_str(),
                key.to_text(),
            );
            last.insert(place, owner.id.as_str());
        }
    }
    for ((tenant, number, key), id) in last {
        insert.row([tenant.into(), number.into(), key.into(), id.into()]);
    }
    insert
}

fn messages(
    bundle: Bundle,
    engine: Engine,
    messages: &[MessageRow],
    owners: &Owners<'_>,
) -> Result<Bundle, StorageError> {
    let mut insert = Insert::<9>::into(
        "message (id, conversation_id, engagement_id, tenant, number_id, seq, wamid, \
         traceparent, record)",
    )
    .on_conflict("ON CONFLICT (id) DO UPDATE SET wamid = excluded.wamid, record = excluded.record");
    let mut index = Insert::<3>::into(match engine {
        Engine::Sqlite => "message_text (text, tenant, message_id)",
        Engine::Postgres => "message_text (words, tenant, message_id)",
    });
    for row in messages {
        let message = &row.message;
        let of = *owners.get(&row.conversation).ok_or_else(|| {
            StorageError::corrupt("message", message.id.as_str(), "it has no conversation")
        })?;
        insert.row([
            message.id.as_str().into(),
            of.id.as_str().into(),
            message
                .engagement
                .as_ref()
                .map_or("", EngagementId::as_str)
                .into(),
            of.tenant.as_str().into(),
            of.number_id.as_str().into(),
            sequence_of(message.id.as_str()).into(),
            message.wamid.as_ref().map(WhatsAppMessageId::as_str).into(),
            (&row.traceparent).into(),
            text("message", message.as_ref())?.into(),
        ]);
        if row.index {
            let words = match &message.edited_text {
                Some(text) => text.clone(),
                None => message.content.summary(),
            };
            let words = match engine {
                Engine::Sqlite => words,
                Engine::Postgres => index_words(&words),
            };
            index.row([
                words.into(),
                of.tenant.as_str().into(),
                message.id.as_str().into(),
            ]);
        }
    }
    Ok(bundle.insert(insert).insert(index))
}

/// The number at the end of a message's id: its place in the conversation.
fn sequence_of(message: &str) -> i64 {
    let number = message.rsplit_once(".m");
    number.and_then(|(_, n)| n.parse().ok()).unwrap_or_default()
}

fn engagements(
    engagements: &[(ConversationId, Engagement)],
    owners: &Owners<'_>,
) -> Result<Insert<8>, StorageError> {
    let mut insert = Insert::into(
        "engagement (id, conversation_id, tenant, stage, agent, queue, opened_at, record)",
    )
    .on_conflict(
        "ON CONFLICT (id) DO UPDATE SET stage = excluded.stage, agent = excluded.agent, \
         queue = excluded.queue, record = excluded.record",
    );
    for (id, engagement) in engagements {
        let Some(of) = owners.get(id) else { continue };
        insert.row([
            engagement.id.as_str().into(),
            of.id.as_str().into(),
            of.tenant.as_str().into(),
            super::read::stage_word(&engagement.stage).into(),
            engagement.agent().map_or("", |agent| agent.as_str()).into(),
            engagement
                .queue
                .as_ref()
                .map_or("", |queue| queue.as_str())
                .into(),
            engagement.opened_at.as_micros().into(),
            text("engagement", engagement)?.into(),
        ]);
    }
    Ok(insert)
}

/// Timers, and what is no longer to be sent: both are read off the state, so that a restart finds
/// them.
fn schedule(bundle: Bundle, conversations: &[Changed]) -> Bundle {
    let mut due = Insert::<3>::into("timer (conversation_id, part, due)")
        .on_conflict("ON CONFLICT (conversation_id) DO UPDATE SET due = excluded.due");
    let (mut idle, mut quiet) = (Vec::new(), Vec::new());
    for changed in conversations {
        let conversation = &changed.state;
        let id = conversation.id.as_str();
        match conversation.next_deadline().filter(|_| changed.deadline) {
            Some((at, _)) => {
                let part = part_of(conversation.number_id.as_str());
                due.row([id.into(), part.into(), at.as_micros().into()]);
            }
            None if changed.deadline => idle.push(id),
            None => {}
        }
        if changed.ready && conversation.ready().is_none() {
            quiet.push(id);
        }
    }
    let mut bundle = bundle.insert(due);
    for (text, gone) in [
        ("DELETE FROM timer WHERE conversation_id among($1)", idle),
        ("DELETE FROM outbox WHERE conversation_id among($1)", quiet),
    ] {
        if !gone.is_empty() {
            bundle = bundle.and(sql(text).bind(list(&gone)));
        }
    }
    bundle
}

fn bookkeeping(bundle: Bundle, commit: &Commit, now: Timestamp) -> Result<Bundle, StorageError> {
    let at = now.as_micros();
    let mut dedupe = Insert::<2>::into("dedupe (key, at)");
    for key in &commit.dedupe {
        dedupe.row([key.into(), at.into()]);
    }
    let mut orphans =
        Insert::<6>::into("orphan_status (number_id, wamid, key, at, traceparent, status)")
            .on_conflict("ON CONFLICT DO NOTHING");
    for orphan in &commit.orphans {
        orphans.row([
            (&orphan.number_id).into(),
            orphan.status.id.as_str().into(),
            (&orphan.key).into(),
            at.into(),
            (&orphan.traceparent).into(),
            text("orphan_status", &orphan.status)?.into(),
        ]);
    }
    let mut requests = Insert::<4>::into("idempotency (tenant, key, message_id, at)");
    for (scope, key, message) in &commit.idempotency {
        requests.row([scope.into(), key.into(), message.into(), at.into()]);
    }
    let bundle = bundle.insert(dedupe).insert(orphans).insert(requests);
    if commit.adopted.is_empty() {
        return Ok(bundle);
    }
    let adopted = sql(
        "DELETE FROM orphan_status WHERE (number_id, wamid, key) IN \
         (SELECT c0, c1, c2 FROM each($1, 3) j)",
    );
    Ok(bundle.and(adopted.bind(list(&commit.adopted))))
}

/// Forgets keys and orphans older than 8 days, some at a time, so that no statement takes long.
/// Returns how many.
pub(crate) async fn prune(database: &Database, now: Timestamp) -> Result<u64, StorageError> {
    let before = now.minus(REMEMBERED).as_micros();
    let mut all = 0;
    for text in [
        "DELETE FROM dedupe WHERE key IN (SELECT key FROM dedupe WHERE at < $1 LIMIT $2)",
        "DELETE FROM orphan_status WHERE (number_id, wamid, key) IN \
         (SELECT number_id, wamid, key FROM orphan_status WHERE at < $1 LIMIT $2)",
        "DELETE FROM idempotency WHERE (tenant, key) IN \
         (SELECT tenant, key FROM idempotency WHERE at < $1 LIMIT $2)",
    ] {
        loop {
            let mut tx = database.begin_concurrent().await?;
            let gone = sql(text).bind(before).bind(PRUNED).execute(&mut tx).await?;
            tx.commit().await?;
            all += gone;
            if gone < PRUNED as u64 {
                break;
            }
        }
    }
    Ok(all)
}
