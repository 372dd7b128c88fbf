//! Processes under measurement: starting them, their CPU time, what others used, the disk.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// A tick of `/proc` on every Linux we run on.
const TICK_MICROS: u64 = 10_000;

/// A program that prints its address when it listens. Killed when dropped.
pub(crate) struct Program {
    pub(crate) address: String,
    /// The process of its store, whose CPU time counts as its own.
    pub(crate) store: Option<u32>,
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    pub(crate) fn start(path: &Path, args: &[&str], core: usize) -> anyhow::Result<Self> {
        let mut child = crate::ingress::on_core(path, core)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", path.display()))?;
        let output = child.stdout.take().context("it has no output")?;
        let mut program = Self {
            address: String::new(),
            store: None,
            child,
            output: BufReader::new(output),
        };
        program.address = program.line()?;
        ensure!(
            !program.address.is_empty(),
            "{} ended at once",
            path.display()
        );
        Ok(program)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Closes its input and reads the number it ends with.
    pub(crate) fn finish(mut self) -> anyhow::Result<u64> {
        drop(self.child.stdin.take());
        self.line()?.parse().context("it ended without a number")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// CPU time it and its store have used, user and system.
    pub(crate) fn cpu_micros(&self) -> anyhow::Result<u64> {
        let store = self.store.map_or(Ok(0), cpu_micros)?;
        Ok(cpu_micros(self.child.id())? + store)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// CPU time of a process.
pub(crate) fn cpu_micros(process: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    Ok(Stat::parse(&stat)?.own * TICK_MICROS)
}

/// What `/proc/PID/stat` says, times in ticks.
struct Stat {
    parent: u32,
    own: u64,
    /// Of children that have ended.
    ended: u64,
}

impl Stat {
    fn parse(stat: &str) -> anyhow::Result<Self> {
        let fields = stat.rsplit_once(") ").context("no command in stat")?.1;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |at: usize| -> anyhow::Result<u64> {
            let field = fields.get(at).context("stat is short")?;
            Ok(field.parse()?)
        };
        Ok(Self {
            parent: number(1)? as u32,
            own: number(11)? + number(12)?,
            ended: number(13)? + number(14)?,
        })
    }
}

/// CPU time of processes and all their children, also of children that have ended.
pub(crate) fn trees_cpu_micros(roots: &[u32]) -> anyhow::Result<u64> {
    let mut stats = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end between the listing and the reading.
        if let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) {
            stats.push((id, Stat::parse(&stat)?));
        }
    }
    let mut members = roots.to_vec();
    let mut ticks = 0;
    let mut at = 0;
    while let Some(member) = members.get(at).copied() {
        at += 1;
        for (id, stat) in &stats {
            if *id == member {
                ticks += stat.own + stat.ended;
            } else if stat.parent == member && !members.contains(id) {
                members.push(*id);
            }
        }
    }
    Ok(ticks * TICK_MICROS)
}

/// The id of the calling thread.
pub(crate) fn this_thread() -> anyhow::Result<u32> {
    let link = fs::read_link("/proc/thread-self")?;
    let name = link.file_name().and_then(|name| name.to_str());
    Ok(name.context("/proc/thread-self names no thread")?.parse()?)
}

/// CPU time of one of our threads.
pub(crate) fn thread_cpu_micros(thread: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat"))?;
    Ok(Stat::parse(&stat)?.own * TICK_MICROS)
}

/// CPU time of the whole machine.
pub(crate) fn machine_cpu_micros() -> anyhow::Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq: all but idle and iowait.
    let busy = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|field| fields.get(*field))
        .sum::<u64>();
    Ok(busy * TICK_MICROS)
}

/// Keeps a process and its threads on one core; says whether that worked.
pub(crate) fn pin(process: u32, core: usize) -> bool {
    let mut command = Command::new("taskset");
    command.args(["-acp", &core.to_string(), &process.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// How often the disk takes a flushed kilobyte in a second.
pub(crate) fn fsyncs_per_second(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fsync.probe");
    let mut file = fs::File::create(&path)?;
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_millis(300) {
        file.write_all(&[b'x'; 1_024])?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}

/// One server, driven for a while.
pub(crate) struct Round {
    /// Webhooks answered 200.
    pub(crate) accepted: u64,
    /// CPU time of the server's process.
    pub(crate) cpu: u64,
    pub(crate) elapsed: Duration,
    /// What neither the server nor the driver used, as a share of one core.
    pub(crate) others: f64,
    /// Microseconds from sending to the answer.
    pub(crate) times: Histogram<u64>,
}

impl Round {
    /// CPU per webhook, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu as f64 / self.accepted.max(1) as f64
    }

    /// Webhooks per second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        self.times.value_at_quantile(quantile)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"cpu_micros": self.cpu_micros(), "per_second": self.rate(),
               "accepted": self.accepted, "p50_micros": self.quantile(0.5),
               "p99_micros": self.quantile(0.99), "others_share_of_a_core": self.others})
    }
}

/// The middle of some numbers.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
