//! Several replicas of the service on one PostgreSQL, with real gRPC between them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(
    dead_code,
    reason = "the world is shared with suites that use more of it"
)]

use lib_storage::Engine;

/// Where a world keeps its records unless told otherwise.
const ENGINE: Engine = Engine::Postgres;

mod both_engines;
mod cluster;
mod handing_over;
#[path = "../service/peers.rs"]
mod peers;
mod round_trips;
mod sharing;
#[path = "../service/world.rs"]
mod world;
