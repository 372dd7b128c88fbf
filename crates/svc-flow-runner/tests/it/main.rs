//! The flow-runner over real gRPC, on real storage.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod calls;
mod flows;
mod steps;
mod support;
