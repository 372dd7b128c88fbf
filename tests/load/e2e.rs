//! `cargo xtask bench e2e`: whole turns, from the customer's webhook over the flow to the reply at
//! the Graph API, its statuses and the ledger. With `--peer`, in turns with the peer chain. Where each
//! role is a process of its own, the CPU of a durable flow turn can be read off the split.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::bench::measured;
use crate::measure::{fsyncs_per_second, median};
use crate::report::{Run, millis, quantiles};
use crate::system::{Folder, Profile, System};
use crate::turns::{Load, Pace, Settings, Target};

/// CPU and time of whole turns. With `--profile postgres-redis` also that of a durable flow turn:
/// conversations + flow-runner per turn, without the stores.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// How Frontdesk runs.
    #[arg(long, value_enum, default_value = "embedded")]
    profile: Profile,
    /// Rounds; each drives every system.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds per system and round.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Customers at once.
    #[arg(long, default_value_t = 256)]
    customers: usize,
    /// Turns one after another, for the time of an idle installation.
    #[arg(long, default_value_t = 5.0)]
    idle_seconds: f64,
    /// How many of `sent`, `delivered`, `read` follow each reply.
    #[arg(long, default_value_t = 3)]
    statuses: usize,
    /// Measure the peer chain in turns.
    #[arg(long)]
    peer: bool,
    /// Folder for the stores; its disk is the one that is measured.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A system with the load that goes to it.
struct Side {
    name: &'static str,
    system: System,
    load: Load,
    idle: Option<Run>,
    rounds: Vec<Run>,
}

impl Side {
    async fn start(
        args: &Args,
        name: &'static str,
        folder: &std::path::Path,
    ) -> anyhow::Result<Self> {
        let settings = Settings {
            connections: args.customers.clamp(32, 512),
            statuses: args.statuses,
        };
        let mut load = Load::new(Target::default(), settings, "16502")?;
        let graph = load.graph.url();
        let system = match name {
            "peer" => System::peer(&graph).await?,
            _ => System::frontdesk(args.profile, folder, &graph).await?,
        };
        load.aim(system.target.clone())?;
        Ok(Self {
            name,
            system,
            load,
            idle: None,
            rounds: Vec::new(),
        })
    }

    async fn run(&mut self, pace: Pace, seconds: f64) -> anyhow::Result<Run> {
        let span = Duration::from_secs_f64(seconds);
        let run = measured(&mut self.system, &mut self.load, pace, span).await?;
        run.whole()
    }
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let folder = Folder::new(args.folder.as_deref())?;
    let mut sides = Vec::new();
    let names = ["frontdesk", "peer"];
    for name in names.into_iter().take(1 + usize::from(args.peer)) {
        let mut side = Side::start(args, name, &folder.0).await?;
        // Warm-up, so that no round pays for first times.
        side.run(Pace::Seats(args.customers), 3.0).await?;
        side.idle = Some(side.run(Pace::Seats(1), args.idle_seconds).await?);
        sides.push(side);
    }
    let mut fsyncs = Vec::new();
    for round in 1..=args.rounds {
        fsyncs.push(fsyncs_per_second(&folder.0)?);
        for side in &mut sides {
            let run = side.run(Pace::Seats(args.customers), args.seconds).await?;
            if !args.json {
                println!(
                    "round {round} {:<9}  {:>6.0} turns/s  {:>6.0} µs CPU per turn  reply p50 {:.0} \
                     p99 {:.0} ms  others {:.0}%  ({})",
                    side.name,
                    run.turns_per_second(),
                    run.cpu_per_turn(),
                    millis(&run.outcome.reply_times, 0.5),
                    millis(&run.outcome.reply_times, 0.99),
                    100.0 * run.others,
                    run.split(),
                );
            }
            side.rounds.push(run);
        }
    }
    report(args, &sides, &fsyncs);
    for side in sides {
        side.system.stop().await?;
    }
    Ok(())
}

/// The median CPU of a durable flow turn, in microseconds, where it can be told apart.
fn flow_turn(side: &Side) -> Option<f64> {
    let turns: Option<Vec<f64>> = side.rounds.iter().map(Run::flow_turn).collect();
    turns.filter(|turns| !turns.is_empty()).map(median)
}

fn report(args: &Args, sides: &[Side], fsyncs: &[f64]) {
    let of = |side: &Side, value: fn(&Run) -> f64| median(side.rounds.iter().map(value));
    let ratio = sides.get(1).map(|peer| {
        let rounds = sides[0].rounds.iter().zip(&peer.rounds);
        median(rounds.map(|(own, peer)| peer.cpu_per_turn() / own.cpu_per_turn()))
    });
    if args.json {
        let systems: serde_json::Map<_, _> = sides
            .iter()
            .map(|side| {
                let idle = side.idle.as_ref().map(|idle| {
                    json!({"reply_micros": quantiles(&idle.outcome.reply_times),
                           "turns": idle.outcome.turns})
                });
                let found = json!({
                    "median_cpu_micros_per_turn": of(side, Run::cpu_per_turn),
                    "median_turns_per_second": of(side, Run::turns_per_second),
                    "median_durable_flow_turn_cpu_micros": flow_turn(side),
                    "idle": idle,
                    "rounds": side.rounds.iter().map(Run::to_json).collect::<Vec<_>>(),
                });
                (side.name.to_owned(), found)
            })
            .collect();
        let whole = json!({
            "profile": format!("{:?}", args.profile), "customers": args.customers,
            "statuses_per_reply": args.statuses, "fdatasync_per_second": fsyncs,
            "systems": systems, "median_peer_to_frontdesk_cpu": ratio,
        });
        println!("{whole}");
        return;
    }
    println!();
    for side in sides {
        let idle = side.idle.as_ref().map(|idle| &idle.outcome.reply_times);
        println!(
            "{:<9}  median {:.0} turns/s, {:.0} µs CPU per turn; a lone customer's reply p50 {:.1} ms, \
             p99 {:.1} ms",
            side.name,
            of(side, Run::turns_per_second),
            of(side, Run::cpu_per_turn),
            idle.map_or(f64::NAN, |idle| millis(idle, 0.5)),
            idle.map_or(f64::NAN, |idle| millis(idle, 0.99)),
        );
        if let Some(flow_turn) = flow_turn(side) {
            println!(
                "           durable flow turn = conversations + flow-runner: {flow_turn:.0} µs CPU, the \
                 reply's statuses included, without the stores"
            );
        }
    }
    if let Some(ratio) = ratio {
        println!("the peer uses {ratio:.2} times the CPU (median of rounds)");
    }
    println!("flushes of the disk per second, round by round: {fsyncs:.0?}");
}
