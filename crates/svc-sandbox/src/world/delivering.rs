//! From updates to webhook deliveries: gathering, order, back-off. A delivery is tried until it
//! is answered 200, for seven days.
//!
//! Deliveries leave concurrently. First attempts about one thread leave one after the other, as
//! they nearly always do at Meta; `shuffle` gives that up.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::{Document, Due, Pending, World, chance};
use crate::payload;
use crate::state::{Delivery, PhoneWhat, ThreadKey, Update};

/// Longest wait between two attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(3_600);
/// How long Meta keeps trying.
const GIVE_UP_AFTER: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A webhook to be sent now.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) sequence: u64,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) body: Arc<str>,
}

/// Where a body of somebody else's making goes.
#[derive(Clone, Debug)]
pub(crate) struct RawPost {
    pub(crate) url: String,
    pub(crate) secret: String,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) sequence: u64,
    /// HTTP status; 0 when there was no answer.
    pub(crate) status: u16,
}

/// Deliveries under way.
#[derive(Debug)]
pub(super) struct Delivering {
    last: u64,
    pending: Pending,
    /// Updates that were written down because they had to wait.
    stored: BTreeSet<u64>,
    open: BTreeMap<u64, Delivery>,
    /// First attempts by thread: the first is under way, the others wait.
    lanes: HashMap<ThreadKey, VecDeque<u64>>,
    lane_of: HashMap<u64, ThreadKey>,
    /// The one first attempt under way per account, when updates are gathered.
    busy: HashMap<String, u64>,
    ready: Vec<u64>,
    /// Taken already and sent a second time.
    again: HashMap<u64, Delivery>,
    waiting_updates: HashMap<u64, oneshot::Sender<()>>,
    waiting: HashMap<u64, Vec<oneshot::Sender<()>>>,
}

impl Delivering {
    pub(super) fn new(last: u64) -> Self {
        Self {
            last,
            pending: Pending::new(),
            stored: BTreeSet::new(),
            open: BTreeMap::new(),
            lanes: HashMap::new(),
            lane_of: HashMap::new(),
            busy: HashMap::new(),
            ready: Vec::new(),
            again: HashMap::new(),
            waiting_updates: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// Takes back an update that waited when the sandbox stopped.
    pub(super) fn restore(&mut self, update: Update) {
        self.stored.insert(update.sequence);
        let pending = self.pending.entry(update.account.clone()).or_default();
        let place = pending.partition_point(|other| other.sequence < update.sequence);
        pending.insert(place, update);
    }

    /// Takes back a delivery that was not taken when the sandbox stopped.
    pub(super) fn reopen(&mut self, delivery: Delivery) {
        self.open.insert(delivery.sequence, delivery);
    }

    /// A waiting update.
    pub(super) fn update(&self, sequence: u64) -> Option<&Update> {
        self.pending.values().find_map(|pending| {
            let place = pending
                .binary_search_by_key(&sequence, |update| update.sequence)
                .ok()?;
            pending.get(place)
        })
    }

    /// It is time for another attempt.
    pub(super) fn ready(&mut self, sequence: u64) {
        if self.open.contains_key(&sequence) {
            self.ready.push(sequence);
        }
    }

    /// Resolves when the delivery with this update has been tried once.
    pub(super) fn when_tried(&mut self, update: u64) -> oneshot::Receiver<()> {
        let (tried, wait) = oneshot::channel();
        self.waiting_updates.insert(update, tried);
        wait
    }

    /// Puts a new delivery behind the others of its thread, or on its way.
    fn enter_lane(&mut self, sequence: u64, thread: Option<ThreadKey>) {
        let Some(thread) = thread else {
            self.ready.push(sequence);
            return;
        };
        let lane = self.lanes.entry(thread.clone()).or_default();
        lane.push_back(sequence);
        if lane.len() == 1 {
            self.ready.push(sequence);
        }
        self.lane_of.insert(sequence, thread);
    }

    /// After a first attempt the next delivery of the thread may leave.
    fn leave_lane(&mut self, sequence: u64) {
        let Some(thread) = self.lane_of.remove(&sequence) else {
            return;
        };
        if let Some(lane) = self.lanes.get_mut(&thread) {
            lane.pop_front();
            match lane.front() {
                Some(next) => self.ready.push(*next),
                None => {
                    self.lanes.remove(&thread);
                }
            }
        }
    }
}

impl World {
    /// Adds an update to the webhooks of an account; `None` when its app is not subscribed.
    pub(super) fn update(
        &mut self,
        account: &str,
        field: &str,
        value: Value,
        about: Option<ThreadKey>,
        takes: Option<String>,
    ) -> Option<u64> {
        if !self
            .accounts
            .get(account)
            .is_some_and(|account| account.subscribed)
        {
            return None;
        }
        self.counters.updates += 1;
        self.touch(Document::Counters);
        let sequence = self.counters.updates;
        self.delivering
            .pending
            .entry(account.to_owned())
            .or_default()
            .push_back(Update {
                sequence,
                account: account.to_owned(),
                at: self.now,
                field: field.to_owned(),
                value,
                thread: about,
                takes,
            });
        Some(sequence)
    }

    /// Puts pending updates into deliveries, as many as may leave now.
    pub(crate) fn gather(&mut self) {
        let accounts: Vec<String> = self.delivering.pending.keys().cloned().collect();
        let batch = self.settings.mode.batch.max(1);
        for account in accounts {
            while batch == 1 || !self.delivering.busy.contains_key(&account) {
                let Some(pending) = self.delivering.pending.get_mut(&account) else {
                    break;
                };
                let count = pending.len().min(batch);
                if count == 0 {
                    self.delivering.pending.remove(&account);
                    break;
                }
                let updates: Vec<Update> = pending.drain(..count).collect();
                self.deliver(&account, updates, batch > 1);
            }
        }
        let waiting: Vec<u64> = self
            .delivering
            .pending
            .values()
            .flatten()
            .map(|update| update.sequence)
            .collect();
        for sequence in waiting {
            if self.delivering.stored.insert(sequence) {
                self.touch(Document::Update(sequence));
            }
        }
    }

    fn deliver(&mut self, account: &str, mut updates: Vec<Update>, gathered: bool) {
        if self.settings.mode.shuffle {
            self.shuffle(&mut updates);
        }
        self.delivering.last += 1;
        let sequence = self.delivering.last;
        for update in &updates {
            if self.delivering.stored.remove(&update.sequence) {
                self.dirty.insert(Document::Update(update.sequence));
            }
            if let Some(waiter) = self.delivering.waiting_updates.remove(&update.sequence) {
                self.delivering
                    .waiting
                    .entry(sequence)
                    .or_default()
                    .push(waiter);
            }
        }
        let takes = |update: &Update| Some((update.thread.clone()?, update.takes.clone()?));
        let delivery = Delivery {
            sequence,
            account: account.to_owned(),
            created_at: self.now,
            attempts: 0,
            last_status: 0,
            next_at: self.now,
            body: payload::envelope(account, &updates).into(),
            takes: updates.iter().filter_map(takes).collect(),
        };
        self.changes.deliveries.push(delivery.clone());
        self.delivering.open.insert(sequence, delivery);
        if gathered {
            self.delivering.busy.insert(account.to_owned(), sequence);
            self.delivering.ready.push(sequence);
        } else {
            let thread = updates.into_iter().next().and_then(|update| update.thread);
            let thread = thread.filter(|_| !self.settings.mode.shuffle);
            self.delivering.enter_lane(sequence, thread);
        }
    }

    fn shuffle(&mut self, updates: &mut [Update]) {
        for last in (1..updates.len()).rev() {
            self.settings.draws += 1;
            let chosen = chance(self.settings.draws) % (last as u64 + 1);
            updates.swap(last, usize::try_from(chosen).unwrap_or(0));
        }
        self.touch(Document::Settings);
    }

    /// What is to be sent now, once the changes are on disk.
    pub(crate) fn take_posts(&mut self) -> Vec<Post> {
        let ready = std::mem::take(&mut self.delivering.ready);
        ready
            .into_iter()
            .filter_map(|sequence| {
                let delivery = self
                    .delivering
                    .open
                    .get(&sequence)
                    .or_else(|| self.delivering.again.get(&sequence))?;
                let account = self.accounts.get(&delivery.account)?;
                Some(Post {
                    sequence,
                    url: account.callback_url.clone(),
                    secret: account.app_secret.clone(),
                    body: delivery.body.clone(),
                })
            })
            .collect()
    }

    /// Takes in what came of an attempt.
    pub(crate) fn answered(&mut self, answer: Answer) {
        let Answer { sequence, status } = answer;
        self.delivering.leave_lane(sequence);
        self.delivering.busy.retain(|_, busy| *busy != sequence);
        for waiter in self
            .delivering
            .waiting
            .remove(&sequence)
            .unwrap_or_default()
        {
            // Who waited may have hung up.
            let _ = waiter.send(());
        }
        if let Some(delivery) = self.delivering.again.remove(&sequence) {
            self.tried(&delivery, status, true);
            return;
        }
        let Some(mut delivery) = self.delivering.open.remove(&sequence) else {
            return;
        };
        if status == 200 {
            for (thread, message) in &delivery.takes {
                self.show(thread, self.now, message, PhoneWhat::Taken);
            }
            self.tried(&delivery, status, true);
            if self.draw(self.settings.mode.duplicate_per_thousand) {
                delivery.attempts += 1;
                self.delivering.again.insert(sequence, delivery);
                self.delivering.ready.push(sequence);
            }
            return;
        }
        let doublings = delivery.attempts.min(20);
        let wait = self
            .settings
            .mode
            .first_backoff
            .saturating_mul(1 << doublings);
        delivery.next_at = self.now.plus(wait.min(LONGEST_BACKOFF));
        let given_up = delivery.next_at > delivery.created_at.plus(GIVE_UP_AFTER);
        self.tried(&delivery, status, given_up);
        if given_up {
            tracing::warn!(
                sequence,
                status,
                "a webhook was not taken for seven days; dropped"
            );
            return;
        }
        self.set_timer(delivery.next_at, Due::Delivery(sequence));
        delivery.attempts += 1;
        delivery.last_status = status;
        self.delivering.open.insert(sequence, delivery);
    }

    fn tried(&mut self, delivery: &Delivery, status: u16, done: bool) {
        self.changes.tried.push((
            delivery.sequence,
            delivery.attempts + 1,
            status,
            done,
            delivery.next_at.as_micros(),
        ));
    }

    /// Where a raw body goes: to the account it names, else to the first.
    pub(crate) fn raw_post(&self, named: Option<&str>) -> Option<RawPost> {
        let account = named
            .and_then(|id| self.account(id))
            .or_else(|| self.any_account())?;
        Some(RawPost {
            url: account.callback_url.clone(),
            secret: account.app_secret.clone(),
        })
    }

    /// Waits for the first attempt at the delivery with an update.
    pub(super) fn when_update_tried(&mut self, update: u64) -> oneshot::Receiver<()> {
        self.delivering.when_tried(update)
    }
}
