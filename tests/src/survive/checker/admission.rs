//! I1 to I8, I28 to I30: what was answered 200 is there, once, in order.

use std::collections::{BTreeMap, BTreeSet};

use lib_proto::common::DeliveryStatus;
use lib_proto::conversations::LogEntry;
use lib_proto::conversations::log_entry::Event;

use super::{Case, name};
use crate::survive::history::{Entry, Item, Op, Outcome};
use crate::survive::stores::Stores;

/// What each event of the outside world led to.
#[derive(Default)]
struct Effects {
    /// Times it stands in the log.
    done: BTreeMap<String, usize>,
    /// Marks and ids found in parked bytes.
    parked: Vec<String>,
}

impl Effects {
    fn of(stores: &Stores) -> Self {
        let mut effects = Self::default();
        for entry in &stores.log {
            let name = match &entry.event {
                Some(Event::MessageReceived(received)) => {
                    let message = received.message.clone().unwrap_or_default();
                    format!("message {}", message.whatsapp_message_id)
                }
                Some(Event::StatusChanged(changed)) => {
                    let update = changed.update.clone().unwrap_or_default();
                    format!("{} of {}", word(update.status()), update.id)
                }
                _ => continue,
            };
            *effects.done.entry(name).or_default() += 1;
        }
        let parked = stores.parked.iter();
        effects.parked = parked
            .map(|item| String::from_utf8_lossy(&item.payload).into_owned())
            .collect();
        effects
    }

    fn done(&self, item: &Item) -> usize {
        // What was thought unreadable may be read in part: then it is done.
        if let Item::Poison { mark } = item {
            let held = self.done.iter().filter(|(name, _)| name.contains(mark));
            return held.map(|(_, times)| times).sum();
        }
        self.done.get(&name(item)).copied().unwrap_or(0)
    }

    fn parked(&self, item: &Item) -> bool {
        let holds = |text: &str| self.parked.iter().any(|bytes| bytes.contains(text));
        match item {
            Item::Message { wamid, .. } => holds(&format!("\"{wamid}\"")),
            Item::Status { wamid, status, .. } => self.parked.iter().any(|bytes| {
                bytes.contains(&format!("\"{wamid}\"")) && bytes.contains(status.as_str())
            }),
            Item::Poison { mark } => holds(mark),
        }
    }
}

fn word(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Sent => "sent",
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Read => "read",
        DeliveryStatus::Failed => "failed",
        DeliveryStatus::Played => "played",
        DeliveryStatus::Unspecified => "unspecified",
    }
}

pub(super) fn check(case: &mut Case<'_>) {
    let effects = Effects::of(case.stores);
    answered(case, &effects);
    refused(case, &effects);
    once(case, &effects);
    order(case);
    statuses(case);
    chain(case);
    parked(case);
}

/// I1, I2.
fn answered(case: &mut Case<'_>, effects: &Effects) {
    let mut seen = BTreeSet::new();
    for entry in case.history {
        let Op::Post {
            id,
            items,
            signed: true,
            ..
        } = &entry.op
        else {
            continue;
        };
        if entry.outcome != Outcome::Ok || !seen.insert(*id) {
            continue;
        }
        let gone: Vec<String> = items
            .iter()
            .filter(|item| effects.done(item) == 0 && !effects.parked(item))
            .map(name)
            .collect();
        if gone.len() == items.len() && !items.is_empty() {
            case.broken(
                "I1",
                format!("POST {id} was answered 200 and is gone: {gone:?}"),
            );
        } else if !gone.is_empty() {
            case.broken(
                "I2",
                format!("of POST {id}, answered 200, is gone: {gone:?}"),
            );
        }
        for item in items
            .iter()
            .filter(|item| effects.done(item) > 0 && effects.parked(item))
        {
            case.broken("I2", format!("{} is done and parked", name(item)));
        }
    }
}

/// Items that may have been taken in: of bodies with a signature that were answered 200, or of which
/// nobody knows.
fn maybe_taken(history: &[Entry]) -> BTreeSet<String> {
    let mut maybe = BTreeSet::new();
    for entry in history {
        if let Op::Post {
            items,
            signed: true,
            ..
        } = &entry.op
            && entry.outcome != Outcome::Fail
        {
            maybe.extend(items.iter().map(name));
        }
    }
    maybe
}

/// Items of bodies with a signature that were refused clearly and never came again: what I30 is
/// asked about.
pub fn refused_for_good(history: &[Entry]) -> BTreeSet<String> {
    let maybe = maybe_taken(history);
    let refused = history.iter().filter_map(|entry| match &entry.op {
        Op::Post {
            items,
            signed: true,
            ..
        } => Some(items.iter().map(name)),
        _ => None,
    });
    refused
        .flatten()
        .filter(|item| !maybe.contains(item))
        .collect()
}

/// I3, I30.
fn refused(case: &mut Case<'_>, effects: &Effects) {
    let maybe = maybe_taken(case.history);
    let mut told = BTreeSet::new();
    for entry in case.history {
        let Op::Post {
            items,
            signed,
            status,
            ..
        } = &entry.op
        else {
            continue;
        };
        for item in items {
            let has_effect = effects.done(item) > 0 || effects.parked(item);
            if !has_effect || maybe.contains(&name(item)) || !told.insert(name(item)) {
                continue;
            }
            if *signed {
                case.broken(
                    "I30",
                    format!("{} was answered {status} and has an effect", name(item)),
                );
            } else {
                case.broken(
                    "I3",
                    format!("{} was not signed and has an effect", name(item)),
                );
            }
        }
    }
}

/// I4.
fn once(case: &mut Case<'_>, effects: &Effects) {
    for (name, times) in effects.done.iter().filter(|(_, times)| **times > 1) {
        case.broken("I4", format!("{name} took effect {times} times"));
    }
}

/// The messages of each customer, in the order of their first 200.
fn admitted(case: &Case<'_>) -> BTreeMap<(String, String), Vec<String>> {
    let mut admitted: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for entry in case.history {
        let Op::Post {
            items,
            signed: true,
            ..
        } = &entry.op
        else {
            continue;
        };
        if entry.outcome != Outcome::Ok {
            continue;
        }
        for item in items {
            if let Item::Message {
                wamid,
                customer,
                number,
            } = item
                && seen.insert(wamid.clone())
            {
                let key = (number.clone(), customer.clone());
                admitted.entry(key).or_default().push(wamid.clone());
            }
        }
    }
    admitted
}

/// The messages a log took in, in its order.
fn ran(log: &[&LogEntry]) -> Vec<String> {
    let received = log.iter().filter_map(|entry| match &entry.event {
        Some(Event::MessageReceived(received)) => received.message.clone(),
        _ => None,
    });
    received
        .map(|message| message.whatsapp_message_id)
        .collect()
}

/// I5, I7. A driver delivers a customer's next message when the last one was answered 200, so the
/// order of admission is known.
fn order(case: &mut Case<'_>) {
    let admitted = admitted(case);
    let contacts: BTreeMap<&str, (String, String)> = case
        .stores
        .conversations
        .iter()
        .map(|conversation| {
            let contact = conversation.contact.clone().unwrap_or_default();
            (
                conversation.id.as_str(),
                (conversation.number_id.clone(), contact.phone),
            )
        })
        .collect();
    let mut broken = Vec::new();
    for (conversation, log) in case.logs() {
        let mut first: Vec<String> = Vec::new();
        for wamid in ran(&log) {
            if !first.contains(&wamid) {
                first.push(wamid);
            } else if first.last() != Some(&wamid) {
                broken.push(("I7", format!("{wamid} ran again after {:?}", first.last())));
            }
        }
        let Some(wanted) = contacts.get(conversation).and_then(|key| admitted.get(key)) else {
            continue;
        };
        let wanted: Vec<&String> = wanted
            .iter()
            .filter(|wamid| first.contains(wamid))
            .collect();
        let known: Vec<&String> = first
            .iter()
            .filter(|wamid| wanted.contains(wamid))
            .collect();
        if wanted != known {
            broken.push((
                "I5",
                format!("{conversation}: admitted {wanted:?}, ran {known:?}"),
            ));
        }
    }
    for (invariant, seen) in broken {
        case.broken(invariant, seen);
    }
}

/// I6.
fn statuses(case: &mut Case<'_>) {
    let mut last: BTreeMap<&str, DeliveryStatus> = BTreeMap::new();
    let mut broken = Vec::new();
    for entry in &case.stores.log {
        let Some(Event::StatusChanged(changed)) = &entry.event else {
            continue;
        };
        let now = changed.status();
        let before = last.insert(&changed.message_id, now);
        let down = before.is_some_and(|before| {
            rank(now) < rank(before) || before == DeliveryStatus::Failed && now != before
        });
        if down {
            broken.push(format!(
                "{}: from {before:?} to {now:?}",
                changed.message_id
            ));
        }
    }
    for message in &case.stores.messages {
        if let Some(last) = last.get(message.id.as_str())
            && *last != message.status()
        {
            let (told, kept) = (*last, message.status());
            broken.push(format!("{}: told {told:?}, kept {kept:?}", message.id));
        }
    }
    for seen in broken {
        case.broken("I6", seen);
    }
}

fn rank(status: DeliveryStatus) -> u8 {
    match status {
        DeliveryStatus::Unspecified => 0,
        DeliveryStatus::Sent => 1,
        DeliveryStatus::Delivered => 2,
        DeliveryStatus::Read => 3,
        DeliveryStatus::Played => 4,
        DeliveryStatus::Failed => 5,
    }
}

/// I8.
fn chain(case: &mut Case<'_>) {
    let mut broken = Vec::new();
    for (conversation, log) in case.logs() {
        let found: Vec<u64> = log.iter().map(|entry| entry.sequence).collect();
        let wanted: Vec<u64> = (1..=found.len() as u64).collect();
        if found != wanted {
            broken.push(format!("{conversation}: the log counts {found:?}"));
        }
        let kept = case
            .stores
            .conversations
            .iter()
            .find(|one| one.id == conversation);
        let kept = kept.map_or(0, |one| one.sequence);
        if kept != found.len() as u64 {
            let entries = found.len();
            broken.push(format!(
                "{conversation}: stands at {kept}, the log has {entries}"
            ));
        }
    }
    for seen in broken {
        case.broken("I8", seen);
    }
}

/// I28, I29.
fn parked(case: &mut Case<'_>) {
    for item in case.stores.parked.clone() {
        if item.payload.is_empty()
            || item.cause.is_empty()
            || item.position.is_empty()
            || item.attempts == 0
        {
            case.broken(
                "I28",
                format!("parked item {} lacks something: {item:?}", item.id),
            );
        }
    }
    if let Some(before) = case.facts.before_replay
        && case.stores.log.len() != before
    {
        let now = case.stores.log.len();
        case.broken(
            "I29",
            format!("the log had {before} entries before replays, {now} after"),
        );
    }
}
