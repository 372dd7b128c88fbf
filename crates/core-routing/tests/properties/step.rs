//! What may happen to a tenant, and how often.

use proptest::prelude::*;

pub(crate) const AGENTS: [&str; 4] = ["ana", "ben", "cem", "dia"];
pub(crate) const QUEUES: [&str; 3] = ["sales", "support", "billing"];

/// One thing that happens. Numbers choose among what is there.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Wait(u64),
    Enqueue {
        queue: usize,
        priority: i32,
    },
    Transfer {
        engagement: usize,
        queue: usize,
    },
    Close {
        engagement: usize,
    },
    WrapUp {
        engagement: usize,
    },
    Connect {
        agent: usize,
        capacity: u32,
    },
    Leave {
        agent: usize,
        absent: bool,
    },
    Presence {
        agent: usize,
        ready: bool,
    },
    Answer {
        offer: usize,
        agent: usize,
        accept: bool,
        own: bool,
    },
    LogAnswers {
        accepted: bool,
    },
    LogEnds {
        offer: usize,
        declined: bool,
    },
    ChangeQueue {
        queue: usize,
        agents: u8,
    },
    DeleteQueue {
        queue: usize,
    },
    Restart,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u64..40).prop_map(Step::Wait),
        6 => (0..QUEUES.len(), 0..3_i32)
            .prop_map(|(queue, priority)| Step::Enqueue { queue, priority }),
        1 => (any::<usize>(), 0..QUEUES.len())
            .prop_map(|(engagement, queue)| Step::Transfer { engagement, queue }),
        2 => any::<usize>().prop_map(|engagement| Step::Close { engagement }),
        2 => any::<usize>().prop_map(|engagement| Step::WrapUp { engagement }),
        3 => (0..AGENTS.len(), 1..4_u32)
            .prop_map(|(agent, capacity)| Step::Connect { agent, capacity }),
        1 => (0..AGENTS.len(), any::<bool>())
            .prop_map(|(agent, absent)| Step::Leave { agent, absent }),
        4 => (0..AGENTS.len(), prop::bool::weighted(0.8))
            .prop_map(|(agent, ready)| Step::Presence { agent, ready }),
        8 => (any::<usize>(), 0..AGENTS.len(), prop::bool::weighted(0.7),
              prop::bool::weighted(0.8))
            .prop_map(|(offer, agent, accept, own)| Step::Answer { offer, agent, accept, own }),
        5 => prop::bool::weighted(0.85).prop_map(|accepted| Step::LogAnswers { accepted }),
        1 => (any::<usize>(), any::<bool>())
            .prop_map(|(offer, declined)| Step::LogEnds { offer, declined }),
        1 => (0..QUEUES.len(), any::<u8>())
            .prop_map(|(queue, agents)| Step::ChangeQueue { queue, agents }),
        1 => (0..QUEUES.len()).prop_map(|queue| Step::DeleteQueue { queue }),
        1 => Just(Step::Restart),
    ]
}
