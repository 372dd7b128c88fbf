//! The service over real gRPC on a port of its own, with a small conversation log as its peer.
#![expect(clippy::unwrap_used, reason = "a test whose set-up fails must fail")]

mod bad_input;
mod desks;
mod passes;
mod peer;
mod place;
mod queues;
mod recovery;
mod world;
