//! A template filled in: the checks Meta makes of the parameters, and the text the customer reads.

use core_types::{TemplateButtonParameter, TemplateHeaderParameter, TemplateSend};
use serde_json::Value;

use super::{is_type, variables};
use crate::graph::error::GraphError;
use crate::state::Template;

/// Longest body once filled in.
const LONGEST_BODY: usize = 1_024;
/// What an authentication template says; its text is Meta's.
const CODE_TEXT: &str = "{{1}} is your verification code.";

/// The parameters as given, with what the customer will see: the whole text in `rendered`, every
/// button that can be tapped or opened.
///
/// # Errors
/// As Meta answers parameters that do not fit.
pub(crate) fn fill(template: &Template, send: TemplateSend) -> Result<TemplateSend, GraphError> {
    let components = template
        .components
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let component = |kind: &str| components.iter().find(|component| is_type(component, kind));
    let header = header(component("HEADER"), send.header.as_ref())?;
    let authentication = template.category == "AUTHENTICATION";
    let text = component("BODY").and_then(|body| body["text"].as_str());
    let text = text.unwrap_or(if authentication { CODE_TEXT } else { "" });
    let body = filled("body", text, &send.body)?;
    if body.chars().count() > LONGEST_BODY {
        let details = "Translated text too long";
        return Err(GraphError::message(132_005, details));
    }
    let definitions = component("BUTTONS").and_then(|buttons| buttons["buttons"].as_array());
    let definitions = definitions.map(Vec::as_slice).unwrap_or_default();
    let buttons = buttons(definitions, &send.buttons)?;
    let footer = component("FOOTER").and_then(|footer| footer["text"].as_str());
    let links = buttons
        .iter()
        .filter(|button| button.kind == "url")
        .filter_map(|button| {
            let label = definitions.get(usize::from(button.index))?["text"].as_str()?;
            Some(format!("{label}: {}", button.value))
        });
    let parts = header
        .into_iter()
        .chain([body])
        .chain(footer.map(ToOwned::to_owned));
    let rendered = parts.chain(links).collect::<Vec<_>>().join("\n\n");
    Ok(TemplateSend {
        rendered,
        buttons,
        category: template.category.to_ascii_lowercase(),
        ..send
    })
}

fn header(
    definition: Option<&Value>,
    given: Option<&TemplateHeaderParameter>,
) -> Result<Option<String>, GraphError> {
    let Some(definition) = definition else {
        return match given {
            None => Ok(None),
            Some(_) => Err(count("header", 1, 0)),
        };
    };
    let format = definition["format"]
        .as_str()
        .unwrap_or("TEXT")
        .to_ascii_uppercase();
    let mismatch = |received: &str| {
        let details = format!("header: Format mismatch, expected {format}, received {received}");
        GraphError::message(132_012, &details)
    };
    match (format.as_str(), given) {
        ("TEXT", None | Some(TemplateHeaderParameter::Text(..))) => {
            let text = definition["text"].as_str().unwrap_or_default();
            let given: Vec<(Option<String>, String)> = match given {
                Some(TemplateHeaderParameter::Text(name, value)) => {
                    vec![(name.clone(), value.clone())]
                }
                _ => Vec::new(),
            };
            filled("header", text, &given).map(Some)
        }
        ("IMAGE" | "VIDEO" | "DOCUMENT", Some(TemplateHeaderParameter::Media(media))) => {
            let received = media.kind.word().to_ascii_uppercase();
            if received == format {
                Ok(None)
            } else {
                Err(mismatch(&received))
            }
        }
        (_, Some(TemplateHeaderParameter::Text(..))) => Err(mismatch("TEXT")),
        (_, Some(TemplateHeaderParameter::Media(media))) => {
            Err(mismatch(&media.kind.word().to_ascii_uppercase()))
        }
        ("IMAGE" | "VIDEO" | "DOCUMENT", None) => Err(mismatch("UNKNOWN")),
        (_, None) => Ok(None),
    }
}

/// A text with its variables replaced.
fn filled(
    place: &str,
    text: &str,
    given: &[(Option<String>, String)],
) -> Result<String, GraphError> {
    let names = variables(text);
    if names.len() != given.len() {
        return Err(count(place, given.len(), names.len()));
    }
    for (position, name) in names.iter().enumerate() {
        let Some(value) = value_of(given, position, name) else {
            let details = format!("{place}: Parameter name is missing or does not match: {name}");
            return Err(GraphError::message(132_000, &details));
        };
        if value.contains(['\n', '\t', '\r']) || value.contains("     ") {
            let details = "Param text cannot have new-line/tab characters or more than 4 \
                           consecutive spaces";
            return Err(GraphError::message(132_018, details));
        }
    }
    Ok(replace(text, |name| {
        let position = names.iter().position(|own| own == name)?;
        value_of(given, position, name)
    }))
}

/// The value of a variable. Positional parameters have no names; named ones come in any order.
fn value_of<'a>(
    given: &'a [(Option<String>, String)],
    position: usize,
    name: &str,
) -> Option<&'a str> {
    given
        .iter()
        .find(|(own, _)| own.as_deref() == Some(name))
        .or_else(|| given.get(position).filter(|(own, _)| own.is_none()))
        .map(|(_, value)| value.as_str())
}

/// The text with each variable replaced once, so that a value that looks like a variable stays.
fn replace<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else {
            break;
        };
        let end = start + length + 2;
        out.push_str(&rest[..start]);
        let name = rest[start + 2..end - 2].trim();
        out.push_str(value(name).unwrap_or(&rest[start..end]));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn count(place: &str, given: usize, expected: usize) -> GraphError {
    let details = format!(
        "{place}: number of localizable_params ({given}) does not match the expected number of \
         params ({expected})"
    );
    GraphError::message(132_000, &details)
}

fn buttons(
    definitions: &[Value],
    given: &[TemplateButtonParameter],
) -> Result<Vec<TemplateButtonParameter>, GraphError> {
    if let Some(extra) = given
        .iter()
        .find(|given| usize::from(given.index) >= definitions.len())
    {
        let details = format!("buttons: there is no button at index {}", extra.index);
        return Err(GraphError::message(132_018, &details));
    }
    let mut shown = Vec::new();
    for (index, definition) in definitions.iter().enumerate() {
        let index = u8::try_from(index).unwrap_or(u8::MAX);
        let own = given.iter().find(|given| given.index == index);
        let text = definition["text"].as_str().unwrap_or_default();
        let wanted = |kind: &str| {
            own.map(|own| own.value.clone()).ok_or_else(|| {
                let details =
                    format!("buttons: Button at index {index} of type {kind} requires a parameter");
                GraphError::message(131_008, &details)
            })
        };
        let (kind, value) = if is_type(definition, "QUICK_REPLY") {
            (
                "quick_reply",
                own.map_or(text, |own| own.value.as_str()).to_owned(),
            )
        } else if is_type(definition, "URL") {
            let url = definition["url"].as_str().unwrap_or_default();
            match variables(url).first() {
                Some(_) => {
                    let suffix = wanted("Url")?;
                    ("url", replace(url, |_| Some(&suffix)))
                }
                None => ("url", url.to_owned()),
            }
        } else if is_type(definition, "COPY_CODE") {
            ("copy_code", wanted("CopyCode")?)
        } else if is_type(definition, "OTP") {
            ("copy_code", wanted("Url")?)
        } else {
            continue;
        };
        shown.push(TemplateButtonParameter {
            index,
            kind: kind.to_owned(),
            value,
        });
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use core_types::{Media, MediaKind};
    use serde_json::json;

    use super::*;
    use crate::state::TemplateStatus;

    fn template() -> Template {
        Template {
            id: "1".into(),
            account: "a".into(),
            name: "order_ready".into(),
            language: "en_US".into(),
            category: "UTILITY".into(),
            status: TemplateStatus::Approved,
            parameter_format: "POSITIONAL".into(),
            components: json!([
                {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
                {"type": "BODY", "text": "Hi {{1}}, it is ready. {{1}}, see you {{2}}!"},
                {"type": "FOOTER", "text": "Garden Centre"},
                {"type": "BUTTONS", "buttons": [
                    {"type": "QUICK_REPLY", "text": "Thanks"},
                    {"type": "URL", "text": "Track", "url": "https://e.test/{{1}}"}]}]),
            review_at: None,
            deleted_at: None,
        }
    }

    fn send(body: &[&str]) -> TemplateSend {
        TemplateSend {
            header: Some(TemplateHeaderParameter::Text(None, "A7".into())),
            body: body.iter().map(|text| (None, (*text).to_owned())).collect(),
            buttons: vec![TemplateButtonParameter {
                index: 1,
                kind: "url".into(),
                value: "A7".into(),
            }],
            ..TemplateSend::default()
        }
    }

    #[test]
    fn the_customer_reads_the_whole_text() {
        let shown = fill(&template(), send(&["{{2}}", "soon"])).unwrap();
        assert_eq!(
            shown.rendered,
            "Order A7\n\nHi {{2}}, it is ready. {{2}}, see you soon!\n\nGarden Centre\n\n\
             Track: https://e.test/A7"
        );
        assert_eq!(shown.buttons[0].value, "Thanks");
        assert_eq!(shown.category, "utility");
    }

    #[test]
    fn parameters_that_do_not_fit_are_refused_as_meta_does() {
        let code = |send: TemplateSend| fill(&template(), send).unwrap_err().code;
        assert_eq!(code(send(&["Ana"])), 132_000);
        assert_eq!(code(send(&["Ana", "a\nb"])), 132_018);
        assert_eq!(code(send(&["Ana", &"x".repeat(1_100)])), 132_005);
        let image = Media {
            kind: MediaKind::Image,
            id: Some("1".into()),
            link: None,
            mime_type: None,
            sha256: None,
            caption: None,
            filename: None,
            voice: false,
            animated: false,
        };
        let media = Some(TemplateHeaderParameter::Media(image));
        assert_eq!(
            code(TemplateSend {
                header: media,
                ..send(&["Ana", "b"])
            }),
            132_012
        );
        assert_eq!(
            code(TemplateSend {
                header: None,
                ..send(&["Ana", "b"])
            }),
            132_000
        );
        assert_eq!(
            code(TemplateSend {
                buttons: Vec::new(),
                ..send(&["Ana", "b"])
            }),
            131_008
        );
    }
}
