//! The first half of the worker: takes deliveries from the inbox in order of admission, splits
//! them ahead of the second half, and takes care with those that may have killed the process.
//!
//! Attempts are counted before the work, because a crash reaches no error path. Counting each
//! delivery would cost a flush to disk each, so it is done in two steps. Whatever may have been
//! under work when the process died is suspected by the next reader: the first [`WINDOW`]
//! deliveries. After two such ends a delivery is worked on alone, and claimed on disk before; after
//! [`MOST_ATTEMPTS`] it is parked unread.

use std::sync::Arc;

use lib_platform::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::backoff::Backoff;
use crate::inbox::{Delivery, Inbox, InboxError, Reading as _};
use crate::split::{Origin, Split, split, whole};

/// Most deliveries under work at a time.
pub(crate) const WINDOW: u32 = 512;
/// Attempts at which a delivery is worked on alone.
pub(crate) const ALONE_FROM: u32 = 2;
/// Attempts after which a delivery is parked.
const MOST_ATTEMPTS: u32 = 5;

/// Deliveries read at a time, and their bytes.
const PAGE: (u32, usize) = (64, 4 << 20);
/// KiB under work at a time. A delivery counts at least [`LEAST_KIB`], which makes [`WINDOW`] the
/// most deliveries.
const KIB: u32 = WINDOW * LEAST_KIB;
pub(crate) const LEAST_KIB: u32 = 32;
/// Bodies above this are split on a thread of their own, so as not to hold up the others.
const LARGE: usize = 128 << 10;

/// What the second half gets.
pub(crate) enum Step {
    /// A delivery to hand on.
    Delivery(Box<Task>),
    /// Asks for an answer once everything before is done.
    Barrier(oneshot::Sender<()>),
}

/// One delivery under work.
pub(crate) struct Task {
    pub(crate) split: Split,
    /// It is claimed on disk; see [`Inbox::release`].
    pub(crate) alone: bool,
    /// Its share of what may be under work, held until it is done.
    pub(crate) share: OwnedSemaphorePermit,
}

pub(crate) struct Reader<I> {
    inbox: I,
    fence: i64,
    shares: Arc<Semaphore>,
    steps: mpsc::Sender<Step>,
    clock: Clock,
}

/// Reading is over: the second half is gone, or another replica reads now.
pub(crate) struct Gone;

impl<I: Inbox> Reader<I> {
    pub(crate) fn new(inbox: I, fence: i64, steps: mpsc::Sender<Step>, clock: Clock) -> Self {
        Self {
            inbox,
            fence,
            shares: Arc::new(Semaphore::new(KIB as usize)),
            steps,
            clock,
        }
    }

    /// Reads until nobody wants more, or another replica reads.
    pub(crate) async fn run(self, mut reading: I::Reading) {
        loop {
            let mut backoff = Backoff::default();
            let found = loop {
                match reading.next(PAGE.0, PAGE.1).await {
                    Ok(found) => break found,
                    Err(InboxError::Fenced) => return,
                    Err(error) => backoff.told(&error).await,
                }
            };
            for delivery in found {
                let taken = if delivery.attempts < ALONE_FROM {
                    self.take(delivery).await
                } else {
                    self.take_alone(delivery).await
                };
                if let Err(Gone) = taken {
                    return;
                }
            }
        }
    }

    async fn take(&self, delivery: Delivery) -> Result<(), Gone> {
        lib_platform::failpoint!("ingress.read");
        let share = self.share(&delivery).await?;
        let split = self.split_and_tell(delivery).await;
        self.hand_over(split, false, share).await
    }

    /// Nothing else is under work from before the claim until it is done.
    async fn take_alone(&self, delivery: Delivery) -> Result<(), Gone> {
        self.barrier().await?;
        let attempts = insist(|| self.inbox.claim(self.fence, delivery.id)).await;
        let attempts = attempts.ok_or(Gone)?;
        let share = self.share(&delivery).await?;
        let id = delivery.id;
        tracing::warn!(
            id,
            attempts,
            "a delivery was left unfinished before; it goes alone"
        );
        let split = if attempts > MOST_ATTEMPTS {
            let cause = format!(
                "the process ended {MOST_ATTEMPTS} times while it was at work on this delivery"
            );
            let now = self.clock.now();
            whole(Origin::of(&delivery), delivery.body, cause, now, attempts)
        } else {
            self.split_and_tell(delivery).await
        };
        self.hand_over(split, true, share).await?;
        self.barrier().await
    }

    async fn share(&self, delivery: &Delivery) -> Result<OwnedSemaphorePermit, Gone> {
        let kib = u32::try_from(delivery.body.len() >> 10).unwrap_or(KIB);
        let shares = Arc::clone(&self.shares);
        let share = shares.acquire_many_owned(kib.clamp(LEAST_KIB, KIB)).await;
        share.map_err(|_| Gone)
    }

    async fn split(&self, delivery: Delivery) -> Split {
        let now = self.clock.now();
        let origin = Origin::of(&delivery);
        let body = delivery.body;
        if body.len() < LARGE {
            return split(origin, &body, 0, now);
        }
        let on_thread = {
            let (origin, body) = (origin.clone(), body.clone());
            tokio::task::spawn_blocking(move || split(origin, &body, 0, now))
        };
        match on_thread.await {
            Ok(split) => split,
            Err(_) => whole(origin, body, "it could not be split".to_owned(), now, 1),
        }
    }

    /// Splits, and says so when something of it could not be read.
    async fn split_and_tell(&self, delivery: Delivery) -> Split {
        let id = delivery.id;
        let split = self.split(delivery).await;
        for parked in &split.parked {
            tracing::warn!(
                delivery = id,
                position = parked.position,
                "an item was parked"
            );
        }
        split
    }

    async fn hand_over(
        &self,
        split: Split,
        alone: bool,
        share: OwnedSemaphorePermit,
    ) -> Result<(), Gone> {
        let task = Task {
            split,
            alone,
            share,
        };
        let step = Step::Delivery(Box::new(task));
        self.steps.send(step).await.map_err(|_| Gone)
    }

    async fn barrier(&self) -> Result<(), Gone> {
        let (reached, wait) = oneshot::channel();
        let step = Step::Barrier(reached);
        self.steps.send(step).await.map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }
}

/// Asks the inbox until it answers; `None` when another replica reads it.
pub(crate) async fn insist<T, F>(mut ask: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Result<T, InboxError>>,
{
    let mut backoff = Backoff::default();
    loop {
        match ask().await {
            Ok(answer) => return Some(answer),
            Err(InboxError::Fenced) => return None,
            Err(error) => backoff.told(&error).await,
        }
    }
}
