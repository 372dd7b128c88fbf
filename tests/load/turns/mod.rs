//! Whole turns as load: customers' messages at a constant rate or from a number of seats, the Graph
//! API that takes the replies, and Meta's statuses for each reply. One turn is one message in, one
//! reply out, and the reply's statuses.

mod bodies;
mod customers;
mod load;
mod stub;

pub(crate) use self::load::{Load, Outcome, Pace, Settings};

/// The flow every turn goes through; the peer's `flow.js` says the same.
pub(crate) const FLOW: &str = include_str!("../turns.json");
/// What a customer says, turn by turn, and how the reply to it begins.
pub(crate) const TURNS: [(&str, &str); 3] = [
    ("Hi", "What is it about?"),
    ("1", "Which order?"),
    ("FD-1042", "Order FD-1042 is on its way"),
];

/// Where the load goes and what it is signed with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// `host:port` of the webhooks.
    pub(crate) webhooks: String,
    /// App secret.
    pub(crate) secret: String,
    /// Meta's id of the number.
    pub(crate) number: String,
    /// Meta's id of the account.
    pub(crate) waba: String,
}
