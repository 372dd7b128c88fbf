//! End-to-end tests: real processes, real HTTP and gRPC, and an outside checker.

mod checker;
mod conversation;
mod demo;
mod kill;
mod meta;
mod readme;
mod start;
