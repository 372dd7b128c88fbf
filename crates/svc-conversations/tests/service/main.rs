//! The service over its real gRPC, with small peers for accounts, flows and templates.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use lib_storage::Engine;

/// Where this suite keeps its records.
const ENGINE: Engine = Engine::Sqlite;

mod calls;
mod desk;
mod edges;
mod inbound;
mod memory;
mod outbox;
mod peers;
mod reading;
mod world;
