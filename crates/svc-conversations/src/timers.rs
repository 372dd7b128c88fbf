//! Deadlines become units for the writer, the moment they are due.

use std::sync::Arc;
use std::time::Duration;

use lib_platform::{Clock, Lifecycle};

use crate::committer::{Answer, Committer, Unit, What};
use crate::publish::Publisher;

/// Deadlines handled at a time.
const MOST: usize = 500;
/// How long to wait before a deadline that could not be handled is tried again, in real time.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the schedule until the service stops.
pub(crate) async fn run(
    publisher: Arc<Publisher>,
    clock: Clock,
    committer: Committer,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let stopped = life.stopped();
    tokio::pin!(stopped);
    let timers = &publisher.timers;
    let mut restore_at = None;
    loop {
        let pause = async {
            match restore_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timers.wait(&clock) => {}
            () = pause => {
                restore_at = None;
                timers.restore();
                continue;
            }
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
        // What could not be handled, for one because the flow-runner is away, must not keep its
        // place before the others that are due.
        for (id, answer) in due.iter().zip(&answers) {
            match answer {
                Answer::Done => {}
                // Who works on it has its deadline.
                Answer::Elsewhere => timers.set(id, 0, None),
                _ => {
                    timers.set_aside(id);
                    restore_at.get_or_insert_with(|| tokio::time::Instant::now() + PAUSE);
                }
            }
        }
    }
}
