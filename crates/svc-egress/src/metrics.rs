//! What Meta answered, how soon, and which numbers do not send.

use std::sync::Arc;
use std::time::Instant;

use lib_platform::Metrics;
use lib_platform::metrics::{CALL_SECONDS, Counter, Histogram, Sample};

use crate::graph::Fate;
use crate::number::{Numbers, Snapshot};

/// The instruments of the sender.
#[derive(Clone)]
pub(crate) struct Instruments {
    accepted: Counter,
    rejected: Counter,
    retry: Counter,
    not_sent: Counter,
    stop: Counter,
    ambiguous: Counter,
    duration: Histogram,
    fenced: Counter,
}

impl Instruments {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let fate = |class: &str| {
            let help = "Requests to send made to Meta's Graph API, by what became of them";
            metrics.counter("frontdesk_graph_requests_total", help, &[("class", class)])
        };
        Self {
            accepted: fate("accepted"),
            rejected: fate("rejected"),
            retry: fate("retry"),
            not_sent: fate("not_sent"),
            stop: fate("stop"),
            ambiguous: fate("ambiguous"),
            duration: metrics.histogram(
                "frontdesk_graph_request_seconds",
                "Time Meta's Graph API took for a request to send, in seconds",
                CALL_SECONDS,
                &[],
            ),
            fenced: metrics.fenced("egress"),
        }
    }

    /// A request that was not made because the number is another replica's now.
    pub(crate) fn fenced(&self) {
        self.fenced.inc();
    }

    /// A request that began at `since` ended like this.
    pub(crate) fn ended(&self, fate: &Fate, since: Instant) {
        self.duration.observe_since(since);
        let counter = match fate {
            Fate::Accepted(_) => &self.accepted,
            Fate::Rejected(_) => &self.rejected,
            Fate::Wait(..) => &self.retry,
            Fate::NotWritten(_) => &self.not_sent,
            Fate::Stop(_) => &self.stop,
            Fate::Ambiguous(_) => &self.ambiguous,
        };
        counter.inc();
    }
}

/// Shows what the numbers do.
pub(crate) fn watch(metrics: &Metrics, numbers: &Arc<Numbers>) {
    let gauge = |name, help, count: fn(&Snapshot) -> u64| {
        let numbers = Arc::clone(numbers);
        metrics.sampled(name, help, move || {
            let all = numbers.list(None);
            let sum: u64 = all.iter().map(|number| count(&number.snapshot())).sum();
            vec![Sample::new(sum as f64)]
        });
    };
    gauge(
        "frontdesk_egress_waiting_messages",
        "Messages in hand that wait for their number's turn",
        |number| number.counts.waiting,
    );
    gauge(
        "frontdesk_numbers_stopped",
        "Numbers that do not send until a person has looked: a refused token, an account problem",
        |number| u64::from(number.stopped.is_some()),
    );
    gauge(
        "frontdesk_numbers_paused",
        "Numbers that pause because Meta asked for it",
        |number| u64::from(number.paused_until.is_some()),
    );
}
