//! The steps a flow took in an engagement, read from the log: each with the session before it, what
//! it was told, what was known then, and the session after it. Folding the log gives the state of
//! each moment, so nothing of this is stored twice.

use core_conversation::{Event, History, Session, Told};
use core_types::EngagementId;
use lib_proto::{conversations as pb, timestamp_to_proto};
use lib_storage::{Database, StorageError};
use pb::flow_step::Told as Wire;

use crate::flow_runner::{called_to_proto, facts};
use crate::store::log::{Filter, after};
use crate::store::read;
use crate::store::write::{LogEvent, NewEntry};

/// Most steps told.
const MOST: usize = 1_000;
/// Entries read at a time.
const PAGE: usize = 1_000;

/// The steps of an engagement; `None` when there is none of that id behind the `wall`.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn of_engagement(
    database: &Database,
    wall: &str,
    id: &str,
) -> Result<Option<pb::ListFlowStepsResponse>, StorageError> {
    let Some(found) = read::engagement(database, wall, id).await? else {
        return Ok(None);
    };
    let engagement = &found.engagement;
    let flow = engagement.flow.as_ref();
    let mut told = pb::ListFlowStepsResponse {
        flow_id: flow.map_or_else(String::new, |flow| flow.flow_id.to_string()),
        steps: Vec::new(),
    };
    let filter = Filter {
        conversation: found.conversation.id.to_string(),
        ..Filter::default()
    };
    let (mut history, mut position) = (History::default(), 0);
    loop {
        let page = after(database, position, &filter, PAGE).await?;
        for (at, entry) in &page {
            position = *at;
            let LogEvent::Conversation(event) = &entry.event else {
                continue;
            };
            if let Some(step) = step(&history, &engagement.id, entry, event) {
                told.steps.push(step);
            }
            // A log that does not fold is told of by `frontdesk`'s replay; here it just ends.
            let folds = history.apply(entry.sequence, event, entry.recorded_at);
            if folds.is_err() || told.steps.len() >= MOST {
                return Ok(Some(told));
            }
        }
        if page.len() < PAGE {
            return Ok(Some(told));
        }
    }
}

/// The step that `event` records, if it is one of `engagement`, where `history` is all before it.
fn step(
    history: &History,
    engagement: &EngagementId,
    entry: &NewEntry,
    event: &Event,
) -> Option<pb::FlowStep> {
    let Event::SessionAdvanced {
        flow_version,
        path,
        variables,
        finished,
        failure,
        session,
        told,
        ..
    } = event
    else {
        return None;
    };
    let conversation = history.conversation.as_ref()?;
    let open = conversation.engagement.as_ref()?;
    if open.id != *engagement {
        return None;
    }
    let before = open.flow.as_ref().map(|flow| bytes(&flow.session));
    Some(pb::FlowStep {
        sequence: entry.sequence,
        taken_at: Some(timestamp_to_proto(entry.recorded_at)),
        flow_version: *flow_version,
        told: told.as_ref().and_then(|told| wire(history, told)),
        facts: facts(conversation),
        session_before: before.unwrap_or_default(),
        session: bytes(session),
        path: path.clone(),
        variables: variables.clone().into_iter().collect(),
        finished: *finished,
        failure: failure.clone().unwrap_or_default(),
    })
}

fn bytes(session: &Session) -> Vec<u8> {
    session.as_bytes().to_vec()
}

fn wire(history: &History, told: &Told) -> Option<Wire> {
    Some(match told {
        Told::Message(id) => Wire::Message((&history.messages.get(id)?.content).into()),
        Told::TimedOut(wait) => Wire::TimedOut(*wait),
        Told::SendFailed(key) => Wire::SendFailed(key.clone()),
        Told::Called { wait, called } => Wire::Called(called_to_proto(*wait, called)),
    })
}
