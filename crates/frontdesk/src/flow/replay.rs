//! `frontdesk flow replay`: takes the steps of live engagements again, on the version they ran on or
//! on another, and shows the first difference.

use anyhow::{Context as _, bail};
use core_flow::CompiledFlow;
use core_flow::lab::{Retraced, play, retrace};
use serde_json::json;

use super::live::{Installation, Live};
use super::source::{Flow, begins};
use super::test::difference;
use crate::cli::FlowReplayArgs;
use crate::exit::Exit;
use crate::terminal::{print_line, printable};

/// What came of an engagement.
struct Replayed {
    engagement: String,
    steps: usize,
    /// How it differs, if it does.
    difference: Option<String>,
}

/// Replays one engagement, or all.
pub(super) async fn run(args: &FlowReplayArgs) -> anyhow::Result<()> {
    let installation = Installation::open(&args.server)?;
    let ids = match &args.engagement {
        Some(id) => vec![id.clone()],
        None => installation.engagements().await?,
    };
    let (mut all, mut skipped) = (Vec::new(), Vec::new());
    for id in &ids {
        match replay(args, &installation, id).await {
            Ok(Some(replayed)) => all.push(replayed),
            Ok(None) if args.all => {}
            Ok(None) => bail!("no flow took a step in engagement {}", printable(id)),
            // One that an older Frontdesk wrote must not hide the others.
            Err(error) if args.all => skipped.push(format!("{error:#}")),
            Err(error) => return Err(error),
        }
    }
    let different = all.iter().filter(|one| one.difference.is_some()).count();
    if args.json {
        print_line(&to_json(&all, &skipped, different).to_string())?;
    } else {
        if let Some(first) = skipped.first() {
            let count = skipped.len();
            print_line(&format!(
                "{count} cannot be taken again; the first: {}",
                printable(first)
            ))?;
        }
        print_line(&told(args, &all, different))?;
    }
    if different == 0 {
        return Ok(());
    }
    let message = if args.json {
        String::new()
    } else {
        format!("{different} of {} engagements differ", all.len())
    };
    Err(Exit { code: 1, message }.into())
}

async fn replay(
    args: &FlowReplayArgs,
    installation: &Installation,
    id: &str,
) -> anyhow::Result<Option<Replayed>> {
    match installation.engagement(id).await? {
        Some(live) => one(args, installation, live).await.map(Some),
        None => Ok(None),
    }
}

async fn one(
    args: &FlowReplayArgs,
    installation: &Installation,
    live: Live,
) -> anyhow::Result<Replayed> {
    let own = installation.version(&live.flow, live.version).await?;
    let retraced = retrace(&own, &live.engagement, &live.steps)
        .with_context(|| format!("engagement {}", live.engagement))?;
    let difference = match &args.on {
        None => at_home(&live, &retraced),
        Some(other) => {
            let flow = match other.parse::<u32>() {
                Ok(version) => installation.version(&live.flow, version).await?,
                Err(_) => Flow::ready(other.as_ref())?.1,
            };
            elsewhere(&retraced, &flow, other)?
        }
    };
    Ok(Replayed {
        engagement: live.engagement,
        steps: live.steps.len(),
        difference,
    })
}

/// On the version it ran on: every session must come out byte for byte.
fn at_home(live: &Live, retraced: &Retraced) -> Option<String> {
    let position = retraced.difference?;
    let begin = position
        .checked_sub(1)
        .map_or(0, |before| retraced.ends[before]);
    let lines = &retraced.scenario.steps[begin..retraced.ends[position]];
    Some(format!(
        "step {}: the log has {}; this program gives another session, and does {}",
        position + 1,
        live.steps[position].path.join(" → "),
        serde_json::to_string(lines).unwrap_or_default()
    ))
}

/// On another version, as a conversation.
fn elsewhere(
    retraced: &Retraced,
    flow: &CompiledFlow,
    name: &str,
) -> anyhow::Result<Option<String>> {
    let scenario = &retraced.scenario;
    Ok(match play(flow, scenario, begins(scenario)?) {
        Err((position, error)) => Some(format!("line {}: {error}", position + 1)),
        Ok(played) => {
            let there = format!("{} does", printable(name));
            difference(&scenario.steps, &played.lines, ("the log has", &there))?
        }
    })
}

fn told(args: &FlowReplayArgs, all: &[Replayed], different: usize) -> String {
    let mut lines = Vec::new();
    for replayed in all {
        if let Some(difference) = &replayed.difference {
            lines.push(format!("{}: {difference}", replayed.engagement));
        }
    }
    let steps: usize = all.iter().map(|one| one.steps).sum();
    if different == 0 {
        let how = match &args.on {
            None => "the same, byte for byte".to_owned(),
            Some(other) => format!("{} does the same", printable(other)),
        };
        let count = match all.len() {
            1 => "1 engagement".to_owned(),
            count => format!("{count} engagements"),
        };
        lines.push(format!("{count}, {steps} steps: {how}"));
    }
    lines.join("\n")
}

fn to_json(all: &[Replayed], skipped: &[String], different: usize) -> serde_json::Value {
    let engagements = all
        .iter()
        .map(|one| json!({"id": one.engagement, "steps": one.steps, "difference": one.difference}));
    let engagements: Vec<_> = engagements.collect();
    json!({"ok": different == 0, "engagements": engagements, "skipped": skipped})
}
