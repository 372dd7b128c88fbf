//! Gauges, and counters kept elsewhere, that are read at the moment somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{LabelSet, locked};

/// One value, with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    labels: LabelSet,
    value: f64,
}

impl Sample {
    /// A value without labels.
    pub fn new(value: f64) -> Self {
        Self {
            labels: Vec::new(),
            value,
        }
    }

    /// The same with one more label.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

type Sampler = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

struct SampledFamily {
    help: &'static str,
    samplers: Vec<Sampler>,
}

/// All of them.
#[derive(Clone, Default)]
pub(super) struct Sampled(Arc<Mutex<BTreeMap<&'static str, SampledFamily>>>);

impl Sampled {
    pub(super) fn add(&self, name: &'static str, help: &'static str, sampler: Sampler) {
        let mut families = locked(&self.0);
        let family = families.entry(name).or_insert(SampledFamily {
            help,
            samplers: Vec::new(),
        });
        family.samplers.push(sampler);
    }
}

impl fmt::Debug for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(locked(&self.0).keys()).finish()
    }
}

fn write(metric: &mut MetricEncoder, kind: MetricType, value: f64) -> fmt::Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        _ => metric.encode_gauge(&value),
    }
}

impl Collector for Sampled {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for (name, family) in locked(&self.0).iter() {
            let samples: Vec<Sample> = family.samplers.iter().flat_map(|read| read()).collect();
            let help = format!("{}.", family.help);
            let (stem, kind) = match name.strip_suffix("_total") {
                Some(stem) => (stem, MetricType::Counter),
                None => (*name, MetricType::Gauge),
            };
            let mut metric = encoder.encode_descriptor(stem, &help, None, kind)?;
            for Sample { labels, value } in samples {
                if labels.is_empty() {
                    write(&mut metric, kind, value)?;
                } else {
                    write(&mut metric.encode_family(&labels)?, kind, value)?;
                }
            }
        }
        Ok(())
    }
}
