//! Numbers about a running installation, for Prometheus: counters, gauges and histograms, written out
//! as OpenMetrics text when somebody asks. Nothing is global: a registry lives in the `Context`.
//!
//! Instruments are made once, with their labels, and kept; using one is an atomic operation (a
//! histogram takes a short lock). Labels never name a tenant, a phone number or a person.
//!
//! `prometheus-client`, Prometheus' own library, rather than the OpenTelemetry SDK: that one looks up
//! labels at every use and has no exemplars.

pub(crate) mod http;
mod process;
pub(crate) mod rpc;
mod sampled;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge;
use prometheus_client::registry::Registry;

pub use sampled::Sample;
pub use work::Followed;

/// Names and values of labels.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// Seconds a call or a request may take: 1 ms to 30 s.
pub const CALL_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Seconds a person may wait: 1 s to an hour.
pub const WAIT_SECONDS: &[f64] = &[
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];
/// Longest a number that has to be asked for may hold up a scrape.
const REFRESH: Duration = Duration::from_secs(2);

type LabelSet = Vec<(&'static str, String)>;
type TraceLabel = [(&'static str, String); 1];
type GaugeCell = gauge::Gauge<f64, AtomicU64>;
type HistogramCell = HistogramWithExemplars<TraceLabel>;
type Refreshed = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// All instruments of one installation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    families: Mutex<BTreeMap<&'static str, Kind>>,
    sampled: sampled::Sampled,
    refreshers: Mutex<Vec<Refresher>>,
}

enum Kind {
    Counter(Family<LabelSet, counter::Counter>),
    Gauge(Family<LabelSet, GaugeCell>),
    Histogram(Family<LabelSet, HistogramCell, Buckets>),
}

#[derive(Clone)]
struct Refresher {
    failures: Counter,
    ask: Arc<dyn Fn() -> Refreshed + Send + Sync>,
}

/// Bounds of a histogram's buckets.
#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<HistogramCell> for Buckets {
    fn new_metric(&self) -> HistogramCell {
        HistogramWithExemplars::new(self.0.iter().copied())
    }
}

/// Counts up.
#[derive(Clone, Debug)]
pub struct Counter(counter::Counter);

/// Goes up and down.
#[derive(Clone, Debug)]
pub struct Gauge(GaugeCell);

/// How often values of which size occurred.
#[derive(Clone, Debug)]
pub struct Histogram(HistogramCell);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// `more` more.
    pub fn add(&self, more: u64) {
        self.0.inc_by(more);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl Gauge {
    /// It is `value` now.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// It is `by` more; less, when `by` is negative.
    pub fn add(&self, by: f64) {
        self.0.inc_by(by);
    }

    /// What it is.
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

impl Histogram {
    /// `value` occurred.
    pub fn observe(&self, value: f64) {
        self.0.observe(value, None, None);
    }

    /// A span of time occurred that began at `since` and ends now; in seconds.
    pub fn observe_since(&self, since: Instant) {
        self.observe(since.elapsed().as_secs_f64());
    }

    /// `value` occurred, for example in the trace with this id.
    pub fn observe_in_trace(&self, value: f64, trace: Option<opentelemetry::TraceId>) {
        let label = trace.map(|id| [("trace_id", id.to_string())]);
        self.0.observe(value, label, None);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry that knows of this process: its version, start, memory and processor time.
    pub fn new() -> Self {
        let sampled = sampled::Sampled::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(sampled.clone()));
        let metrics = Self(Arc::new(Inner {
            registry: Mutex::new(registry),
            families: Mutex::default(),
            sampled,
            refreshers: Mutex::default(),
        }));
        process::register(&metrics);
        metrics
    }

    /// The counter `name` (it must end in `_total`) with these labels; the same one each time.
    ///
    /// # Panics
    /// When `name` is a gauge or a histogram already.
    pub fn counter(&self, name: &'static str, help: &str, labels: Labels) -> Counter {
        let mut families = locked(&self.0.families);
        let kind = families.entry(name).or_insert_with(|| {
            let family = Family::default();
            // The library adds the suffix, and a full stop after the help.
            let stem = name.strip_suffix("_total").unwrap_or(name);
            self.register(stem, help, family.clone());
            Kind::Counter(family)
        });
        match kind {
            Kind::Counter(family) => Counter(family.get_or_create_owned(&owned(labels))),
            Kind::Gauge(_) | Kind::Histogram(_) => panic!("{name} is no counter"),
        }
    }

    /// The gauge `name` with these labels; the same one each time.
    ///
    /// # Panics
    /// When `name` is a counter or a histogram already.
    pub fn gauge(&self, name: &'static str, help: &str, labels: Labels) -> Gauge {
        let mut families = locked(&self.0.families);
        let kind = families.entry(name).or_insert_with(|| {
            let family = Family::default();
            self.register(name, help, family.clone());
            Kind::Gauge(family)
        });
        match kind {
            Kind::Gauge(family) => Gauge(family.get_or_create_owned(&owned(labels))),
            Kind::Counter(_) | Kind::Histogram(_) => panic!("{name} is no gauge"),
        }
    }

    /// The histogram `name` with these labels, the same one each time; `buckets` are the upper bounds
    /// when it is made first.
    ///
    /// # Panics
    /// When `name` is a counter or a gauge already.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &str,
        buckets: &'static [f64],
        labels: Labels,
    ) -> Histogram {
        let mut families = locked(&self.0.families);
        let kind = families.entry(name).or_insert_with(|| {
            let family = Family::new_with_constructor(Buckets(buckets));
            self.register(name, help, family.clone());
            Kind::Histogram(family)
        });
        match kind {
            Kind::Histogram(family) => Histogram(family.get_or_create_owned(&owned(labels))),
            Kind::Counter(_) | Kind::Gauge(_) => panic!("{name} is no histogram"),
        }
    }

    /// A gauge, or a counter if its name ends in `_total`, that is read when somebody asks. `sample` must be quick and must not wait. What is
    /// registered under one name adds up.
    pub fn sampled(
        &self,
        name: &'static str,
        help: &'static str,
        sample: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.0.sampled.add(name, help, Box::new(sample));
    }

    /// Calls `ask` before each scrape, to bring gauges up to date that have to be asked for (of a
    /// database, say). Failures are counted in `frontdesk_metrics_refresh_failures_total`; the gauges
    /// keep their last values then.
    pub fn on_scrape<F>(&self, what: &'static str, ask: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let failures = self.counter(
            "frontdesk_metrics_refresh_failures_total",
            "Times a metric could not be brought up to date for a scrape",
            &[("what", what)],
        );
        let ask = move || -> Refreshed { Box::pin(ask()) };
        let refresher = Refresher {
            failures,
            ask: Arc::new(ask),
        };
        locked(&self.0.refreshers).push(refresher);
    }

    /// Everything as OpenMetrics text 1.0, up to date.
    pub async fn scrape(&self) -> String {
        let refreshers = locked(&self.0.refreshers).clone();
        let all = refreshers.iter().map(|refresher| async {
            let asked = tokio::time::timeout(REFRESH, (refresher.ask)()).await;
            let problem = match asked {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "no answer in time".to_owned(),
            };
            refresher.failures.inc();
            tracing::debug!(problem, "a metric could not be brought up to date");
        });
        futures_util::future::join_all(all).await;
        self.text()
    }

    /// Everything as OpenMetrics text 1.0, without asking anybody.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A string takes whatever is written to it.
        let _ = text::encode(&mut text, &locked(&self.0.registry));
        text
    }

    fn register(&self, name: &str, help: &str, family: impl prometheus_client::registry::Metric) {
        locked(&self.0.registry).register(name, help, family);
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// Keeps the number of a label's values bounded: the first ones are told apart, the rest are `other`.
#[derive(Debug)]
pub struct Bounded {
    most: usize,
    seen: Mutex<BTreeSet<String>>,
}

impl Bounded {
    /// At most `most` values besides `other`.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            seen: Mutex::default(),
        }
    }

    /// `value`, or `other` when there are too many.
    pub fn label<'a>(&self, value: &'a str) -> &'a str {
        let mut seen = locked(&self.seen);
        if seen.contains(value) {
            return value;
        }
        if seen.len() >= self.most {
            return "other";
        }
        seen.insert(value.to_owned());
        value
    }
}

fn owned(labels: Labels) -> LabelSet {
    let labels = labels.iter();
    labels
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one insertion.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
