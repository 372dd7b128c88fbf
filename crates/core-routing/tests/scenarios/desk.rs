//! A tenant for one test: routing, a clock, and the words the scenarios are told in.

use std::time::Duration;

use core_routing::{
    Answer, Effect, Input, LogFact, Offer, Phase, Presence, Queue, QueuedFact, Routing, invariants,
};
use core_types::{AgentId, ContactIdentity, ConversationId, EngagementId, QueueId, Timestamp};

pub(crate) struct Desk {
    pub(crate) routing: Routing,
    pub(crate) now: Timestamp,
}

pub(crate) fn agent(name: &str) -> AgentId {
    AgentId::new(name).unwrap()
}

pub(crate) fn engagement(name: &str) -> EngagementId {
    EngagementId::new(format!("c{name}.e1")).unwrap()
}

pub(crate) fn queue(name: &str, agents: &[&str]) -> Queue {
    Queue {
        id: QueueId::new(name).unwrap(),
        name: "Sales".to_owned(),
        agents: agents.iter().map(|name| agent(name)).collect(),
        offer_seconds: 30,
        wrap_up_seconds: 60,
        dispositions: Vec::new(),
    }
}

impl Desk {
    pub(crate) fn new(agents: &[&str]) -> Self {
        let mut desk = Self {
            routing: Routing::default(),
            now: Timestamp::from_seconds(1_000_000).unwrap(),
        };
        desk.run(Input::QueueSet(queue("sales", agents)));
        for name in agents {
            desk.ready(name, 1);
            desk.wait(1);
        }
        desk
    }

    pub(crate) fn ready(&mut self, name: &str, capacity: u32) -> Vec<Effect> {
        self.run(Input::Connected {
            agent: agent(name),
            capacity: Some(capacity),
        });
        self.presence(name, Presence::Ready)
    }

    pub(crate) fn presence(&mut self, name: &str, presence: Presence) -> Vec<Effect> {
        let agent = agent(name);
        self.run(Input::PresenceSet { agent, presence })
    }

    pub(crate) fn wait(&mut self, seconds: u64) -> Vec<Effect> {
        self.now = self.now.plus(Duration::from_secs(seconds));
        let effects = self.routing.settle(self.now);
        assert_eq!(
            invariants::check_settled(&self.routing),
            Vec::<String>::new()
        );
        effects
    }

    pub(crate) fn ask(&mut self, input: Input) -> (Answer, Vec<Effect>) {
        let (answer, mut effects) = self.routing.handle(input, self.now);
        effects.extend(self.routing.settle(self.now));
        assert_eq!(
            invariants::check_settled(&self.routing),
            Vec::<String>::new()
        );
        (answer, effects)
    }

    pub(crate) fn run(&mut self, input: Input) -> Vec<Effect> {
        self.ask(input).1
    }

    pub(crate) fn queued(
        &mut self,
        name: &str,
        epoch: u32,
        queue: &str,
        priority: i32,
    ) -> Vec<Effect> {
        let fact = QueuedFact {
            engagement: engagement(name),
            conversation: ConversationId::new(format!("c{name}")).unwrap(),
            epoch,
            queue: QueueId::new(queue).unwrap(),
            priority,
            queued_at: self.now,
            contact: ContactIdentity::default(),
            summary: String::new(),
        };
        self.run(Input::Log(LogFact::Queued(fact)))
    }

    pub(crate) fn accept(&mut self, offer: &Offer, by: &str) -> (Answer, Vec<Effect>) {
        self.ask(Input::Accept {
            agent: agent(by),
            offer: offer.id.clone(),
            epoch: offer.epoch,
        })
    }

    pub(crate) fn decline(&mut self, offer: &Offer) -> Vec<Effect> {
        self.run(Input::Decline {
            agent: offer.agent.clone(),
            offer: offer.id.clone(),
            epoch: offer.epoch,
        })
    }

    pub(crate) fn confirm(&mut self, offer: &Offer) -> Vec<Effect> {
        self.run(Input::AssignConfirmed {
            engagement: offer.engagement.clone(),
            offer: offer.id.clone(),
        })
    }

    pub(crate) fn phase(&self, name: &str) -> &Phase {
        &self.routing.engagement(&engagement(name)).unwrap().phase
    }
}

pub(crate) fn offer(effects: &[Effect]) -> Offer {
    let offer = effects.iter().find_map(|effect| match effect {
        Effect::Offered(offer) => Some(offer.clone()),
        _ => None,
    });
    offer.unwrap_or_else(|| panic!("no offer in {effects:?}"))
}

pub(crate) fn rejection(answer: Answer) -> &'static str {
    match answer {
        Answer::Rejected(rejection) => rejection.reason(),
        other => panic!("not rejected: {other:?}"),
    }
}
