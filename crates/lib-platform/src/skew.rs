//! How far this machine's clock is from that of a store. Times in the log come from the machines that
//! write it, and deadlines (customer service windows, offers, attempts) are compared with their
//! clocks; leases are not, they live by the store's own clock.

use std::sync::atomic::{AtomicBool, Ordering};

use core_types::Timestamp;

use crate::clock::Clock;
use crate::metrics::{Gauge, Metrics};
use crate::readiness::Readiness;

/// From here on it is worth a warning, in microseconds: 2 s.
const WARN: i64 = 2_000_000;
/// From here on the process is not ready, in microseconds: 30 s. Half a minute is what an offer
/// stands, and half of what an attempt to send may take.
const REFUSE: i64 = 30_000_000;
/// Compares clocks with one store. A virtual clock is compared with nothing.
#[derive(Debug)]
pub(crate) struct Skew {
    clock: Clock,
    store: &'static str,
    /// The component of readiness.
    component: String,
    readiness: Readiness,
    shown: Gauge,
    warned: AtomicBool,
}

impl Skew {
    pub(crate) fn new(
        clock: &Clock,
        store: &'static str,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> Self {
        let help = "How far this process's clock is ahead of a store's (negative: behind), in \
                    seconds; less than the answer took is shown as 0";
        Self {
            clock: clock.clone(),
            store,
            component: format!("clock.{store}"),
            readiness: readiness.clone(),
            shown: metrics.gauge("frontdesk_clock_skew_seconds", help, &[("store", store)]),
            warned: AtomicBool::new(false),
        }
    }

    /// The time before the store is asked for its own.
    pub(crate) fn asked(&self) -> Timestamp {
        self.clock.now()
    }

    /// The store's clock said `answer`, in microseconds since 1970, to a question that was `asked`.
    pub(crate) fn answered(&self, asked: Timestamp, answer: i64) {
        if self.clock.is_virtual() {
            return;
        }
        let ahead = ahead(asked.as_micros(), self.clock.now().as_micros(), answer);
        let seconds = ahead as f64 / 1e6;
        self.shown.set(seconds);
        let problem = format!(
            "this machine's clock is {:.1} s {} {}'s; keep both in step with NTP",
            seconds.abs(),
            if ahead < 0 { "behind" } else { "ahead of" },
            self.store
        );
        if ahead.abs() >= REFUSE {
            self.readiness.set(&self.component, Err(&problem));
            return;
        }
        self.readiness.set(&self.component, Ok(()));
        let far = ahead.abs() >= WARN;
        if far && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(store = self.store, "{problem}");
        } else if ahead == 0 {
            self.warned.store(false, Ordering::Relaxed);
        }
    }
}

/// By how much a clock is surely ahead of another that said `answer` at some time between `asked` and
/// `heard`; negative: behind. All in microseconds.
fn ahead(asked: i64, heard: i64, answer: i64) -> i64 {
    if answer < asked {
        asked - answer
    } else if answer > heard {
        heard - answer
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_time_of_the_answer_cannot_explain_counts() {
        assert_eq!(ahead(100, 200, 150), 0);
        assert_eq!(ahead(100, 200, 90), 10);
        assert_eq!(ahead(100, 200, 230), -30);
        // A process that was suspended meanwhile heard late; its clock is right.
        assert_eq!(ahead(100, 90_000_000, 150), 0);
    }

    #[test]
    fn a_clock_far_off_makes_the_process_not_ready_until_it_is_set() {
        let (clock, metrics, readiness) = (Clock::system(), Metrics::new(), Readiness::new());
        let skew = Skew::new(&clock, "postgres", &metrics, &readiness);
        let now = skew.asked();
        skew.answered(now, now.as_micros() - 600_000_000);
        let text = readiness.text();
        assert!(text.contains("clock.postgres: not ready"), "{text}");
        assert!(text.contains("600.0 s ahead of postgres's"), "{text}");
        skew.answered(now, now.as_micros() - 5_000_000);
        assert!(readiness.is_ready(), "a warning only");
        assert!(
            metrics
                .text()
                .contains("frontdesk_clock_skew_seconds{store=\"postgres\"} 5.0")
        );
        skew.answered(now, now.as_micros() + 40_000_000);
        assert!(readiness.text().contains("behind postgres's"));
        skew.answered(now, now.as_micros());
        assert!(readiness.is_ready());
    }
}
