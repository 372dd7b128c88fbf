//! Everything that can be said about a definition before it meets a customer. Errors keep it from
//! being published; warnings are for its author. Every problem names its place and a remedy.

mod accept;
mod call;
mod condition;
mod graph;
mod hours;
mod parts;
mod script;
mod settings;
mod template;
mod translations;
mod variables;
mod window;

use std::collections::BTreeMap;

pub(crate) use self::call::is_of_http;

use crate::definition::{Definition, Settings, Widget};
use crate::limits::{MAX_EXITS, MAX_FLOW_NAME, MAX_NAME, MAX_SCRIPTS, MAX_WIDGETS};
use crate::problem::{Problem, capped, nearest, quote};
use crate::scope::{RESERVED, Scope};

/// What is wrong with `definition`: errors first, then warnings, each in the order of the file.
pub fn validate(definition: &Definition) -> Vec<Problem> {
    let mut problems = Vec::new();
    if definition.widgets.len() > MAX_WIDGETS {
        let message = format!("the flow has more than {MAX_WIDGETS} widgets");
        problems.push(Problem::error(
            "",
            "widgets",
            message,
            "split the flow into several",
        ));
        return problems;
    }
    flow_name(definition, &mut problems);
    let scope = Scope::new(definition);
    variables::declared(definition, &mut problems);
    start(definition, &scope, &mut problems);
    names(definition, &mut problems);
    for widget in &definition.widgets {
        exits(widget, &scope, &mut problems);
        settings::check(widget, &scope, &mut problems);
    }
    let in_others = translations::check_all(definition, &scope, &problems);
    problems.extend(in_others);
    variables::unused(definition, &scope, &mut problems);
    problems.extend(crate::compile::too_many_expressions(definition));
    let scripts = definition.widgets.iter();
    let scripts = scripts
        .filter(|widget| matches!(widget.settings, Settings::Script(_)))
        .count();
    if scripts > MAX_SCRIPTS {
        let message = format!("the flow has {scripts} scripts");
        let remedy = format!("use at most {MAX_SCRIPTS}");
        problems.push(Problem::error("", "widgets", message, remedy));
    }
    // Roads are judged only when every exit is known to lead where it says.
    if !problems.iter().any(Problem::is_error) {
        graph::check(definition, &scope, &mut problems);
    }
    problems.sort_by_key(|problem| problem.severity);
    capped(problems)
}

fn flow_name(definition: &Definition, problems: &mut Vec<Problem>) {
    let name = &definition.name;
    if name.trim().is_empty() {
        problems.push(Problem::error(
            "",
            "name",
            "the flow has no name",
            "give it one",
        ));
    } else if name.chars().count() > MAX_FLOW_NAME || name.chars().any(char::is_control) {
        problems.push(Problem::error(
            "",
            "name",
            "the name is too long or holds a control character",
            format!("use at most {MAX_FLOW_NAME} visible characters"),
        ));
    }
}

fn start(definition: &Definition, scope: &Scope<'_>, problems: &mut Vec<Problem>) {
    let mut starts = definition
        .widgets
        .iter()
        .filter(|widget| matches!(widget.settings, Settings::Start));
    let first = starts.next();
    for second in starts {
        problems.push(Problem::error(
            &second.name,
            "type",
            "the flow has a second start widget",
            "keep one and lead its exit here",
        ));
    }
    match scope.target(&definition.start) {
        Err(error) => {
            let remedy = match first {
                Some(widget) => format!("write `{}`, the start widget", widget.name),
                None => "add a widget of type `start` and name it here".to_owned(),
            };
            problems.push(Problem::error("", "start", error.message, remedy));
        }
        Ok(_) if matches!(scope.settings(&definition.start), Some(Settings::Start)) => {}
        Ok(_) => problems.push(Problem::error(
            "",
            "start",
            format!("`{}` is not a start widget", definition.start),
            "name the widget of type `start`",
        )),
    }
}

fn names(definition: &Definition, problems: &mut Vec<Problem>) {
    let mut seen = BTreeMap::new();
    for (position, widget) in definition.widgets.iter().enumerate() {
        let name = widget.name.as_str();
        if !is_name(name) || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            problems.push(Problem::error(
                &quote(name),
                format!("widgets[{position}].name"),
                format!("`{}` is not a widget name", quote(name)),
                format!("use a letter, then letters, digits and _; at most {MAX_NAME}"),
            ));
        } else if RESERVED.contains(&name) {
            problems.push(Problem::error(
                name,
                "name",
                format!("`{name}` is the name of a group of variables"),
                "choose another, such as one with a capital letter",
            ));
        }
        if let Some(first) = seen.insert(name, position) {
            problems.push(Problem::error(
                &quote(name),
                format!("widgets[{position}].name"),
                format!("widgets[{first}] has the same name"),
                "give every widget a name of its own",
            ));
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The exits a widget must have, in the order people draw them.
fn expected_exits(widget: &Widget) -> Vec<&str> {
    match &widget.settings {
        Settings::Start => vec!["next"],
        Settings::SendMedia(_) | Settings::SendTemplate(_) | Settings::SetVariables(_) => {
            vec!["next", "failed"]
        }
        Settings::CollectInput(_) => vec!["match", "no_match", "timeout"],
        Settings::Condition(condition) => {
            let mut exits: Vec<&str> = Vec::new();
            for branch in &condition.branches {
                if !exits.contains(&branch.exit.as_str()) && exits.len() < MAX_EXITS {
                    exits.push(&branch.exit);
                }
            }
            if !exits.contains(&"no_match") {
                exits.push("no_match");
            }
            exits
        }
        Settings::Split(split) => {
            let ways = split.ways.iter().take(MAX_EXITS);
            ways.map(|way| way.exit.as_str()).collect()
        }
        Settings::BusinessHours(_) => vec!["open", "closed"],
        Settings::Wait(_) => vec!["next", "message"],
        Settings::HttpCall(_) => vec!["next", "failed", "timeout"],
        Settings::Script(script) => {
            let own = script.exits.iter().take(MAX_EXITS).map(String::as_str);
            ["next", "failed"].into_iter().chain(own).collect()
        }
        Settings::End | Settings::RouteTo(_) => Vec::new(),
    }
}

fn exits(widget: &Widget, scope: &Scope<'_>, problems: &mut Vec<Problem>) {
    let mut error = |field: String, message: String, remedy: String| {
        problems.push(Problem::error(&widget.name, field, message, remedy));
    };
    if widget.exits.0.len() > MAX_EXITS {
        let message = format!("the widget has more than {MAX_EXITS} exits");
        error("exits".into(), message, "use several widgets".into());
        return;
    }
    let expected = expected_exits(widget);
    for name in &expected {
        if widget.exits.get(name).is_none() {
            error(
                format!("exits.{}", quote(name)),
                format!("the exit `{}` is missing", quote(name)),
                "add it, with the widget it leads to or null".into(),
            );
        }
    }
    for (name, target) in &widget.exits.0 {
        let field = format!("exits.{}", quote(name));
        if !expected.contains(&name.as_str()) {
            let remedy = match nearest(name, expected.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if expected.is_empty() => "remove it: the flow's part ends here".into(),
                None => format!("remove it; it has {}", expected.join(", ")),
            };
            let kind = widget.settings.kind();
            error(
                field,
                format!("a {kind} has no exit `{}`", quote(name)),
                remedy,
            );
        } else if let Some(target) = target
            && let Err(unresolved) = scope.target(target)
        {
            error(field, unresolved.message, unresolved.remedy);
        }
    }
}

#[cfg(test)]
mod tests;
