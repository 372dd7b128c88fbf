//! The one binary. `frontdesk` alone runs everything; see `frontdesk --help` for the rest.

mod agent;
mod chat;
mod cli;
mod demo;
mod dev;
mod installation;
mod seed;
mod terminal;
mod token_resolver;
mod webhook;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::from(error).context("cannot start threads")),
    };
    let outcome = match cli.command {
        None => runtime.block_on(dev::run(cli.dev)),
        Some(Command::Dev(args)) => runtime.block_on(dev::run(args)),
        Some(Command::Chat(args)) => runtime.block_on(chat::run(args)),
        Some(Command::Agent(args)) => runtime.block_on(agent::run(args)),
        Some(Command::Demo(args)) => runtime.block_on(demo::run(args)),
        Some(Command::Webhook(args)) => webhook::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let pipe = error.downcast_ref::<io::Error>().map(io::Error::kind);
    if pipe == Some(io::ErrorKind::BrokenPipe) {
        // The reader (`head`, say) has seen enough.
        return ExitCode::SUCCESS;
    }
    // Nobody may be left to read even this.
    let _ = writeln!(io::stderr(), "frontdesk: {error:#}");
    ExitCode::FAILURE
}
