//! Admission: what has arrived together goes into the inbox in one commit, together with what the
//! worker has finished meanwhile. A lone body is committed at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lib_platform::{Batcher, Lifecycle};
use tokio::sync::watch;

use crate::inbox::{Counts, Group, Inbox, NewDelivery, NewParked};

/// Most jobs in one commit.
const MOST: usize = 256;
/// Most jobs that wait for the next commit; beyond that callers wait.
const WAITING: usize = 1_024;

/// Deliveries the worker is done with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finished {
    pub(crate) deliveries: Vec<u64>,
    /// Their bodies' bytes.
    pub(crate) bytes: u64,
    pub(crate) park: Vec<NewParked>,
}

enum Job {
    Admit(NewDelivery),
    Finish(Finished),
}

/// The inbox did not keep it: it is full, refuses, or the service is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotKept;

/// The one way into the inbox. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Admission {
    jobs: Batcher<Job, bool>,
    room: Arc<Room>,
    arrivals: watch::Sender<u64>,
}

impl Admission {
    /// `counts` is what the inbox holds at the start.
    pub(crate) fn start<I: Inbox>(inbox: &I, life: &Lifecycle, counts: Counts, most: Most) -> Self {
        let room = Arc::new(Room::new(counts, most));
        let arrivals = watch::Sender::new(counts.admitted);
        let committer = Arc::new(Committer {
            inbox: inbox.clone(),
            room: Arc::clone(&room),
            arrivals: arrivals.clone(),
            failing: AtomicBool::new(false),
        });
        let jobs = Batcher::spawn(life, "inbox", (MOST, WAITING), move |jobs| {
            let committer = Arc::clone(&committer);
            async move { committer.commit(jobs).await }
        });
        Self {
            jobs,
            room,
            arrivals,
        }
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

    /// Deliveries ever admitted: ids are given out without gaps.
    pub(crate) fn admitted(&self) -> u64 {
        *self.arrivals.borrow()
    }

    /// Admits one delivery. When this returns, it is durable; when the caller goes away before, it
    /// may be durable all the same.
    pub(crate) async fn admit(&self, delivery: NewDelivery) -> Result<(), NotKept> {
        self.submit(Job::Admit(delivery)).await
    }

    /// Ends deliveries and parks what is to be parked of them.
    pub(crate) async fn finish(&self, finished: Finished) -> Result<(), NotKept> {
        self.submit(Job::Finish(finished)).await
    }

    async fn submit(&self, job: Job) -> Result<(), NotKept> {
        match self.jobs.submit(job).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(NotKept),
        }
    }

    /// The id of the last delivery admitted, and a wake-up whenever it changes.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }
}

struct Committer<I> {
    inbox: I,
    room: Arc<Room>,
    arrivals: watch::Sender<u64>,
    failing: AtomicBool,
}

impl<I: Inbox> Committer<I> {
    async fn commit(&self, jobs: Vec<Job>) -> Vec<bool> {
        let mut group = Group::default();
        let mut finished_bytes = 0;
        let admits: Vec<bool> = jobs
            .iter()
            .map(|job| matches!(job, Job::Admit(_)))
            .collect();
        for job in jobs {
            match job {
                Job::Admit(delivery) => group.admit.push(delivery),
                Job::Finish(finished) => {
                    group.finish.extend(finished.deliveries);
                    group.park.extend(finished.park);
                    finished_bytes += finished.bytes;
                }
            }
        }
        let admitted = self.try_commit(&group, finished_bytes).await;
        if admitted {
            return vec![true; admits.len()];
        }
        // What was admitted before must be able to end, and to make room, while nothing new fits.
        let ending = Group {
            admit: Vec::new(),
            ..group
        };
        let ends = admits.iter().any(|admit| !admit);
        let ended = ends && self.try_commit(&ending, finished_bytes).await;
        admits.iter().map(|admit| !admit && ended).collect()
    }

    async fn try_commit(&self, group: &Group, finished_bytes: u64) -> bool {
        match self.inbox.commit(group).await {
            Ok(last) => {
                lib_platform::failpoint!("ingress.stored", if !group.admit.is_empty());
                let bytes: usize = group.admit.iter().map(|delivery| delivery.body.len()).sum();
                self.room.add(group.admit.len() as u64, bytes as u64);
                self.room.remove(group.finish.len() as u64, finished_bytes);
                if let Some(last) = last {
                    self.arrivals.send_replace(last);
                }
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the inbox takes writes again");
                }
                true
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the inbox refuses; webhooks get 503 until it recovers");
                }
                false
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
    full: AtomicBool,
    most: Most,
}

impl Room {
    fn new(counts: Counts, most: Most) -> Self {
        Self {
            deliveries: AtomicU64::new(counts.waiting),
            bytes: AtomicU64::new(counts.waiting_bytes),
            full: AtomicBool::new(false),
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
                tracing::error!(deliveries, bytes, "the inbox is full; webhooks get 503");
            } else {
                tracing::info!(deliveries, bytes, "the inbox has room again");
            }
        }
        !full
    }

    fn add(&self, deliveries: u64, bytes: u64) {
        self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, deliveries: u64, bytes: u64) {
        let less = |by: u64| move |now: u64| Some(now.saturating_sub(by));
        let (relaxed, deliveries, bytes) = (Ordering::Relaxed, less(deliveries), less(bytes));
        let _ = self.deliveries.fetch_update(relaxed, relaxed, deliveries);
        let _ = self.bytes.fetch_update(relaxed, relaxed, bytes);
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
        room.add(99, 10);
        assert!(room.has_room());
        room.add(1, 10);
        assert!(!room.has_room());
        room.remove(5, 10);
        assert!(!room.has_room());
        room.remove(6, 10);
        assert!(room.has_room());
        room.add(1, 2_000);
        assert!(!room.has_room());
    }
}
