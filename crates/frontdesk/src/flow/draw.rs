//! `frontdesk flow graph`: draws a flow.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use core_flow::graph;
use core_flow::lab::{Coverage, play};

use super::source::{Flow, Loaded, begins, flow_of, suites};
use crate::cli::FlowGraphArgs;
use crate::terminal::print_line;

/// Draws the flow into a file or on standard output.
pub(super) fn run(args: &FlowGraphArgs) -> anyhow::Result<()> {
    let flow = Flow::read(&args.file)?;
    let Some(definition) = flow.definition else {
        let first = flow.problems.first().map(ToString::to_string);
        bail!("{}: {}", args.file.display(), first.unwrap_or_default());
    };
    let coverage = match args.coverage.as_slice() {
        [] => None,
        paths => Some(taken(&args.file, paths)?),
    };
    let drawing = if args.mermaid {
        graph::mermaid(&definition)
    } else {
        graph::svg(&definition, coverage.as_ref())
    };
    if let Some(file) = &args.output {
        return std::fs::write(file, drawing)
            .with_context(|| format!("cannot write {}", file.display()));
    }
    print_line(drawing.trim_end())?;
    Ok(())
}

/// What the flow's own scenarios among `paths` take of it, whether they pass or not.
fn taken(flow: &Path, paths: &[PathBuf]) -> anyhow::Result<Coverage> {
    let flow = flow.canonicalize()?;
    let mut coverage = Coverage::default();
    for path in suites(paths)? {
        if flow_of(&path)?.canonicalize().ok().as_ref() != Some(&flow) {
            continue;
        }
        let loaded = Loaded::read(&path)?;
        for scenario in &loaded.suite.scenarios {
            if let Ok(played) = play(&loaded.flow, scenario, begins(scenario)?) {
                coverage.add(&played.taken);
            }
        }
    }
    Ok(coverage)
}
