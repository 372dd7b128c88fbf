//! Faults. Each confirms its effect; a fault that did not happen makes the run void.

use std::time::{Duration, Instant};

use super::history::{Op, Outcome};
use super::run::{PATH, Run};
use super::subject::state_of;

/// Longest wait for a failpoint to be reached.
const REACHED_WITHIN: Duration = Duration::from_secs(40);

impl Run {
    /// A fault that was made by other means and found `in_flight` pieces of work under way.
    pub fn note_fault(&mut self, kind: &str, part: &str, confirmed: bool, in_flight: usize) {
        let op = Op::Fault {
            kind: kind.to_owned(),
            part: part.to_owned(),
            confirmed,
            in_flight,
        };
        self.history.record("nemesis", Outcome::Ok, op);
        if !confirmed && self.void.is_none() {
            self.void = Some(format!("{kind} of {part} did not happen"));
        }
    }

    /// The same, with what is under way now.
    pub fn fault(&mut self, kind: &str, part: &str, confirmed: bool) {
        let in_flight = self.in_flight();
        self.note_fault(kind, part, confirmed, in_flight);
    }

    /// Answers of Graph that were not what a sender hopes for: each hit a send under way.
    pub fn fault_in_answers(&mut self) {
        let entries = self.history.entries();
        let broken = entries.iter().filter(|entry| match &entry.op {
            Op::Accepted { answer, .. } => answer != "Ok",
            Op::Refused { .. } => true,
            _ => false,
        });
        let hits = broken.count();
        self.note_fault(&format!("{hits} broken answers"), "graph", hits > 0, hits);
    }

    /// Waits up to `most` milliseconds, at random: the moment is the experiment.
    pub async fn some_time(&mut self, least: u64, most: u64) {
        use rand::Rng as _;
        let millis = self.random.random_range(least..most);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// More customers come when nobody writes any more: a fault that waits for work under way finds
    /// some, however long the start before it took.
    pub fn keep_busy(&mut self) {
        if !self.is_busy() {
            self.customers(4, &PATH, Duration::from_millis(1_500));
        }
    }

    /// `kill -9`, `away` without it, and a new start with `failpoints`.
    pub async fn kill(&mut self, part: &str, away: Duration, failpoints: &str) {
        let in_flight = self.in_flight();
        let pid = self.subject().pid(part);
        self.meta.fault_began();
        tokio::task::block_in_place(|| self.subject().kill(part));
        let gone = pid.is_some_and(|pid| state_of(pid).is_none());
        self.note_fault("kill -9", part, gone, in_flight);
        tokio::time::sleep(away).await;
        self.begin(part, failpoints);
    }

    /// Starts a part.
    pub fn begin(&mut self, part: &str, failpoints: &str) {
        let subject = self.subject();
        let mut subject = subject;
        tokio::task::block_in_place(|| subject.start(part, failpoints));
    }

    /// SIGSTOP, `for_` long, SIGCONT.
    pub async fn suspend(&mut self, part: &str, for_: Duration) {
        let in_flight = self.in_flight();
        let pid = self.subject().pid(part);
        self.meta.fault_began();
        tokio::task::block_in_place(|| self.subject().pause(part));
        let stopped = pid.and_then(state_of) == Some('T');
        self.note_fault("SIGSTOP", part, stopped, in_flight);
        tokio::time::sleep(for_).await;
        self.subject().resume(part);
    }

    /// SIGTERM and a new start. Whether it ended cleanly.
    pub fn restart(&mut self, part: &str) -> bool {
        let in_flight = self.in_flight();
        self.meta.fault_began();
        let stopped = tokio::task::block_in_place(|| self.subject().stop(part));
        self.stops += 1;
        self.note_fault("SIGTERM", part, true, in_flight);
        if !stopped.clean || stopped.took > super::subject::STOP_WITHIN {
            self.broken("I36", format!("{part} stopped like this: {stopped:?}"));
        }
        self.begin(part, "");
        stopped.clean
    }

    /// Starts all that do `role`'s work anew so that one dies at a failpoint; waits until one has,
    /// and starts them all again. Whether one died there.
    pub async fn die_at(&mut self, role: &str, failpoint: &str) -> bool {
        let parts = self.subject().parts_of(role);
        self.arm(&parts, failpoint);
        let since = Instant::now();
        let mut struck = None;
        while struck.is_none() && since.elapsed() < REACHED_WITHIN {
            self.keep_busy();
            let in_flight = self.in_flight();
            let died = |part: &&String| self.subject().has_ended(part);
            struck = parts
                .iter()
                .find(died)
                .map(|part| (part.clone(), in_flight));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Some((part, in_flight)) = &struck {
            self.meta.fault_began();
            self.note_fault(
                &format!("failpoint {failpoint}"),
                part,
                true,
                (*in_flight).max(1),
            );
        }
        self.disarm(&parts);
        struck.is_some()
    }

    /// Starts all that do `role`'s work anew so that one suspends itself at a failpoint; waits until
    /// one has, lets it lie for `lie`, and wakes it.
    pub async fn freeze_at(&mut self, role: &str, failpoint: &str, lie: Duration) -> bool {
        let parts = self.subject().parts_of(role);
        self.arm(&parts, failpoint);
        let since = Instant::now();
        let mut frozen = None;
        while frozen.is_none() && since.elapsed() < REACHED_WITHIN {
            self.keep_busy();
            let lies = |part: &&String| self.subject().pid(part).and_then(state_of) == Some('T');
            frozen = parts.iter().find(lies).cloned();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let Some(part) = frozen else {
            self.disarm(&parts);
            return false;
        };
        let in_flight = self.in_flight();
        self.meta.fault_began();
        self.note_fault(
            &format!("failpoint {failpoint}"),
            &part,
            true,
            in_flight.max(1),
        );
        // The others would lie down too, one after another.
        let others: Vec<String> = parts.into_iter().filter(|other| *other != part).collect();
        self.disarm(&others);
        tokio::time::sleep(lie).await;
        self.subject().resume(&part);
        true
    }

    /// Starts all that do `role`'s work anew so that a thread of one is held for `for_` at `place` when
    /// it is reached the `at`th time, while the rest of the process goes on; waits until it is free
    /// again. What was under way when it was held, if it was.
    pub async fn hold_at(
        &mut self,
        role: &str,
        place: &str,
        at: u64,
        for_: Duration,
    ) -> Option<usize> {
        let parts = self.subject().parts_of(role);
        let failpoint = format!("{place}=pause:{}s@{at}", for_.as_secs());
        let before = self.times_held(place);
        self.arm(&parts, &failpoint);
        let since = Instant::now();
        while self.times_held(place) == before {
            if since.elapsed() > REACHED_WITHIN {
                self.disarm(&parts);
                return None;
            }
            self.keep_busy();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let in_flight = self.in_flight().max(1);
        tokio::time::sleep(for_ + Duration::from_secs(1)).await;
        Some(in_flight)
    }

    /// How often a thread was held at `place`: only the process itself can tell.
    fn times_held(&self, place: &str) -> usize {
        let lines = self.log_lines();
        let said = |line: &&String| {
            ["reached", "Pause", place]
                .iter()
                .all(|word| line.contains(word))
        };
        lines.iter().filter(said).count()
    }

    fn arm(&mut self, parts: &[String], failpoint: &str) {
        for part in parts {
            tokio::task::block_in_place(|| self.subject().kill(part));
            self.begin(part, failpoint);
        }
    }

    fn disarm(&mut self, parts: &[String]) {
        for part in parts {
            if !self.subject().has_ended(part) {
                tokio::task::block_in_place(|| self.subject().kill(part));
            }
            self.begin(part, "");
        }
    }
}
