//! What the services' own tests share: a service with real gRPC on free ports, who may call it, and
//! the neighbours that more than one of them needs. Everything here panics with a sentence when it
//! fails: it is for tests.

mod directory;
mod host;
mod log;
mod place;
pub mod servers;

use std::path::Path;
use std::time::Duration;

use core_types::Timestamp;
use lib_platform::{Caller, Clock, Context, IdSource, Lifecycle, Peers, Role};

pub use directory::{Directory, number};
pub use host::Host;
pub use log::Log;
pub use place::Place;

/// The token of a service; every host knows it.
pub const SERVICE: &str = "service";
/// Nobody listens there.
pub const NOWHERE: &str = "http://127.0.0.1:1";
/// Nothing in a test takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A user with one role.
///
/// # Panics
/// When `tenant` is no tenant's id.
pub fn user(tenant: &str, id: &str, role: Role) -> Caller {
    Caller::User {
        tenant: tenant.parse().expect("a tenant's id"),
        user: id.to_owned(),
        roles: [role].into(),
    }
}

/// The fixed tokens of a host: those of `users`, and [`SERVICE`].
pub fn tokens(users: &[(&str, Caller)]) -> Vec<(String, Caller)> {
    let service = Caller::Service {
        name: "test".to_owned(),
    };
    let users = users.iter().cloned();
    users
        .chain([(SERVICE, service)])
        .map(|(token, caller)| (token.to_owned(), caller))
        .collect()
}

/// What a service starts with: a life of its own, counted ids, `folder` for its data, and every
/// other service at `peers`, a URL.
///
/// # Panics
/// When `peers` is no URL.
pub fn context(folder: &Path, clock: &Clock, peers: &str) -> Context {
    let everyone = ("*".to_owned(), peers.to_owned());
    Context::embedded(
        clock.clone(),
        IdSource::counted(),
        Lifecycle::new(),
        Peers::new([everyone], SERVICE).expect("a URL"),
        folder.to_owned(),
    )
}

/// A time such as `2026-10-01T00:00:00Z`.
///
/// # Panics
/// When it is none.
pub fn at(text: &str) -> Timestamp {
    let instant: jiff::Timestamp = text.parse().expect("a time");
    Timestamp::from_micros(instant.as_microsecond())
}

/// Waits for `work`, but not for ever.
///
/// # Panics
/// When it takes longer than 20 s of real time.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    outcome.expect("what the test waits for never came")
}

/// Asks again and again until there is an answer: for what a service tells nobody of by itself.
///
/// # Panics
/// When there is none within 20 s of real time.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
