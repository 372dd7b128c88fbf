//! `frontdesk flow convert`: a flow of another system as one of ours, with a report of what became of it.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use core_flow::import::from_zoom;
use serde_json::json;

use super::source::read;
use crate::cli::FlowConvertArgs;
use crate::exit::Exit;
use crate::terminal::{print_line, printable};

/// Writes the flow, and tells what became of each part and what is left to mend.
pub(super) fn run(args: &FlowConvertArgs) -> anyhow::Result<()> {
    let text = read(&args.file)?;
    let told = |error| anyhow!("{}: {error}", args.file.display());
    let imported = from_zoom(&text).map_err(told)?;
    let written = imported.definition.to_json();
    let (_, problems) = core_flow::check(&written);
    write(&args.output, &written)?;
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    if args.json {
        let remarks = imported.remarks.iter().map(|remark| {
            json!({"widget": remark.widget, "taken": remark.taken.word(), "text": remark.text})
        });
        let problems = problems.iter().map(ToString::to_string);
        let line = json!({"file": args.output, "widgets": imported.definition.widgets.len(),
            "remarks": remarks.collect::<Vec<_>>(), "problems": problems.collect::<Vec<_>>(),
            "ok": errors == 0});
        print_line(&line.to_string())?;
    } else {
        for remark in &imported.remarks {
            print_line(&printable(&remark.to_string()))?;
        }
        for problem in &problems {
            print_line(&printable(&problem.to_string()))?;
        }
        let widgets = imported.definition.widgets.len();
        print_line(&format!("{}: {widgets} widgets", args.output.display()))?;
    }
    if errors == 0 {
        return Ok(());
    }
    let message = if args.json {
        String::new()
    } else {
        format!("{errors} errors are left to be mended before it can be published")
    };
    Err(Exit { code: 1, message }.into())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
