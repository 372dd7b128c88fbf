//! The state of one tenant's routing, and the few ways in which it may change. Everything else in
//! this crate goes through [`Routing::put`], [`Routing::remove`] and [`Routing::change_agent`],
//! which keep the derived indexes right and note what the shell has to store.

use std::collections::{BTreeMap, BTreeSet};

use core_types::{AgentId, EngagementId, QueueId, Timestamp};

use crate::input::{Answer, Effect, Input, Rejection};
use crate::model::{Agent, Engagement, Outcome, Phase, Place};
use crate::queue::Queue;

/// A stored row that differs from what was last taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// A queue.
    Queue(QueueId),
    /// An agent.
    Agent(AgentId),
    /// An engagement.
    Engagement(EngagementId),
}

/// One tenant's queues, agents and engagements.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    queues: BTreeMap<QueueId, Queue>,
    agents: BTreeMap<AgentId, Agent>,
    engagements: BTreeMap<EngagementId, Engagement>,
    /// Derived: who serves a queue.
    members: BTreeMap<QueueId, BTreeSet<AgentId>>,
    /// Derived: the places of those in [`Phase::Waiting`].
    lines: BTreeMap<QueueId, BTreeSet<Place>>,
    /// Derived: what counts against an agent's capacity.
    work: BTreeMap<AgentId, BTreeSet<EngagementId>>,
    /// Derived: ready agents with free capacity.
    free: BTreeSet<AgentId>,
    /// Derived: when open offers expire.
    expiries: BTreeSet<(Timestamp, EngagementId)>,
    /// Derived: when those in line may be offered again to who let them pass.
    rests: BTreeSet<(Timestamp, EngagementId)>,
    /// Derived: agents with more work than capacity.
    overloaded: BTreeSet<AgentId>,
    arrivals: u64,
    touched: BTreeSet<Row>,
}

impl Routing {
    /// The state from stored rows.
    pub fn load(
        queues: impl IntoIterator<Item = Queue>,
        agents: impl IntoIterator<Item = Agent>,
        engagements: impl IntoIterator<Item = Engagement>,
    ) -> Self {
        let mut routing = Self::default();
        for queue in queues {
            routing.put_queue(queue);
        }
        for agent in agents {
            let id = agent.id.clone();
            routing.agents.insert(id.clone(), agent);
            routing.refresh(&id);
        }
        for engagement in engagements {
            routing.arrivals = routing.arrivals.max(engagement.arrival);
            routing.put(engagement);
        }
        routing.touched.clear();
        routing
    }

    /// Takes an input in. What follows from it for those who wait comes with the next
    /// [`Routing::settle`].
    pub fn handle(&mut self, input: Input, now: Timestamp) -> (Answer, Vec<Effect>) {
        let mut effects = Vec::new();
        let answer = match input {
            Input::QueueSet(queue) => self.set_queue(queue, &mut effects),
            Input::QueueDeleted(id) => self.delete_queue(&id),
            Input::Connected { agent, capacity } => {
                self.connect(&agent, capacity, now, &mut effects)
            }
            Input::Disconnected(agent) => self.disconnect(&agent, now, &mut effects),
            Input::Absent(agent) => self.absent(&agent, now, &mut effects),
            Input::PresenceSet { agent, presence } => {
                self.set_presence(&agent, presence, now, &mut effects)
            }
            Input::Accept {
                agent,
                offer,
                epoch,
            } => self.accept(&agent, &offer, epoch, now, &mut effects),
            Input::Decline {
                agent,
                offer,
                epoch,
            } => self.decline(&agent, &offer, epoch, now, &mut effects),
            Input::AssignConfirmed { engagement, offer } => {
                self.assign_confirmed(&engagement, &offer, now, &mut effects)
            }
            Input::LogRefused {
                engagement,
                offer,
                assignment,
                reason,
            } => self.log_refused(&engagement, &offer, (assignment, reason), &mut effects),
            Input::Log(fact) => self.log_fact(fact, now, &mut effects),
            Input::Restarted => self.restart(),
            Input::CaughtUp => self.caught_up(&mut effects),
        };
        (answer, effects)
    }

    /// The rows that changed since this was last called.
    pub fn take_touched(&mut self) -> BTreeSet<Row> {
        std::mem::take(&mut self.touched)
    }

    /// When [`Routing::settle`] has something to do next without an input.
    pub fn next_due(&self) -> Option<Timestamp> {
        let firsts = [self.expiries.first(), self.rests.first()];
        firsts.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// A queue.
    pub fn queue(&self, id: &QueueId) -> Option<&Queue> {
        self.queues.get(id)
    }

    /// Every queue, by id.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values()
    }

    /// An agent who has been seen.
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id)
    }

    /// Every agent who has been seen, by id.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// An engagement that waits or is served.
    pub fn engagement(&self, id: &EngagementId) -> Option<&Engagement> {
        self.engagements.get(id)
    }

    /// Every engagement that waits or is served, by id.
    pub fn engagements(&self) -> impl Iterator<Item = &Engagement> {
        self.engagements.values()
    }

    /// What counts against an agent's capacity: offered, accepted, assigned and in wrap-up.
    pub fn work_of(&self, agent: &AgentId) -> impl Iterator<Item = &Engagement> {
        self.work
            .get(agent)
            .into_iter()
            .flatten()
            .filter_map(|id| self.engagements.get(id))
    }

    /// How much counts against an agent's capacity.
    pub fn load_of(&self, agent: &AgentId) -> u32 {
        let count = self.work.get(agent).map_or(0, BTreeSet::len);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Who waits in a queue, first in line first; also those offered to somebody.
    pub fn waiting_in(&self, queue: &QueueId) -> Vec<&Engagement> {
        let mut waiting: Vec<&Engagement> = self
            .engagements
            .values()
            .filter(|engagement| engagement.is_waiting() && engagement.queue == *queue)
            .collect();
        waiting.sort_by_cached_key(|engagement| engagement.place());
        waiting
    }

    pub(crate) fn members_of(&self, queue: &QueueId) -> impl Iterator<Item = &AgentId> {
        self.members.get(queue).into_iter().flatten()
    }

    pub(crate) fn serves(&self, agent: &AgentId, queue: &QueueId) -> bool {
        self.members
            .get(queue)
            .is_some_and(|members| members.contains(agent))
    }

    pub(crate) fn lines(&self) -> &BTreeMap<QueueId, BTreeSet<Place>> {
        &self.lines
    }

    pub(crate) fn free(&self) -> &BTreeSet<AgentId> {
        &self.free
    }

    /// The engagement whose open offer expires first, if that is due.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Engagement> {
        let (at, id) = self.expiries.first()?;
        if *at > now {
            return None;
        }
        self.engagements.get(id).cloned()
    }

    /// One in line whose pause is over.
    pub(crate) fn rested(&self, now: Timestamp) -> Option<Engagement> {
        let (_, id) = self.rests.first().filter(|(at, _)| *at <= now)?;
        self.engagements.get(id).cloned()
    }

    /// Agents with more work than capacity.
    pub(crate) fn overloaded(&self) -> Vec<AgentId> {
        self.overloaded.iter().cloned().collect()
    }

    pub(crate) fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Stores an engagement in place of what was known of it.
    pub(crate) fn put(&mut self, engagement: Engagement) {
        let id = engagement.id.clone();
        self.unlink(&id);
        match &engagement.phase {
            Phase::Waiting => {
                let line = self.lines.entry(engagement.queue.clone()).or_default();
                line.insert(engagement.place());
                if let Some(at) = engagement.rests_until {
                    self.rests.insert((at, id.clone()));
                }
            }
            Phase::Offered { offer } => {
                self.expiries.insert((offer.expires_at, id.clone()));
            }
            _ => {}
        }
        if let Some(agent) = engagement.agent().cloned() {
            self.work
                .entry(agent.clone())
                .or_default()
                .insert(id.clone());
            self.refresh(&agent);
        }
        self.touched.insert(Row::Engagement(id.clone()));
        self.engagements.insert(id, engagement);
    }

    /// Forgets an engagement.
    pub(crate) fn remove(&mut self, id: &EngagementId) -> Option<Engagement> {
        let removed = self.unlink(id)?;
        self.touched.insert(Row::Engagement(id.clone()));
        Some(removed)
    }

    fn unlink(&mut self, id: &EngagementId) -> Option<Engagement> {
        let old = self.engagements.remove(id)?;
        if let Some(line) = self.lines.get_mut(&old.queue) {
            line.remove(&old.place());
            if line.is_empty() {
                self.lines.remove(&old.queue);
            }
        }
        if let Some(at) = old.rests_until {
            self.rests.remove(&(at, id.clone()));
        }
        if let Some(offer) = old.offer() {
            self.expiries.remove(&(offer.expires_at, id.clone()));
        }
        if let Some(agent) = old.agent() {
            if let Some(work) = self.work.get_mut(agent) {
                work.remove(id);
                if work.is_empty() {
                    self.work.remove(agent);
                }
            }
            self.refresh(agent);
        }
        Some(old)
    }

    /// Changes an agent; one not seen before is made first.
    pub(crate) fn change_agent(
        &mut self,
        id: &AgentId,
        now: Timestamp,
        change: impl FnOnce(&mut Agent),
    ) {
        let agent = self
            .agents
            .entry(id.clone())
            .or_insert_with(|| Agent::new(id.clone(), now));
        change(agent);
        self.touched.insert(Row::Agent(id.clone()));
        self.refresh(id);
    }

    /// Brings [`Self::free`] and [`Self::overloaded`] up to date for one agent.
    fn refresh(&mut self, id: &AgentId) {
        let load = self.load_of(id);
        let agent = self.agents.get(id);
        let free = agent.is_some_and(|agent| agent.is_ready() && load < agent.capacity);
        if agent.is_some_and(|agent| load > agent.capacity) {
            self.overloaded.insert(id.clone());
        } else {
            self.overloaded.remove(id);
        }
        if free {
            self.free.insert(id.clone());
        } else {
            self.free.remove(id);
        }
    }

    fn put_queue(&mut self, queue: Queue) {
        let members = queue.agents.iter().cloned().collect();
        self.members.insert(queue.id.clone(), members);
        self.touched.insert(Row::Queue(queue.id.clone()));
        self.queues.insert(queue.id.clone(), queue);
    }

    fn set_queue(&mut self, queue: Queue, effects: &mut Vec<Effect>) -> Answer {
        let id = queue.id.clone();
        self.put_queue(queue);
        let stray = self.open_offers(|this, engagement| {
            engagement.queue == id
                && engagement
                    .agent()
                    .is_some_and(|agent| !this.serves(agent, &id))
        });
        for engagement in stray {
            self.take_back(&engagement, "the agent no longer serves the queue", effects);
        }
        Answer::Done
    }

    fn delete_queue(&mut self, id: &QueueId) -> Answer {
        let waiting = self.waiting_in(id).len();
        if waiting > 0 {
            return Answer::Rejected(Rejection::QueueNotEmpty(waiting));
        }
        if self.queues.remove(id).is_some() {
            self.members.remove(id);
            self.touched.insert(Row::Queue(id.clone()));
        }
        Answer::Done
    }

    /// Engagements with an open offer (not yet accepted) for which `wanted` holds.
    pub(crate) fn open_offers(
        &self,
        wanted: impl Fn(&Self, &Engagement) -> bool,
    ) -> Vec<EngagementId> {
        self.expiries
            .iter()
            .filter_map(|(_, id)| self.engagements.get(id))
            .filter(|engagement| wanted(self, engagement))
            .map(|engagement| engagement.id.clone())
            .collect()
    }

    /// Withdraws an open offer; the engagement keeps its place.
    pub(crate) fn take_back(&mut self, id: &EngagementId, why: &str, effects: &mut Vec<Effect>) {
        let Some(mut engagement) = self.engagements.get(id).cloned() else {
            return;
        };
        let Phase::Offered { offer } = engagement.phase else {
            return;
        };
        engagement.phase = Phase::Waiting;
        self.put(engagement);
        effects.push(Effect::Ended {
            offer,
            outcome: Outcome::Withdrawn,
            because: why.to_owned(),
            tell_log: true,
        });
    }
}
