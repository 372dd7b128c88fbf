//! `cargo xtask bench <name>`: builds in release mode and runs a load driver of `tests/load`.

use std::process::Command;

use clap::{Args as ClapArgs, ValueEnum};

use crate::tools::{cargo, run, target_dir};

/// Which benchmark.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[arg(value_enum)]
    name: Name,
    /// Passed on to the driver; `-- --help` lists what it takes.
    #[arg(last = true)]
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Whole conversations through a whole installation.
    E2e,
    /// One signed, durably admitted webhook, beside a minimal server in the same run.
    Ingress,
}

/// Builds and runs it.
pub(crate) fn run_bench(args: &Args) -> anyhow::Result<()> {
    let driver = match args.name {
        Name::E2e => "bench-e2e",
        Name::Ingress => "bench-ingress",
    };
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
    let mut command = Command::new(folder.join(driver));
    command
        .args(&args.options)
        .env("FRONTDESK_BIN", folder.join("frontdesk"));
    run(driver, &mut command)
}
