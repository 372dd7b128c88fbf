//! Who waits in which queue and for how long, which offers should have ended, and who could answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use core_routing::Routing;
use core_types::Timestamp;
use lib_platform::metrics::{Bounded, Sample};
use lib_platform::{Clock, Metrics};
use tokio::sync::oneshot;

use crate::hubs::OpenHubs;
use crate::order::Order;

/// Queues that are told apart; further ones count as `other`.
const QUEUES: usize = 200;
/// An offer that stands longer than this after its end is overdue: its hub does not work.
const GRACE: Duration = Duration::from_secs(5);

/// What the hubs of this replica have, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Census {
    queues: BTreeMap<String, Waiting>,
    offers: u64,
    overdue: u64,
    agents_ready: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Waiting {
    engagements: u64,
    oldest_seconds: f64,
}

impl Census {
    /// Adds a tenant.
    pub(crate) fn count(&mut self, routing: &Routing, now: Timestamp) {
        // An empty queue is worth a zero.
        for queue in routing.queues() {
            self.queues.entry(queue.id.to_string()).or_default();
        }
        for engagement in routing.engagements() {
            if engagement.is_waiting() {
                let waiting = self.queues.entry(engagement.queue.to_string()).or_default();
                waiting.engagements += 1;
                let age = now.since(engagement.queued_at).as_secs_f64();
                waiting.oldest_seconds = waiting.oldest_seconds.max(age);
            }
            if let Some(offer) = engagement.offer() {
                self.offers += 1;
                self.overdue += u64::from(now > offer.expires_at.plus(GRACE));
            }
        }
        let ready = routing.agents().filter(|agent| agent.is_ready());
        self.agents_ready += ready.count() as u64;
    }

    fn add(&mut self, other: Self, queues: &Bounded) {
        for (queue, more) in other.queues {
            let queue = queues.label(&queue).to_owned();
            let waiting = self.queues.entry(queue).or_default();
            waiting.engagements += more.engagements;
            waiting.oldest_seconds = waiting.oldest_seconds.max(more.oldest_seconds);
        }
        self.offers += other.offers;
        self.overdue += other.overdue;
        self.agents_ready += other.agents_ready;
    }
}

/// Shows what the open hubs have. Each is asked when somebody asks.
pub(crate) fn watch(metrics: &Metrics, clock: &Clock, open: &OpenHubs) {
    let last: Arc<Mutex<Census>> = Arc::default();
    show(metrics, &last);
    let queues = Arc::new(Bounded::new(QUEUES));
    let (open, clock) = (open.clone(), clock.clone());
    metrics.on_scrape("routing", move || {
        let (hubs, now) = (open.all(), clock.now());
        let (queues, last) = (Arc::clone(&queues), Arc::clone(&last));
        async move {
            let mut all = Census::default();
            for hub in hubs {
                let (reply, census) = oneshot::channel();
                let order = Order::Census { now, reply };
                // A hub that has ended has nothing.
                if hub.orders.send(order).await.is_ok()
                    && let Ok(census) = census.await
                {
                    all.add(census, &queues);
                }
            }
            *last.lock().unwrap_or_else(PoisonError::into_inner) = all;
            Ok(())
        }
    });
}

fn show(metrics: &Metrics, last: &Arc<Mutex<Census>>) {
    let sampled = |name, help, read: fn(&Census) -> Vec<Sample>| {
        let last = Arc::clone(last);
        metrics.sampled(name, help, move || {
            read(&last.lock().unwrap_or_else(PoisonError::into_inner))
        });
    };
    sampled(
        "frontdesk_queue_waiting_engagements",
        "Engagements without an agent, by queue",
        |census| by_queue(census, |waiting| waiting.engagements as f64),
    );
    sampled(
        "frontdesk_queue_oldest_seconds",
        "How long the longest-waiting engagement of a queue has waited",
        |census| by_queue(census, |waiting| waiting.oldest_seconds),
    );
    sampled(
        "frontdesk_offers_open",
        "Offers that agents have not answered",
        |census| vec![Sample::new(census.offers as f64)],
    );
    sampled(
        "frontdesk_offers_overdue",
        "Offers that should have ended more than 5 s ago",
        |census| vec![Sample::new(census.overdue as f64)],
    );
    sampled(
        "frontdesk_agents_ready",
        "Agents with an open desk who are ready",
        |census| vec![Sample::new(census.agents_ready as f64)],
    );
}

fn by_queue(census: &Census, read: fn(&Waiting) -> f64) -> Vec<Sample> {
    let queues = census.queues.iter();
    queues
        .map(|(queue, waiting)| Sample::new(read(waiting)).with("queue", queue))
        .collect()
}
