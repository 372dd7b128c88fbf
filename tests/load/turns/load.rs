//! The load itself. At a constant rate every webhook has the time it is due, and its latency counts
//! from then, whether or not a connection was free: a slow answer cannot hide the ones behind it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

use super::customers::{Customers, Reply};
use super::stub::{GraphStub, Sent};
use super::{Target, bodies};
use crate::wire::{Connection, Signer};

/// When Meta tells a message's statuses, after the Graph API took it.
const STATUSES: [(&str, Duration); 3] = [
    ("sent", Duration::from_millis(20)),
    ("delivered", Duration::from_millis(120)),
    ("read", Duration::from_millis(400)),
];
/// Longest wait for a drain.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much load there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many customers' messages a second, whatever happens.
    Rate(f64),
    /// So many customers at once; each writes when the reply has come.
    Seats(usize),
}

/// What stays the same over the runs of one installation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Keep-alive connections.
    pub(crate) connections: usize,
    /// How many of `sent`, `delivered`, `read` are told.
    pub(crate) statuses: usize,
}

/// Drives one installation.
pub(crate) struct Load {
    target: Target,
    signer: Signer,
    settings: Settings,
    customers: Customers,
    sent: mpsc::UnboundedReceiver<Sent>,
    /// The Graph API the installation was told of.
    pub(crate) graph: GraphStub,
}

/// What a run found.
pub(crate) struct Outcome {
    /// Messages written.
    pub(crate) turns: u64,
    /// Replies that came, each the right one.
    pub(crate) replies: u64,
    /// Replies nobody waited for.
    pub(crate) unexpected: u64,
    /// Statuses told.
    pub(crate) statuses: u64,
    /// Of both, told while the load lasted.
    pub(crate) in_time: u64,
    /// Webhooks answered with anything but 200, or not at all.
    pub(crate) refused: u64,
    /// How long the load lasted.
    pub(crate) elapsed: Duration,
    /// How long after its end the last reply came and the last status was told.
    pub(crate) drain: Duration,
    /// Customers without a reply when the load ended.
    pub(crate) backlog: usize,
    /// Microseconds from the time a webhook was due to its answer.
    pub(crate) acks: Histogram<u64>,
    /// Microseconds from the time a message was due to its reply at the Graph API.
    pub(crate) reply_times: Histogram<u64>,
}

impl Outcome {
    /// The share of webhooks answered after more than `limit`.
    pub(crate) fn share_above(&self, limit: Duration) -> f64 {
        1.0 - self.acks.quantile_below(limit.as_micros() as u64)
    }
}

/// A webhook on its way.
struct Job {
    due: Instant,
    request: Vec<u8>,
}

/// What the connections share.
struct Queue {
    jobs: RefCell<VecDeque<Job>>,
    arrived: Notify,
    tally: RefCell<Tally>,
}

struct Tally {
    open: usize,
    refused: u64,
    acks: Histogram<u64>,
    problem: Option<anyhow::Error>,
}

impl Queue {
    fn push(&self, due: Instant, request: Vec<u8>) {
        self.tally.borrow_mut().open += 1;
        self.jobs.borrow_mut().push_back(Job { due, request });
        self.arrived.notify_one();
    }

    /// Sends what waits over one connection, for ever.
    async fn send_over(&self, address: String) {
        let mut connection = None;
        loop {
            let Some(job) = self.next() else {
                self.arrived.notified().await;
                continue;
            };
            let answer = exchange(&mut connection, &address, &job.request).await;
            let mut tally = self.tally.borrow_mut();
            tally.open -= 1;
            let micros = job.due.elapsed().as_micros() as u64;
            let _ = tally.acks.record(micros);
            match answer {
                Ok(200) => {}
                Ok(_) => tally.refused += 1,
                Err(error) => {
                    tally.refused += 1;
                    tally.problem.get_or_insert(error);
                }
            }
        }
    }

    fn next(&self) -> Option<Job> {
        self.jobs.borrow_mut().pop_front()
    }
}

async fn exchange(
    connection: &mut Option<Connection>,
    address: &str,
    request: &[u8],
) -> anyhow::Result<u16> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(address).await?,
    };
    let status = open.post(request).await?;
    *connection = Some(open);
    Ok(status)
}

/// One run in progress.
struct Run<'a> {
    load: &'a mut Load,
    queue: Rc<Queue>,
    /// Statuses to be told, by kind, in order of their time.
    due: [VecDeque<(Instant, Sent)>; 3],
    outcome: Outcome,
}

impl Load {
    /// A driver with a Graph stub of its own. `prefix` begins the phone numbers of its customers.
    pub(crate) fn new(target: Target, settings: Settings, prefix: &str) -> anyhow::Result<Self> {
        let (sender, sent) = mpsc::unbounded_channel();
        Ok(Self {
            signer: Signer::new(&target.secret)?,
            target,
            settings,
            customers: Customers::new(prefix),
            sent,
            graph: GraphStub::start(sender)?,
        })
    }

    /// Whether `delivered` is among the statuses told, which is what the ledger waits for.
    pub(crate) fn tells_delivered(&self) -> bool {
        self.settings.statuses > 1
    }

    /// Where the webhooks go from now on, and what they are signed with.
    pub(crate) fn aim(&mut self, target: Target) -> anyhow::Result<()> {
        self.signer = Signer::new(&target.secret)?;
        self.target = target;
        Ok(())
    }

    /// Applies load for `span`, then waits until every reply has come and every status is told.
    ///
    /// # Errors
    /// When something is lost: a reply does not come within two minutes after the load.
    pub(crate) async fn run(&mut self, pace: Pace, span: Duration) -> anyhow::Result<Outcome> {
        let tally = Tally {
            open: 0,
            refused: 0,
            acks: Histogram::new(3)?,
            problem: None,
        };
        let queue = Rc::new(Queue {
            jobs: RefCell::default(),
            arrived: Notify::new(),
            tally: RefCell::new(tally),
        });
        let connections = LocalSet::new();
        for _ in 0..self.settings.connections {
            let (queue, address) = (Rc::clone(&queue), self.target.webhooks.clone());
            connections.spawn_local(async move { queue.send_over(address).await });
        }
        let run = Run {
            load: self,
            queue,
            due: Default::default(),
            outcome: Outcome::new()?,
        };
        connections.run_until(run.drive(pace, span)).await
    }
}

impl Outcome {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            turns: 0,
            replies: 0,
            unexpected: 0,
            statuses: 0,
            in_time: 0,
            refused: 0,
            elapsed: Duration::ZERO,
            drain: Duration::ZERO,
            backlog: 0,
            acks: Histogram::new(3)?,
            reply_times: Histogram::new(3)?,
        })
    }
}

impl Run<'_> {
    async fn drive(mut self, pace: Pace, span: Duration) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let end = started + span;
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                sent = self.load.sent.recv() => {
                    self.take(sent.context("the Graph stub is gone")?)?;
                }
                _ = tick.tick() => {}
            }
            let now = Instant::now();
            if now >= end {
                break;
            }
            self.write(pace, started, now);
            self.tell(now);
        }
        self.outcome.elapsed = started.elapsed();
        self.outcome.backlog = self.load.customers.waiting();
        self.outcome.in_time = self.queue.tally.borrow().acks.len();
        self.drain().await?;
        let mut outcome = self.outcome;
        let mut tally = self.queue.tally.borrow_mut();
        if let Some(problem) = tally.problem.take() {
            eprintln!("webhooks failed, the first one so: {problem:#}");
        }
        outcome.refused = tally.refused;
        outcome.acks.add(&tally.acks)?;
        Ok(outcome)
    }

    /// Takes in a reply and whatever came with it.
    fn take(&mut self, first: Sent) -> anyhow::Result<()> {
        let mut next = Some(first);
        while let Some(sent) = next {
            let now = Instant::now();
            match self.load.customers.reply(&sent.to, &sent.text) {
                Reply::Due(due) => {
                    self.outcome.replies += 1;
                    let micros = (now - due).as_micros() as u64;
                    self.outcome.reply_times.record(micros)?;
                }
                Reply::Unexpected => self.outcome.unexpected += 1,
            }
            let told = self.load.settings.statuses.min(STATUSES.len());
            let kinds = self.due.iter_mut().zip(STATUSES).take(told);
            for (queue, (_, delay)) in kinds {
                queue.push_back((now + delay, sent.clone()));
            }
            next = self.load.sent.try_recv().ok();
        }
        Ok(())
    }

    /// Writes what customers have to write by `now`.
    fn write(&mut self, pace: Pace, started: Instant, now: Instant) {
        match pace {
            Pace::Rate(rate) => loop {
                let due = started + Duration::from_secs_f64(self.outcome.turns as f64 / rate);
                if due > now {
                    break;
                }
                self.write_one(due);
            },
            Pace::Seats(seats) => {
                let empty = seats.saturating_sub(self.load.customers.waiting());
                for _ in 0..empty {
                    self.write_one(now);
                }
            }
        }
    }

    fn write_one(&mut self, due: Instant) {
        self.outcome.turns += 1;
        let writing = self.load.customers.write(due);
        let body = bodies::message(
            &self.load.target,
            writing.phone,
            &writing.wamid,
            writing.text,
        );
        self.queue
            .push(due, self.load.signer.request(body.as_bytes()));
    }

    /// Tells the statuses that are due by `now`.
    fn tell(&mut self, now: Instant) {
        for (queue, (status, _)) in self.due.iter_mut().zip(STATUSES) {
            while let Some((due, sent)) = queue.pop_front_if(|(due, _)| *due <= now) {
                self.outcome.statuses += 1;
                let body = bodies::status(&self.load.target, &sent, status);
                self.queue
                    .push(due, self.load.signer.request(body.as_bytes()));
            }
        }
    }

    /// Waits until everything is answered and told.
    async fn drain(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        loop {
            let now = tick.tick().await.into_std();
            if let Ok(sent) = self.load.sent.try_recv() {
                self.take(sent)?;
            }
            self.tell(now);
            let waiting = self.load.customers.waiting();
            let open = self.queue.tally.borrow().open;
            let told = self.due.iter().all(VecDeque::is_empty);
            if waiting == 0 && open == 0 && told {
                self.outcome.drain = started.elapsed();
                return Ok(());
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "{waiting} customers got no reply, {open} webhooks no answer, {PATIENCE:?} after \
                 the load"
            );
        }
    }
}
