//! The end of a run: waiting until everything has settled, stopping, checking, counting.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lib_proto::conversations::EngagementState;

use super::{Run, Verdict};
use crate::survive::agents::Mode;
use crate::survive::checker::{self, Violation};
use crate::survive::stores::{Reader, Stores};
use crate::survive::subject::{STOP_WITHIN, descriptors, memory};

/// How long billing may lag behind entries that cost nothing.
const BILLED: Duration = Duration::from_secs(3);
/// Without any change for this long, it has come as far as it will.
pub(super) const STUCK: Duration = Duration::from_secs(60);

/// What changes while a run still settles.
#[derive(Default, PartialEq, Eq)]
struct Progress {
    head: String,
    billed_to: String,
    waiting: u64,
    telling: usize,
    found: usize,
}

impl Run {
    /// Reads the stores.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn read(&self) -> Result<Stores, tonic::Status> {
        let mut reader = Reader::new(&**self.subject());
        reader.read().await
    }

    /// Remembers the journals there are, to compare them with later (I24).
    pub async fn checkpoint(&mut self) {
        if let Ok(stores) = self.read().await {
            self.facts.checkpoint = stores.journals;
        }
    }

    /// Waits until everything meant to happen has happened, and says what is wrong then. It waits as
    /// long as something still changes, up to the run's patience.
    pub async fn settle(&mut self) -> (Stores, Vec<Violation>) {
        self.wait_for_customers().await;
        if self.agents {
            self.agents_are(Mode::Good);
        }
        let began = Instant::now();
        let (mut changed, mut last) = (began, Progress::default());
        loop {
            self.supervise();
            let outcome = self.read_in_time().await;
            let over = began.elapsed() > self.patience;
            match outcome {
                Ok(stores) => {
                    let history = self.history.entries();
                    let mut found = checker::check(&history, &stores, &self.facts);
                    let quiet = self.is_quiet(&stores, changed);
                    if found.is_empty() && quiet {
                        return (stores, found);
                    }
                    let now = self.progress(&stores, found.len());
                    if now != last {
                        (changed, last) = (Instant::now(), now);
                    }
                    if over || changed.elapsed() > STUCK {
                        if found.is_empty() {
                            found.push(self.unquiet(&stores));
                        }
                        return (stores, found);
                    }
                }
                Err(status) if over || changed.elapsed() > STUCK => {
                    let seen = format!("the stores cannot be read: {status}");
                    let unread = Violation {
                        invariant: "I2",
                        seen,
                    };
                    return (Stores::default(), vec![unread]);
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn read_in_time(&self) -> Result<Stores, tonic::Status> {
        let answer = tokio::time::timeout(STUCK, self.read()).await;
        let late = |_| tonic::Status::deadline_exceeded("no answer in time");
        answer.map_err(late)?
    }

    /// Nothing is on its way any more.
    fn is_quiet(&self, stores: &Stores, changed: Instant) -> bool {
        self.graph.telling() == 0
            && self.meta.in_flight() == 0
            && stores.inbox.waiting_deliveries == 0
            && (stores.billed_to == stores.head || changed.elapsed() > BILLED)
            && (!self.agents || all_served(stores))
    }

    fn progress(&self, stores: &Stores, found: usize) -> Progress {
        Progress {
            head: stores.head.clone(),
            billed_to: stores.billed_to.clone(),
            waiting: stores.inbox.waiting_deliveries,
            telling: self.graph.telling(),
            found,
        }
    }

    /// Starts again what ended by itself, as whoever runs the processes does.
    pub(super) fn supervise(&mut self) {
        let parts = self.subject().parts();
        for part in parts {
            let ended = self.subject().has_ended(&part);
            if ended {
                self.notes
                    .push(format!("{part} ended itself and was started again"));
                self.begin(&part, "");
            }
        }
    }

    fn unquiet(&self, stores: &Stores) -> Violation {
        let open = stores
            .engagements
            .iter()
            .filter(|one| one.state() != EngagementState::Closed);
        Violation {
            invariant: "I2",
            seen: format!(
                "it does not settle: {} statuses on their way, {} deliveries wait, billed to {} of {}, {} engagements open",
                self.graph.telling(),
                stores.inbox.waiting_deliveries,
                stores.billed_to,
                stores.head,
                open.count(),
            ),
        }
    }

    pub(super) fn descriptors(&self) -> usize {
        let subject = self.subject();
        let pids = subject
            .parts()
            .into_iter()
            .filter_map(|part| subject.pid(&part));
        pids.map(descriptors).sum()
    }

    fn memory(&self) -> (u64, u64) {
        let subject = self.subject();
        let pids = subject
            .parts()
            .into_iter()
            .filter_map(|part| subject.pid(&part));
        pids.map(memory)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Settles, stops everything, checks, and says what became of it.
    ///
    /// # Errors
    /// When the stores cannot be folded again.
    pub async fn finish(mut self, scenario: &str, row: &str) -> anyhow::Result<Verdict> {
        let (stores, mut violations) = self.settle().await;
        self.agents_are(Mode::Gone);
        for bot in self.bots.drain(..) {
            let _ = bot.await;
        }
        let memory = self.memory();
        let descriptors = self.judge_descriptors();
        self.supervise();
        self.stop_all();
        let storage = self.subject().records();
        if let Some(storage) = storage {
            let replay = svc_conversations::verify_replay_of(&storage).await?;
            self.facts.folded = stores.conversations.len();
            self.facts.replay_differences = replay.differences;
        }
        self.facts.log_lines = self.log_lines();
        let secrets = self.subject().secrets();
        self.facts.secrets.extend(secrets);
        self.facts.secrets.extend(customers(&stores));
        let history = self.history.entries();
        // What only a stopped installation shows is added to what the settled one said.
        let all = checker::check(&history, &stores, &self.facts);
        let mut exercised = checker::exercised(&history, &stores, &self.facts);
        exercised.extend([("I31".to_owned(), 1), ("I36".to_owned(), self.stops)]);
        exercised.append(&mut self.asked);
        let late = all
            .into_iter()
            .filter(|one| ["I9", "I34", "I35"].contains(&one.invariant));
        violations.extend(late);
        violations.append(&mut self.measured);
        self.history.flush();
        let topology = self.subject().name().to_owned();
        Ok(Verdict {
            scenario: scenario.to_owned(),
            row: row.to_owned(),
            topology,
            size: String::new(),
            seed: self.seed,
            seconds: self.began.elapsed().as_secs_f64(),
            counts: checker::count(&history, &stores),
            violations: violations.iter().map(ToString::to_string).collect(),
            void: self.void.take(),
            notes: std::mem::take(&mut self.notes),
            memory,
            descriptors,
            exercised,
        })
    }

    /// I31: before the load, after it, and the most allowed.
    fn judge_descriptors(&mut self) -> (usize, usize, usize) {
        let (idle, open) = (self.idle_descriptors, self.descriptors());
        // Pools of connections grow to their size once, and those to Graph stay for a minute: at
        // most as many as may be under way for the two numbers.
        let most = idle * 11 / 10 + 40 * self.subject().parts().len() + 128;
        if open > most {
            self.broken(
                "I31",
                format!("{open} descriptors after the load, {idle} before, {most} allowed"),
            );
        }
        (idle, open, most)
    }

    /// Stops everything without asking what became of it.
    pub fn abandon(mut self) {
        self.agents_are(Mode::Gone);
        for task in self.bots.drain(..).chain(self.customers.drain(..)) {
            task.abort();
        }
        let parts = self.subject().parts();
        for part in parts {
            tokio::task::block_in_place(|| self.subject().kill(&part));
        }
    }

    /// Notes a broken promise that was measured.
    pub fn broken(&mut self, invariant: &'static str, seen: impl Into<String>) {
        let seen = seen.into();
        self.measured.push(Violation { invariant, seen });
    }

    /// Notes how many things a measured promise was held against.
    pub fn asked(&mut self, invariant: &str, times: usize) {
        *self.asked.entry(invariant.to_owned()).or_default() += times;
    }

    /// I36.
    fn stop_all(&mut self) {
        let parts = self.subject().parts();
        for part in parts {
            if self.subject().pid(&part).is_none() {
                continue;
            }
            let stopped = tokio::task::block_in_place(|| self.subject().stop(&part));
            self.stops += 1;
            if !stopped.clean || stopped.took > STOP_WITHIN {
                self.broken("I36", format!("{part} stopped like this: {stopped:?}"));
            }
        }
    }

    /// Every line of every log so far.
    pub fn log_lines(&self) -> Vec<String> {
        let logs = self.subject().logs();
        let texts = logs
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

/// Credentials of development and every customer's digits: none may stand in a log.
fn customers(stores: &Stores) -> BTreeSet<String> {
    let phones = stores.conversations.iter();
    let mut secrets: BTreeSet<String> = phones
        .map(|one| one.contact.clone().unwrap_or_default().phone)
        .filter(|phone| phone.len() > 6)
        .collect();
    secrets.extend(["dev-app-secret", "dev-graph-token", "dev-verify-token"].map(str::to_owned));
    secrets
}

/// Nobody waits for an agent, and no agent has anybody in hand.
fn all_served(stores: &Stores) -> bool {
    let mut states = stores
        .engagements
        .iter()
        .map(lib_proto::conversations::Engagement::state);
    states.all(|state| matches!(state, EngagementState::Closed | EngagementState::InFlow))
}
