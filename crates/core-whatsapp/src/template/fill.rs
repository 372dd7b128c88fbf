//! Checks what is sent with a template, and fills it in.

use std::collections::BTreeMap;

use core_types::{TemplateButtonParameter, TemplateHeaderParameter, TemplateSend};

use super::placeholder::Pattern;
use super::{Button, ButtonKind, Definition, Header};
use crate::send::LimitProblem;
use crate::send::{media_source, template_text};
use crate::text::Findings;

/// Longest header and body after filling in, in characters (else 132005).
const HEADER: usize = 60;
const BODY: usize = 1_024;
/// Longest code of a copy-code button, in characters.
const CODE: usize = 20;
/// Longest payload of a quick reply, in characters.
const PAYLOAD: usize = 256;

type Parameters<'a> = Vec<(Option<&'a str>, &'a str)>;

pub(super) fn check(
    definition: &Definition,
    send: &TemplateSend,
) -> Result<String, Vec<LimitProblem>> {
    let mut findings = Findings::default();
    for reason in &definition.unsupported {
        findings.add("template", format!("cannot be sent by Frontdesk: {reason}"));
    }
    let header = header(&mut findings, definition, send.header.as_ref());
    let given = send.body.iter();
    let given: Parameters<'_> = given
        .map(|(name, text)| (name.as_deref(), text.as_str()))
        .collect();
    let body = text(
        &mut findings,
        "template.body",
        &definition.body,
        definition.named,
        &given,
    );
    if let Some(body) = &body {
        findings.at_most("template.body", body, BODY);
    }
    buttons(&mut findings, &definition.buttons, &send.buttons);
    if !findings.0.is_empty() {
        return Err(findings.0);
    }
    let parts = [header, body, Some(definition.footer.clone())];
    let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
    Ok(parts.collect::<Vec<_>>().join("\n\n"))
}

/// The header's text; empty for media.
fn header(
    findings: &mut Findings,
    definition: &Definition,
    given: Option<&TemplateHeaderParameter>,
) -> Option<String> {
    let field = "template.header";
    match (&definition.header, given) {
        (None, None) => None,
        (None, Some(_)) => {
            findings.add(field, "the template has no header to fill in");
            None
        }
        (Some(Header::Text(pattern, _)), given) => {
            let given = match given {
                None => Vec::new(),
                Some(TemplateHeaderParameter::Text(name, value)) => {
                    vec![(name.as_deref(), value.as_str())]
                }
                Some(TemplateHeaderParameter::Media(_)) => {
                    findings.add(field, "must be text");
                    return None;
                }
            };
            let filled = text(findings, field, pattern, definition.named, &given)?;
            findings.at_most(field, &filled, HEADER);
            Some(filled)
        }
        (Some(Header::Media(kind, _)), Some(TemplateHeaderParameter::Media(media))) => {
            if media.kind == *kind {
                media_source(findings, field, media);
            } else {
                findings.add(field, format!("must be {}", article(kind.word())));
            }
            None
        }
        (Some(Header::Media(kind, _)), _) => {
            findings.add(field, format!("{} must be given", article(kind.word())));
            None
        }
    }
}

fn article(kind: &str) -> String {
    let article = if kind == "image" { "an" } else { "a" };
    format!("{article} {kind}")
}

/// The filled text, or `None` when parameters are missing, unknown or not usable.
fn text(
    findings: &mut Findings,
    field: &str,
    pattern: &Pattern,
    named: bool,
    given: &Parameters<'_>,
) -> Option<String> {
    let before = findings.0.len();
    for (index, (_, value)) in given.iter().enumerate() {
        template_text(findings, &format!("{field}[{index}]"), value);
    }
    let variables = pattern.variables();
    let values = if named {
        by_name(findings, field, variables, given)
    } else {
        by_position(findings, field, variables, given)
    };
    (findings.0.len() == before).then(|| pattern.filled(&values))
}

fn by_position<'a>(
    findings: &mut Findings,
    field: &str,
    variables: &[String],
    given: &Parameters<'a>,
) -> Vec<&'a str> {
    if given.len() != variables.len() {
        let (has, wants) = (given.len(), variables.len());
        findings.add(
            field,
            format!("has {has} parameters; the template has {wants}"),
        );
    }
    for (index, (name, _)) in given.iter().enumerate() {
        let position = (index + 1).to_string();
        if name.is_some_and(|name| name != position) {
            findings.add(
                format!("{field}[{index}]"),
                "must have no name: the template's parameters are numbered",
            );
        }
    }
    given.iter().map(|(_, value)| *value).collect()
}

fn by_name<'a>(
    findings: &mut Findings,
    field: &str,
    variables: &[String],
    given: &Parameters<'a>,
) -> Vec<&'a str> {
    let mut values: BTreeMap<&str, &'a str> = BTreeMap::new();
    for (index, (name, value)) in given.iter().enumerate() {
        let at = format!("{field}[{index}]");
        match name {
            None => findings.add(at, "must have a name: the template's parameters are named"),
            Some(name) if !variables.iter().any(|variable| variable == name) => {
                findings.add(at, format!("`{name}` is not a parameter of the template"));
            }
            Some(name) => {
                if values.insert(name, value).is_some() {
                    findings.add(at, format!("`{name}` is given twice"));
                }
            }
        }
    }
    for variable in variables {
        if !values.contains_key(variable.as_str()) {
            findings.add(field, format!("`{variable}` is missing"));
        }
    }
    let variables = variables.iter();
    variables
        .map(|variable| values.get(variable.as_str()).copied().unwrap_or_default())
        .collect()
}

fn buttons(findings: &mut Findings, buttons: &[Button], given: &[TemplateButtonParameter]) {
    let mut filled = vec![false; buttons.len()];
    for (position, parameter) in given.iter().enumerate() {
        let field = format!("template.buttons[{position}]");
        let index = usize::from(parameter.index);
        let Some(button) = buttons.get(index) else {
            let count = buttons.len();
            findings.add(
                format!("{field}.index"),
                format!("is {index}; the template has {count} buttons, counted from 0"),
            );
            continue;
        };
        if std::mem::replace(&mut filled[index], true) {
            findings.add(format!("{field}.index"), "is given twice");
        }
        button_parameter(findings, &field, button, parameter);
    }
    for (index, button) in buttons.iter().enumerate() {
        let wanted = match &button.kind {
            ButtonKind::Url { variable, .. } => *variable,
            ButtonKind::CopyCode | ButtonKind::OneTimePassword => true,
            ButtonKind::QuickReply | ButtonKind::Fixed => false,
        };
        if wanted && !filled[index] {
            let text = &button.text;
            findings.add(
                "template.buttons",
                format!("the parameter of button {index} \"{text}\" is missing"),
            );
        }
    }
}

fn button_parameter(
    findings: &mut Findings,
    field: &str,
    button: &Button,
    parameter: &TemplateButtonParameter,
) {
    let (kind, most) = match &button.kind {
        ButtonKind::QuickReply => ("quick_reply", PAYLOAD),
        ButtonKind::Url { variable: true, .. } => ("url", 2_000),
        ButtonKind::OneTimePassword => ("url", CODE),
        ButtonKind::CopyCode => ("copy_code", CODE),
        ButtonKind::Url { .. } | ButtonKind::Fixed => {
            findings.add(field, "the button takes no parameter");
            return;
        }
    };
    if parameter.kind != kind {
        findings.add(format!("{field}.kind"), format!("must be {kind}"));
    }
    let field = format!("{field}.value");
    findings.required(&field, &parameter.value, most);
    if parameter.value.chars().any(char::is_control) {
        findings.add(&field, "must not hold control characters");
    }
    if let ButtonKind::Url { address, .. } = &button.kind {
        let whole = address.split("{{").next().unwrap_or_default().len() + parameter.value.len();
        if whole > 2_000 {
            findings.add(field, "makes the address longer than 2,000 characters");
        }
    }
}
