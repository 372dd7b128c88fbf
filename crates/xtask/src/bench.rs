//! `cargo xtask bench <name> [options]`: builds in release mode and runs a load driver of
//! `tests/load`; installs the peer chain when it is asked for.

use std::process::Command;

use anyhow::Context as _;
use clap::{Args as ClapArgs, ValueEnum};

use crate::tools::{cargo, on_path, root, run, target_dir, test_servers};

/// Which benchmark.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[arg(value_enum)]
    name: Name,
    /// Passed on to the driver; `--help` after the name lists what it takes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Whole turns through a whole installation: webhook, flow, reply, statuses, ledger.
    E2e,
    /// One signed, durably admitted webhook, beside a minimal server in the same run.
    Ingress,
    /// The highest rate that holds, as a share of Meta's sizing rule for one full number.
    Capacity,
    /// The flow engine alone, beside a bare interpreter of the same program.
    Flow,
}

/// Builds and runs it.
pub(crate) fn run_bench(args: &Args) -> anyhow::Result<()> {
    let name = match args.name {
        Name::E2e => "e2e",
        Name::Ingress => "ingress",
        Name::Capacity => "capacity",
        Name::Flow => "flow",
    };
    // The engine alone needs none of them.
    if !matches!(args.name, Name::Flow) {
        test_servers()?;
    }
    if args.options.iter().any(|option| option == "--peer") {
        install_peer()?;
    }
    let build = [
        "build",
        "--release",
        "--workspace",
        "--bins",
        "--examples",
        "--quiet",
    ];
    run("release build", &mut cargo(&build))?;
    let folder = target_dir()?.join("release");
    let mut command = Command::new(folder.join("bench"));
    command
        .arg(name)
        .args(&args.options)
        .env("FRONTDESK_BIN", folder.join("frontdesk"));
    run(name, &mut command)
}

/// Exactly the packages of the lock file.
fn install_peer() -> anyhow::Result<()> {
    let npm = on_path("npm").context("npm is missing; the peer chain needs Node 20 or newer")?;
    let mut install = Command::new(npm);
    install
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(root().join("tests/load/peer"));
    run("npm ci", &mut install)
}
