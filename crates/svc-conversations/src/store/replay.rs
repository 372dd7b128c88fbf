//! Proof of guarantee G15: folds every conversation's log from nothing and compares the result
//! with what is stored, byte for byte.

use std::collections::BTreeMap;

use core_conversation::{History, invariants};
use lib_storage::{Database, StorageError, sql};
use serde::Serialize;

use super::log::{Filter, after};
use super::write::LogEvent;

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Conversations folded.
    pub conversations: u64,
    /// Log entries read.
    pub events: u64,
    /// Messages compared.
    pub messages: u64,
    /// What differs, in words; empty when all is well.
    pub differences: Vec<String>,
}

/// Entries read at a time.
const PAGE: usize = 1_000;

/// Folds every log and compares.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn verify_replay(database: &Database) -> Result<Report, StorageError> {
    let mut report = Report::default();
    let ids = sql(
        "SELECT id FROM conversation UNION SELECT DISTINCT conversation_id FROM event \
         WHERE conversation_id <> '' ORDER BY 1",
    );
    for row in ids.fetch_all(database).await? {
        let id: String = row.get(0)?;
        let history = fold(database, &id, &mut report).await?;
        compare(database, &id, &history, &mut report).await?;
        report.conversations += 1;
    }
    Ok(report)
}

async fn fold(database: &Database, id: &str, report: &mut Report) -> Result<History, StorageError> {
    let filter = Filter {
        conversation: id.to_owned(),
        ..Filter::default()
    };
    let mut history = History::default();
    let mut position = 0;
    loop {
        let page = after(database, position, &filter, PAGE).await?;
        for (at, entry) in &page {
            position = *at;
            report.events += 1;
            let LogEvent::Conversation(event) = &entry.event else {
                continue;
            };
            let before = history.conversation.clone();
            if let Err(error) = history.apply(entry.sequence, event, entry.recorded_at) {
                report.differences.push(format!("{id}: {error}"));
                return Ok(history);
            }
            let now = history.conversation.as_ref();
            if let Some(Err(broken)) = now.map(|now| invariants::check(before.as_ref(), now)) {
                let sequence = entry.sequence;
                report
                    .differences
                    .push(format!("{id}, entry {sequence}: {broken}"));
            }
        }
        if page.len() < PAGE {
            return Ok(history);
        }
    }
}

async fn compare(
    database: &Database,
    id: &str,
    history: &History,
    report: &mut Report,
) -> Result<(), StorageError> {
    let state: BTreeMap<String, String> = rows(
        database,
        "SELECT id, state FROM conversation WHERE id = $1",
        id,
    )
    .await?;
    let state = state
        .into_iter()
        .map(|(id, state)| (id, without_length(state)));
    let state = state.collect();
    let folded: BTreeMap<String, String> = history
        .conversation
        .iter()
        .map(|state| (id.to_owned(), text(state)))
        .collect();
    differ(id, "state", &state, &folded, report);
    let stored = rows(
        database,
        "SELECT id, record FROM message WHERE conversation_id = $1",
        id,
    )
    .await?;
    report.messages += stored.len() as u64;
    let folded = history.messages.iter();
    let folded = folded
        .map(|(id, message)| (id.to_string(), text(message)))
        .collect();
    differ(id, "messages", &stored, &folded, report);
    let stored = rows(
        database,
        "SELECT id, record FROM engagement WHERE conversation_id = $1",
        id,
    )
    .await?;
    let folded = history.engagements.iter();
    let folded = folded
        .map(|(id, engagement)| (id.to_string(), text(engagement)))
        .collect();
    differ(id, "engagements", &stored, &folded, report);
    Ok(())
}

/// Until version 0.1 a record also held the length of its log.
fn without_length(record: String) -> String {
    if !record.contains("\"sequence\":") {
        return record;
    }
    let read = serde_json::from_str::<core_conversation::Conversation>(&record);
    read.map_or(record, |state| text(&state))
}

fn text<T: Serialize>(what: &T) -> String {
    serde_json::to_string(what).unwrap_or_else(|error| error.to_string())
}

async fn rows(
    database: &Database,
    text: &'static str,
    id: &str,
) -> Result<BTreeMap<String, String>, StorageError> {
    let rows = sql(text).bind(id).fetch_all(database).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

fn differ(
    id: &str,
    what: &str,
    stored: &BTreeMap<String, String>,
    folded: &BTreeMap<String, String>,
    report: &mut Report,
) {
    for key in stored.keys().chain(folded.keys()) {
        if stored.get(key) != folded.get(key) {
            report
                .differences
                .push(format!("{id}: {what} {key} is not what the log says"));
        }
    }
}

#[cfg(test)]
mod tests {
    use core_conversation::{Conversation, Event};
    use core_types::{ContactIdentity, ConversationId, NumberId, TenantId, Timestamp};

    use super::*;

    #[test]
    fn a_record_of_before_is_compared_without_the_length_of_its_log() {
        let started = Event::Started {
            id: ConversationId::new("cnv-1").unwrap(),
            tenant: TenantId::new("acme").unwrap(),
            number_id: NumberId::new("n1").unwrap(),
            contact: ContactIdentity {
                phone: Some("16505551111".to_owned()),
                ..ContactIdentity::default()
            },
        };
        let state = Conversation::born_of(&started, Timestamp::from_micros(7)).unwrap();
        let now = text(&state);
        assert!(!now.contains("sequence"));
        let before = now.replacen("\"messages\":", "\"sequence\":1,\"messages\":", 1);
        assert_ne!(before, now);
        assert_eq!(without_length(before), now);
        let odd = "not \"sequence\": a record".to_owned();
        assert_eq!(without_length(odd.clone()), odd);
    }
}
