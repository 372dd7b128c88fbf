//! Tests over whole payloads. Our own fixtures are in `tests/fixtures`; set `FRONTDESK_FIXTURES` to
//! a folder of `*/webhook/*.json`, `*/send/*.json`, … to run over somebody else's as well.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

mod bad_webhooks;
mod corpus;
mod describing;
mod fixtures;
mod golden;
mod hot_path;
mod mutations;
mod sending;
