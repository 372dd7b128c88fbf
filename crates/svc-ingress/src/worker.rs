//! Handing on while this replica holds the lease to read the inbox: the two halves of the worker run
//! until it is lost, or until one of them learns that another replica has it.

use std::time::Duration;

use lib_platform::Clock;
use lib_platform::metrics::Counter;
use lib_platform::partition::Held;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::admission::Admission;
use crate::handon::HandOn;
use crate::inbox::Inbox;
use crate::pass::LogClient;
use crate::reader::{ALONE_FROM, Reader, WINDOW, insist};

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What both halves need.
#[derive(Clone)]
pub(crate) struct Worker<I> {
    pub(crate) inbox: I,
    pub(crate) admission: Admission,
    pub(crate) log: LogClient,
    pub(crate) clock: Clock,
    pub(crate) blame_spacing: Duration,
    /// Counts that the inbox refused, because another replica reads it now.
    pub(crate) fenced: Counter,
}

impl<I: Inbox> Worker<I> {
    /// Runs until the lease is lost.
    ///
    /// # Errors
    /// When a half panics.
    pub(crate) async fn run(self, held: Held) -> anyhow::Result<()> {
        let fence = held.fence;
        while !held.is_lost() {
            let began = insist(|| self.inbox.begin(fence, WINDOW, ALONE_FROM));
            let reading = tokio::select! {
                reading = began => reading,
                () = held.lost() => return Ok(()),
            };
            let Some(reading) = reading else {
                // The store knows it before us.
                self.fenced.inc();
                held.lost().await;
                return Ok(());
            };
            self.tenure(&held, reading).await?;
        }
        let goodbye = self.inbox.leave(fence);
        if let Ok(Err(error)) = tokio::time::timeout(GOODBYE, goodbye).await {
            tracing::debug!(%error, "the orderly end of reading was not noted");
        }
        Ok(())
    }

    async fn tenure(&self, held: &Held, reading: I::Reading) -> anyhow::Result<()> {
        let (steps, ahead) = mpsc::channel(WINDOW as usize);
        let (over, _) = watch::channel(false);
        let until_over = || {
            let mut ended = over.subscribe();
            async move {
                let _ = ended.wait_for(|over| *over).await;
            }
        };
        let (inbox, clock) = (self.inbox.clone(), self.clock.clone());
        let reader = Reader::new(inbox.clone(), held.fence, steps, clock.clone());
        let hand_on = HandOn::new(
            inbox,
            self.admission.clone(),
            self.log.clone(),
            ahead,
            clock,
            held.fence,
            self.blame_spacing,
        );
        let mut halves = JoinSet::new();
        let stopped = until_over();
        halves.spawn(async move {
            tokio::select! {
                () = reader.run(reading) => {}
                () = stopped => {}
            }
        });
        halves.spawn(hand_on.run(until_over()));
        let first = tokio::select! {
            first = halves.join_next() => first,
            () = held.lost() => None,
        };
        over.send_replace(true);
        if let Some(ended) = first {
            ended?;
        }
        while let Some(ended) = halves.join_next().await {
            ended?;
        }
        Ok(())
    }
}
