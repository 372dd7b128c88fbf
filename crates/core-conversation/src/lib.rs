//! The conversation log's state machine.
//!
//! A conversation is the fold of its events, and nothing else: [`decide`] says which events an
//! input causes, [`Conversation::apply`] and [`Message::apply`] say what an event does, and
//! [`History`] folds a whole log, which must give the stored state byte for byte (guarantee G15).
//! What has to happen outside (a message to send, a timer, a step of the flow) is read off the
//! state or returned by `decide`; it is never remembered anywhere else.

mod apply;
mod decide;
mod event;
mod history;
pub mod invariants;
mod message;
mod session;
mod state;

pub use decide::{
    AttemptOutcome, Decision, Effect, FlowCall, FlowInput, FlowStep, Input, Policy, Rejection,
    RoutingRecord, Seen, Sender, StepOutcome, StepResult, decide,
};
pub use event::{Called, Change, Event, SendOutcome, Told};
pub use history::{History, HistoryError};
pub use message::{Direction, Message, MessageKind, SendState};
pub use session::Session;
pub use state::{
    AttemptState, Conversation, EarlyChange, Engagement, FlowRun, FlowWait, OutboxEntry, Stage,
    Timer,
};
