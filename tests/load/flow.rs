//! `bench flow`: the flow engine alone, on one thread: what a step costs, beside a bare interpreter
//! of the same program in the same run; sprints with the session decoded and encoded each time; the
//! size of a waiting session; and how long a published version takes to get ready.

mod bare;
mod flows;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Args as ClapArgs;
use core_flow::{Action, CompiledFlow, Input, advance, check};
use core_types::{Content, Timestamp};
use hdrhistogram::Histogram;
use serde_json::json;

use crate::measure::{this_thread, thread_cpu_micros};

/// Options.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// How often each is measured; the middle counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds for each measurement of a round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs between two looks at the clock.
const BATCH: u32 = 64;

/// One measurement: CPU per unit, and how it spreads over batches.
struct Cost {
    /// CPU nanoseconds per unit, middle of the rounds.
    cpu: f64,
    /// Nanoseconds of time per unit over batches: the middle, and 99 %.
    p50: u64,
    p99: u64,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let long = flows::long();
    let flow = compiled(&long)?;
    let facts = BTreeMap::from([("contact.display_name".to_owned(), "Maria".to_owned())]);
    let program = bare::program(flows::BRANCHES, flows::SENDS);
    let asking = compiled(&flows::asking())?;
    let steps = Sprint::new(&flow, &facts)?;
    let asks = Sprint::new(&asking, &facts)?;
    ensure!(
        steps.steps >= flows::BRANCHES + flows::SENDS,
        "only {} steps",
        steps.steps
    );
    ensure!(
        bare::run(&program, "Maria") == (flows::SENDS, steps.chars),
        "not the same program"
    );

    let per_step = u64::from(steps.steps);
    let step = measure(args, per_step, || steps.take())?;
    let bare = measure(args, per_step, || Ok(bare::run(&program, "Maria").0))?;
    let sprint = measure(args, 1, || asks.take())?;
    let large = flows::large();
    let ready = measure_once(args, || compiled(&large).map(|flow| flow.widgets()))?;
    // Nothing reads the answer of this flow, so none is kept: these are the bytes of waiting alone.
    let session = asks.session.len();
    if args.json {
        let cost =
            |cost: &Cost| json!({"cpu_ns": cost.cpu, "p50_ns": cost.p50, "p99_ns": cost.p99});
        println!(
            "{}",
            json!({"step": cost(&step), "bare_step": cost(&bare), "ratio": step.cpu / bare.cpu,
                   "sprint": cost(&sprint), "sprints_per_cpu_second": 1e9 / sprint.cpu,
                   "session_bytes": session, "ready_1000_widgets_ms": ready})
        );
        return Ok(());
    }
    println!("one thread, middle of {} rounds; CPU time", args.rounds);
    line("a step", &step, &format!("{:.1} M/s", 1e3 / step.cpu));
    line(
        "the same by a bare interpreter",
        &bare,
        &format!("ratio {:.1}", step.cpu / bare.cpu),
    );
    line(
        "a sprint, session decoded and encoded",
        &sprint,
        &format!("{:.0} k per CPU-second", 1e6 / sprint.cpu),
    );
    println!("a waiting session: {session} bytes and its answers");
    println!("1,000 widgets read, checked and compiled: {ready:.1} ms");
    Ok(())
}

fn line(what: &str, cost: &Cost, more: &str) {
    let Cost { cpu, p50, p99 } = cost;
    println!("{what:<38} {cpu:>8.1} ns  p50 {p50:>6}  p99 {p99:>6}  {more}");
}

fn compiled(text: &str) -> anyhow::Result<CompiledFlow> {
    let (definition, problems) = check(text);
    let error = problems.iter().find(|problem| problem.is_error());
    ensure!(error.is_none(), "the flow is wrong: {error:?}");
    let definition = definition.context("no errors")?;
    CompiledFlow::compile(&definition, NonZeroU32::MIN)
        .map_err(|problem| anyhow::anyhow!("{problem}"))
}

/// A sprint that leads to where it began: it can be taken again and again.
struct Sprint<'f> {
    flow: &'f CompiledFlow,
    facts: &'f BTreeMap<String, String>,
    session: Vec<u8>,
    input: Input,
    now: Timestamp,
    /// Widgets passed.
    steps: u32,
    /// Characters sent.
    chars: usize,
}

impl<'f> Sprint<'f> {
    fn new(flow: &'f CompiledFlow, facts: &'f BTreeMap<String, String>) -> anyhow::Result<Self> {
        let says = |body: &str| Content::Text {
            body: body.to_owned(),
            preview_url: false,
        };
        let now = Timestamp::from_seconds(1_795_370_000)?;
        let start = Input::Start(says("Hello"));
        let first = advance(flow, None, &start, facts, now)?;
        let input = Input::Message(says("again"));
        let second = advance(flow, Some(&first.session), &input, facts, now)?;
        ensure!(second.wait.is_some(), "the flow ended");
        let mut sprint = Self {
            flow,
            facts,
            session: second.session,
            input,
            now,
            steps: second.path.len() as u32,
            chars: 0,
        };
        let third = advance(flow, Some(&sprint.session), &sprint.input, facts, now)?;
        for effect in &third.effects {
            if let Action::Send(content) = &effect.action
                && let Content::Text { body, .. } = &**content
            {
                sprint.chars += body.len();
            }
        }
        Ok(sprint)
    }

    fn take(&self) -> anyhow::Result<u32> {
        let step = advance(
            self.flow,
            Some(&self.session),
            &self.input,
            self.facts,
            self.now,
        )?;
        Ok(step.effects.len() as u32)
    }
}

/// Runs `work`, of `units` units each time, for as long as asked.
fn measure(
    args: &Args,
    units: u64,
    work: impl Fn() -> anyhow::Result<u32>,
) -> anyhow::Result<Cost> {
    let thread = this_thread()?;
    let mut batches = Histogram::<u64>::new(3)?;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds.max(1) {
        let (began, cpu) = (Instant::now(), thread_cpu_micros(thread)?);
        let mut runs = 0_u64;
        while began.elapsed().as_secs_f64() < args.seconds {
            let batch = Instant::now();
            for _ in 0..BATCH {
                std::hint::black_box(work()?);
            }
            let nanos = batch.elapsed().as_nanos() as u64;
            batches.record(nanos / (u64::from(BATCH) * units))?;
            runs += u64::from(BATCH);
        }
        let used = thread_cpu_micros(thread)? - cpu;
        rounds.push(used as f64 * 1_000.0 / (runs * units) as f64);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(Cost {
        cpu: rounds[rounds.len() / 2],
        p50: batches.value_at_quantile(0.5),
        p99: batches.value_at_quantile(0.99),
    })
}

/// Milliseconds of time that `work` takes, middle of the rounds.
fn measure_once(args: &Args, work: impl Fn() -> anyhow::Result<usize>) -> anyhow::Result<f64> {
    let mut rounds = Vec::new();
    for _ in 0..args.rounds.max(1) {
        let began = Instant::now();
        ensure!(
            std::hint::black_box(work()?) == 1_000,
            "not that many widgets"
        );
        rounds.push(began.elapsed().as_secs_f64() * 1e3);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[rounds.len() / 2])
}
