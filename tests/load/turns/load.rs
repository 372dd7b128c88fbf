//! The load itself. At a constant rate every webhook has the time it is due, and its latency counts
//! from then, whether or not a connection was free: a slow answer cannot hide the ones behind it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
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
    /// Replies to messages that were refused or given up.
    pub(crate) late: u64,
    /// Messages without a reply two minutes after the load, refused ones apart.
    pub(crate) unanswered: usize,
    /// Statuses told.
    pub(crate) statuses: u64,
    /// How many `delivered` are among them, which is what the ledger waits for.
    pub(crate) delivered: u64,
    /// How many of those were answered 200.
    pub(crate) delivered_taken: u64,
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
    what: What,
}

/// What a webhook tells.
enum What {
    /// A customer's message, by phone number.
    Message(String),
    /// That a message was delivered.
    Delivered,
    /// Another status.
    Status,
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
    delivered_taken: u64,
    /// Whose messages were refused since the load last looked.
    refused_phones: Vec<String>,
    acks: Histogram<u64>,
    problem: Option<anyhow::Error>,
}

impl Queue {
    fn push(&self, job: Job) {
        self.tally.borrow_mut().open += 1;
        self.jobs.borrow_mut().push_back(job);
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
            if !matches!(answer, Ok(200)) {
                tally.refused += 1;
                if let What::Message(phone) = job.what {
                    tally.refused_phones.push(phone);
                }
            } else if matches!(job.what, What::Delivered) {
                tally.delivered_taken += 1;
            }
            if let Err(error) = answer {
                tally.problem.get_or_insert(error);
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

    /// Waits once more, in the next run, for the replies earlier runs gave up. Returns how many.
    pub(crate) fn wait_again(&mut self) -> usize {
        self.customers.wait_again()
    }

    /// Where the webhooks go from now on, and what they are signed with.
    pub(crate) fn aim(&mut self, target: Target) -> anyhow::Result<()> {
        self.signer = Signer::new(&target.secret)?;
        self.target = target;
        Ok(())
    }

    /// Applies load for `span`, then waits until every reply has come and every status is told, for
    /// two minutes at most. What has not come by then, and what was refused, is in the outcome.
    ///
    /// # Errors
    /// When the driver itself fails.
    pub(crate) async fn run(&mut self, pace: Pace, span: Duration) -> anyhow::Result<Outcome> {
        let tally = Tally {
            open: 0,
            refused: 0,
            delivered_taken: 0,
            refused_phones: Vec::new(),
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
            late: 0,
            unanswered: 0,
            statuses: 0,
            delivered: 0,
            delivered_taken: 0,
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
            self.let_go();
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
        // What has no answer at all by now counts as refused.
        outcome.refused = tally.refused + tally.open as u64;
        outcome.delivered_taken = tally.delivered_taken;
        outcome.acks.add(&tally.acks)?;
        Ok(outcome)
    }

    /// Waits no longer with customers whose messages were refused: nobody sends those again.
    fn let_go(&mut self) {
        let refused = std::mem::take(&mut self.queue.tally.borrow_mut().refused_phones);
        for phone in refused {
            self.load.customers.refused(&phone);
        }
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
                Reply::Late => self.outcome.late += 1,
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
        let what = What::Message(writing.phone.to_owned());
        let request = self.load.signer.request(body.as_bytes());
        self.queue.push(Job { due, request, what });
    }

    /// Tells the statuses that are due by `now`.
    fn tell(&mut self, now: Instant) {
        for (queue, (status, _)) in self.due.iter_mut().zip(STATUSES) {
            while let Some((due, sent)) = queue.pop_front_if(|(due, _)| *due <= now) {
                self.outcome.statuses += 1;
                let body = bodies::status(&self.load.target, &sent, status);
                let what = if status == "delivered" {
                    self.outcome.delivered += 1;
                    What::Delivered
                } else {
                    What::Status
                };
                let request = self.load.signer.request(body.as_bytes());
                self.queue.push(Job { due, request, what });
            }
        }
    }

    /// Waits until everything is answered and told, or nobody has the patience any more.
    async fn drain(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        loop {
            let now = tick.tick().await.into_std();
            if let Ok(sent) = self.load.sent.try_recv() {
                self.take(sent)?;
            }
            self.tell(now);
            self.let_go();
            let waiting = self.load.customers.waiting();
            let open = self.queue.tally.borrow().open;
            let told = self.due.iter().all(VecDeque::is_empty);
            let done = waiting == 0 && open == 0 && told;
            if done || started.elapsed() >= PATIENCE {
                self.outcome.unanswered = self.load.customers.give_up();
                self.outcome.drain = started.elapsed();
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::routing::post;

    use super::*;

    #[tokio::test]
    async fn refused_webhooks_are_counted_and_hold_nobody_up() {
        let refuse = || async { StatusCode::SERVICE_UNAVAILABLE };
        let app = axum::Router::new().route("/webhooks/whatsapp", post(refuse));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target {
            webhooks: listener.local_addr().unwrap().to_string(),
            ..Target::default()
        };
        tokio::spawn(async move { axum::serve(listener, app).await });
        let settings = Settings {
            connections: 2,
            statuses: 3,
        };
        let mut load = Load::new(target, settings, "1650").unwrap();
        let span = Duration::from_millis(200);
        let outcome = load.run(Pace::Rate(100.0), span).await.unwrap();
        assert!(outcome.turns > 5);
        assert_eq!(outcome.refused, outcome.turns);
        assert_eq!((outcome.replies, outcome.unanswered), (0, 0));
        assert!(outcome.drain < PATIENCE);
        assert_eq!(load.wait_again(), 0);
    }
}
