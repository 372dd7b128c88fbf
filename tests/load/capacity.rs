//! `cargo xtask bench capacity`: Meta's sizing rule for a full number, 1,000 messages in and 3,000
//! statuses a second, against everything on this machine. Searches for the highest rate that holds:
//! arrivals come at their times whatever happens, and latency counts from the time a webhook was
//! due, so that a stall cannot hide the webhooks it delays. A rate at which webhooks are refused, or
//! replies and ledger are not there two minutes later, does not hold; what is still missing at the
//! very end is lost, and the benchmark fails.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::baselines;
use crate::bench::measured;
use crate::measure::fsyncs_per_second;
use crate::report::{Run, millis};
use crate::system::{Folder, Profile, System};
use crate::turns::{Load, Pace, Settings, Target};

/// Meta's rule: three statuses for each message out, one message out for each in.
const STATUSES: usize = 3;
/// Messages in a second at the full rate.
const FULL: f64 = 1_000.0;
/// Median time to the answer.
const MEDIAN: Duration = Duration::from_millis(250);
/// Time to the answer that at most [`SLOW_SHARE`] may exceed.
const SLOW: Duration = Duration::from_secs(1);
const SLOW_SHARE: f64 = 0.01;
/// Least share of the webhooks due that must have come about while the load lasted. Replies that do
/// not keep up call forth no statuses: a queue that grows cannot pass for a rate that holds.
const IN_TIME: f64 = 0.95;

/// The highest rate that holds.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// How Frontdesk runs.
    #[arg(long, value_enum, default_value = "embedded")]
    profile: Profile,
    /// Seconds a rate must hold.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Seconds per step of the search.
    #[arg(long, default_value_t = 12.0)]
    probe_seconds: f64,
    /// Only this share of Meta's rule, such as 0.25, without a search.
    #[arg(long)]
    share: Option<f64>,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// Folder for the stores; its disk is the one that is measured.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

struct Bench<'a> {
    args: &'a Args,
    system: System,
    load: Load,
    steps: Vec<(f64, Run)>,
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let folder = Folder::new(args.folder.as_deref())?;
    let settings = Settings {
        connections: args.connections,
        statuses: STATUSES,
    };
    let mut load = Load::new(Target::default(), settings, "16503")?;
    let graph = load.graph.url();
    let system = System::frontdesk(args.profile, &folder.0, &graph).await?;
    load.aim(system.target.clone())?;
    let fsyncs_before = fsyncs_per_second(&folder.0)?;
    let mut bench = Bench {
        args,
        system,
        load,
        steps: Vec::new(),
    };
    let held = bench.search().await?;
    let baselines = baselines::measure(&folder.0, args.connections).await?;
    let fsyncs = [fsyncs_before, fsyncs_per_second(&folder.0)?];
    bench.report(held, &fsyncs, &baselines);
    bench.nothing_is_lost().await?;
    bench.system.stop().await
}

/// Why a rate does not hold; nothing when it does.
fn objection(share: f64, run: &Run) -> Option<String> {
    if let Some(flaw) = run.flaw() {
        return Some(flaw);
    }
    let outcome = &run.outcome;
    // What belongs to the last second may still be on its way.
    let due = 4.0 * FULL * share * (outcome.elapsed.as_secs_f64() - 1.0);
    let median = Duration::from_micros(outcome.acks.value_at_quantile(0.5));
    let slow = outcome.share_above(SLOW);
    if median > MEDIAN {
        Some(format!("the median answer took {median:.0?}"))
    } else if slow > SLOW_SHARE {
        Some(format!(
            "{:.1} % of the answers took over a second",
            100.0 * slow
        ))
    } else if (outcome.in_time as f64) < IN_TIME * due {
        Some(format!(
            "only {:.0} % of the webhooks due came about in time",
            100.0 * outcome.in_time as f64 / due
        ))
    } else {
        None
    }
}

impl Bench<'_> {
    /// Applies a share of the full rate; says whether it held.
    async fn step(&mut self, share: f64, seconds: f64) -> anyhow::Result<bool> {
        let pace = Pace::Rate(FULL * share);
        let span = Duration::from_secs_f64(seconds);
        let run = measured(&mut self.system, &mut self.load, pace, span).await?;
        let objection = objection(share, &run);
        let acks = &run.outcome.acks;
        eprintln!(
            "{:>5.0} webhooks/s ({:>3.0} %) for {seconds:.0} s: ack p50 {:.1} p99 {:.1} ms, reply p50 \
             {:.0} p99 {:.0} ms, {:.0} µs CPU per turn, others {:.0} %: {}",
            4.0 * FULL * share,
            100.0 * share,
            millis(acks, 0.5),
            millis(acks, 0.99),
            millis(&run.outcome.reply_times, 0.5),
            millis(&run.outcome.reply_times, 0.99),
            run.cpu_per_turn(),
            100.0 * run.others,
            objection.as_deref().unwrap_or("holds"),
        );
        self.steps.push((share, run));
        Ok(objection.is_none())
    }

    /// Doubles until a rate does not hold, halves the gap three times, and confirms for the full
    /// time, going down by a tenth until a rate holds that long.
    async fn search(&mut self) -> anyhow::Result<f64> {
        let probe = self.args.probe_seconds;
        if let Some(share) = self.args.share {
            let held = self.step(share, self.args.seconds).await?;
            return Ok(if held { share } else { 0.0 });
        }
        // Warm-up.
        self.step(0.05, 5.0).await?;
        let (mut low, mut high) = (0.0, 0.1);
        while self.step(high, probe).await? {
            low = high;
            high *= 2.0;
            ensure!(high < 20.0, "the driver is not made for such rates");
        }
        for _ in 0..3 {
            let middle = f64::midpoint(low, high);
            if self.step(middle, probe).await? {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut share = low;
        while share > 0.01 {
            if self.step(share, self.args.seconds).await? {
                return Ok(share);
            }
            share *= 0.9;
        }
        Ok(0.0)
    }

    /// A rate too high may refuse and be late; nothing that was answered 200 may be missing at the
    /// end, when all the time in the world has passed.
    async fn nothing_is_lost(&mut self) -> anyhow::Result<()> {
        let late = self
            .steps
            .iter()
            .any(|(_, run)| run.outcome.unanswered > 0 || run.unsettled.is_some());
        if !late {
            return Ok(());
        }
        let overdue = self.load.wait_again();
        eprintln!("waiting once more for {overdue} replies and the ledger …");
        let idle = Pace::Seats(0);
        let run = measured(&mut self.system, &mut self.load, idle, Duration::ZERO).await?;
        match run.flaw() {
            Some(flaw) => bail!("LOST: {flaw}"),
            None => Ok(()),
        }
    }

    fn report(&self, held: f64, fsyncs: &[f64; 2], baselines: &Value) {
        let at = self
            .steps
            .iter()
            .rfind(|(share, _)| (*share - held).abs() < f64::EPSILON);
        if self.args.json {
            let steps: Vec<Value> = self
                .steps
                .iter()
                .map(|(share, run)| {
                    let mut step = run.to_json();
                    step["share"] = json!(share);
                    step["objection"] = json!(objection(*share, run));
                    step
                })
                .collect();
            let whole = json!({
                "profile": format!("{:?}", self.args.profile),
                "webhooks_per_second": 4.0 * FULL * held, "share_of_meta_rule": held,
                "seconds": self.args.seconds, "fdatasync_per_second": fsyncs,
                "baselines": baselines, "steps": steps,
            });
            println!("{whole}");
            return;
        }
        println!(
            "\nholds for {:.0} s: {:.0} webhooks/s, {:.0} % of Meta's 4,000",
            self.args.seconds,
            4.0 * FULL * held,
            100.0 * held
        );
        if let Some((_, run)) = at {
            let turns = run.outcome.turns.max(1) as f64;
            println!(
                "CPU per turn {:.0} µs: {}\napart from that: generator {:.0}, Graph stub {:.0}; \
                 drained in {:.1} s; disk flushes/s {:.0} before, {:.0} after",
                run.cpu_per_turn(),
                run.split(),
                run.own.generator as f64 / turns,
                run.own.graph as f64 / turns,
                run.outcome.drain.as_secs_f64(),
                fsyncs[0],
                fsyncs[1],
            );
            if let Some(flow_turn) = run.flow_turn() {
                println!(
                    "durable flow turn = conversations + flow-runner: {flow_turn:.0} µs CPU, the reply's \
                     statuses included, without the stores"
                );
            }
        }
        println!("baselines in the same run: {baselines}");
    }
}
