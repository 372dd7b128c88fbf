//! `cargo xtask bench ingress`: signed webhooks to ingress and, in turns, to the least a webhook server
//! can do: `bench_baseline` (HTTP, signature, typed parse, nothing stored) beside the embedded inbox,
//! `bench_limit` (the same by hand, and stored in Redis) beside the inbox in Redis. Prints CPU per
//! webhook of both and their ratio round by round, and asserts that forged signatures are refused and
//! that everything answered 200 is in the inbox after `kill -9`.

mod meta;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args as ClapArgs;
use lib_storage::{Profile, RedisSettings};
use lib_testkit::servers::RedisServer;
use serde_json::json;
use svc_ingress::embedded::EmbeddedInbox;
use svc_ingress::inbox::Inbox;
use svc_ingress::redis::RedisInbox;

use self::meta::Webhooks;
use crate::baselines::redis_xadd;
use crate::measure::{Program, Round, fsyncs_per_second, median, pin};
use crate::stores::redis_flushed;

/// CPU of a signed, durably admitted webhook, beside a minimal server in the same run.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Rounds; each drives both servers.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds per server and round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Hand the items on to a log that keeps nothing, instead of leaving them in the inbox.
    #[arg(long)]
    hand_on: bool,
    /// Keep the inbox in Redis, flushed so: `always` before each answer, or `everysec`.
    #[arg(long, value_parser = ["always", "everysec"])]
    redis: Option<String>,
    /// Folder for the inbox; its disk is the one that is measured.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let parent = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = parent.join(format!("frontdesk-bench-ingress-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("cannot make the folder for the inbox")?;
    let outcome = bench(args, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

/// What a run found.
#[derive(Default)]
struct Found {
    ingress: Vec<Round>,
    baseline: Vec<Round>,
    fsyncs: Vec<f64>,
    /// XADDs per second by redis-benchmark with as many clients.
    xadds: Vec<f64>,
}

/// The servers under measurement, and the Redis of each.
struct Servers {
    ingress: Program,
    baseline: Program,
    redis: Option<(RedisServer, RedisServer)>,
}

impl Servers {
    async fn start(args: &Args, folder: &Path, log: &str) -> anyhow::Result<Self> {
        let data_dir = folder.to_str().context("the folder's name is not text")?;
        let server = example("bench_server")?;
        let Some(flushed) = &args.redis else {
            return Ok(Self {
                ingress: Program::start(&server, &[data_dir, log], 0)?,
                baseline: Program::start(&example("bench_baseline")?, &[], 0)?,
                redis: None,
            });
        };
        let (appendfsync, profile) = match flushed.as_str() {
            "everysec" => ("everysec", "C"),
            _ => ("always", "A"),
        };
        let start = || async {
            let server = redis_flushed(appendfsync).await;
            pin(server.process().id(), 0);
            server
        };
        let (own, limit) = (start().await, start().await);
        let url = own.url();
        let arguments = [data_dir, log, &url, profile];
        let mut ingress = Program::start(&server, &arguments, 0)?;
        ingress.store = Some(own.process().id());
        let address = format!("127.0.0.1:{}", limit.port());
        let mut baseline = Program::start(&example("bench_limit")?, &[&address], 0)?;
        baseline.store = Some(limit.process().id());
        Ok(Self {
            ingress,
            baseline,
            redis: Some((own, limit)),
        })
    }
}

async fn bench(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let pinned = pin(std::process::id(), 1);
    let start_sink = || Program::start(&example("bench_sink")?, &[], 1);
    let sink = args.hand_on.then(start_sink).transpose()?;
    // Nobody listens on port 1.
    let log = sink
        .as_ref()
        .map_or("127.0.0.1:1", |sink| sink.address.as_str());
    let mut servers = Servers::start(args, folder, log).await?;
    let webhooks = Webhooks::new()?;
    let mut admitted = 0;
    for server in [&servers.ingress, &servers.baseline] {
        ensure!(
            webhooks.forged(&server.address).await? == 401,
            "a forged signature was not refused"
        );
        // Warm-up, so that no round pays for first times.
        let warm = Duration::from_millis(500);
        let round = webhooks.drive(server, args.connections, warm).await?;
        if std::ptr::eq(server, &raw const servers.ingress) {
            admitted += round.accepted;
        }
    }
    let mut found = Found::default();
    let span = Duration::from_secs_f64(args.seconds);
    for _ in 0..args.rounds {
        found.fsyncs.push(fsyncs_per_second(folder)?);
        if let Some((_, limit)) = &servers.redis {
            let rate = redis_xadd(limit.port(), args.connections);
            found
                .xadds
                .push(rate.context("redis-benchmark is missing")?);
        }
        let ingress = webhooks.drive(&servers.ingress, args.connections, span);
        found.ingress.push(ingress.await?);
        let baseline = webhooks.drive(&servers.baseline, args.connections, span);
        found.baseline.push(baseline.await?);
    }
    admitted += found
        .ingress
        .iter()
        .map(|round| round.accepted)
        .sum::<u64>();
    let handed_on = sink.map(Program::finish).transpose()?;
    servers.ingress.kill();
    servers.baseline.kill();
    if let Some((mut own, _)) = servers.redis.take() {
        if args.redis.as_deref() == Some("always") {
            // A crash of Redis as well: what it answered is on disk.
            own.restart().await;
        }
        let settings = RedisSettings { url: own.url() };
        let redis = lib_storage::redis::Redis::open(&settings)?;
        let inbox = RedisInbox::new(&redis, "unused", Profile::C);
        check_inbox(&inbox, &webhooks, admitted, handed_on).await?;
    } else {
        let inbox = EmbeddedInbox::open(&folder.join("ingress.db")).await?;
        check_inbox(&inbox, &webhooks, admitted, handed_on).await?;
    }
    report(args, &found, pinned, handed_on);
    Ok(())
}

/// Everything answered 200 must be in the inbox or handed on, and nothing that was not sent.
async fn check_inbox(
    inbox: &impl Inbox,
    webhooks: &Webhooks,
    admitted: u64,
    handed_on: Option<u64>,
) -> anyhow::Result<()> {
    let (mut after, mut waiting) = (0, 0);
    loop {
        let page = inbox.read(after, 1_000, usize::MAX).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        waiting += page.len() as u64;
        for delivery in &page {
            ensure!(
                webhooks.knows(&delivery.body),
                "a body in the inbox was never sent"
            );
        }
    }
    // A webhook whose answer was cut off at the end of a round may be there as well.
    let kept = inbox.counts().await?.admitted;
    ensure!(
        kept >= admitted,
        "{admitted} webhooks were answered 200, {kept} were admitted"
    );
    let there = waiting + handed_on.unwrap_or(0);
    ensure!(
        there >= admitted,
        "of {admitted} webhooks answered 200, {there} are there"
    );
    ensure!(
        inbox.parked_by_number().await?.is_empty(),
        "items were parked"
    );
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "a printed table")]
fn report(args: &Args, found: &Found, pinned: bool, handed_on: Option<u64>) {
    let ratios: Vec<f64> = found
        .ingress
        .iter()
        .zip(&found.baseline)
        .map(|(ingress, baseline)| ingress.cpu_micros() / baseline.cpu_micros())
        .collect();
    let rounds: Vec<_> = found
        .ingress
        .iter()
        .zip(&found.baseline)
        .zip(ratios.iter().zip(&found.fsyncs))
        .map(|((ingress, baseline), (ratio, fsyncs))| {
            json!({"ingress": ingress.to_json(), "baseline": baseline.to_json(),
                   "ratio": ratio, "fdatasync_per_second": fsyncs})
        })
        .collect();
    let of = |rounds: &[Round], value: fn(&Round) -> f64| median(rounds.iter().map(value));
    let summary = json!({
        "ingress_cpu_micros": of(&found.ingress, Round::cpu_micros),
        "baseline_cpu_micros": of(&found.baseline, Round::cpu_micros),
        "ratio": median(ratios.iter().copied()),
        "ingress_per_second": of(&found.ingress, Round::rate),
        "baseline_per_second": of(&found.baseline, Round::rate),
        "fdatasync_per_second": median(found.fsyncs.iter().copied()),
        "redis_benchmark_xadd_per_second": found.xadds,
    });
    let whole = json!({
        "inbox": args.redis.as_ref().map_or("embedded", String::as_str),
        "connections": args.connections, "seconds": args.seconds, "pinned": pinned,
        "handed_on": handed_on, "rounds": rounds, "median": summary,
    });
    if args.json {
        println!("{whole}");
        return;
    }
    println!("CPU µs per webhook of server and Redis; others: their share of one core.\n");
    println!("round   ingress  baseline  ratio   ingress/s  p50 µs  p99 µs   fsync/s  others");
    for (number, (ingress, baseline)) in found.ingress.iter().zip(&found.baseline).enumerate() {
        println!(
            "{:>5}  {:>8.1}  {:>8.1}  {:>5.2}  {:>10.0}  {:>6}  {:>6}  {:>8.0}  {:>5.0}%",
            number + 1,
            ingress.cpu_micros(),
            baseline.cpu_micros(),
            ratios[number],
            ingress.rate(),
            ingress.quantile(0.5),
            ingress.quantile(0.99),
            found.fsyncs[number],
            100.0 * ingress.others.max(baseline.others),
        );
    }
    println!(
        "\nmedian  {:>7.1}  {:>8.1}  {:>5.2}  {:>10.0}",
        of(&found.ingress, Round::cpu_micros),
        of(&found.baseline, Round::cpu_micros),
        median(ratios.iter().copied()),
        of(&found.ingress, Round::rate),
    );
    if !found.xadds.is_empty() {
        let xadds = median(found.xadds.iter().copied());
        let rates = found.ingress.iter().map(Round::rate);
        println!(
            "redis-benchmark, XADD of 1 KiB, {} clients: {xadds:.0}/s; ingress {:.2} of it",
            args.connections,
            median(rates.zip(&found.xadds).map(|(rate, xadds)| rate / xadds)),
        );
    }
    let noisy = found.ingress.iter().chain(&found.baseline);
    let noisy = noisy.filter(|round| round.others > 0.25).count();
    if noisy > 0 {
        println!(
            "{noisy} measurements had others take over a quarter of a core; repeat when quiet."
        );
    }
}

/// An example that cargo built beside this driver.
fn example(name: &str) -> anyhow::Result<PathBuf> {
    let driver = std::env::current_exe()?;
    let folder = driver.parent().context("the driver lies in no folder")?;
    let path = folder.join("examples").join(name);
    ensure!(
        path.is_file(),
        "{} is missing: run `cargo build --release --workspace --bins --examples`",
        path.display()
    );
    Ok(path)
}

/// A command on one core, where the machine can do that.
pub(crate) fn on_core(program: &Path, core: usize) -> Command {
    let has_taskset = Command::new("taskset")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_taskset {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}
