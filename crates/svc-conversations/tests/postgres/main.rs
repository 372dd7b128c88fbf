//! The same tests of the service on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use lib_storage::Engine;

/// Where this suite keeps its records.
const ENGINE: Engine = Engine::Postgres;

#[path = "../service/calls.rs"]
mod calls;
#[path = "../service/desk.rs"]
mod desk;
#[path = "../service/edges.rs"]
mod edges;
#[path = "../service/inbound.rs"]
mod inbound;
#[path = "../service/memory.rs"]
mod memory;
#[path = "../service/outbox.rs"]
mod outbox;
#[path = "../service/peers.rs"]
mod peers;
#[path = "../service/reading.rs"]
mod reading;
#[path = "../service/world.rs"]
mod world;
