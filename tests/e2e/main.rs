//! End-to-end tests: real processes, real HTTP and gRPC, and an outside checker.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod billed;
mod checker;
mod cluster;
mod config;
mod conversation;
mod demo;
mod flow_calls;
mod flow_lab;
mod flow_replay;
mod flow_templates;
mod flow_versions;
mod installation;
mod kill;
mod meta;
mod metrics;
mod operations;
mod parked;
mod readme;
mod roles;
mod rotation;
mod series;
mod start;
mod terminal;
mod trace;
mod up;
mod upgrade;
