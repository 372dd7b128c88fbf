//! `frontdesk flow check`: every mistake in flows, with place and remedy.

use core_flow::{Definition, Problem, SendTemplate, Settings, Severity, TemplateHeader};
use lib_proto::templates::Template;
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
    templates: Vec<Template>,
}

impl Known {
    /// What `flows` name kinds of; not every author may see the rest.
    async fn of(installation: &Installation, flows: &[&Definition]) -> anyhow::Result<Self> {
        let some = |wanted: fn(&Settings) -> bool| {
            let mut widgets = flows.iter().flat_map(|flow| &flow.widgets);
            widgets.any(|widget| wanted(&widget.settings))
        };
        let mut known = Self {
            queues: installation.queues().await?,
            credentials: Vec::new(),
            templates: Vec::new(),
        };
        if some(|it| matches!(it, Settings::HttpCall(call) if call.credential.is_some())) {
            known.credentials = installation.credentials().await?;
        }
        if some(|it| matches!(it, Settings::SendTemplate(_))) {
            known.templates = installation.templates().await?;
        }
        Ok(known)
    }
}

/// Checks each file; the exit code is 1 when one has errors.
pub(super) async fn run(args: &FlowCheckArgs) -> anyhow::Result<()> {
    let flows = args.files.iter().map(|file| Flow::read(file));
    let mut flows = flows.collect::<anyhow::Result<Vec<_>>>()?;
    let known = if args.live {
        let definitions = flows.iter().filter_map(|flow| flow.definition.as_ref());
        let asked: Vec<&Definition> = definitions.collect();
        Some(Known::of(&Installation::open(&args.server)?, &asked).await?)
    } else {
        None
    };
    let mut errors = 0;
    for (file, flow) in args.files.iter().zip(&mut flows) {
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
            let widgets = flow
                .definition
                .as_ref()
                .map_or(0, |flow| flow.widgets.len());
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
            Settings::SendTemplate(template) => {
                let (message, remedy) = against(template, &known.templates)?;
                (message, remedy, "template".to_owned())
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

/// What an installation's templates say against one that a flow sends, and the remedy.
fn against(sent: &SendTemplate, known: &[Template]) -> Option<(String, String)> {
    let (name, language) = (&sent.template, &sent.language);
    let of_name: Vec<&Template> = known.iter().filter(|own| own.name == *name).collect();
    let Some(first) = of_name.first() else {
        let message = format!("no number's account has a template `{name}`");
        let remedy = "create it at Meta and synchronise templates, or use another";
        return Some((message, remedy.to_owned()));
    };
    let Some(found) = of_name.iter().find(|own| own.language == *language) else {
        let message = format!("the template `{name}` is not there in `{language}`");
        return Some((
            message,
            format!("use `{}`, or add the language", first.language),
        ));
    };
    if found.status != "APPROVED" {
        let message = format!("the template `{name}` is {}", found.status.to_lowercase());
        let remedy = "WhatsApp takes approved templates only; see why at Meta";
        return Some((message, remedy.to_owned()));
    }
    let places = found.parameters.iter();
    let places = places.filter(|place| place.component == "body").count();
    if places != sent.body.len() {
        let message = format!(
            "the template `{name}` has {places} places, and {} are filled",
            sent.body.len()
        );
        return Some((message, format!("it reads: {}", found.body)));
    }
    let header = found
        .parameters
        .iter()
        .find(|place| place.component == "header");
    let kind = match &sent.header {
        None => "",
        Some(TemplateHeader::Text(_)) => "text",
        Some(TemplateHeader::Image(_)) => "image",
        Some(TemplateHeader::Video(_)) => "video",
        Some(TemplateHeader::Document(_)) => "document",
    };
    let wanted = header.map_or("", |place| place.kind.as_str());
    if wanted != kind {
        let told = |kind: &str| match kind {
            "" => "nothing".to_owned(),
            kind => format!("a {kind}"),
        };
        let message = format!(
            "its header takes {}, and is given {}",
            told(wanted),
            told(kind)
        );
        return Some((message, "change `header`".to_owned()));
    }
    None
}
