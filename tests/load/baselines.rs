//! What the machine can do without us, in the same run: flushes of the disk, alone and in groups.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stores::redis;

/// How long each is measured.
const SPAN: Duration = Duration::from_millis(700);

/// Records of 1 KiB a second that reach the disk when `group` of them are flushed together.
fn flushed(folder: &Path, group: usize) -> anyhow::Result<f64> {
    let path = folder.join("flush.probe");
    let mut file = File::create(&path)?;
    let records = vec![b'x'; 1_024 * group];
    let (started, mut count) = (Instant::now(), 0_usize);
    while started.elapsed() < SPAN {
        file.write_all(&records)?;
        file.sync_data()?;
        count += group;
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// XADD of 1 KB by redis-benchmark at the same number of clients, on a Redis that flushes before it
/// answers. Nothing when redis-benchmark is missing.
pub(crate) fn redis_xadd(port: u16, clients: usize) -> Option<f64> {
    let clients = clients.to_string();
    let port = port.to_string();
    let value = "x".repeat(1_024);
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-c", &clients, "-n", "40000", "-q", "--csv"])
        .args(["XADD", "bench:stream", "MAXLEN", "~", "10000", "*", "b"])
        .arg(&value)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().rfind(|line| line.starts_with('"'))?;
    last.split(',').nth(1)?.trim_matches('"').parse().ok()
}

/// Everything, for a report.
pub(crate) async fn measure(folder: &Path, clients: usize) -> anyhow::Result<Value> {
    let groups = [1, 16, 256];
    let mut flushes = serde_json::Map::new();
    for group in groups {
        let rate = flushed(folder, group)?.round();
        flushes.insert(group.to_string(), json!(rate));
    }
    let redis = redis().await;
    Ok(json!({
        "kib_records_per_second_by_records_per_flush": flushes,
        "redis_xadd_1k_always_per_second": redis_xadd(redis.port(), clients),
        "redis_clients": clients,
    }))
}
