//! I15 to I21: who serves whom.

use std::collections::BTreeMap;

use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{EngagementState, LogEntry, Message};

use super::Case;
use crate::survive::history::{Op, Outcome};

pub(super) fn check(case: &mut Case<'_>) {
    let mut broken = Vec::new();
    owners(case, &mut broken);
    between(case, &mut broken);
    places(case, &mut broken);
    told_ok(case, &mut broken);
    offers(case, &mut broken);
    turns(case, &mut broken);
    kept_places(case, &mut broken);
    for (invariant, seen) in broken {
        case.broken(invariant, seen);
    }
}

type Broken = Vec<(&'static str, String)>;

fn by_engagement<'a>(case: &'a Case<'_>) -> BTreeMap<&'a str, Vec<&'a LogEntry>> {
    let mut logs: BTreeMap<&str, Vec<&LogEntry>> = BTreeMap::new();
    for entry in &case.stores.log {
        if !entry.engagement_id.is_empty() {
            logs.entry(&entry.engagement_id).or_default().push(entry);
        }
    }
    logs
}

/// I15, I21.
fn owners(case: &Case<'_>, broken: &mut Broken) {
    for (engagement, log) in by_engagement(case) {
        let mut owner: Option<&str> = None;
        let mut wrapping = false;
        for entry in log {
            match &entry.event {
                Some(Event::EngagementAssigned(assigned)) => {
                    if let Some(owner) = owner {
                        let second = &assigned.agent_id;
                        broken.push((
                            "I15",
                            format!("{engagement}: {owner} owns it and {second} gets it"),
                        ));
                    }
                    owner = Some(&assigned.agent_id);
                    wrapping = false;
                }
                Some(Event::EngagementQueued(_) | Event::EngagementClosed(_)) => owner = None,
                Some(Event::WrapUpStarted(_)) => wrapping = true,
                Some(Event::MessageQueued(queued)) => {
                    let message = queued.message.clone().unwrap_or_default();
                    if by_agent(case, &message) && owner != Some(message.author.as_str()) {
                        let author = &message.author;
                        broken.push(("I21", format!("{engagement}: {author} wrote {}, owner {owner:?}, wrap-up {wrapping}", message.id)));
                    }
                }
                _ => {}
            }
        }
    }
}

fn by_agent(case: &Case<'_>, message: &Message) -> bool {
    let mut agents = case.stores.agents.iter();
    agents.any(|agent| agent.id == message.author)
}

/// I21: after the end of an engagement, and before the next, no agent has anything to say.
fn between(case: &Case<'_>, broken: &mut Broken) {
    for entry in &case.stores.log {
        let Some(Event::MessageQueued(queued)) = &entry.event else {
            continue;
        };
        let message = queued.message.clone().unwrap_or_default();
        if entry.engagement_id.is_empty() && by_agent(case, &message) {
            let (author, id) = (&message.author, &message.id);
            broken.push(("I21", format!("{author} wrote {id} in no engagement")));
        }
    }
}

/// I16, I18: the log's state, the queues and the agents' loads tell the same.
fn places(case: &Case<'_>, broken: &mut Broken) {
    let mut loads: BTreeMap<&str, u32> = BTreeMap::new();
    for engagement in &case.stores.engagements {
        let queues = case
            .stores
            .queues
            .iter()
            .flat_map(|queue| queue.waiting.iter().map(move |waiting| (queue, waiting)));
        let waiting: Vec<_> = queues
            .filter(|(_, waiting)| waiting.engagement_id == engagement.id)
            .collect();
        let state = engagement.state();
        let wanted = usize::from(matches!(
            state,
            EngagementState::Queued | EngagementState::Offered
        ));
        if waiting.len() != wanted {
            let id = &engagement.id;
            broken.push((
                "I16",
                format!("{id}: {state:?}, but waits in {} queues", waiting.len()),
            ));
        } else if let Some((queue, _)) = waiting.first()
            && queue.queue_id != engagement.queue_id
        {
            let (id, queue, wanted) = (&engagement.id, &queue.queue_id, &engagement.queue_id);
            broken.push(("I16", format!("{id}: waits in {queue} instead of {wanted}")));
        }
        if matches!(state, EngagementState::Assigned | EngagementState::WrapUp) {
            *loads.entry(&engagement.agent_id).or_default() += 1;
        }
        let offered = waiting
            .first()
            .map(|(_, waiting)| waiting.offered_to.as_str());
        if let Some(agent) = offered.filter(|agent| !agent.is_empty()) {
            *loads.entry(agent).or_default() += 1;
        }
    }
    for agent in &case.stores.agents {
        let load = loads.remove(agent.id.as_str()).unwrap_or(0);
        if agent.load != load {
            broken.push((
                "I18",
                format!("{}: load {} instead of {load}", agent.id, agent.load),
            ));
        }
        if agent.load > agent.capacity {
            broken.push((
                "I18",
                format!("{}: load {} of {}", agent.id, agent.load, agent.capacity),
            ));
        }
    }
    for (agent, load) in loads {
        broken.push((
            "I18",
            format!("{agent}: unknown to routing, but holds {load}"),
        ));
    }
}

/// I17: an agent who was told `ok` is in the log, once; one who was told nothing but `no` is not.
fn told_ok(case: &Case<'_>, broken: &mut Broken) {
    let mut answers: BTreeMap<(&str, &str), Vec<Outcome>> = BTreeMap::new();
    for entry in case.history {
        let Op::Desk {
            agent,
            command,
            offer,
            ..
        } = &entry.op
        else {
            continue;
        };
        if command == "accept" {
            let told = answers.entry((agent, offer)).or_default();
            told.push(entry.outcome);
        }
    }
    for ((agent, offer), told) in answers {
        let assigned = case.stores.log.iter().filter(|entry| match &entry.event {
            Some(Event::EngagementAssigned(assigned)) => {
                assigned.offer_id == offer && assigned.agent_id == agent
            }
            _ => false,
        });
        let times = assigned.count();
        if told.contains(&Outcome::Ok) && times != 1 {
            broken.push((
                "I17",
                format!("{agent} was told `ok` for {offer}; the log says so {times} times"),
            ));
        }
        if told.iter().all(|one| *one == Outcome::Fail) && times != 0 {
            broken.push((
                "I17",
                format!("{agent} was told `no` for {offer}; the log gave it"),
            ));
        }
    }
}

fn micros(at: Option<&prost_types::Timestamp>) -> i128 {
    at.map_or(0, |at| {
        i128::from(at.seconds) * 1_000_000 + i128::from(at.nanos) / 1_000
    })
}

/// I19: an offer ends, and not later than its time and what faults added.
fn offers(case: &Case<'_>, broken: &mut Broken) {
    let slack = case.facts.offer_slack.as_micros() as i128;
    let end = case
        .stores
        .log
        .iter()
        .map(|entry| micros(entry.recorded_at.as_ref()))
        .max()
        .unwrap_or(0);
    for (engagement, log) in by_engagement(case) {
        let mut open: Option<(&str, i128)> = None;
        for entry in log {
            match &entry.event {
                Some(Event::EngagementOffered(offered)) => {
                    open = Some((&offered.offer_id, micros(offered.expires_at.as_ref())));
                }
                Some(
                    Event::OfferEnded(_)
                    | Event::EngagementAssigned(_)
                    | Event::EngagementClosed(_)
                    | Event::EngagementQueued(_),
                ) => {
                    let at = micros(entry.recorded_at.as_ref());
                    if let Some((offer, expires)) = open.take()
                        && at > expires + slack
                    {
                        let late = (at - expires) / 1_000;
                        broken.push((
                            "I19",
                            format!("{engagement}: {offer} ended {late} ms after its time"),
                        ));
                    }
                }
                _ => {}
            }
        }
        if let Some((offer, expires)) = open
            && end > expires + slack
        {
            broken.push((
                "I19",
                format!("{engagement}: {offer} has expired and was never ended"),
            ));
        }
    }
}

/// I20: whoever is offered again keeps the place that the log gave.
fn kept_places(case: &Case<'_>, broken: &mut Broken) {
    let mut given: BTreeMap<(&str, u32), i128> = BTreeMap::new();
    for entry in &case.stores.log {
        if let Some(Event::EngagementQueued(queued)) = &entry.event {
            let key = (entry.engagement_id.as_str(), queued.epoch);
            given.insert(key, micros(queued.queued_at.as_ref()));
        }
    }
    for offer in &case.stores.offers {
        let shown = micros(offer.queued_at.as_ref());
        let key = (offer.engagement_id.as_str(), offer.epoch);
        // A millisecond for clocks that are stored coarser than told.
        if given
            .get(&key)
            .is_some_and(|given| (given - shown).abs() > 1_000)
        {
            broken.push((
                "I20",
                format!("{}: its place in line was changed", offer.id),
            ));
        }
    }
}

/// How long routing may take to hear of an engagement that another replica queued.
const HEARD_WITHIN: i128 = 500_000;

/// I20: of one queue, who came first was offered first, once routing could know.
fn turns(case: &Case<'_>, broken: &mut Broken) {
    if !case.facts.calm {
        return;
    }
    let mut entered: BTreeMap<&str, (String, i128)> = BTreeMap::new();
    let mut first: BTreeMap<String, Vec<(i128, i128, &str)>> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for entry in &case.stores.log {
        match &entry.event {
            Some(Event::EngagementQueued(queued)) if queued.epoch == 1 => {
                let at = micros(queued.queued_at.as_ref());
                entered.insert(&entry.engagement_id, (queued.queue_id.clone(), at));
            }
            Some(Event::EngagementOffered(_)) if seen.insert(&entry.engagement_id) => {
                if let Some((queue, at)) = entered.get(entry.engagement_id.as_str()) {
                    let offered = micros(entry.recorded_at.as_ref());
                    let line = first.entry(queue.clone()).or_default();
                    line.push((*at, offered, &entry.engagement_id));
                }
            }
            _ => {}
        }
    }
    for (queue, mut line) in first {
        line.sort_unstable();
        for pair in line.windows(2) {
            let ((came, offered, one), (_, earlier, other)) = (pair[0], pair[1]);
            if earlier < offered && came + HEARD_WITHIN < earlier {
                broken.push((
                    "I20",
                    format!("{queue}: {one} came before {other} and was offered after"),
                ));
            }
        }
    }
}
