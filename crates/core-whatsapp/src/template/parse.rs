//! Meta's `components` as a [`Definition`].

use core_types::MediaKind;
use serde_json::{Map, Value};

use super::placeholder::{Pattern, number};
use super::{Button, ButtonKind, Definition, DefinitionError, Header};

type Object = Map<String, Value>;

/// What Meta writes as the body of an authentication template in English; the body is given when
/// the template was read from Meta, and missing when it was written by hand.
const CODE_BODY: &str = "*{{1}}* is your verification code.";

pub(super) fn definition(
    components_json: &str,
    parameter_format: &str,
) -> Result<Definition, DefinitionError> {
    let named = match parameter_format.to_ascii_lowercase().as_str() {
        "" | "positional" => false,
        "named" => true,
        _ => return Err(DefinitionError::Format(parameter_format.to_owned())),
    };
    let components: Vec<Object> = serde_json::from_str(components_json)
        .map_err(|error| DefinitionError::Malformed(error.to_string()))?;
    let mut definition = Definition {
        named,
        header: None,
        body: Pattern::new(""),
        body_examples: Vec::new(),
        footer: String::new(),
        buttons: Vec::new(),
        unsupported: Vec::new(),
    };
    let mut bodies = 0;
    for component in &components {
        match word(component, "type").to_ascii_lowercase().as_str() {
            "header" => header(&mut definition, component, named),
            "body" => {
                bodies += 1;
                body(&mut definition, component, named);
            }
            "footer" => definition.footer = footer(component),
            "buttons" => {
                let buttons = component.get("buttons").and_then(Value::as_array);
                for button in buttons.into_iter().flatten().filter_map(Value::as_object) {
                    let button = self::button(&mut definition, button);
                    definition.buttons.push(button);
                }
            }
            // Needs no parameters.
            "call_permission_request" => {}
            "limited_time_offer" => {
                unsupported(
                    &mut definition,
                    "a limited-time offer needs the offer's end",
                );
            }
            "carousel" => unsupported(&mut definition, "a carousel needs a parameter per card"),
            other => definition
                .unsupported
                .push(format!("the component `{other}` is not known")),
        }
    }
    if bodies != 1 {
        return Err(DefinitionError::Bodies(bodies));
    }
    variables_fit(&definition.body, named)?;
    if let Some(Header::Text(pattern, _)) = &definition.header {
        variables_fit(pattern, named)?;
    }
    Ok(definition)
}

fn unsupported(definition: &mut Definition, reason: &str) {
    definition.unsupported.push(reason.to_owned());
}

fn variables_fit(pattern: &Pattern, named: bool) -> Result<(), DefinitionError> {
    let format = if named { "named" } else { "positional" };
    for (index, name) in pattern.variables().iter().enumerate() {
        match (named, number(name)) {
            (true, _) => {}
            (false, None) => return Err(DefinitionError::MixedVariables(name.clone(), format)),
            (false, Some(number)) => {
                if usize::try_from(number) != Ok(index + 1) {
                    return Err(DefinitionError::Gap);
                }
            }
        }
    }
    Ok(())
}

fn header(definition: &mut Definition, component: &Object, named: bool) {
    // Older templates have a text header without a format.
    let format = word(component, "format").to_ascii_lowercase();
    let media = |kind| {
        let handles = component
            .get("example")
            .and_then(|e| e.get("header_handle"));
        let handle = handles.and_then(|handles| handles.get(0));
        let handle = handle.and_then(Value::as_str).unwrap_or_default();
        Some(Header::Media(kind, handle.to_owned()))
    };
    definition.header = match format.as_str() {
        "text" | "" => {
            let pattern = Pattern::new(word(component, "text"));
            let examples = examples(component, "header_text", &pattern, named);
            Some(Header::Text(pattern, examples))
        }
        "image" => media(MediaKind::Image),
        "video" | "gif" => media(MediaKind::Video),
        "document" => media(MediaKind::Document),
        other => {
            let reason = format!("a header of format `{other}` cannot be filled in");
            definition.unsupported.push(reason);
            None
        }
    };
}

fn body(definition: &mut Definition, component: &Object, named: bool) {
    let written = component.get("text").and_then(Value::as_str);
    let text = written.map_or_else(|| code_body(component), str::to_owned);
    definition.body = Pattern::new(&text);
    definition.body_examples = examples(component, "body_text", &definition.body, named);
}

/// The body of an authentication template that was written by hand.
fn code_body(component: &Object) -> String {
    let warned = component.get("add_security_recommendation");
    let warned = warned.and_then(Value::as_bool).unwrap_or(false);
    let warning = " For your security, do not share this code.";
    format!("{CODE_BODY}{}", if warned { warning } else { "" })
}

fn footer(component: &Object) -> String {
    match component.get("text").and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => match component
            .get("code_expiration_minutes")
            .and_then(Value::as_u64)
        {
            Some(minutes) => format!("This code expires in {minutes} minutes."),
            None => String::new(),
        },
    }
}

/// The examples of a text's variables, in the order of its variables. `body_text` is a list in a
/// list, `header_text` a list, and both have a named form.
fn examples(component: &Object, key: &str, pattern: &Pattern, named: bool) -> Vec<String> {
    let Some(example) = component.get("example") else {
        return Vec::new();
    };
    if named {
        let entries = example.get(format!("{key}_named_params"));
        let entries = entries.and_then(Value::as_array);
        let of = |name: &String| {
            let entry = entries?
                .iter()
                .find(|entry| entry.get("param_name").and_then(Value::as_str) == Some(name));
            entry?.get("example")?.as_str().map(str::to_owned)
        };
        let variables = pattern.variables().iter();
        return variables.map(|name| of(name).unwrap_or_default()).collect();
    }
    let list = match example.get(key) {
        Some(Value::Array(list)) => list.as_slice(),
        Some(Value::String(text)) => return vec![text.clone()],
        _ => return Vec::new(),
    };
    let list = match list.first() {
        Some(Value::Array(inner)) => inner.as_slice(),
        _ => list,
    };
    list.iter()
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}

fn button(definition: &mut Definition, button: &Object) -> Button {
    let index = definition.buttons.len();
    let kind = match word(button, "type").to_ascii_lowercase().as_str() {
        "quick_reply" => ButtonKind::QuickReply,
        "url" => {
            let address = word(button, "url").to_owned();
            // Meta's one-time-password buttons come back as addresses with a variable.
            let variable = address.contains("{{");
            ButtonKind::Url { address, variable }
        }
        "copy_code" => ButtonKind::CopyCode,
        "otp" => ButtonKind::OneTimePassword,
        "mpm" | "spm" | "order_details" => {
            let reason = format!("button {index} needs products");
            definition.unsupported.push(reason);
            ButtonKind::Fixed
        }
        _ => ButtonKind::Fixed,
    };
    let example = match button.get("example") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let first = list.first().and_then(Value::as_str);
            first.unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    Button {
        text: word(button, "text").to_owned(),
        kind,
        example,
    }
}

fn word<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}
