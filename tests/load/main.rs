//! Load drivers behind `cargo xtask bench <name>`. Each asserts that what it measures is right.

mod baselines;
mod bench;
mod capacity;
mod e2e;
mod flow;
mod ingress;
mod measure;
mod peer;
mod report;
mod stores;
mod system;
mod turns;
mod wire;

use clap::{Parser, Subcommand};

/// Measures. Everything runs on this machine, the stand-ins and this driver included.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// CPU of a signed, durably admitted webhook, beside a minimal server in the same run.
    Ingress(ingress::Args),
    /// CPU and time of whole turns: webhook, flow, reply at the Graph API, its statuses, the ledger.
    E2e(e2e::Args),
    /// The highest rate that holds, as a share of Meta's sizing rule for one full number.
    Capacity(capacity::Args),
    /// The flow engine alone: steps beside a bare interpreter, sprints, size, time to get ready.
    Flow(flow::Args),
}

fn main() -> anyhow::Result<()> {
    // One thread: the driver shares the machine with what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match Cli::parse().bench {
            Bench::Ingress(args) => ingress::run(&args).await,
            Bench::E2e(args) => e2e::run(&args).await,
            Bench::Capacity(args) => capacity::run(&args).await,
            Bench::Flow(args) => flow::run(&args),
        }
    })
}
