//! Load driver behind `cargo xtask bench ingress`: signed webhooks to ingress and, in turns, to the
//! least a webhook server can do (`bench_baseline`: HTTP, signature, typed parse, nothing stored).
//! Prints CPU per webhook of both and their ratio round by round, and asserts that forged
//! signatures are refused and that everything answered 200 is in the inbox after `kill -9`.

mod meta;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args as ClapArgs;
use serde_json::json;
use svc_ingress::embedded::EmbeddedInbox;
use svc_ingress::inbox::Inbox as _;

use self::meta::Webhooks;
use crate::measure::{Program, Round, fsyncs_per_second, median, pin};

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
}

async fn bench(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let pinned = pin(std::process::id(), 1);
    let start_sink = || Program::start(&example("bench_sink")?, &[], 1);
    let sink = args.hand_on.then(start_sink).transpose()?;
    // Nobody listens on port 1.
    let log = sink
        .as_ref()
        .map_or("127.0.0.1:1", |sink| sink.address.as_str());
    let data_dir = folder.to_str().context("the folder's name is not text")?;
    let mut ingress = Program::start(&example("bench_server")?, &[data_dir, log], 0)?;
    let mut baseline = Program::start(&example("bench_baseline")?, &[], 0)?;
    let webhooks = Webhooks::new()?;
    let mut admitted = 0;
    for server in [&ingress, &baseline] {
        ensure!(
            webhooks.forged(&server.address).await? == 401,
            "a forged signature was not refused"
        );
        // Warm-up, so that no round pays for first times.
        let warm = Duration::from_millis(500);
        let round = webhooks.drive(server, args.connections, warm).await?;
        if std::ptr::eq(server, &raw const ingress) {
            admitted += round.accepted;
        }
    }
    let mut found = Found::default();
    let span = Duration::from_secs_f64(args.seconds);
    for _ in 0..args.rounds {
        found.fsyncs.push(fsyncs_per_second(folder)?);
        found
            .ingress
            .push(webhooks.drive(&ingress, args.connections, span).await?);
        found
            .baseline
            .push(webhooks.drive(&baseline, args.connections, span).await?);
    }
    admitted += found
        .ingress
        .iter()
        .map(|round| round.accepted)
        .sum::<u64>();
    let handed_on = sink.map(Program::finish).transpose()?;
    ingress.kill();
    baseline.kill();
    check_inbox(folder, &webhooks, admitted, handed_on).await?;
    report(args, &found, pinned, handed_on);
    Ok(())
}

/// Everything answered 200 must be in the inbox or handed on, and nothing that was not sent.
async fn check_inbox(
    folder: &Path,
    webhooks: &Webhooks,
    admitted: u64,
    handed_on: Option<u64>,
) -> anyhow::Result<()> {
    let inbox = EmbeddedInbox::open(&folder.join("ingress.db")).await?;
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
    });
    let whole = json!({
        "connections": args.connections, "seconds": args.seconds, "pinned": pinned,
        "handed_on": handed_on, "rounds": rounds, "median": summary,
    });
    if args.json {
        println!("{whole}");
        return;
    }
    println!("CPU µs per webhook of the server's process; others: their share of one core.\n");
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
