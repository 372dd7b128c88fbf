//! Deadlines become units for the writer, the moment they are due.

use std::sync::Arc;
use std::time::Duration;

use lib_platform::{Clock, Lifecycle};

use crate::committer::{Answer, Committer, Unit, What};
use crate::schedule::Schedule;

/// Deadlines handled at a time.
const MOST: usize = 500;
/// How long to wait before a deadline that could not be handled is tried again, in real time.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the schedule until the service stops.
pub(crate) async fn run(
    timers: Arc<Schedule>,
    clock: Clock,
    committer: Committer,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let stopped = life.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = timers.wait(&clock) => {}
            () = &mut stopped => return Ok(()),
        }
        let due = timers.due(clock.now(), MOST);
        let units = due.iter().map(|id| Unit {
            what: What::Tick(id.clone()),
            traceparent: String::new(),
        });
        let Ok(answers) = committer.submit(units.collect()).await else {
            stopped.await;
            return Ok(());
        };
        // A deadline that stays due although it was handled cannot be handled now.
        let still = timers.due(clock.now(), MOST);
        let stuck = still.iter().any(|id| due.contains(id));
        let refused = answers
            .iter()
            .any(|answer| matches!(answer, Answer::Retry(_) | Answer::Refused(_)));
        if stuck && refused {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = &mut stopped => return Ok(()),
            }
        }
    }
}
