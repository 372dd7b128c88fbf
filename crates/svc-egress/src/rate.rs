//! The even line in which a number's messages leave. On servers Redis keeps it for all replicas, so
//! that a number keeps its pace while it moves from one to another. Losing it is harmless: a number
//! may then send one burst more than it should, and Meta's own throttling is heeded anyway. So where
//! Redis cannot be reached, sending goes on at the pace of this replica alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lib_platform::Metrics;
use lib_platform::metrics::Counter;
use tokio::time::Instant;

/// Messages that may leave at once after a rest.
pub(crate) const BURST: u32 = 20;
/// How long Redis may take: a message must not wait for it longer.
const PATIENCE: Duration = Duration::from_millis(300);

/// Keeps the lines of numbers.
pub(crate) trait RateWindow: Send + Sync + 'static {
    /// Takes the next `places` in the line of `number`. Returns how far ahead of now the first of
    /// them is, in a line in which messages leave evenly; zero after a rest. Messages may leave
    /// [`BURST`] places before their own.
    fn reserve<'a>(
        &'a self,
        number: &'a str,
        places: u32,
    ) -> BoxFuture<'a, anyhow::Result<Duration>>;
}

/// Lines in the memory of this process.
pub(crate) struct LocalWindow {
    interval: Duration,
    /// When the next message would leave if messages had left evenly.
    due: Mutex<BTreeMap<String, Instant>>,
}

impl LocalWindow {
    /// Messages of a number are `interval` apart.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            due: Mutex::default(),
        }
    }

    fn take(&self, number: &str, places: u32) -> Duration {
        let now = Instant::now();
        // A map is whole after every operation.
        let mut lines = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let due = lines.entry(number.to_owned()).or_insert(now);
        let first = (*due).max(now);
        *due = first + self.interval * places;
        first - now
    }
}

impl RateWindow for LocalWindow {
    fn reserve<'a>(
        &'a self,
        number: &'a str,
        places: u32,
    ) -> BoxFuture<'a, anyhow::Result<Duration>> {
        let ahead = self.take(number, places);
        Box::pin(async move { Ok(ahead) })
    }
}

/// The line that counts: the shared one, or where that cannot be reached, our own.
pub(crate) struct Pace {
    interval: Duration,
    shared: Option<Box<dyn RateWindow>>,
    local: LocalWindow,
    /// Whether the shared one cannot be reached: told once.
    away: AtomicBool,
    alone: Counter,
}

impl Pace {
    /// Messages of a number are `interval` apart, over all replicas that share `shared`.
    pub(crate) fn new(
        interval: Duration,
        shared: Option<Box<dyn RateWindow>>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            interval,
            shared,
            local: LocalWindow::new(interval),
            away: AtomicBool::new(false),
            alone: metrics.counter(
                "frontdesk_rate_window_fallbacks_total",
                "Times a number's pace was kept by this replica alone, because Redis did not answer",
                &[],
            ),
        }
    }

    /// Takes the next `places` in the line of `number`: when each message may leave.
    pub(crate) async fn reserve(&self, number: &str, places: u32) -> Vec<Instant> {
        let ahead = self.ahead(number, places).await;
        let now = Instant::now();
        let place = |place: u32| {
            let even = ahead + self.interval * place;
            now + even.saturating_sub(self.interval * BURST)
        };
        (0..places).map(place).collect()
    }

    async fn ahead(&self, number: &str, places: u32) -> Duration {
        let Some(shared) = &self.shared else {
            return self.local.take(number, places);
        };
        let asked = tokio::time::timeout(PATIENCE, shared.reserve(number, places));
        let problem = match asked.await {
            Ok(Ok(ahead)) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("Redis keeps the pace of numbers again");
                }
                return ahead;
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer in time".to_owned(),
        };
        self.alone.inc();
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                problem,
                "Redis cannot keep the pace of numbers; this replica keeps it alone for now"
            );
        }
        self.local.take(number, places)
    }
}

#[cfg(test)]
mod tests;
