//! Work shared between replicas: it is cut into parts, each part is done by one replica at a time,
//! and parts move when replicas come and go.
//!
//! Every replica says at each beat that it lives ([`Leases`]). From who lives all work out the same
//! target (rendezvous hashing), give up what another should have, and claim what they should have
//! once it is free. A lease carries a fence that the work shows at each commit: a replica that slept
//! through the loss of its lease can change nothing. It also stops by itself when it could not
//! prolong its leases in time.

mod bearer;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lib_storage::StorageError;
use lib_storage::lease::{Lease, LeaseError, Leases, Member, Roster};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::bearer::Bearer;
use crate::lifecycle::Lifecycle;

/// How long a lease lives without a beat.
pub const LIVE: Duration = Duration::from_secs(6);
/// Beats per life of a lease.
const BEATS: u32 = 6;
/// How long a part's work may take to end when the part is given up.
const WIND_UP: Duration = Duration::from_secs(3);

/// Failures in a row of the work on a part from one warning to the next: about a minute.
const QUIET_FAILURES: u32 = 60;

/// An error of the work on a part that passes by itself, such as a store that is away: the part is
/// begun again a beat later, under a new fence, so that what the store still has to do for the old
/// one is refused. A [`StorageError`] that passes is taken for one, too.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Passing(pub anyhow::Error);

/// Whether the work may be begun again after `error`.
fn passes(error: &anyhow::Error) -> bool {
    let stored = error.downcast_ref::<StorageError>();
    error.is::<Passing>() || stored.is_some_and(StorageError::is_passing)
}

/// A part of the work that is this replica's until it is lost.
#[derive(Clone, Debug)]
pub struct Held {
    /// Which part, from 0.
    pub part: u16,
    /// Shown at each commit; see [`lib_storage::Tx::require_fence`].
    pub fence: i64,
    lost: CancellationToken,
}

impl Held {
    /// A life for the work on this part: it is asked to stop when the part is lost.
    pub fn life(&self, of: &Lifecycle) -> Lifecycle {
        of.within(self.lost.clone())
    }

    /// Resolves when the part is lost or the service stops: end the work at once.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        self.lost.clone().cancelled_owned()
    }

    /// Whether it is lost.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }
}

/// Who does a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This replica, under this fence.
    Here(i64),
    /// Another one.
    There(Member),
    /// Nobody at the moment: ask again soon.
    Nobody,
}

/// What work is shared.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Its name among the leases of its service.
    pub name: &'static str,
    /// Into how many parts it is cut. Never changed for an installation once it holds data.
    pub parts: u16,
}

/// Which part of `parts` a key belongs to. The same on every machine and in every version.
pub fn part_of(key: &str, parts: u16) -> u16 {
    (hash(key.as_bytes()) % u64::from(parts.max(1))) as u16
}

/// FNV-1a, and the finish of `SplitMix64` to spread its low bits.
fn hash(bytes: &[u8]) -> u64 {
    let mut sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    sum = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    sum = (sum ^ (sum >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    sum ^ (sum >> 31)
}

/// Who should do `part`, of those who live.
fn target(work: Work, part: u16, members: &[Member]) -> Option<&Member> {
    let score = |member: &Member| hash(format!("{}/{part}/{}", work.name, member.name).as_bytes());
    members.iter().max_by_key(|member| score(member))
}

/// Who does what now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shares {
    table: watch::Receiver<Arc<Vec<Holder>>>,
}

impl Shares {
    /// Who does `part`.
    pub fn holder(&self, part: u16) -> Holder {
        let table = self.table.borrow();
        table
            .get(usize::from(part))
            .cloned()
            .unwrap_or(Holder::Nobody)
    }

    /// The parts this replica has, with their fences.
    pub fn here(&self) -> Vec<(u16, i64)> {
        let table = self.table.borrow();
        (0..)
            .zip(table.iter())
            .filter_map(|(part, holder)| match holder {
                Holder::Here(fence) => Some((part, *fence)),
                Holder::There(_) | Holder::Nobody => None,
            })
            .collect()
    }

    /// Resolves when something moved.
    pub async fn changed(&mut self) {
        if self.table.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

type Run = Box<dyn Fn(Held) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

struct Sharing {
    work: Work,
    leases: Arc<dyn Leases>,
    me: Member,
    life: Lifecycle,
    run: Run,
    running: BTreeMap<u16, Running>,
    /// How often in a row the work on a part ended with an error that passes.
    failures: BTreeMap<u16, u32>,
    bearer: Bearer,
    /// Tells that work is to be begun again.
    again: Arc<Notify>,
    /// What we hold is ours at least until then.
    until: Instant,
    table: watch::Sender<Arc<Vec<Holder>>>,
}

struct Running {
    held: Held,
    began: Instant,
    ended: oneshot::Receiver<()>,
    /// The error that passes, with which the work has ended.
    failed: Arc<OnceLock<String>>,
}

/// Takes part in `work`: `run` is called for each part this replica gets, and its future must end
/// when [`Held::lost`] resolves. After an error of it that passes ([`Passing`]) it is called again; any
/// other that is not due to the loss stops the service.
pub async fn share<F, R>(
    work: Work,
    leases: Arc<dyn Leases>,
    me: &Member,
    life: &Lifecycle,
    run: R,
) -> Shares
where
    R: Fn(Held) -> F + Send + Sync + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let nobody = Arc::new(vec![Holder::Nobody; usize::from(work.parts)]);
    let (table, reader) = watch::channel(nobody);
    let mut sharing = Sharing {
        work,
        leases,
        me: me.clone(),
        life: life.clone(),
        run: Box::new(move |held| Box::pin(run(held))),
        running: BTreeMap::new(),
        failures: BTreeMap::new(),
        bearer: Bearer::new(),
        again: Arc::default(),
        until: Instant::now(),
        table,
    };
    sharing.turn().await;
    life.spawn(work.name, sharing.go_on());
    Shares { table: reader }
}

impl Sharing {
    async fn go_on(mut self) {
        let stopped = self.life.stopped();
        tokio::pin!(stopped);
        loop {
            let pause = async {
                // Without other replicas nothing moves, and only failed work needs a turn.
                if !self.leases.shared() {
                    self.again.notified().await;
                }
                tokio::time::sleep(LIVE / BEATS).await;
            };
            tokio::select! {
                () = &mut stopped => break,
                () = pause => {}
            }
            self.turn().await;
        }
        let parts: Vec<u16> = self.running.keys().copied().collect();
        self.wind_up(&parts).await;
        let left = self.leases.release(self.work.name, &self.me, &parts, true);
        if let Ok(Err(error)) | Err(error) = tokio::time::timeout(WIND_UP, left)
            .await
            .map_err(anyhow::Error::from)
        {
            tracing::debug!(work = self.work.name, %error, "leases were not given back; they expire");
        }
    }

    /// One beat and what follows from it.
    async fn turn(&mut self) {
        let began = Instant::now();
        let patience = if self.running.is_empty() {
            began + LIVE / 2
        } else {
            self.until
        };
        let beat = self.leases.beat(self.work.name, &self.me, LIVE);
        let roster = match tokio::time::timeout_at(patience, beat).await {
            Ok(Ok(roster)) => roster,
            Ok(Err(error)) => return self.unheard(&format!("{error:#}")).await,
            Err(_) => return self.unheard("it does not answer").await,
        };
        self.until = began + LIVE.mul_f32(0.8);
        if self.is_second().await {
            return;
        }
        self.drop_failed();
        self.drop_lost(&roster).await;
        self.give_up(&roster).await;
        self.claim(&roster, began).await;
        self.publish(&roster);
    }

    /// Whether another process has this one's name; then everything stops.
    async fn is_second(&mut self) -> bool {
        let (leases, work, me) = (&*self.leases, self.work.name, &self.me);
        let asked = self.bearer.is_second(leases, work, me, LIVE);
        let patience = tokio::time::timeout_at(self.until, asked);
        let second = patience.await.unwrap_or(false);
        if second {
            let problem = format!(
                "another process runs under the instance name `{}`; give each replica a name of \
                 its own: instance (FRONTDESK_INSTANCE)",
                me.name
            );
            self.life.fail("instance", &problem);
        }
        second
    }

    /// The beat did not get through. What we hold may go on until its time is over.
    async fn unheard(&mut self, problem: &str) {
        tracing::warn!(work = self.work.name, problem, "leases cannot be prolonged");
        if Instant::now() >= self.until && self.leases.shared() {
            let parts: Vec<u16> = self.running.keys().copied().collect();
            self.wind_up(&parts).await;
            self.publish(&Roster::default());
        }
    }

    /// Forgets work that has ended with an error that passes, so that its part is claimed again.
    fn drop_failed(&mut self) {
        for (part, running) in self
            .running
            .extract_if(.., |_, it| it.failed.get().is_some())
        {
            running.held.lost.cancel();
            let failures = self.failures.entry(part).or_default();
            if running.began.elapsed() > LIVE {
                *failures = 0;
            }
            let (work, problem) = (self.work.name, running.failed.get());
            if failures.is_multiple_of(QUIET_FAILURES) {
                tracing::warn!(
                    work,
                    part,
                    problem,
                    "work on a part failed; it is begun again"
                );
            } else {
                tracing::debug!(work, part, problem, "work on a part failed again");
            }
            *failures = failures.saturating_add(1);
        }
    }

    /// Stops what the store says is not ours any more.
    async fn drop_lost(&mut self, roster: &Roster) {
        if !self.leases.shared() {
            return;
        }
        let ours = |part: u16, fence: i64| {
            let lease = roster.leases.iter().find(|lease| lease.part == part);
            lease.is_some_and(|lease| lease.owner.name == self.me.name && lease.fence == fence)
        };
        let lost: Vec<u16> = self
            .running
            .values()
            .filter(|running| !ours(running.held.part, running.held.fence))
            .map(|running| running.held.part)
            .collect();
        if !lost.is_empty() {
            tracing::warn!(work = self.work.name, parts = ?lost, "leases were lost");
            self.wind_up(&lost).await;
        }
    }

    /// An answer, unless it comes later than the next beat must.
    async fn in_time<T, F>(&self, asked: F) -> Result<T, LeaseError>
    where
        F: Future<Output = Result<T, LeaseError>>,
    {
        tokio::time::timeout_at(self.until, asked).await?
    }

    /// Gives up what another should have.
    async fn give_up(&mut self, roster: &Roster) {
        let mine = |part: u16| {
            target(self.work, part, &roster.members)
                .is_none_or(|member| member.name == self.me.name)
        };
        // Also what an earlier process of this name held: each beat prolongs it, nobody works on it.
        let named = |lease: &&Lease| !lease.expired && lease.owner.name == self.me.name;
        let left = roster.leases.iter().filter(named).map(|lease| lease.part);
        let held: BTreeSet<u16> = self.running.keys().copied().chain(left).collect();
        let surplus: Vec<u16> = held.into_iter().filter(|part| !mine(*part)).collect();
        if surplus.is_empty() {
            return;
        }
        self.wind_up(&surplus).await;
        let given = self
            .leases
            .release(self.work.name, &self.me, &surplus, false);
        if let Err(error) = self.in_time(given).await {
            tracing::debug!(work = self.work.name, %error, "leases were not given up; they expire");
        }
    }

    /// Claims what should be ours and is free.
    async fn claim(&mut self, roster: &Roster, began: Instant) {
        let free = |part: u16| {
            let lease = roster.leases.iter().find(|lease| lease.part == part);
            lease.is_none_or(|lease| {
                lease.expired || lease.owner.name.is_empty() || lease.owner.name == self.me.name
            })
        };
        let mine = |part: u16| {
            target(self.work, part, &roster.members)
                .is_some_and(|member| member.name == self.me.name)
        };
        let wanted: Vec<u16> = (0..self.work.parts)
            .filter(|part| !self.running.contains_key(part) && free(*part) && mine(*part))
            .collect();
        if wanted.is_empty() || self.life.is_stopping() {
            return;
        }
        let (work, me) = (self.work.name, &self.me);
        let claimed = self.leases.claim(work, me, LIVE, &wanted);
        let claimed = match self.in_time(claimed).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(work = self.work.name, %error, "leases cannot be claimed");
                return;
            }
        };
        if !claimed.is_empty() && self.leases.shared() {
            let parts = claimed.len();
            tracing::info!(work = self.work.name, parts, "leases claimed");
        }
        for (part, fence) in claimed {
            if Instant::now() < began + LIVE {
                self.start(part, fence);
            }
        }
    }

    fn start(&mut self, part: u16, fence: i64) {
        let held = Held {
            part,
            fence,
            lost: self.life.stop_token().child_token(),
        };
        let (done, ended) = oneshot::channel();
        let failed = Arc::new(OnceLock::new());
        let (told, again) = (Arc::clone(&failed), Arc::clone(&self.again));
        let work = (self.run)(held.clone());
        let (life, name, own) = (self.life.clone(), self.work.name, held.clone());
        self.life.spawn(name, async move {
            // In a task of its own: a panic must not be taken for a quiet end.
            let outcome = tokio::spawn(work).await;
            let problem = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) if passes(&error) && !own.is_lost() => {
                    let _ = told.set(format!("{error:#}"));
                    again.notify_one();
                    None
                }
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(panic) => Some(panic.to_string()),
            };
            match problem {
                Some(problem) if own.is_lost() => {
                    tracing::debug!(name, part, problem, "ended with its lease");
                }
                Some(problem) => life.fail(name, &problem),
                None => {}
            }
            let _ = done.send(());
        });
        let running = Running {
            held,
            began: Instant::now(),
            ended,
            failed,
        };
        self.running.insert(part, running);
    }

    /// Stops the work on `parts` and waits for its end.
    async fn wind_up(&mut self, parts: &[u16]) {
        let mut ending = Vec::new();
        for part in parts {
            if let Some(running) = self.running.remove(part) {
                running.held.lost.cancel();
                ending.push(running.ended);
            }
        }
        let all = futures_util::future::join_all(ending);
        if tokio::time::timeout(WIND_UP, all).await.is_err() {
            tracing::warn!(work = self.work.name, "work on a lost part is slow to end");
        }
    }

    fn publish(&self, roster: &Roster) {
        let holder = |part: u16| {
            if let Some(running) = self.running.get(&part) {
                return Holder::Here(running.held.fence);
            }
            let lease = roster.leases.iter().find(|lease| lease.part == part);
            match lease {
                Some(lease)
                    if !lease.expired
                        && !lease.owner.name.is_empty()
                        && lease.owner.name != self.me.name =>
                {
                    Holder::There(lease.owner.clone())
                }
                _ => Holder::Nobody,
            }
        };
        let table: Vec<Holder> = (0..self.work.parts).map(holder).collect();
        self.table.send_if_modified(|old| {
            let moved = **old != table;
            if moved {
                *old = Arc::new(table);
            }
            moved
        });
    }
}

#[cfg(test)]
mod tests;
