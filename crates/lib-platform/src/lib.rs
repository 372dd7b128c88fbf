//! The chassis every service stands on: clock, ids, credentials, errors, lifecycle, gRPC in and
//! out, telemetry. It knows no word of WhatsApp, and nothing in it is global: everything a service
//! needs comes in its [`Context`], so that two installations run in one process.

mod admin;
pub mod batch;
pub mod channel;
pub mod clock;
pub mod config;
pub mod context;
pub mod credential;
pub mod failpoint;
pub mod forward;
pub mod ids;
pub mod lifecycle;
pub mod metrics;
pub mod outbound;
pub mod page;
pub mod partition;
pub mod readiness;
pub mod refusal;
pub mod server;
mod skew;
pub mod telemetry;
pub mod trace;

pub use batch::Batcher;
pub use channel::{AuthorizedChannel, Peers};
pub use clock::Clock;
pub use context::Context;
pub use credential::{Authenticator, Caller, Role, TokenResolver, caller};
pub use ids::IdSource;
pub use lifecycle::Lifecycle;
pub use metrics::Metrics;
pub use readiness::Readiness;
pub use refusal::Refusal;
pub use server::{Listeners, Parts, serve};
