//! The sandbox over real HTTP and gRPC, with a webhook receiver that records what it gets.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![expect(unreachable_pub, reason = "the harness is for the tests beside it")]

mod faults;
mod graph;
mod harness;
mod phones;
mod statuses;
mod webhooks;
