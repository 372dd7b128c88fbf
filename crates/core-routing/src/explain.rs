//! Why: in a few words, for agents and supervisors.

use std::time::Duration;

use core_types::{AgentId, QueueId, Timestamp};

use crate::model::{Agent, Engagement, Phase};
use crate::state::Routing;

impl Routing {
    /// Why `agent` is offered `engagement`. Read before the offer counts against capacity.
    pub(crate) fn offer_reason(
        &self,
        engagement: &Engagement,
        agent: &AgentId,
        now: Timestamp,
    ) -> String {
        let ready = self.ready_in(&engagement.queue).count();
        let load = self.load_of(agent);
        let (idle_since, capacity) = self
            .agent(agent)
            .map_or((now, 1), |agent| (agent.idle_since, agent.capacity));
        let idle = span(now.since(idle_since));
        let free = self.free_in(&engagement.queue).len();
        let choice = match (ready, free) {
            (1, _) => "the only ready agent".to_owned(),
            (_, 1) => format!("the only one of {ready} ready agents with free capacity"),
            _ if load == 0 => format!("longest idle of {ready} ready agents"),
            _ => format!("longest without new work of {ready} ready agents"),
        };
        let measure = if load == 0 {
            format!("idle {idle}")
        } else {
            format!("serves {load} of {capacity}")
        };
        match engagement.passed_by.len() {
            1 if engagement.offers == 0 => {
                format!("{choice} ({measure}); not to the one who transferred it")
            }
            0 => format!("{choice} ({measure})"),
            1 => format!("{choice} ({measure}); 1 agent let it pass"),
            passed => format!("{choice} ({measure}); {passed} agents let it pass"),
        }
    }

    /// Why an engagement still waits.
    pub fn explain(&self, engagement: &Engagement) -> String {
        match &engagement.phase {
            Phase::Waiting => self.explain_waiting(engagement),
            Phase::Offered { offer } => format!(
                "offered to {} until {}: {}",
                offer.agent, offer.expires_at, offer.reason
            ),
            Phase::Accepting { offer } => {
                format!("{} has accepted; it is being assigned", offer.agent)
            }
            Phase::Held { reason } => format!(
                "the conversation log refused the last offer ({reason}); waiting for its word"
            ),
            Phase::Assigned { agent, .. } => format!("assigned to {agent}"),
            Phase::WrapUp { agent, .. } => format!("{agent} wraps it up"),
        }
    }

    fn explain_waiting(&self, engagement: &Engagement) -> String {
        let id = &engagement.queue;
        let Some(queue) = self.queue(id) else {
            return format!("queue `{id}` does not exist; create it or transfer the engagement");
        };
        let name = &queue.name;
        if queue.agents.is_empty() {
            return format!("no agent serves {name}; add agents to the queue");
        }
        let free = self.free_in(id);
        match (self.ready_in(id).count(), engagement.rests_until) {
            (0, _) => format!("no agent of {name} is ready"),
            (_, Some(at)) if !free.is_empty() => {
                format!("every free agent of {name} has let it pass; asked again at {at}")
            }
            _ if !free.is_empty() => "about to be offered".to_owned(),
            (1, _) => format!("the only ready agent of {name} is at capacity"),
            (ready, _) => format!("all {ready} ready agents of {name} are at capacity"),
        }
    }

    /// Ready agents of a queue.
    pub fn ready_in(&self, queue: &QueueId) -> impl Iterator<Item = &Agent> {
        self.members_of(queue)
            .filter_map(|agent| self.agent(agent))
            .filter(|agent| agent.is_ready())
    }

    /// How many more engagements the ready agents of a queue could take.
    pub fn free_capacity_in(&self, queue: &QueueId) -> u32 {
        self.ready_in(queue)
            .map(|agent| agent.capacity.saturating_sub(self.load_of(&agent.id)))
            .sum()
    }
}

/// A span as people say it: `40 s`, `4 min`, `2 h`.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
