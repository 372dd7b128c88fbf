//! `frontdesk flow check`: every mistake in flows, with place and remedy.

use core_flow::{Definition, Problem, Settings, Severity};
use serde_json::json;

use super::live::Installation;
use super::source::Flow;
use crate::cli::FlowCheckArgs;
use crate::exit::Exit;
use crate::terminal::{print_line, printable};

/// What an installation has, by name.
struct Known {
    queues: Vec<String>,
    credentials: Vec<String>,
}

/// Checks each file; the exit code is 1 when one has errors.
pub(super) async fn run(args: &FlowCheckArgs) -> anyhow::Result<()> {
    let known = if args.live {
        let installation = Installation::open(&args.server)?;
        Some(Known {
            queues: installation.queues().await?,
            credentials: installation.credentials().await?,
        })
    } else {
        None
    };
    let mut errors = 0;
    for file in &args.files {
        let mut flow = Flow::read(file)?;
        if let (Some(definition), Some(known)) = (&flow.definition, &known) {
            flow.problems.extend(unknown(definition, known));
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

/// Widgets that name a queue or a credential that the installation does not have.
fn unknown(definition: &Definition, known: &Known) -> Vec<Problem> {
    let missing = |kind: &str, name: &str, there: &[String]| {
        let remedy = match there {
            [] => "create it".to_owned(),
            there => format!("create it, or use one of {}", there.join(", ")),
        };
        (
            format!("the installation has no {kind} `{name}`"),
            remedy,
            kind.to_owned(),
        )
    };
    let widgets = definition.widgets.iter();
    let unknown = widgets.filter_map(|widget| {
        let (message, remedy, kind) = match &widget.settings {
            Settings::RouteTo(route) if !known.queues.contains(&route.queue) => {
                missing("queue", &route.queue, &known.queues)
            }
            Settings::HttpCall(call) => {
                let name = call.credential.as_ref()?;
                let new = !known.credentials.contains(name);
                new.then(|| missing("credential", name, &known.credentials))?
            }
            _ => return None,
        };
        Some(Problem {
            severity: Severity::Error,
            widget: widget.name.clone(),
            field: format!("settings.{kind}"),
            message,
            remedy,
        })
    });
    unknown.collect()
}
