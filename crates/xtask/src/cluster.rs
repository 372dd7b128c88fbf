//! `cargo xtask cluster up` and `down`: builds, then runs the driver of `tests/cluster`.

use std::process::Command;

use clap::Args as ClapArgs;

use crate::tools::{cargo, run, target_dir, test_servers};

/// What the cluster is told.
#[derive(Debug, ClapArgs)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// `up [--replicas N] [--foreground] [--folder F] [--no-seed]`, `down`, or `--help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Builds and runs it.
pub(crate) fn run_cluster(args: &Args) -> anyhow::Result<()> {
    test_servers()?;
    let build = ["build", "--workspace", "--bins", "--quiet"];
    run("build", &mut cargo(&build))?;
    let mut command = Command::new(target_dir()?.join("debug/cluster"));
    run("cluster", command.args(&args.words))
}
