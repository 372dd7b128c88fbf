//! The outside checker: compares what clients were told and what the Graph API accepted with what
//! the stores say at the end. It reads the history and the public API and nothing of the services.
//!
//! Each invariant is one function that adds what breaks it, in words, under its name.

mod admission;
mod agents;
mod exercised;
mod money;
mod sends;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{Direction, LogEntry, Message};

pub use self::admission::refused_for_good;
pub use self::exercised::exercised;
use super::history::{Entry, Item, Op, Outcome};
use super::stores::Stores;

/// Every invariant this checker knows, with its words for the report.
pub const INVARIANTS: [(&str, &str); 32] = [
    ("I1", "every POST answered 200 has an effect or is parked"),
    (
        "I2",
        "every event of such a POST is done or parked, exactly one of both",
    ),
    ("I3", "no event without a valid signature has any effect"),
    ("I4", "each event takes effect at most once"),
    (
        "I5",
        "steps happen in the order of admission, per conversation",
    ),
    ("I6", "a message's status never goes down"),
    ("I7", "no event runs again after a later one"),
    ("I8", "a conversation's log has no gap and no fork"),
    (
        "I9",
        "replaying the log gives the stored state, byte for byte",
    ),
    (
        "I10",
        "Graph accepted each intent at most 1 + R times (R: 0 template, 1 session message)",
    ),
    (
        "I11",
        "more than one copy only after a recorded ambiguous attempt",
    ),
    (
        "I12",
        "every intent ends as accepted, rejected, unknown or cancelled, and Graph agrees",
    ),
    ("I13", "nothing reached Graph that nobody meant to send"),
    ("I14", "a conversation's messages reach Graph in order"),
    ("I15", "an engagement never has two owners"),
    ("I16", "every engagement is in exactly one place"),
    (
        "I17",
        "an accept told `ok` is in the log once, one told `no` is not",
    ),
    (
        "I18",
        "an agent's load is the open engagements and within capacity",
    ),
    ("I19", "an offer ends when it expires"),
    ("I20", "first come, first offered, where no fault was made"),
    (
        "I21",
        "no message of an agent who did not own the engagement",
    ),
    ("I22", "every journal sums to zero"),
    (
        "I23",
        "one journal for each delivered message that costs something",
    ),
    ("I24", "journals never change"),
    ("I25", "only what was delivered or read is charged"),
    ("I26", "the statement is the sum of the journals"),
    ("I27", "the statement counts what Meta counts"),
    (
        "I28",
        "what is parked carries bytes, cause, position and attempts",
    ),
    ("I29", "replaying what is parked repeats no effect"),
    ("I30", "a refused POST has no effect"),
    (
        "I34",
        "no credential and no customer's phone number in a log line",
    ),
    ("I35", "no panic in a log"),
];

/// Invariants checked by the run itself, from measurements.
pub const MEASURED: [(&str, &str); 4] = [
    (
        "I31",
        "descriptors return to where they were after the load, within the slack shown; Graph is asked at most 1.6 times a message",
    ),
    (
        "I32",
        "no answer to one tenant holds a customer, an id or bytes of another",
    ),
    ("I36", "a stop ends cleanly within 10 s"),
    (
        "I37",
        "metrics agree with what happened: received, sent, parked, duplicates, refused signatures",
    ),
];

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `I4`.
    pub invariant: &'static str,
    /// What was seen.
    pub seen: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.invariant, self.seen)
    }
}

/// What a run knows besides history and stores.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// No fault touched routing, so that order can be asked for.
    pub calm: bool,
    /// How much longer than its time an offer may stand: what the faults kept away.
    pub offer_slack: Duration,
    /// Journals read earlier in the run.
    pub checkpoint: Vec<lib_proto::billing::Journal>,
    /// Log entries read before parked items were replayed.
    pub before_replay: Option<usize>,
    /// Conversations whose log was folded again.
    pub folded: usize,
    /// What folding the log again found, in words.
    pub replay_differences: Vec<String>,
    /// The services' log lines.
    pub log_lines: Vec<String>,
    /// Texts that no log line may hold.
    pub secrets: Vec<String>,
}

/// Everything the invariants look at.
pub(crate) struct Case<'a> {
    pub(crate) history: &'a [Entry],
    pub(crate) stores: &'a Stores,
    pub(crate) facts: &'a Facts,
    found: Vec<Violation>,
}

/// Checks everything.
pub fn check(history: &[Entry], stores: &Stores, facts: &Facts) -> Vec<Violation> {
    let mut case = Case {
        history,
        stores,
        facts,
        found: Vec::new(),
    };
    admission::check(&mut case);
    sends::check(&mut case);
    agents::check(&mut case);
    money::check(&mut case);
    rest(&mut case);
    case.found
}

/// Numbers of one run that the report shows.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Bodies posted, answered 200, answered otherwise, without an answer.
    pub posts: (usize, usize, usize, usize),
    /// Events in bodies answered 200, each once.
    pub events: usize,
    /// Copies of bodies answered 200 beyond the first.
    pub redelivered: usize,
    /// Items parked.
    pub parked: usize,
    /// Messages meant to be sent.
    pub intents: usize,
    /// Messages Graph accepted, copies included.
    pub accepted: usize,
    /// Attempts recorded as ambiguous.
    pub ambiguous: usize,
    /// Messages that stay unknown.
    pub unknown: usize,
    /// Copies beyond the first that the promise allows.
    pub duplicates_allowed: usize,
    /// Copies beyond the first that it forbids.
    pub duplicates_forbidden: usize,
    /// Offers made, and those that expired.
    pub offers: (usize, usize),
    /// Accepts told `ok`.
    pub accepts: usize,
    /// Journals.
    pub journals: usize,
    /// Faults made, those that hit work under way.
    pub faults: (usize, usize),
    /// Milliseconds until a webhook was taken again, after each fault that stopped it.
    pub recoveries: Vec<u64>,
}

/// Counts what happened.
pub fn count(history: &[Entry], stores: &Stores) -> Counts {
    let mut counts = Counts::default();
    let mut taken: BTreeMap<u64, usize> = BTreeMap::new();
    for entry in history {
        match (&entry.op, entry.outcome) {
            (Op::Post { id, items, .. }, outcome) => {
                counts.posts.0 += 1;
                match outcome {
                    Outcome::Ok => {
                        counts.posts.1 += 1;
                        let times = taken.entry(*id).or_default();
                        *times += 1;
                        if *times == 1 {
                            counts.events += items.len();
                        } else {
                            counts.redelivered += 1;
                        }
                    }
                    Outcome::Fail => counts.posts.2 += 1,
                    Outcome::Info => counts.posts.3 += 1,
                }
            }
            (Op::Accepted { .. }, _) => counts.accepted += 1,
            (Op::Desk { command, .. }, Outcome::Ok) if command == "accept" => counts.accepts += 1,
            (Op::Fault { in_flight, .. }, _) => {
                counts.faults.0 += 1;
                counts.faults.1 += usize::from(*in_flight > 0);
            }
            (Op::Recovered { millis }, _) => counts.recoveries.push(*millis),
            _ => {}
        }
    }
    let copies = sends::copies(history);
    let doubts = sends::ambiguous(stores);
    for message in outbound(stores) {
        counts.intents += 1;
        let doubt = doubts.get(message.id.as_str()).copied().unwrap_or(0);
        counts.ambiguous += doubt;
        counts.unknown +=
            usize::from(message.send_state() == lib_proto::conversations::SendState::Unknown);
        let extra = copies
            .get(sends::intent(message).as_str())
            .map_or(0, |copies| copies.len() - 1);
        let allowed = extra.min(doubt).min(sends::resends(message));
        counts.duplicates_allowed += allowed;
        counts.duplicates_forbidden += extra - allowed;
    }
    for entry in &stores.log {
        match &entry.event {
            Some(Event::EngagementOffered(_)) => counts.offers.0 += 1,
            Some(Event::OfferEnded(end)) if end.outcome == "expired" => counts.offers.1 += 1,
            _ => {}
        }
    }
    counts.parked = stores.parked.len();
    counts.journals = stores.journals.len();
    counts
}

impl Case<'_> {
    pub(crate) fn broken(&mut self, invariant: &'static str, seen: impl Into<String>) {
        let seen = seen.into();
        self.found.push(Violation { invariant, seen });
    }

    /// The log of each conversation, in its order.
    pub(crate) fn logs(&self) -> BTreeMap<&str, Vec<&LogEntry>> {
        let mut logs: BTreeMap<&str, Vec<&LogEntry>> = BTreeMap::new();
        for entry in &self.stores.log {
            if !entry.conversation_id.is_empty() {
                logs.entry(&entry.conversation_id).or_default().push(entry);
            }
        }
        logs
    }
}

/// Messages we meant to send.
pub(crate) fn outbound(stores: &Stores) -> impl Iterator<Item = &Message> {
    let messages = stores.messages.iter();
    messages.filter(|message| message.direction() == Direction::Outbound)
}

/// Name of an item, the same for each of its copies.
pub(crate) fn name(item: &Item) -> String {
    match item {
        Item::Message { wamid, .. } => format!("message {wamid}"),
        Item::Status { wamid, status, .. } => format!("{status} of {wamid}"),
        Item::Poison { mark } => format!("poison {mark}"),
    }
}

fn rest(case: &mut Case<'_>) {
    let facts = case.facts;
    for difference in &facts.replay_differences {
        case.broken("I9", difference.clone());
    }
    for line in &facts.log_lines {
        if line.contains("panicked at") {
            case.broken("I35", line.clone());
        }
        if let Some(secret) = facts
            .secrets
            .iter()
            .find(|secret| line.contains(secret.as_str()))
        {
            case.broken("I34", format!("`{secret}` stands in: {line}"));
        }
    }
}
