//! Admission: what has arrived together goes into the inbox in one commit, together with what the
//! worker has finished meanwhile. A lone body is committed at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lib_platform::{Batcher, Lifecycle};
use tokio::sync::Notify;

use crate::inbox::{Counts, Ending, Group, Inbox, InboxError, NewDelivery};

/// Most jobs in one commit.
const MOST: usize = 256;
/// Most jobs that wait for the next commit; beyond that callers wait.
const WAITING: usize = 1_024;

/// How long a sender waits for its delivery to be admitted.
const ADMIT_PATIENCE: Duration = Duration::from_secs(10);
/// Between looks whether a full inbox has room again: other replicas may have made it.
const LOOK: Duration = Duration::from_millis(500);

enum Job {
    Admit(NewDelivery),
    End(Ending),
}

/// It was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// The inbox is full, refuses, or the service is stopping.
    Refused,
    /// Another replica reads the inbox now.
    Fenced,
}

/// The one way into the inbox. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Admission {
    jobs: Batcher<Job, Result<(), NotKept>>,
    room: Arc<Room>,
}

impl Admission {
    /// `counts` is what the inbox holds at the start.
    pub(crate) fn start<I: Inbox>(inbox: &I, life: &Lifecycle, counts: Counts, most: Most) -> Self {
        let room = Arc::new(Room::new(counts, most));
        let committer = Arc::new(Committer {
            inbox: inbox.clone(),
            room: Arc::clone(&room),
            failing: AtomicBool::new(false),
        });
        let jobs = Batcher::spawn(life, "inbox", (MOST, WAITING), move |jobs| {
            let committer = Arc::clone(&committer);
            async move { committer.commit(jobs).await }
        });
        life.spawn(
            "inbox room",
            watch_room(inbox.clone(), Arc::clone(&room), life.stopped()),
        );
        Self { jobs, room }
    }

    /// Whether there is room. A little more than the limit may be let in by those already under
    /// way.
    pub(crate) fn has_room(&self) -> bool {
        self.room.has_room()
    }

    /// Deliveries that wait to be handed on.
    pub(crate) fn waiting(&self) -> u64 {
        self.room.deliveries.load(Ordering::Relaxed)
    }

    /// Bytes of them.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.room.bytes.load(Ordering::Relaxed)
    }

    /// Deliveries ever admitted.
    pub(crate) fn admitted(&self) -> u64 {
        self.room.admitted.load(Ordering::Relaxed)
    }

    /// Takes over what the inbox says about itself.
    pub(crate) fn note(&self, counts: Counts) {
        self.room.set(counts);
    }

    /// Admits one delivery. When this returns, it is durable; when it fails or the caller goes away
    /// before, it may be durable all the same.
    pub(crate) async fn admit(&self, delivery: NewDelivery) -> Result<(), NotKept> {
        let kept = self.submit(Job::Admit(delivery));
        let kept = tokio::time::timeout(ADMIT_PATIENCE, kept).await;
        kept.unwrap_or(Err(NotKept::Refused))
    }

    /// Ends deliveries and parks what is to be parked of them.
    pub(crate) async fn end(&self, ending: Ending) -> Result<(), NotKept> {
        self.submit(Job::End(ending)).await
    }

    async fn submit(&self, job: Job) -> Result<(), NotKept> {
        let answer = self.jobs.submit(job).await;
        answer.unwrap_or(Err(NotKept::Refused))
    }
}

/// While the inbox is full, nothing is admitted and so nothing is heard of it: asks.
async fn watch_room<I: Inbox>(inbox: I, room: Arc<Room>, stopped: impl Future<Output = ()>) {
    let look = async {
        loop {
            room.filled.notified().await;
            while room.full.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
                if let Ok(counts) = inbox.counts().await {
                    room.set(counts);
                }
                room.has_room();
            }
        }
    };
    tokio::select! {
        () = look => {}
        () = stopped => {}
    }
}

struct Committer<I> {
    inbox: I,
    room: Arc<Room>,
    failing: AtomicBool,
}

impl<I: Inbox> Committer<I> {
    async fn commit(&self, jobs: Vec<Job>) -> Vec<Result<(), NotKept>> {
        let mut group = Group::default();
        let admits: Vec<bool> = jobs
            .iter()
            .map(|job| matches!(job, Job::Admit(_)))
            .collect();
        for job in jobs {
            match job {
                Job::Admit(delivery) => group.admit.push(delivery),
                Job::End(ending) => group.ends.push(ending),
            }
        }
        let outcome = self.inbox.commit(&group).await;
        lib_platform::failpoint!("ingress.stored", if !group.admit.is_empty());
        if let Some(counts) = outcome.counts {
            self.room.set(counts);
        }
        let admitted = self.judge(outcome.admitted);
        let mut ended = outcome.ended.into_iter();
        let answer = |admit| {
            if admit {
                return admitted;
            }
            ended
                .next()
                .map_or(Err(NotKept::Refused), |ended| self.judge(ended))
        };
        admits.into_iter().map(answer).collect()
    }

    fn judge(&self, kept: Result<(), InboxError>) -> Result<(), NotKept> {
        match kept {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the inbox takes writes again");
                }
                Ok(())
            }
            Err(InboxError::Fenced) => Err(NotKept::Fenced),
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the inbox refuses; webhooks get 503 until it recovers");
                }
                Err(NotKept::Refused)
            }
        }
    }
}

/// Most that may wait in the inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) deliveries: u64,
    pub(crate) bytes: u64,
}

/// How full the inbox is.
struct Room {
    deliveries: AtomicU64,
    bytes: AtomicU64,
    admitted: AtomicU64,
    full: AtomicBool,
    /// Wakes who looks when it may have room again.
    filled: Notify,
    most: Most,
}

impl Room {
    fn new(counts: Counts, most: Most) -> Self {
        Self {
            deliveries: AtomicU64::new(counts.waiting),
            bytes: AtomicU64::new(counts.waiting_bytes),
            admitted: AtomicU64::new(counts.admitted),
            full: AtomicBool::new(false),
            filled: Notify::new(),
            most,
        }
    }

    /// Once full it stays full until a tenth is free: refusing one webhook and taking the next
    /// would turn their order around.
    fn has_room(&self) -> bool {
        let deliveries = self.deliveries.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        let was_full = self.full.load(Ordering::Relaxed);
        let limit = |most: u64| if was_full { most - most / 10 } else { most };
        let full = deliveries >= limit(self.most.deliveries) || bytes >= limit(self.most.bytes);
        if full != was_full && self.full.swap(full, Ordering::Relaxed) != full {
            if full {
                self.filled.notify_one();
                tracing::error!(deliveries, bytes, "the inbox is full; webhooks get 503");
            } else {
                tracing::info!(deliveries, bytes, "the inbox has room again");
            }
        }
        !full
    }

    fn set(&self, counts: Counts) {
        self.deliveries.store(counts.waiting, Ordering::Relaxed);
        self.bytes.store(counts.waiting_bytes, Ordering::Relaxed);
        self.admitted.store(counts.admitted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_full_a_tenth_must_be_free_again() {
        let most = Most {
            deliveries: 100,
            bytes: 1_000,
        };
        let room = Room::new(Counts::default(), most);
        let set = |waiting, waiting_bytes| {
            room.set(Counts {
                waiting,
                waiting_bytes,
                admitted: 0,
            });
        };
        set(99, 10);
        assert!(room.has_room());
        set(100, 20);
        assert!(!room.has_room());
        set(95, 20);
        assert!(!room.has_room());
        set(89, 20);
        assert!(room.has_room());
        set(90, 2_000);
        assert!(!room.has_room());
    }
}
