//! Queues, capacity and offers: policy and state machine of one tenant's routing.
//!
//! [`Routing`] holds the state. The shell hands it [`Input`]s with the time, asks it to
//! [`Routing::settle`] what is due, and carries out the [`Effect`]s after it has stored the rows
//! that [`Routing::take_touched`] names. Everything is deterministic: the same inputs at the same
//! times give the same state and the same effects.
//!
//! Promises (`docs/ARCHITECTURE.md`, guarantees G8 to G10), checked by [`invariants::check`]:
//! an engagement has at most one offer or owner; an agent is never offered more than the capacity
//! holds; nothing that waits is lost; within queue and priority the first come is the first
//! offered, and a re-offer keeps its place. Who let an engagement pass is asked again only after a
//! [`PAUSE`], and after everybody else who is free; meanwhile the line goes on behind it.

mod desk;
mod explain;
mod facts;
mod input;
pub mod invariants;
mod model;
mod policy;
mod queue;
mod state;

pub use input::{Answer, Effect, Input, LogFact, QueuedFact, Rejection};
pub use model::{
    Agent, DEFAULT_CAPACITY, Engagement, MAX_CAPACITY, Offer, Outcome, PAUSE, Phase, Place,
    Presence,
};
pub use queue::{
    DEFAULT_OFFER_SECONDS, MAX_AGENTS, MAX_DISPOSITIONS, MAX_WRAP_UP_SECONDS, Queue, Violation,
};
pub use state::{Routing, Row};
