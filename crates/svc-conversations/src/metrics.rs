//! What the log tells in numbers. Everything is counted from what was committed, so a number and the
//! log never disagree, and work that is tried again counts once.

use std::sync::Arc;

use anyhow::Context as _;
use core_conversation::{Engagement, Event, SendOutcome};
use core_types::{DeliveryStatus, Timestamp};
use lib_platform::metrics::{Bounded, Counter, Histogram, Sample, WAIT_SECONDS};
use lib_platform::partition::Shares;
use lib_platform::{Context, Metrics};
use lib_storage::{Database, StorageError, sql};

use crate::committer::Answer;
use crate::publish::Publisher;
use crate::refuse;
use crate::store::WORK;
use crate::store::write::{Commit, LogEvent};

/// Queues that are told apart; further ones count as `other`. A queue's id means the same queue in
/// no two tenants, but tells no tenant either.
const QUEUES: usize = 200;

/// The instruments of the one writer.
pub(crate) struct Instruments {
    metrics: Metrics,
    queues: Bounded,
    reasons: Bounded,
    entries: Counter,
    received: Counter,
    queued: Counter,
    attempts: Counter,
    orphans: Counter,
    duplicates: Counter,
    window_refusals: Counter,
    fenced: Counter,
    steps_taken: Counter,
    steps_failed: Counter,
    statuses: Statuses,
    sends: Sends,
    offers: Offers,
}

/// `read` stands for played, too.
struct Statuses {
    sent: Counter,
    delivered: Counter,
    read: Counter,
    failed: Counter,
}

impl Statuses {
    fn new(metrics: &Metrics) -> Self {
        let status = |status: &str| {
            let help = "Statuses of sent messages, as Meta told them";
            metrics.counter("frontdesk_statuses_total", help, &[("status", status)])
        };
        Self {
            sent: status("sent"),
            delivered: status("delivered"),
            read: status("read"),
            failed: status("failed"),
        }
    }
}

struct Sends {
    accepted: Counter,
    rejected: Counter,
    not_sent: Counter,
    ambiguous: Counter,
    resent: Counter,
    unknown: Counter,
    cancelled: Counter,
}

struct Offers {
    made: Counter,
    accepted: Counter,
    declined: Counter,
    expired: Counter,
    withdrawn: Counter,
}

/// Shows where the log stands, which parts of it this replica has, and what waits to be sent.
pub(crate) fn watch(
    context: &Context,
    database: &Database,
    publisher: &Arc<Publisher>,
    shares: &Shares,
) {
    let metrics = &context.metrics;
    metrics.shares(WORK, shares);
    let publisher = Arc::clone(publisher);
    metrics.sampled(
        "frontdesk_log_head_entries",
        "Position of the last entry of the log",
        move || vec![Sample::new(publisher.head() as f64)],
    );
    let waiting = metrics.gauge(
        "frontdesk_outbox_waiting_messages",
        "Messages that may leave and have not left",
        &[],
    );
    let age = metrics.gauge(
        "frontdesk_outbox_oldest_seconds",
        "How long the oldest message that may leave has waited",
        &[],
    );
    let (database, clock) = (database.clone(), context.clock.clone());
    metrics.on_scrape("outbox", move || {
        let (database, now) = (database.clone(), clock.now());
        let (waiting, age) = (waiting.clone(), age.clone());
        async move {
            // What may go at once has no time of its own: the log entry tells when it came.
            let query = sql(
                "SELECT COUNT(*), MIN(CASE WHEN o.ready_at > 0 THEN o.ready_at \
                 ELSE e.recorded_at END) FROM outbox o LEFT JOIN event e \
                 ON e.position = o.position WHERE o.ready_at <= $1",
            );
            let rows = query.bind(now.as_micros()).fetch_all(&database).await?;
            let row = rows.first().context("no answer")?;
            waiting.set(row.get::<i64>(0)? as f64);
            let oldest = row.get::<Option<i64>>(1)?.map(Timestamp::from_micros);
            age.set(oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64()));
            Ok(())
        }
    });
}

impl Instruments {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let one = |name, help: &str| metrics.counter(name, help, &[]);
        let send = |outcome: &str| {
            let help =
                "Ends of attempts to send, and of messages that could not be sent, by outcome";
            metrics.counter("frontdesk_sends_total", help, &[("outcome", outcome)])
        };
        let step = |outcome: &str| {
            let help = "Steps of flows; after a failed one the fallback is taken";
            metrics.counter("frontdesk_flow_steps_total", help, &[("outcome", outcome)])
        };
        let offer = |outcome: &str| {
            let help = "Offers to agents: made, and how they ended";
            metrics.counter("frontdesk_offers_total", help, &[("outcome", outcome)])
        };
        Self {
            queues: Bounded::new(QUEUES),
            reasons: Bounded::new(50),
            entries: one(
                "frontdesk_log_entries_total",
                "Entries committed to the log",
            ),
            received: one(
                "frontdesk_messages_received_total",
                "Messages of customers, and of businesses from their phones",
            ),
            queued: one("frontdesk_messages_queued_total", "Messages to be sent"),
            attempts: one("frontdesk_send_attempts_total", "Attempts to send begun"),
            duplicates: one(
                "frontdesk_duplicate_events_total",
                "Events that came again after they had been taken, and had no effect",
            ),
            orphans: one(
                "frontdesk_orphan_statuses_total",
                "Statuses that came before their message was known",
            ),
            window_refusals: one(
                "frontdesk_window_refusals_total",
                "Free-form messages refused because the customer service window was closed",
            ),
            fenced: metrics.fenced("conversations"),
            steps_taken: step("taken"),
            steps_failed: step("failed"),
            statuses: Statuses::new(metrics),
            sends: Sends {
                accepted: send("accepted"),
                rejected: send("rejected"),
                not_sent: send("not_sent"),
                ambiguous: send("ambiguous"),
                resent: send("resent"),
                unknown: send("unknown"),
                cancelled: send("cancelled"),
            },
            offers: Offers {
                made: offer("made"),
                accepted: offer("accepted"),
                declined: offer("declined"),
                expired: offer("expired"),
                withdrawn: offer("withdrawn"),
            },
            metrics: metrics.clone(),
        }
        .with_names()
    }

    /// Makes the series whose labels come later, so that each name is there from the start and the
    /// first event is seen as a change.
    fn with_names(self) -> Self {
        for cause in ["message", "api"] {
            self.opened(cause).add(0);
        }
        for reason in ["wrapped_up", "wrap_up_expired", "flow_ended", "other"] {
            self.closed(reason).add(0);
        }
        self.refused("WINDOW_CLOSED").add(0);
        self.entered("other").add(0);
        self.abandoned("other").add(0);
        let _ = self.wait("other");
        self
    }

    /// The writer has answered.
    pub(crate) fn answered(&self, answers: &[Answer]) {
        for answer in answers {
            let rejection = match answer {
                Answer::Rejected(rejection, _) => rejection,
                Answer::Duplicate => {
                    self.duplicates.inc();
                    continue;
                }
                _ => continue,
            };
            let reason = refuse::reason(rejection);
            if reason == "WINDOW_CLOSED" {
                self.window_refusals.inc();
            }
            self.refused(reason).inc();
        }
    }

    /// A commit failed.
    pub(crate) fn failed(&self, error: &StorageError) {
        if error.is_fenced() {
            self.fenced.inc();
        }
    }

    /// This was committed.
    pub(crate) fn committed(&self, commit: &Commit, now: Timestamp) {
        self.entries.add(commit.entries.len() as u64);
        self.orphans.add(commit.orphans.len() as u64);
        for entry in &commit.entries {
            let LogEvent::Conversation(event) = &entry.event else {
                continue;
            };
            let engagement = || {
                let mut engagements = commit.engagements.iter().map(|(_, engagement)| engagement);
                engagements.find(|engagement| engagement.id.as_str() == entry.engagement)
            };
            self.event(event, engagement, now);
        }
    }

    fn event<'a>(
        &self,
        event: &Event,
        engagement: impl Fn() -> Option<&'a Engagement>,
        now: Timestamp,
    ) {
        match event {
            Event::MessageReceived { .. } => self.received.inc(),
            Event::MessageQueued { .. } => self.queued.inc(),
            Event::AttemptStarted { .. } => self.attempts.inc(),
            Event::AttemptEnded { outcome, .. } => self.send(outcome).inc(),
            Event::StatusChanged { update, .. } => match update.status {
                DeliveryStatus::Sent => self.statuses.sent.inc(),
                DeliveryStatus::Delivered => self.statuses.delivered.inc(),
                DeliveryStatus::Read | DeliveryStatus::Played => self.statuses.read.inc(),
                DeliveryStatus::Failed => self.statuses.failed.inc(),
            },
            Event::EngagementOpened { cause, .. } => self.opened(cause).inc(),
            Event::SessionAdvanced { failure, .. } => match failure {
                None => self.steps_taken.inc(),
                Some(_) => self.steps_failed.inc(),
            },
            Event::EngagementQueued { queue, .. } => self.entered(queue.as_str()).inc(),
            Event::EngagementOffered { .. } => self.offers.made.inc(),
            Event::OfferEnded { outcome, .. } => match outcome.as_str() {
                "declined" => self.offers.declined.inc(),
                "expired" => self.offers.expired.inc(),
                _ => self.offers.withdrawn.inc(),
            },
            Event::EngagementAssigned { offer, queue, .. } => {
                if offer.is_some() {
                    self.offers.accepted.inc();
                }
                if let (Some(queue), Some(since)) = (queue, engagement().and_then(|e| e.queued_at))
                {
                    self.wait(queue.as_str())
                        .observe(now.since(since).as_secs_f64());
                }
            }
            Event::EngagementClosed { reason, .. } => {
                self.closed(reason).inc();
                let lost =
                    engagement().filter(|it| it.queued_at.is_some() && it.assigned_at.is_none());
                if let Some(queue) = lost.and_then(|engagement| engagement.queue.as_ref()) {
                    self.abandoned(queue.as_str()).inc();
                }
            }
            _ => {}
        }
    }

    fn send(&self, outcome: &SendOutcome) -> &Counter {
        match outcome {
            SendOutcome::Accepted { .. } => &self.sends.accepted,
            SendOutcome::Rejected { .. } => &self.sends.rejected,
            SendOutcome::NotSent { .. } => &self.sends.not_sent,
            SendOutcome::Ambiguous { .. } => &self.sends.ambiguous,
            SendOutcome::Resend => &self.sends.resent,
            SendOutcome::Unknown => &self.sends.unknown,
            SendOutcome::Cancelled { .. } => &self.sends.cancelled,
        }
    }

    fn opened(&self, cause: &str) -> Counter {
        let help = "Engagements begun, by cause";
        let labels = [("cause", self.reasons.label(cause))];
        let name = "frontdesk_engagements_opened_total";
        self.metrics.counter(name, help, &labels)
    }

    fn closed(&self, reason: &str) -> Counter {
        // A flow may say anything here.
        let known = ["wrapped_up", "wrap_up_expired", "flow_ended"];
        let reason = if known.contains(&reason) {
            reason
        } else {
            "other"
        };
        let help = "Engagements ended, by reason";
        let name = "frontdesk_engagements_closed_total";
        self.metrics.counter(name, help, &[("reason", reason)])
    }

    fn refused(&self, reason: &str) -> Counter {
        let help = "Commands refused because the state of the conversation forbids them";
        let name = "frontdesk_refusals_total";
        self.metrics.counter(name, help, &[("reason", reason)])
    }

    fn entered(&self, queue: &str) -> Counter {
        let help = "Engagements that entered a queue";
        let labels = [("queue", self.queues.label(queue))];
        self.metrics
            .counter("frontdesk_queue_entered_total", help, &labels)
    }

    fn abandoned(&self, queue: &str) -> Counter {
        let help = "Engagements that ended before an agent had them";
        let labels = [("queue", self.queues.label(queue))];
        let name = "frontdesk_queue_abandoned_total";
        self.metrics.counter(name, help, &labels)
    }

    fn wait(&self, queue: &str) -> Histogram {
        let help = "Time from a queue to an agent, in seconds";
        let labels = [("queue", self.queues.label(queue))];
        let name = "frontdesk_queue_wait_seconds";
        self.metrics.histogram(name, help, WAIT_SECONDS, &labels)
    }
}
