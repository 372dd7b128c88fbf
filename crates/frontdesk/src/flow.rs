//! `frontdesk flow`: checks, tests, plays and draws flows from files. No server is asked: the engine
//! is the one that runs in production, the clock is the scenario's own. `trace` and `replay` take the
//! steps of live engagements again.

mod chat;
mod check;
mod convert;
mod coverage;
mod diff;
mod draw;
mod html;
mod junit;
mod live;
mod replay;
mod source;
mod test;
mod texts;
mod trace;
mod versions;

use crate::cli::{FlowArgs, FlowCommand};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, a flow has errors, a scenario fails, or the installation refuses.
pub(crate) async fn run(args: FlowArgs) -> anyhow::Result<()> {
    match args.command {
        FlowCommand::Check(args) => check::run(&args).await,
        FlowCommand::Test(args) => test::run(&args),
        FlowCommand::Chat(args) => chat::run(&args),
        FlowCommand::Graph(args) => draw::run(&args),
        FlowCommand::Texts(args) => texts::run(&args),
        FlowCommand::Convert(args) => convert::run(&args),
        FlowCommand::Diff(args) => diff::run(&args).await,
        FlowCommand::Versions(args) => versions::list(&args).await,
        FlowCommand::Export(args) => versions::export(&args).await,
        FlowCommand::Import(args) => versions::import(&args).await,
        FlowCommand::RollBack(args) => versions::roll_back(&args).await,
        FlowCommand::Trace(args) => trace::run(&args).await,
        FlowCommand::Replay(args) => replay::run(&args).await,
    }
}
