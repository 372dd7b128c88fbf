//! The suite of `service` once more, on a real PostgreSQL and a real Redis (`service/place.rs` sees
//! by this crate's name that it is meant), and what only servers can do: replicas.
#![expect(clippy::unwrap_used, reason = "a test whose set-up fails must fail")]

#[path = "../service/bad_input.rs"]
mod bad_input;
#[path = "../service/desks.rs"]
mod desks;
#[path = "../service/passes.rs"]
mod passes;
#[path = "../service/peer.rs"]
mod peer;
#[path = "../service/place.rs"]
mod place;
#[path = "../service/queues.rs"]
mod queues;
#[path = "../service/recovery.rs"]
mod recovery;
mod replicas;
#[path = "../service/world.rs"]
mod world;
