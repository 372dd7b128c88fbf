//! I10 to I14: what was meant to be sent, what Graph got, what is said of it.

use std::collections::{BTreeMap, BTreeSet};

use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{Message, SendState};

use super::{Case, outbound};
use crate::survive::history::{Entry, Op, Outcome};
use crate::survive::stores::Stores;

/// Copies Graph accepted, by intent, in order.
pub(super) fn copies(history: &[Entry]) -> BTreeMap<&str, Vec<&Op>> {
    let mut copies: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for entry in history {
        if let Op::Accepted { intent, .. } = &entry.op {
            copies.entry(intent).or_default().push(&entry.op);
        }
    }
    copies
}

/// Recorded ambiguous attempts by message.
pub(super) fn ambiguous(stores: &Stores) -> BTreeMap<&str, usize> {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &stores.log {
        if let Some(Event::AttemptEnded(end)) = &entry.event
            && end.send_state() == SendState::Ambiguous
        {
            *found.entry(&end.message_id).or_default() += 1;
        }
    }
    found
}

/// What Meta is given to echo.
pub(super) fn intent(message: &Message) -> String {
    format!("v1.{}", message.id)
}

fn is_template(message: &Message) -> bool {
    use lib_proto::common::content::Content;
    let content = message
        .content
        .as_ref()
        .and_then(|content| content.content.as_ref());
    matches!(content, Some(Content::Template(_)))
}

/// Times a message may be sent again without knowing.
pub(super) fn resends(message: &Message) -> usize {
    usize::from(!is_template(message))
}

pub(super) fn check(case: &mut Case<'_>) {
    let mut copies = copies(case.history);
    let doubts = ambiguous(case.stores);
    let mut broken = Vec::new();
    for message in outbound(case.stores) {
        let accepted = copies
            .remove(intent(message).as_str())
            .unwrap_or_default()
            .len();
        let allowed = 1 + resends(message);
        if accepted > allowed {
            broken.push((
                "I10",
                format!(
                    "{}: accepted {accepted} times, {allowed} allowed",
                    message.id
                ),
            ));
        }
        let doubt = doubts.get(message.id.as_str()).copied().unwrap_or(0);
        if accepted > 1 + doubt {
            broken.push((
                "I11",
                format!(
                    "{}: accepted {accepted} times after {doubt} ambiguous attempts",
                    message.id
                ),
            ));
        }
        let state = message.send_state();
        let wrong = match state {
            SendState::Accepted if accepted == 0 => "but Graph never got it",
            SendState::Rejected | SendState::Cancelled if accepted > 0 => "but Graph accepted it",
            SendState::Accepted
            | SendState::Rejected
            | SendState::Cancelled
            | SendState::Unknown => continue,
            _ => "and never ends",
        };
        broken.push(("I12", format!("{}: {state:?} {wrong}", message.id)));
    }
    for intent in copies.keys() {
        broken.push((
            "I13",
            format!("{intent} reached Graph, but nobody meant it"),
        ));
    }
    told(case, &mut broken);
    order(case, &mut broken);
    for (invariant, seen) in broken {
        case.broken(invariant, seen);
    }
}

/// I4, I12: a message somebody was told to be queued is there; one key makes one message.
fn told(case: &Case<'_>, broken: &mut Vec<(&'static str, String)>) {
    let known: BTreeSet<&str> = outbound(case.stores)
        .map(|message| message.id.as_str())
        .collect();
    let mut made: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for entry in case.history {
        let Op::Send { key, message } = &entry.op else {
            continue;
        };
        if entry.outcome != Outcome::Ok {
            continue;
        }
        if !known.contains(message.as_str()) {
            broken.push((
                "I12",
                format!("{message} was told to be queued and is gone"),
            ));
        }
        let before = made.insert((&entry.process, key), message);
        if let Some(before) = before.filter(|before| before != message) {
            broken.push(("I4", format!("one request made {before} and {message}")));
        }
    }
}

/// I14: the first copies of a conversation's messages, in the order in which they were queued.
fn order(case: &Case<'_>, broken: &mut Vec<(&'static str, String)>) {
    let mut place: BTreeMap<String, usize> = BTreeMap::new();
    for (at, entry) in case.history.iter().enumerate() {
        if let Op::Accepted { intent, .. } = &entry.op {
            place.entry(intent.clone()).or_insert(at);
        }
    }
    for (conversation, log) in case.logs() {
        let queued = log.iter().filter_map(|entry| match &entry.event {
            Some(Event::MessageQueued(queued)) => queued.message.as_ref(),
            _ => None,
        });
        let arrived: Vec<(String, usize)> = queued
            .map(intent)
            .filter_map(|intent| place.get(&intent).map(|at| (intent.clone(), *at)))
            .collect();
        for pair in arrived.windows(2) {
            if pair[0].1 > pair[1].1 {
                broken.push((
                    "I14",
                    format!("{conversation}: {} left before {}", pair[1].0, pair[0].0),
                ));
            }
        }
    }
}
