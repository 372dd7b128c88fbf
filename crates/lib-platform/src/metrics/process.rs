//! The process itself, under the names that Prometheus' own libraries use.

use std::fs;

use super::{Metrics, Sample};
use crate::clock::Clock;

/// Clock ticks a second in `/proc`: fixed on Linux, whatever the kernel's own rate.
const TICKS: f64 = 100.0;
/// Bytes of a page: 4 KiB on every machine this is built for.
const PAGE: f64 = 4096.0;

pub(super) fn register(metrics: &Metrics) {
    metrics.sampled(
        "frontdesk_build_info",
        "Always 1; the label says which version runs",
        || vec![Sample::new(1.0).with("version", env!("CARGO_PKG_VERSION"))],
    );
    let started = Clock::system().now().as_micros() as f64 / 1e6;
    metrics.sampled(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970",
        move || vec![Sample::new(started)],
    );
    metrics.sampled("process_resident_memory_bytes", "Memory in use", || {
        one(stat(23).map(|pages| pages * PAGE))
    });
    metrics.sampled(
        "process_cpu_seconds_total",
        "Processor time used since the start, by programs and kernel together",
        || {
            one(stat(13)
                .zip(stat(14))
                .map(|(own, kernel)| (own + kernel) / TICKS))
        },
    );
    metrics.sampled("process_open_fds", "Open file descriptors", || {
        one(fs::read_dir("/proc/self/fd")
            .ok()
            .map(|open| open.count() as f64))
    });
}

fn one(value: Option<f64>) -> Vec<Sample> {
    value.map(Sample::new).into_iter().collect()
}

/// A field of `/proc/self/stat`, counted from 0; nothing where there is no such file.
fn stat(field: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(field - 2)?.parse().ok()
}
