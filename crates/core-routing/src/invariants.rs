//! What must hold of a [`Routing`] whatever happened (`reliability.md` 3.4, I15 to I20). Used by
//! property tests and by outside checkers.

use std::collections::{BTreeMap, BTreeSet};

use core_types::{AgentId, EngagementId};

use crate::model::{Engagement, Phase};
use crate::state::Routing;

/// Every breach of what must always hold, in words; empty when all is well.
pub fn check(routing: &Routing) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut load: BTreeMap<&AgentId, BTreeSet<&EngagementId>> = BTreeMap::new();
    for engagement in routing.engagements() {
        if let Some(agent) = engagement.agent() {
            load.entry(agent).or_default().insert(&engagement.id);
        }
        let in_line = routing
            .lines()
            .get(&engagement.queue)
            .is_some_and(|line| line.contains(&engagement.place()));
        if in_line != (engagement.phase == Phase::Waiting) {
            breaches.push(format!("{}: in line is {in_line}", engagement.id));
        }
        if let Phase::Offered { offer } | Phase::Accepting { offer } = &engagement.phase
            && (offer.engagement != engagement.id || offer.epoch != engagement.epoch)
        {
            breaches.push(format!("{}: its offer is another's", engagement.id));
        }
    }
    let lines: usize = routing.lines().values().map(BTreeSet::len).sum();
    let waiting = |engagement: &&Engagement| engagement.phase == Phase::Waiting;
    if lines != routing.engagements().filter(waiting).count() {
        breaches.push(format!("{lines} places in line, but not as many waiting"));
    }
    for agent in routing.agents() {
        let counted = load.get(&agent.id).map_or(0, BTreeSet::len);
        if counted != routing.load_of(&agent.id) as usize {
            breaches.push(format!("{}: load is not {counted}", agent.id));
        }
        let over = counted > agent.capacity as usize;
        if over != routing.overloaded().contains(&agent.id) {
            breaches.push(format!("{}: overloaded is not {over}", agent.id));
        }
        let free = agent.is_ready() && counted < agent.capacity as usize;
        if free != routing.free().contains(&agent.id) {
            breaches.push(format!("{}: free is not {free}", agent.id));
        }
    }
    breaches
}

/// What must also hold right after [`Routing::settle`]: nobody waits for whom an agent is free who
/// has not just let it pass, open offers are only with ready agents who serve the queue, and no
/// open offer exceeds a capacity.
pub fn check_settled(routing: &Routing) -> Vec<String> {
    let mut breaches = check(routing);
    for engagement in routing.engagements() {
        match &engagement.phase {
            Phase::Waiting
                if routing
                    .free_in(&engagement.queue)
                    .iter()
                    .any(|agent| engagement.may_ask(agent)) =>
            {
                breaches.push(format!("{} waits though an agent is free", engagement.id));
            }
            Phase::Offered { offer } => {
                let ready = routing
                    .agent(&offer.agent)
                    .is_some_and(crate::model::Agent::is_ready);
                if !ready || !routing.serves(&offer.agent, &engagement.queue) {
                    breaches.push(format!(
                        "{} is offered to one who cannot take it",
                        engagement.id
                    ));
                }
            }
            _ => {}
        }
    }
    for agent in routing.overloaded() {
        let offered = |engagement: &Engagement| matches!(engagement.phase, Phase::Offered { .. });
        if routing.work_of(&agent).any(offered) {
            breaches.push(format!("{agent} is offered more than the capacity holds"));
        }
    }
    breaches
}
