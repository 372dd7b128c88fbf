//! The service over its real gRPC, with small peers for accounts, flows and templates.

mod desk;
mod inbound;
mod outbox;
mod peers;
mod reading;
mod world;
