//! Whatever agents, the log and time do: no engagement has two owners, none is lost, capacity
//! holds, first come is first offered, and stored rows give the same state again.
#![expect(clippy::unwrap_used, reason = "a test whose set-up fails must fail")]

mod step;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use core_routing::{
    Answer, Effect, Engagement, Input, LogFact, Offer, Outcome, PAUSE, Phase, Presence, Queue,
    QueuedFact, Routing, Row, invariants,
};
use core_types::{
    AgentId, ContactIdentity, ConversationId, EngagementId, OfferId, QueueId, Timestamp,
};
use proptest::prelude::*;

use crate::step::{AGENTS, QUEUES, Step, step};

fn agent(index: usize) -> AgentId {
    AgentId::new(AGENTS[index]).unwrap()
}

/// The world outside: what the log holds, written down without the code under test.
struct World {
    routing: Routing,
    now: Timestamp,
    /// Every engagement the log has not closed, with its epoch.
    open: BTreeMap<EngagementId, u32>,
    /// Where each stands in line: priority, time, order of the log.
    places: BTreeMap<EngagementId, (Reverse<i32>, Timestamp, u32)>,
    /// Who owns what by the log.
    owners: BTreeMap<EngagementId, AgentId>,
    /// Everything ever offered.
    offers: Vec<Offer>,
    /// Offers that were made and of whose end nobody has been told.
    standing: BTreeSet<OfferId>,
    /// Until when an agent is not to be asked again.
    pauses: BTreeMap<(EngagementId, AgentId), Timestamp>,
    /// Assignments asked for and not yet answered.
    asked: Vec<Offer>,
    ids: BTreeSet<String>,
    stored: BTreeMap<String, String>,
    created: u32,
    placed: u32,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            routing: Routing::default(),
            now: Timestamp::from_seconds(1_000_000).unwrap(),
            open: BTreeMap::new(),
            places: BTreeMap::new(),
            owners: BTreeMap::new(),
            offers: Vec::new(),
            standing: BTreeSet::new(),
            pauses: BTreeMap::new(),
            asked: Vec::new(),
            ids: BTreeSet::new(),
            stored: BTreeMap::new(),
            created: 0,
            placed: 0,
        };
        world.change_queue(0, 0b0111);
        world.change_queue(1, 0b1110);
        world
    }

    fn change_queue(&mut self, index: usize, agents: u8) {
        let queue = Queue {
            id: QueueId::new(QUEUES[index]).unwrap(),
            name: QUEUES[index].to_owned(),
            agents: (0..AGENTS.len())
                .filter(|bit| agents & (1 << bit) != 0)
                .map(agent)
                .collect(),
            offer_seconds: 10 + u32::from(agents % 3) * 10,
            wrap_up_seconds: 0,
            dispositions: Vec::new(),
        };
        self.run(Input::QueueSet(queue));
    }

    fn run(&mut self, input: Input) -> Answer {
        let (answer, effects) = self.routing.handle(input, self.now);
        self.see(effects, false);
        answer
    }

    fn settle(&mut self) {
        let effects = self.routing.settle(self.now);
        self.see(effects, true);
        assert_eq!(
            invariants::check_settled(&self.routing),
            Vec::<String>::new()
        );
    }

    fn see(&mut self, effects: Vec<Effect>, settling: bool) {
        for effect in effects {
            match effect {
                Effect::Offered(offer) => {
                    assert!(settling, "offers are made only when settling");
                    self.check_offer(&offer);
                    self.standing.insert(offer.id.clone());
                    self.offers.push(offer);
                }
                Effect::AskAssign { offer, .. } => {
                    assert!(!self.asked.contains(&offer), "asked twice");
                    self.check_acceptance(&offer.agent);
                    self.asked.push(offer);
                }
                Effect::Assigned {
                    agent,
                    engagement,
                    offer,
                } => {
                    assert_eq!(self.owners.get(&engagement), Some(&agent));
                    assert!(self.standing.remove(&offer.unwrap()));
                }
                Effect::Ended {
                    offer,
                    outcome,
                    tell_log,
                    ..
                } => {
                    assert!(self.standing.remove(&offer.id), "ended twice");
                    if tell_log {
                        self.passed(&offer, outcome);
                    }
                }
                Effect::PresenceChanged {
                    agent,
                    presence: Presence::Ready,
                } => self.pauses.retain(|(_, who), _| *who != agent),
                _ => {}
            }
        }
    }

    fn passed(&mut self, offer: &Offer, outcome: Outcome) {
        if matches!(outcome, Outcome::Declined | Outcome::Expired) {
            let who = (offer.engagement.clone(), offer.agent.clone());
            self.pauses.insert(who, self.now.plus(PAUSE));
        }
    }

    /// Whether `agent` has let it pass so shortly ago that nobody may ask again.
    fn pauses(&self, engagement: &Engagement, agent: &AgentId) -> bool {
        engagement
            .rests_until
            .is_some_and(|until| until > self.now && engagement.passed_by.contains(agent))
    }

    /// No acceptance makes what the agent serves more than the capacity of that moment.
    fn check_acceptance(&self, agent: &AgentId) {
        let offered = |engagement: &&Engagement| matches!(engagement.phase, Phase::Offered { .. });
        let serves = self.routing.work_of(agent).filter(|e| !offered(e)).count();
        let capacity = self.routing.agent(agent).unwrap().capacity as usize;
        assert!(serves <= capacity, "{agent} serves {serves} of {capacity}");
    }

    fn check_offer(&mut self, offer: &Offer) {
        assert!(self.ids.insert(offer.id.to_string()), "an id twice");
        assert!(
            !self.owners.contains_key(&offer.engagement),
            "it has an owner"
        );
        let agent = self.routing.agent(&offer.agent).unwrap();
        assert!(agent.is_ready() || offer.expires_at <= self.now);
        assert!(
            self.routing.load_of(&offer.agent) <= agent.capacity,
            "capacity exceeded"
        );
        let who = (offer.engagement.clone(), offer.agent.clone());
        let pause = self.pauses.get(&who);
        assert!(pause.is_none_or(|until| *until <= self.now), "asked again");
        // Nobody earlier in the same line still waits unoffered while this one is, but for those
        // whom this agent has just let pass.
        let place = self.places[&offer.engagement];
        for other in self.routing.engagements() {
            let passed_over = other.queue == offer.queue
                && other.phase == Phase::Waiting
                && !self.pauses(other, &offer.agent)
                && self.places[&other.id] < place;
            assert!(!passed_over, "{} was first", other.id);
        }
    }

    fn pick(&self, index: usize) -> Option<EngagementId> {
        let count = self.open.len();
        (count > 0).then(|| self.open.keys().nth(index % count).unwrap().clone())
    }

    fn enqueue(&mut self, id: EngagementId, epoch: u32, queue: usize, priority: i32) {
        self.open.insert(id.clone(), epoch);
        self.pauses.retain(|(engagement, _), _| *engagement != id);
        if let Some(owner) = self.owners.remove(&id) {
            self.pauses
                .insert((id.clone(), owner), self.now.plus(PAUSE));
        }
        self.placed += 1;
        let place = (Reverse(priority), self.now, self.placed);
        self.places.insert(id.clone(), place);
        self.run(Input::Log(LogFact::Queued(QueuedFact {
            conversation: ConversationId::new(id.as_str()).unwrap(),
            engagement: id,
            epoch,
            queue: QueueId::new(QUEUES[queue]).unwrap(),
            priority,
            queued_at: self.now,
            contact: ContactIdentity::default(),
            summary: String::new(),
        })));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(seconds) => self.now = self.now.plus(Duration::from_secs(seconds)),
            Step::Enqueue { queue, priority } => {
                self.created += 1;
                let id = EngagementId::new(format!("c{:03}.e1", self.created)).unwrap();
                self.enqueue(id, 1, queue, priority);
            }
            Step::Transfer { engagement, queue } => {
                if let Some(id) = self.pick(engagement) {
                    let epoch = self.open[&id] + 1;
                    self.enqueue(id, epoch, queue, 0);
                }
            }
            Step::Close { engagement } => {
                if let Some(id) = self.pick(engagement) {
                    self.open.remove(&id);
                    self.owners.remove(&id);
                    self.run(Input::Log(LogFact::Closed(id)));
                }
            }
            Step::WrapUp { engagement } => {
                if let Some(id) = self
                    .pick(engagement)
                    .filter(|id| self.owners.contains_key(id))
                {
                    let epoch = self.open[&id];
                    self.run(Input::Log(LogFact::WrapUp {
                        engagement: id,
                        epoch,
                        until: None,
                    }));
                }
            }
            Step::Answer {
                offer,
                agent: other,
                accept,
                own,
            } => self.answer(offer, agent(other), accept, own),
            Step::LogAnswers { accepted } => self.log_answers(accepted),
            Step::LogEnds { offer, declined } => self.log_ends(offer, declined),
            Step::ChangeQueue { queue, agents } => self.change_queue(queue, agents),
            Step::DeleteQueue { queue } => {
                let id = QueueId::new(QUEUES[queue]).unwrap();
                self.run(Input::QueueDeleted(id));
            }
            other => self.agent_step(other),
        }
    }

    fn agent_step(&mut self, step: Step) {
        match step {
            Step::Connect {
                agent: who,
                capacity,
            } => {
                let (agent, capacity) = (agent(who), Some(capacity));
                self.run(Input::Connected { agent, capacity });
            }
            Step::Leave { agent: who, absent } => {
                self.run(Input::Disconnected(agent(who)));
                if absent {
                    self.run(Input::Absent(agent(who)));
                }
            }
            Step::Presence { agent: who, ready } => {
                let presence = if ready {
                    Presence::Ready
                } else {
                    Presence::NotReady
                };
                let agent = agent(who);
                self.run(Input::PresenceSet { agent, presence });
            }
            _ => {
                self.run(Input::Restarted);
                self.run(Input::CaughtUp);
            }
        }
    }

    fn answer(&mut self, index: usize, other: AgentId, accept: bool, own: bool) {
        if self.offers.is_empty() {
            return;
        }
        // Mostly one of the last few: old ones are gone.
        let recent = self.offers.len().min(6);
        let offer = self.offers[self.offers.len() - 1 - index % recent].clone();
        let agent = if own { offer.agent.clone() } else { other };
        let foreign = agent != offer.agent;
        let (offer, epoch) = (offer.id, offer.epoch);
        let answer = self.run(if accept {
            Input::Accept {
                agent,
                offer,
                epoch,
            }
        } else {
            Input::Decline {
                agent,
                offer,
                epoch,
            }
        });
        assert!(!foreign || matches!(answer, Answer::Rejected(_)));
    }

    /// The log decides as it must: the first assignment of the present epoch wins.
    fn log_answers(&mut self, accepted: bool) {
        if self.asked.is_empty() {
            return;
        }
        let offer = self.asked.remove(0);
        let (engagement, id) = (offer.engagement.clone(), offer.id.clone());
        let possible = self.open.get(&engagement) == Some(&offer.epoch)
            && !self.owners.contains_key(&engagement);
        if accepted && possible {
            self.owners.insert(engagement.clone(), offer.agent);
            self.run(Input::AssignConfirmed {
                engagement,
                offer: id,
            });
        } else {
            let reason = if possible { "BUSY" } else { "STALE_EPOCH" }.to_owned();
            self.run(Input::LogRefused {
                engagement,
                offer: id,
                assignment: true,
                reason,
            });
        }
    }

    /// The log ends an offer we may believe open.
    fn log_ends(&mut self, index: usize, declined: bool) {
        let recent = self.offers.len().min(6);
        if recent == 0 {
            return;
        }
        let offer = &self.offers[self.offers.len() - 1 - index % recent];
        let outcome = [Outcome::Withdrawn, Outcome::Declined][usize::from(declined)];
        self.run(Input::Log(LogFact::OfferEnded {
            engagement: offer.engagement.clone(),
            offer: offer.id.clone(),
            outcome,
        }));
    }

    fn check(&mut self) {
        let known: Vec<&EngagementId> = self.routing.engagements().map(|e| &e.id).collect();
        let open: Vec<&EngagementId> = self.open.keys().collect();
        assert_eq!(known, open, "nothing is lost, nothing lingers");
        for engagement in self.routing.engagements() {
            let owner = match &engagement.phase {
                Phase::Assigned { agent, .. } | Phase::WrapUp { agent, .. } => Some(agent),
                _ => None,
            };
            assert_eq!(owner, self.owners.get(&engagement.id));
        }
        let offers = self.routing.engagements().filter_map(Engagement::offer);
        let standing: BTreeSet<OfferId> = offers.map(|offer| offer.id.clone()).collect();
        assert_eq!(standing, self.standing, "every end is told");
        let due = self.routing.next_due();
        assert!(due.is_none_or(|at| at > self.now), "nothing due is left");
        self.store();
    }

    /// Keeps rows as the shell does, and loads them: the state must come back.
    fn store(&mut self) {
        for row in self.routing.take_touched() {
            let (key, text) = match &row {
                Row::Queue(id) => (format!("q/{id}"), json(self.routing.queue(id))),
                Row::Agent(id) => (format!("a/{id}"), json(self.routing.agent(id))),
                Row::Engagement(id) => (format!("e/{id}"), json(self.routing.engagement(id))),
            };
            match text {
                Some(text) => self.stored.insert(key, text),
                None => self.stored.remove(&key),
            };
        }
        let loaded = Routing::load(
            rows(&self.stored, "q/"),
            rows(&self.stored, "a/"),
            rows(&self.stored, "e/"),
        );
        assert!(loaded.queues().eq(self.routing.queues()));
        assert!(loaded.agents().eq(self.routing.agents()));
        assert!(loaded.engagements().eq(self.routing.engagements()));
        assert_eq!(loaded.next_due(), self.routing.next_due());
        assert_eq!(invariants::check(&loaded), Vec::<String>::new());
    }
}

fn rows<T: serde::de::DeserializeOwned>(stored: &BTreeMap<String, String>, kind: &str) -> Vec<T> {
    let of_kind = stored.iter().filter(|(key, _)| key.starts_with(kind));
    of_kind
        .map(|(_, text)| serde_json::from_str(text).unwrap())
        .collect()
}

fn json<T: serde::Serialize>(value: Option<&T>) -> Option<String> {
    value.map(|value| serde_json::to_string(value).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_day_keeps_the_promises(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.settle();
            world.check();
        }
    }
}
