//! `frontdesk demo`: a scripted conversation through the running parts of a private instance, on a
//! virtual clock, told as a timeline and checked at every step.

mod acts;
mod books;
mod report;
mod stage;

use std::io::IsTerminal as _;

use crate::cli::{DemoArgs, LogFormat, TelemetryArgs};
use crate::demo::report::Report;
use crate::demo::stage::Stage;

/// Plays the demo.
///
/// # Errors
/// When the instance cannot start or a check fails.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let telemetry = TelemetryArgs {
        log: args.log,
        log_format: LogFormat::Text,
        otlp_endpoint: None,
    };
    let _telemetry = crate::dev::start_telemetry(&telemetry)?;
    let told_live = !args.json;
    let mut report = Report::new(told_live, std::io::stdout().is_terminal());
    let mut stage = Stage::set().await?;
    let played = acts::play(&mut stage, &mut report).await;
    if let Err(error) = &played {
        report.check("the story reaches its end", false, format!("{error:#}"));
    }
    let folder = stage.strike().await;
    match folder {
        Ok(folder) => books::check_replay(folder.path(), &mut report).await,
        Err(error) => report.check("the instance stops cleanly", false, format!("{error:#}")),
    }
    report.finish(args.json)
}
