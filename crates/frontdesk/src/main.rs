//! The one binary. `frontdesk` alone runs everything; see `frontdesk --help` for the rest.

mod agent;
mod chat;
mod cli;
mod client;
mod config;
mod demo;
mod dev;
mod exit;
mod flow;
mod health;
mod installation;
mod patience;
mod role;
mod seed;
mod terminal;
mod token_resolver;
mod webhook;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::role::Role;

/// What a role does is many short-lived allocations on several threads, where this one takes about a
/// seventh less CPU than the system's (`docs/PERFORMANCE.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        Some(Command::Flow(args)) => runtime.block_on(flow::run(args)),
        Some(Command::Webhook(args)) => webhook::run(args),
        Some(Command::Config(args)) => config::run(args),
        Some(Command::Health(args)) => runtime.block_on(health::run(args)),
        Some(Command::Seed(args)) => runtime.block_on(client::seed(args)),
        Some(Command::Ingress(args)) => runtime.block_on(role::run(Role::Ingress, args.config)),
        Some(Command::Conversations(args)) => {
            runtime.block_on(role::run(Role::Conversations, args.config))
        }
        Some(Command::FlowRunner(args)) => {
            runtime.block_on(role::run(Role::FlowRunner, args.config))
        }
        Some(Command::Routing(args)) => runtime.block_on(role::run(Role::Routing, args.config)),
        Some(Command::Egress(args)) => runtime.block_on(role::run(Role::Egress, args.config)),
        Some(Command::Templates(args)) => runtime.block_on(role::run(Role::Templates, args.config)),
        Some(Command::Billing(args)) => runtime.block_on(role::run(Role::Billing, args.config)),
        Some(Command::Accounts(args)) => runtime.block_on(role::run(Role::Accounts, args.config)),
        Some(Command::Sandbox(args)) => runtime.block_on(role::run(Role::Sandbox, args.config)),
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
    let exit = error.downcast_ref::<Exit>();
    if exit.is_none_or(|exit| !exit.message.is_empty()) {
        // Nobody may be left to read even this.
        let _ = writeln!(io::stderr(), "frontdesk: {error:#}");
    }
    exit.map_or(ExitCode::FAILURE, |exit| exit.code.into())
}
