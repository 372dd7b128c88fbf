//! What waits in the inbox, for how long, and what was parked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lib_platform::Context;
use lib_platform::metrics::Sample;

use crate::admission::Admission;
use crate::inbox::Inbox;

/// What is shown.
pub(crate) struct Watched<'a, I> {
    pub(crate) inbox: &'a I,
    pub(crate) admission: &'a Admission,
    /// Replicas share it, so this one does not see all that goes in and out.
    pub(crate) shared: bool,
}

/// Shows the inbox. What this process knows is read at any time; the rest is asked of the inbox when
/// somebody asks.
pub(crate) fn watch<I: Inbox>(
    context: &Context,
    watched: &Watched<'_, I>,
    refused_signatures: &Arc<AtomicU64>,
) {
    let metrics = &context.metrics;
    let (inbox, admission) = (watched.inbox.clone(), watched.admission.clone());
    let sampled = |name, help, read: Box<dyn Fn() -> u64 + Send + Sync>| {
        metrics.sampled(name, help, move || vec![Sample::new(read() as f64)]);
    };
    let (waiting, bytes) = (admission.clone(), admission.clone());
    sampled(
        "frontdesk_inbox_waiting_deliveries",
        "Webhooks that were admitted and are not handed on yet",
        Box::new(move || waiting.waiting()),
    );
    sampled(
        "frontdesk_inbox_waiting_bytes",
        "Bytes of the bodies that wait in the inbox",
        Box::new(move || bytes.waiting_bytes()),
    );
    let admitted = admission.clone();
    sampled(
        "frontdesk_inbox_last_delivery",
        "Webhooks admitted since the inbox exists",
        Box::new(move || admitted.admitted()),
    );
    let refused = Arc::clone(refused_signatures);
    sampled(
        "frontdesk_webhook_signatures_refused_total",
        "Webhooks refused because their signature was missing or wrong",
        Box::new(move || refused.load(Ordering::Relaxed)),
    );
    let age = metrics.gauge(
        "frontdesk_inbox_oldest_seconds",
        "Age of the oldest webhook that is not handed on yet",
        &[],
    );
    let parked = metrics.gauge(
        "frontdesk_parked_events",
        "Events set aside because they could not be read or taken, until somebody replays them",
        &[],
    );
    let (shared, clock) = (watched.shared, context.clock.clone());
    metrics.on_scrape("inbox", move || {
        let (inbox, clock) = (inbox.clone(), clock.clone());
        let (age, parked, admission) = (age.clone(), parked.clone(), admission.clone());
        async move {
            if shared {
                admission.note(inbox.counts().await?);
            }
            let oldest = inbox.read(0, 1, 1).await?;
            let waited = oldest
                .first()
                .map(|oldest| clock.now().since(oldest.admitted_at));
            age.set(waited.unwrap_or(Duration::ZERO).as_secs_f64());
            let counts = inbox.parked_by_number().await?;
            parked.set(counts.iter().map(|(_, count)| *count as f64).sum());
            Ok(())
        }
    });
}
