//! Ingress as a whole: the real HTTP and gRPC servers on free ports, with a small recording
//! conversation log as the only stand-in, because the real one is another crate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod door;
mod handing_on;
mod in_cluster;
mod in_redis;
mod parked;
mod peer;
mod site;
