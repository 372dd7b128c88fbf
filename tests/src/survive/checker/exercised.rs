//! How many things each invariant was asked about: one that was asked about nothing has not held, it
//! was not tried.

use std::collections::{BTreeMap, BTreeSet};

use lib_proto::conversations::log_entry::Event;

use super::{Facts, admission, money, outbound};
use crate::survive::history::{Entry, Item, Op, Outcome};
use crate::survive::stores::Stores;

/// Bodies, events, messages, offers and so on that each invariant had before it, by its name.
pub fn exercised(history: &[Entry], stores: &Stores, facts: &Facts) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    let mut put = |names: &[&str], times: usize| {
        asked.extend(names.iter().map(|&name| (name.to_owned(), times)));
    };
    let (taken, unsigned) = posts(history);
    put(&["I1", "I2"], taken.len());
    put(&["I3"], unsigned);
    put(&["I4"], taken.values().sum());
    put(&["I30"], admission::refused_for_good(history).len());

    let events = Events::of(stores);
    put(&["I5", "I7"], events.received);
    put(&["I6"], events.statuses);
    put(&["I8"], stores.conversations.len());
    put(&["I9"], facts.folded);
    let meant = outbound(stores).count();
    put(&["I10", "I11", "I12"], meant);
    put(&["I13"], accepted(history));
    put(&["I14"], events.followed);
    put(&["I15"], events.assigned);
    put(&["I16"], stores.engagements.len());
    put(&["I17"], accepts(history));
    put(&["I18"], stores.agents.len());
    put(&["I19"], events.offers);
    put(
        &["I20"],
        stores
            .offers
            .len()
            .max(usize::from(facts.calm) * events.offers),
    );
    put(&["I21"], events.by_agents);

    let journals = stores.journals.len();
    let told = money::told_of(history).len();
    put(&["I22", "I25", "I26"], journals);
    put(&["I23", "I27"], told);
    put(&["I24"], facts.checkpoint.len());
    put(&["I28"], stores.parked.len());
    let replayed = facts.before_replay.map_or(0, |_| stores.parked.len());
    put(&["I29"], replayed);
    put(&["I34", "I35"], facts.log_lines.len());
    asked
}

/// Events of each body answered 200, and items of bodies without a valid signature.
fn posts(history: &[Entry]) -> (BTreeMap<u64, usize>, usize) {
    let (mut taken, mut unsigned) = (BTreeMap::new(), 0);
    for entry in history {
        match &entry.op {
            Op::Post {
                id,
                items,
                signed: true,
                ..
            } if entry.outcome == Outcome::Ok => {
                taken.insert(*id, items.len());
            }
            Op::Post {
                items,
                signed: false,
                ..
            } => unsigned += items.iter().filter(|item| !is_poison(item)).count(),
            _ => {}
        }
    }
    (taken, unsigned)
}

fn is_poison(item: &Item) -> bool {
    matches!(item, Item::Poison { .. })
}

fn accepted(history: &[Entry]) -> usize {
    let accepted = history.iter();
    accepted
        .filter(|entry| matches!(entry.op, Op::Accepted { .. }))
        .count()
}

fn accepts(history: &[Entry]) -> usize {
    let told = history.iter().filter(|entry| match &entry.op {
        Op::Desk { command, .. } => command == "accept" && entry.outcome == Outcome::Ok,
        _ => false,
    });
    told.count()
}

/// What stands in the log.
#[derive(Default)]
struct Events {
    received: usize,
    statuses: usize,
    assigned: usize,
    offers: usize,
    by_agents: usize,
    /// Messages that left after another of their conversation.
    followed: usize,
}

impl Events {
    fn of(stores: &Stores) -> Self {
        let agents: BTreeSet<&str> = stores.agents.iter().map(|one| one.id.as_str()).collect();
        let mut seen = BTreeSet::new();
        let mut events = Self::default();
        for entry in &stores.log {
            match &entry.event {
                Some(Event::MessageReceived(_)) => events.received += 1,
                Some(Event::StatusChanged(_)) => events.statuses += 1,
                Some(Event::EngagementAssigned(_)) => events.assigned += 1,
                Some(Event::EngagementOffered(_)) => events.offers += 1,
                Some(Event::MessageQueued(queued)) => {
                    let author = queued
                        .message
                        .as_ref()
                        .map(|message| message.author.as_str());
                    events.by_agents += usize::from(author.is_some_and(|who| agents.contains(who)));
                    events.followed += usize::from(!seen.insert(&entry.conversation_id));
                }
                _ => {}
            }
        }
        events
    }
}
