//! The suite of `service_on_servers` once more, with the live state in a real Valkey
//! (`service/place.rs` sees by this crate's name what is meant).
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
#[path = "../service_on_servers/replicas.rs"]
mod replicas;
#[path = "../service/world.rs"]
mod world;
