//! Whether this process may be given work, and if not, why: a line per component, for people and for
//! load balancers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::sync::watch;

use crate::metrics::{Metrics, Sample};

/// Longest reason shown in a metric's label.
const LABEL: usize = 120;

pub(crate) type Checks = BTreeMap<String, Result<(), String>>;

/// The state of all components. Cheap to clone. A process without components is ready.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Checks>>);

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Nobody has said anything.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Checks::new())))
    }

    /// `component` is ready, or is not for a reason that names the remedy:
    /// `readiness.set("redis", Err("appendfsync is everysec; set it to always"))`.
    pub fn set(&self, component: &str, state: Result<(), &str>) {
        let state = state.map_err(str::to_owned);
        self.0.send_if_modified(|checks| {
            if checks.get(component) == Some(&state) {
                return false;
            }
            match (&state, checks.contains_key(component)) {
                (Ok(()), _) => tracing::debug!(component, "ready"),
                // Everything begins like this; what it hears next, if not that it is ready, is worth
                // a warning.
                (Err(reason), false) => tracing::info!(component, reason, "not ready yet"),
                (Err(reason), true) => tracing::warn!(component, reason, "not ready"),
            }
            checks.insert(component.to_owned(), state);
            true
        });
    }

    /// Whether every component is ready.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().values().all(Result::is_ok)
    }

    /// Why it is not ready: components and reasons.
    pub fn problems(&self) -> Vec<(String, String)> {
        let checks = self.0.borrow();
        let problem = |(name, state): (&String, &Result<(), String>)| {
            let reason = state.as_ref().err()?;
            Some((name.clone(), reason.clone()))
        };
        checks.iter().filter_map(problem).collect()
    }

    /// Wakes whenever something changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Checks> {
        self.0.subscribe()
    }

    /// Resolves when every component is ready.
    pub async fn ready(&self) {
        let mut changes = self.0.subscribe();
        // The sender is ours.
        let _ = changes
            .wait_for(|checks| checks.values().all(Result::is_ok))
            .await;
    }

    /// One line per component.
    pub fn text(&self) -> String {
        let checks = self.0.borrow();
        if checks.is_empty() {
            return "ready\n".to_owned();
        }
        let mut text = String::new();
        for (name, state) in checks.iter() {
            // A string takes whatever is written to it.
            let _ = match state {
                Ok(()) => writeln!(text, "{name}: ready"),
                Err(reason) => writeln!(text, "{name}: not ready: {reason}"),
            };
        }
        text
    }

    /// Shows the state in `metrics`: 1 for ready, 0 with the reason for not.
    pub(crate) fn publish(&self, metrics: &Metrics) {
        let all = self.clone();
        metrics.sampled(
            "frontdesk_ready",
            "Whether the process takes work: 1, or 0",
            move || vec![Sample::new(f64::from(all.is_ready()))],
        );
        let each = self.clone();
        metrics.sampled(
            "frontdesk_component_ready",
            "Whether a component is ready: 1, or 0 with the reason",
            move || {
                let checks = each.0.borrow();
                let sample = |(name, state): (&String, &Result<(), String>)| {
                    let reason = state.as_ref().err().map_or("", String::as_str);
                    Sample::new(f64::from(state.is_ok()))
                        .with("component", name)
                        .with("reason", reason.chars().take(LABEL).collect::<String>())
                };
                checks.iter().map(sample).collect()
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// What `work` logs.
    fn logged(work: impl FnOnce()) -> String {
        let (mut told, log) = std::io::pipe().unwrap();
        let log = tracing_subscriber::fmt().with_writer(Arc::new(log));
        tracing::subscriber::with_default(log.finish(), work);
        let mut text = String::new();
        told.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn one_component_that_is_not_ready_is_enough() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        assert_eq!(readiness.text(), "ready\n");
        readiness.set("postgres", Ok(()));
        readiness.set("redis", Err("appendfsync is everysec; set it to always"));
        assert!(!readiness.is_ready());
        assert_eq!(
            readiness.text(),
            "postgres: ready\nredis: not ready: appendfsync is everysec; set it to always\n"
        );
        let metrics = Metrics::new();
        readiness.publish(&metrics);
        let text = metrics.text();
        assert!(text.contains("frontdesk_ready 0.0\n"), "{text}");
        let gauge = "frontdesk_component_ready{component=\"redis\",reason=\"appendfsync is everysec; \
                     set it to always\"} 0.0\n";
        assert!(text.contains(gauge), "{text}");
        readiness.set("redis", Ok(()));
        assert!(readiness.is_ready() && readiness.problems().is_empty());
    }

    #[test]
    fn a_start_warns_of_nothing_and_what_goes_wrong_then_is_a_warning() {
        let readiness = Readiness::new();
        let start = logged(|| readiness.set("service", Err("starting")));
        assert!(start.contains("INFO") && !start.contains("WARN"), "{start}");
        let served = logged(|| readiness.set("service", Ok(())));
        assert!(!served.contains("WARN"), "{served}");
        let stuck = logged(|| readiness.set("service", Err("the store is away")));
        assert!(stuck.contains("WARN"), "{stuck}");
    }
}
