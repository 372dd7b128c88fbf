//! Trying again what a service asks to be tried again: while work moves to another replica, or a
//! store is away for a moment, it says `UNAVAILABLE` and how long to wait.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How long something is tried. Longer than a part of dead replica's work takes to move.
const PATIENCE: Duration = Duration::from_secs(30);
/// The shortest and the longest of the waits a service may ask for.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What a service refused, in its own words.
#[derive(Debug)]
pub(crate) struct Refused {
    what: String,
    status: Status,
}

impl Refused {
    /// The refusal of `what`.
    pub(crate) fn of(what: &str, status: Status) -> Self {
        let what = what.to_owned();
        Self { what, status }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.status.message())
    }
}

impl std::error::Error for Refused {}

/// Does `attempt`, which must be harmless to repeat, and again as long as a service asks for it, for
/// half a minute at most.
///
/// # Errors
/// With its last error.
pub(crate) async fn patiently<T>(
    mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match asked_to_wait(&error) {
            Some(wait) if Instant::now() + wait < until => tokio::time::sleep(wait).await,
            _ => return Err(error),
        }
    }
}

/// How long a service asked to wait, if that is what the error is about.
fn asked_to_wait(error: &anyhow::Error) -> Option<Duration> {
    let refused = error.downcast_ref::<Refused>().map(|it| &it.status);
    let status = refused.or_else(|| error.downcast_ref())?;
    if status.code() != Code::Unavailable {
        return None;
    }
    let wait = status.get_details_retry_info()?.retry_delay?;
    Some(wait.clamp(WAITS.0, WAITS.1))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use lib_platform::Refusal;

    use super::*;

    #[tokio::test]
    async fn what_a_service_asks_to_be_tried_again_is_tried_again() {
        let moving = || Status::from(Refusal::unavailable("moving", Duration::ZERO));
        let mut left = 3;
        let done = patiently(async || {
            left -= 1;
            match left {
                2 => Err(Refused::of("queue", moving()).into()),
                1 => Err(moving()).context("publishing the flow"),
                _ => Ok("done"),
            }
        });
        assert_eq!(done.await.unwrap(), "done");
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn other_errors_stand() {
        for status in [
            Status::unavailable("no connection"),
            Status::from(Refusal::forbidden("no")),
        ] {
            let mut tries = 0;
            let outcome: anyhow::Result<()> = patiently(async || {
                tries += 1;
                Err(Refused::of("queue", status.clone()).into())
            })
            .await;
            let error = outcome.unwrap_err().to_string();
            assert_eq!(error, format!("queue: {}", status.message()));
            assert_eq!(tries, 1);
        }
    }
}
