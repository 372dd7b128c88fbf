//! `frontdesk flow trace`: what a flow did in an engagement, step by step, and as a scenario.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use core_flow::lab::{Retraced, retrace};
use core_types::Timestamp;
use serde_json::json;

use super::live::{Installation, Live};
use super::source::keep;
use super::test::written;
use crate::cli::FlowTraceArgs;
use crate::terminal::{print_line, printable};

/// Shows one engagement.
pub(super) async fn run(args: &FlowTraceArgs) -> anyhow::Result<()> {
    let installation = Installation::open(&args.server)?;
    let Some(live) = installation.engagement(&args.engagement).await? else {
        bail!(
            "no flow took a step in engagement {}",
            printable(&args.engagement)
        );
    };
    let flow = installation.version(&live.flow, live.version).await?;
    let title = args.title.clone();
    let title = title.unwrap_or_else(|| format!("Engagement {}", live.engagement));
    let retraced = retrace(&flow, &title, &live.steps)
        .with_context(|| format!("engagement {}", live.engagement))?;
    if let (Some(file), Some(flow)) = (&args.save, &args.flow) {
        keep(flow, file, &retraced.scenario)?;
        print_line(&format!("kept in {}", file.display()))?;
        return Ok(());
    }
    let text = if args.json {
        to_json(&live, &retraced)?
    } else {
        told(&live, &retraced)?
    };
    print_line(&text)?;
    Ok(())
}

fn told(live: &Live, retraced: &Retraced) -> anyhow::Result<String> {
    let mut text = format!(
        "Engagement {}: flow {}, version {}, {} steps",
        live.engagement,
        live.flow,
        live.version,
        live.steps.len()
    );
    let mut begin = 0;
    for (step, end) in live.steps.iter().zip(&retraced.ends) {
        // Writing into a text does not fail.
        let _ = write!(text, "\n{}  {}", clock(step.now), step.path.join(" → "));
        for line in &retraced.scenario.steps[begin..*end] {
            text.push('\n');
            text.push_str(&written(Some(line))?);
        }
        begin = *end;
    }
    if let Some(failure) = &live.failure {
        let _ = write!(text, "\nThe flow was given up: {}", printable(failure));
    }
    if let Some(position) = retraced.difference {
        let _ = write!(
            text,
            "\nStep {} comes out differently now; `frontdesk flow replay` tells how",
            position + 1
        );
    }
    Ok(text)
}

fn to_json(live: &Live, retraced: &Retraced) -> anyhow::Result<String> {
    let mut begin = 0;
    let steps = live.steps.iter().zip(&retraced.ends).map(|(step, end)| {
        let lines = &retraced.scenario.steps[begin..*end];
        begin = *end;
        json!({"at": clock(step.now), "path": step.path, "lines": lines})
    });
    let steps: Vec<_> = steps.collect();
    let object = json!({
        "engagement": live.engagement,
        "flow": live.flow,
        "version": live.version,
        "steps": steps,
        "failure": live.failure,
        "same": retraced.difference.is_none(),
    });
    Ok(serde_json::to_string(&object)?)
}

fn clock(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros())
        .map_or_else(|_| String::new(), |at| at.to_string())
}
