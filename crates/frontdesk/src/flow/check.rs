//! `frontdesk flow check`: every mistake in flows, with place and remedy.

use core_flow::{Definition, Problem, Settings, Severity};
use serde_json::json;

use super::live::Installation;
use super::source::Flow;
use crate::cli::FlowCheckArgs;
use crate::exit::Exit;
use crate::terminal::{print_line, printable};

/// Checks each file; the exit code is 1 when one has errors.
pub(super) async fn run(args: &FlowCheckArgs) -> anyhow::Result<()> {
    let queues = if args.live {
        Some(Installation::open(&args.server)?.queues().await?)
    } else {
        None
    };
    let mut errors = 0;
    for file in &args.files {
        let mut flow = Flow::read(file)?;
        if let (Some(definition), Some(queues)) = (&flow.definition, &queues) {
            flow.problems.extend(unknown_queues(definition, queues));
        }
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

/// Widgets that lead to a queue the installation does not have.
fn unknown_queues(definition: &Definition, queues: &[String]) -> Vec<Problem> {
    let widgets = definition.widgets.iter();
    let unknown = widgets.filter_map(|widget| match &widget.settings {
        Settings::RouteTo(route) if !queues.contains(&route.queue) => Some(Problem {
            severity: Severity::Error,
            widget: widget.name.clone(),
            field: "settings.queue".to_owned(),
            message: format!("the installation has no queue `{}`", route.queue),
            remedy: match queues {
                [] => "create it".to_owned(),
                queues => format!("create it, or use one of {}", queues.join(", ")),
            },
        }),
        _ => None,
    });
    unknown.collect()
}
