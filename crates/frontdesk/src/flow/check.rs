//! `frontdesk flow check`: every mistake in flows, with place and remedy.

use serde_json::json;

use super::source::Flow;
use crate::cli::FlowCheckArgs;
use crate::exit::Exit;
use crate::terminal::{print_line, printable};

/// Checks each file; the exit code is 1 when one has errors.
pub(super) fn run(args: &FlowCheckArgs) -> anyhow::Result<()> {
    let mut errors = 0;
    for file in &args.files {
        let flow = Flow::read(file)?;
        let wrong = flow.problems.iter().filter(|problem| problem.is_error());
        let wrong = wrong.count();
        errors += wrong;
        if args.json {
            let problems = flow.problems.iter().map(|problem| {
                json!({
                    "severity": if problem.is_error() { "error" } else { "warning" },
                    "widget": problem.widget,
                    "field": problem.field,
                    "message": problem.message,
                    "remedy": problem.remedy,
                })
            });
            let problems: Vec<_> = problems.collect();
            let line = json!({"file": file, "ok": wrong == 0, "problems": problems});
            if !print_line(&line.to_string())? {
                return Ok(());
            }
            continue;
        }
        for problem in &flow.problems {
            print_line(&printable(&format!("{}: {problem}", file.display())))?;
        }
        if flow.problems.is_empty() {
            let widgets = flow.definition.map_or(0, |flow| flow.widgets.len());
            print_line(&format!("{}: right, {widgets} widgets", file.display()))?;
        }
    }
    if errors == 0 {
        return Ok(());
    }
    let message = match (args.json, errors) {
        (true, _) => String::new(),
        (false, 1) => "1 error; the flow cannot be published".to_owned(),
        (false, _) => format!("{errors} errors; the flows cannot be published"),
    };
    Err(Exit { code: 1, message }.into())
}
