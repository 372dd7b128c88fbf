//! Developer commands: `cargo xtask test`, `cargo xtask ci`, `cargo xtask bench <name>`.

mod bench;
mod checks;
mod cluster;
mod survive;
mod tools;
mod watchdog;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Frontdesk's developer commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what tests need and run every test; prints one summary.
    Test,
    /// Format, lints, dependency rules, then every test: what CI runs.
    Ci,
    /// Measure. Each benchmark asserts that what it measures is right.
    Bench(bench::Args),
    /// Strike a whole installation and check what it promises.
    Survive(survive::Args),
    /// Every role as a process of its own, with PostgreSQL and Redis, on this machine.
    Cluster(cluster::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test => checks::test(),
        Command::Ci => checks::ci(),
        Command::Bench(args) => bench::run_bench(&args),
        Command::Survive(args) => survive::survive(&args),
        Command::Cluster(args) => cluster::run_cluster(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
