//! The second half of the worker: gathers the items of many deliveries, offers them to the
//! conversation log in order of admission, and ends a delivery when each of its items was taken or
//! parked. One call is under way at a time; while it runs, the next items gather.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lib_platform::Clock;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use tonic::Status;

use crate::admission::{Admission, NotKept};
use crate::backoff::Backoff;
use crate::inbox::{Ending, Inbox, NewParked};
use crate::pass::{LogClient, Pass, Verdict, is_about_the_items, singly, together};
use crate::reader::{Gone, Step, Task, insist};
use crate::split::{Item, Origin};

/// Most items in one call, and their bytes as Meta sent them.
const MOST_ITEMS: usize = 500;
const MOST_BYTES: usize = 4 << 20;
/// Failures an item is blamed for, after which it is parked.
const MOST_FAILURES: u32 = 5;
/// Failed calls in a row, after which the items are offered one by one: perhaps one of them is
/// what makes the calls fail.
const SINGLY_AFTER: u32 = 5;

pub(crate) struct HandOn<I> {
    inbox: I,
    admission: Admission,
    log: LogClient,
    steps: mpsc::Receiver<Step>,
    clock: Clock,
    fence: i64,
    /// In order of admission.
    waiting: VecDeque<Waiting>,
    open: BTreeMap<u64, Open>,
    finished: Ending,
    barrier: Option<oneshot::Sender<()>>,
    failures: u32,
    backoff: Backoff,
    /// Failures closer together than this count as one, so that a short trouble of a part of the
    /// log is not blamed on the items it hits.
    blame_spacing: Duration,
}

struct Waiting {
    item: Item,
    failures: u32,
    blamed_at: Option<Instant>,
}

/// A delivery with items still waiting.
struct Open {
    origin: Origin,
    left: usize,
    parked: Vec<NewParked>,
    alone: bool,
    _share: OwnedSemaphorePermit,
}

/// How much of what was offered is done with.
#[derive(Clone, Copy)]
enum Progress {
    All,
    Some,
    None,
}

impl Waiting {
    /// A failure that is the item's own.
    fn blame(&mut self, spacing: Duration) {
        let now = Instant::now();
        if self.blamed_at.is_none_or(|last| now - last >= spacing) {
            self.failures += 1;
            self.blamed_at = Some(now);
        }
    }
}

impl<I: Inbox> HandOn<I> {
    pub(crate) fn new(
        inbox: I,
        admission: Admission,
        log: LogClient,
        steps: mpsc::Receiver<Step>,
        clock: Clock,
        fence: i64,
        blame_spacing: Duration,
    ) -> Self {
        Self {
            inbox,
            admission,
            log,
            steps,
            clock,
            fence,
            waiting: VecDeque::new(),
            open: BTreeMap::new(),
            finished: Ending::default(),
            barrier: None,
            failures: 0,
            backoff: Backoff::default(),
            blame_spacing,
        }
    }

    /// Runs until `over`, or until another replica reads the inbox.
    pub(crate) async fn run(mut self, over: impl Future<Output = ()>) {
        let fenced = tokio::select! {
            () = over => false,
            () = self.work() => true,
        };
        if let Some(id) = self.alone().filter(|_| !fenced) {
            // An orderly stop is not the delivery's fault.
            let _ = self.inbox.release(self.fence, id).await;
        }
    }

    async fn work(&mut self) {
        while self.gather().await {
            let progress = if self.waiting.is_empty() {
                Progress::All
            } else {
                self.offer().await
            };
            let kept = match self.finish().await {
                Ok(()) => self.pause(progress).await,
                fenced => fenced,
            };
            if kept.is_err() {
                tracing::warn!("another replica reads the inbox now");
                return;
            }
            if self.waiting.is_empty()
                && let Some(barrier) = self.barrier.take()
            {
                let _ = barrier.send(());
            }
        }
    }

    /// Waits for something to do, then takes all that is there. False when no more will come.
    async fn gather(&mut self) -> bool {
        if self.waiting.is_empty() {
            let Some(step) = self.steps.recv().await else {
                return false;
            };
            self.take(step);
        }
        while self.barrier.is_none() && self.waiting.len() < MOST_ITEMS {
            match self.steps.try_recv() {
                Ok(step) => self.take(step),
                Err(_) => break,
            }
        }
        true
    }

    fn take(&mut self, step: Step) {
        let task = match step {
            Step::Delivery(task) => task,
            Step::Barrier(reached) => {
                self.barrier = Some(reached);
                return;
            }
        };
        let Task {
            split,
            alone,
            share,
        } = *task;
        let id = split.origin.delivery;
        let open = Open {
            left: split.items.len(),
            origin: split.origin,
            parked: split.parked,
            alone,
            _share: share,
        };
        self.open.insert(id, open);
        self.end_if_done(id);
        let waiting = |item| Waiting {
            item,
            failures: 0,
            blamed_at: None,
        };
        self.waiting.extend(split.items.into_iter().map(waiting));
    }

    /// Offers what waits, at most one call's worth.
    async fn offer(&mut self) -> Progress {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.item.raw.len();
            bytes <= MOST_BYTES
        };
        // A single item is offered whatever its size.
        let count = self
            .waiting
            .iter()
            .take(MOST_ITEMS)
            .take_while(fits)
            .count()
            .max(1);
        let items: Vec<_> = self
            .waiting
            .iter()
            .take(count)
            .map(|waiting| &waiting.item.received)
            .collect();
        let alone = self.failures >= SINGLY_AFTER;
        let pass = if alone {
            singly(&mut self.log, &items).await
        } else {
            together(&mut self.log, &items).await
        };
        lib_platform::failpoint!("ingress.handed_on", if pass.failure.is_none());
        self.note(alone, pass.failure.as_ref());
        self.apply(pass)
    }

    fn note(&mut self, alone: bool, failure: Option<&Status>) {
        match failure {
            None if self.failures > 0 => {
                tracing::info!("the conversation log takes items again");
                self.failures = 0;
            }
            None => {}
            Some(_) if alone => self.failures = 1,
            Some(status) => {
                if self.failures == 0 {
                    tracing::warn!(
                        code = ?status.code(),
                        "the conversation log takes no items; admission goes on, trying again"
                    );
                }
                let about_items = is_about_the_items(status);
                self.failures = if about_items {
                    SINGLY_AFTER
                } else {
                    self.failures + 1
                };
            }
        }
    }

    /// Takes over the verdicts.
    fn apply(&mut self, pass: Pass) -> Progress {
        let mut settled = false;
        let now = self.clock.now();
        let mut again = Vec::new();
        for verdict in pass.verdicts {
            let Some(mut waiting) = self.waiting.pop_front() else {
                break;
            };
            let cause = match verdict {
                Verdict::Taken | Verdict::Known => None,
                Verdict::Refused(cause) => Some(cause),
                Verdict::Again { cause, counts } => {
                    if counts {
                        waiting.blame(self.blame_spacing);
                    }
                    if waiting.failures < MOST_FAILURES {
                        again.push(waiting);
                        continue;
                    }
                    Some(cause)
                }
                Verdict::Untried => {
                    again.push(waiting);
                    continue;
                }
            };
            settled = true;
            self.settle(waiting, cause, now);
        }
        let progress = match (again.is_empty(), settled) {
            (true, _) => Progress::All,
            (false, true) => Progress::Some,
            (false, false) => Progress::None,
        };
        for waiting in again.into_iter().rev() {
            self.waiting.push_front(waiting);
        }
        progress
    }

    /// An item is done with: taken, or parked for `cause`.
    fn settle(&mut self, waiting: Waiting, cause: Option<String>, now: core_types::Timestamp) {
        let id = waiting.item.delivery;
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        if let Some(cause) = cause {
            let position = &waiting.item.position;
            tracing::warn!(delivery = id, position, "an item was parked");
            let tries = waiting.failures.max(1);
            open.parked
                .push(open.origin.park(waiting.item, cause, now, tries));
        }
        open.left = open.left.saturating_sub(1);
        self.end_if_done(id);
    }

    fn end_if_done(&mut self, id: u64) {
        if self.open.get(&id).is_some_and(|open| open.left == 0)
            && let Some(open) = self.open.remove(&id)
        {
            self.finished.finish.push(id);
            self.finished.bytes += open.origin.bytes;
            self.finished.park.extend(open.parked);
        }
    }

    /// Makes the end of what is done durable. Until then it would be handed on again after a crash,
    /// and fall as a duplicate.
    async fn finish(&mut self) -> Result<(), Gone> {
        if self.finished.finish.is_empty() {
            return Ok(());
        }
        lib_platform::failpoint!("ingress.finish");
        self.finished.fence = self.fence;
        let mut backoff = Backoff::default();
        loop {
            match self.admission.end(self.finished.clone()).await {
                Ok(()) => break,
                Err(NotKept::Fenced) => return Err(Gone),
                Err(NotKept::Refused) => backoff.wait().await,
            }
        }
        self.finished = Ending::default();
        Ok(())
    }

    async fn pause(&mut self, progress: Progress) -> Result<(), Gone> {
        // While we only wait, an end of the process says nothing about the delivery.
        let alone = match progress {
            Progress::All => None,
            Progress::Some | Progress::None => self.alone(),
        };
        if let Some(id) = alone {
            let released = insist(|| self.inbox.release(self.fence, id)).await;
            released.ok_or(Gone)?;
        }
        match progress {
            Progress::All => self.backoff.reset(),
            Progress::Some => self.backoff.wait_with_progress().await,
            Progress::None => self.backoff.wait().await,
        }
        if let Some(id) = alone {
            insist(|| self.inbox.claim(self.fence, id))
                .await
                .ok_or(Gone)?;
        }
        Ok(())
    }

    fn alone(&self) -> Option<u64> {
        let mut open = self.open.iter();
        open.find(|(_, open)| open.alone).map(|(id, _)| *id)
    }
}
