//! What runs found, in numbers a program reads and lines a person reads.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::system::Cpu;
use crate::turns::Outcome;

/// CPU of the driver itself and of the Graph stub, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwnCpu {
    /// The load generator.
    pub(crate) generator: u64,
    /// The Graph stub.
    pub(crate) graph: u64,
}

/// One measured run.
pub(crate) struct Run {
    /// What was driven.
    pub(crate) outcome: Outcome,
    /// What ledger and inbox still lacked when nobody waited any longer.
    pub(crate) unsettled: Option<String>,
    /// CPU of what was measured, until everything had had its effect.
    pub(crate) cpu: Cpu,
    /// CPU of the stand-ins.
    pub(crate) own: OwnCpu,
    /// What neither used, as a share of one core.
    pub(crate) others: f64,
}

impl Run {
    /// CPU of all services and stores per turn, in microseconds.
    pub(crate) fn cpu_per_turn(&self) -> f64 {
        let all: u64 = self.cpu.values().sum();
        all as f64 / self.outcome.turns.max(1) as f64
    }

    /// What was refused or is missing; nothing when the run is whole.
    pub(crate) fn flaw(&self) -> Option<String> {
        let outcome = &self.outcome;
        if outcome.refused > 0 {
            Some(format!(
                "{} webhooks were not answered 200",
                outcome.refused
            ))
        } else if outcome.unanswered > 0 {
            Some(format!(
                "{} messages had no reply {:.0?} after the load",
                outcome.unanswered, outcome.drain
            ))
        } else {
            self.unsettled.clone()
        }
    }

    /// The run, when it is whole.
    ///
    /// # Errors
    /// With its flaw.
    pub(crate) fn whole(self) -> anyhow::Result<Self> {
        self.flaw()
            .map_or(Ok(self), |flaw| Err(anyhow::anyhow!(flaw)))
    }

    /// CPU of a durable flow turn, in microseconds: all that `conversations` and `flow-runner` used
    /// per turn, the statuses of its reply included, without the stores. Only where each is a
    /// process of its own.
    pub(crate) fn flow_turn(&self) -> Option<f64> {
        let parts = ["conversations", "flow-runner"].map(|name| self.cpu.get(name));
        let [Some(conversations), Some(flow_runner)] = parts else {
            return None;
        };
        Some((conversations + flow_runner) as f64 / self.outcome.turns.max(1) as f64)
    }

    /// Turns per second while the load lasted and until the last reply.
    pub(crate) fn turns_per_second(&self) -> f64 {
        let span = self.outcome.elapsed.as_secs_f64();
        (self.outcome.turns - self.outcome.backlog as u64) as f64 / span
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> Value {
        let turns = self.outcome.turns.max(1) as f64;
        let split: serde_json::Map<_, _> = self
            .cpu
            .iter()
            .map(|(name, micros)| (name.clone(), json!(round(*micros as f64 / turns))))
            .collect();
        let outcome = &self.outcome;
        json!({
            "seconds": outcome.elapsed.as_secs_f64(),
            "turns": outcome.turns,
            "turns_per_second": round(self.turns_per_second()),
            "replies": outcome.replies,
            "unexpected_replies": outcome.unexpected,
            "late_replies": outcome.late,
            "replies_missing": outcome.unanswered,
            "unsettled": self.unsettled,
            "statuses": outcome.statuses,
            "webhooks": outcome.turns + outcome.statuses,
            "webhooks_refused": outcome.refused,
            "backlog_at_the_end": outcome.backlog,
            "drain_seconds": outcome.drain.as_secs_f64(),
            "cpu_micros_per_turn": round(self.cpu_per_turn()),
            "cpu_micros_per_turn_by_part": split,
            "durable_flow_turn_cpu_micros": self.flow_turn().map(round),
            "generator_cpu_micros_per_turn": round(self.own.generator as f64 / turns),
            "graph_stub_cpu_micros_per_turn": round(self.own.graph as f64 / turns),
            "others_share_of_a_core": round(self.others),
            "ack_micros": quantiles(&outcome.acks),
            "reply_micros": quantiles(&outcome.reply_times),
        })
    }

    /// The split as text: `conversations 210, redis 55`, largest first.
    pub(crate) fn split(&self) -> String {
        let turns = self.outcome.turns.max(1) as f64;
        let mut parts: Vec<_> = self.cpu.iter().collect();
        parts.sort_by_key(|(_, micros)| std::cmp::Reverse(**micros));
        let parts = parts
            .into_iter()
            .map(|(name, micros)| format!("{name} {:.0}", *micros as f64 / turns));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Two digits are all that is meant.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Quantiles of times in microseconds.
pub(crate) fn quantiles(times: &Histogram<u64>) -> Value {
    json!({"p50": times.value_at_quantile(0.5), "p99": times.value_at_quantile(0.99),
           "max": times.max()})
}

/// Microseconds as milliseconds with one digit.
pub(crate) fn millis(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1_000.0
}
