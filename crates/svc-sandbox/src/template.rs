//! Templates: what Meta accepts at creation (`whatsapp-cloud-api.md`, 5.2), what it wants filled
//! in when one is sent, and how the customer reads it.

mod fill;

use serde_json::Value;

pub(crate) use fill::fill;

use crate::graph::error::GraphError;

/// A definition that may be reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) category: String,
    pub(crate) parameter_format: String,
    pub(crate) components: Value,
}

/// Reads the body of `POST /{waba}/message_templates`.
///
/// # Errors
/// As Meta answers it.
pub(crate) fn definition(body: &Value) -> Result<Definition, GraphError> {
    let text = |field: &str| {
        let value = body[field].as_str().filter(|value| !value.is_empty());
        value.ok_or_else(|| GraphError::parameter(&format!("The parameter {field} is required.")))
    };
    let (name, language) = (text("name")?, text("language")?);
    let good_name = name.len() <= 512
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !good_name {
        return Err(GraphError::parameter(
            "Param name must be at most 512 lower-case letters, digits and underscores",
        ));
    }
    let good_language = (2..=8).contains(&language.len())
        && language
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || b == b'_');
    if !good_language {
        return Err(GraphError::parameter(
            "Param language must be a code such as en or en_US",
        ));
    }
    let category = text("category")?.to_ascii_uppercase();
    if !["MARKETING", "UTILITY", "AUTHENTICATION"].contains(&category.as_str()) {
        return Err(GraphError::parameter(
            "Param category must be one of {AUTHENTICATION, MARKETING, UTILITY}",
        ));
    }
    let parameter_format = body["parameter_format"].as_str().unwrap_or("POSITIONAL");
    let parameter_format = parameter_format.to_ascii_uppercase();
    if !["POSITIONAL", "NAMED"].contains(&parameter_format.as_str()) {
        return Err(GraphError::parameter(
            "Param parameter_format must be one of {POSITIONAL, NAMED}",
        ));
    }
    let components = body["components"].clone();
    check_components(&components, &category, parameter_format == "NAMED")?;
    Ok(Definition {
        name: name.to_owned(),
        language: language.to_owned(),
        category,
        parameter_format,
        components,
    })
}

fn check_components(components: &Value, category: &str, named: bool) -> Result<(), GraphError> {
    let all = components
        .as_array()
        .ok_or_else(|| GraphError::parameter("Param components must be an array"))?;
    let body = all.iter().find(|component| is_type(component, "BODY"));
    let body = body.ok_or_else(|| {
        GraphError::parameter("Message template \"components\" param is missing expected field(s)")
    })?;
    for component in all {
        let text = component["text"].as_str().unwrap_or_default();
        if is_type(component, "HEADER") {
            let format = component["format"]
                .as_str()
                .unwrap_or_default()
                .to_ascii_uppercase();
            let known = [
                "TEXT", "IMAGE", "VIDEO", "DOCUMENT", "LOCATION", "PRODUCT", "GIF",
            ];
            if !known.contains(&format.as_str()) {
                return Err(GraphError::parameter("The header's format is not known"));
            }
            if format == "TEXT" && (text.is_empty() || text.chars().count() > 60) {
                return Err(GraphError::template(
                    2_388_047,
                    "The header has 1 to 60 characters",
                ));
            }
            if variables(text).len() > 1 {
                return Err(GraphError::template(
                    2_388_047,
                    "The header has at most one variable",
                ));
            }
        } else if is_type(component, "FOOTER") {
            if text.chars().count() > 60 || !variables(text).is_empty() {
                let problem = "The footer has at most 60 characters and no variable";
                return Err(GraphError::template(2_388_073, problem));
            }
        } else if is_type(component, "BUTTONS") {
            check_buttons(&component["buttons"])?;
        }
    }
    if category == "AUTHENTICATION" {
        return Ok(());
    }
    check_body(body, named)
}

fn check_body(body: &Value, named: bool) -> Result<(), GraphError> {
    let text = body["text"].as_str().unwrap_or_default();
    let length = text.chars().count();
    if length == 0 || length > 1_024 {
        return Err(GraphError::template(
            2_388_072,
            "The body has 1 to 1,024 characters",
        ));
    }
    let found = variables(text);
    let trimmed = text.trim();
    if trimmed.starts_with("{{") || trimmed.ends_with("}}") {
        let problem = "Variables can't be at the start or end of the template";
        return Err(GraphError::template(2_388_299, problem));
    }
    if named {
        let good = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        if !found.iter().all(good) {
            let problem = "Named variables are lower-case letters and underscores";
            return Err(GraphError::template(2_388_072, problem));
        }
    } else if found
        .iter()
        .enumerate()
        .any(|(at, name)| *name != (at + 1).to_string())
    {
        let problem = "Variables are {{1}}, {{2}}, … in order";
        return Err(GraphError::template(2_388_072, problem));
    }
    if found.is_empty() {
        return Ok(());
    }
    let example = &body["example"];
    let examples = if named {
        example["body_text_named_params"].as_array().map(Vec::len)
    } else {
        example["body_text"]
            .get(0)
            .and_then(Value::as_array)
            .map(Vec::len)
    };
    if examples.unwrap_or(0) < found.len() {
        let problem = "The body has variables without an example";
        return Err(GraphError::template(2_388_043, problem));
    }
    // Meta wants about three words around each variable.
    if text.split_whitespace().count() < 2 * found.len() + 1 {
        let problem = "The body has too many variables for its length";
        return Err(GraphError::template(2_388_293, problem));
    }
    Ok(())
}

fn check_buttons(buttons: &Value) -> Result<(), GraphError> {
    let buttons = buttons.as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |kind: &str| {
        buttons
            .iter()
            .filter(|button| is_type(button, kind))
            .count()
    };
    if buttons.is_empty() || buttons.len() > 10 || count("URL") > 2 || count("PHONE_NUMBER") > 1 {
        return Err(GraphError::parameter(
            "A template has 1 to 10 buttons, at most 2 of type URL and 1 of type PHONE_NUMBER",
        ));
    }
    let quick: Vec<bool> = buttons
        .iter()
        .map(|button| is_type(button, "QUICK_REPLY"))
        .collect();
    if quick.windows(2).filter(|pair| pair[0] != pair[1]).count() > 1 {
        return Err(GraphError::parameter(
            "Invalid combination: group the quick-reply buttons",
        ));
    }
    let long = |button: &Value| {
        button["text"]
            .as_str()
            .is_some_and(|text| text.chars().count() > 25)
    };
    if buttons.iter().any(long) {
        return Err(GraphError::parameter(
            "The text of a button has at most 25 characters",
        ));
    }
    Ok(())
}

/// Whether a component or button is of this type; Meta does not mind its case.
pub(super) fn is_type(value: &Value, kind: &str) -> bool {
    value["type"]
        .as_str()
        .is_some_and(|own| own.eq_ignore_ascii_case(kind))
}

/// Names of the variables `{{…}}` in a text, in order, each once.
pub(super) fn variables(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else {
            break;
        };
        let name = rest[start + 2..start + length].trim().to_owned();
        if !found.contains(&name) {
            found.push(name);
        }
        rest = &rest[start + length + 2..];
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_body(text: &str, examples: usize) -> Value {
        let examples: Vec<String> = (0..examples).map(|n| n.to_string()).collect();
        json!({"name": "order_ready", "language": "en_US", "category": "utility", "components": [
            {"type": "body", "text": text, "example": {"body_text": [examples]}}]})
    }

    #[test]
    fn good_definitions_are_taken_and_bad_ones_named() {
        let good = definition(&with_body("Hi {{1}}, order {{2}} is ready.", 2)).unwrap();
        assert_eq!(
            (good.category.as_str(), good.parameter_format.as_str()),
            ("UTILITY", "POSITIONAL")
        );
        for (text, examples, subcode) in [
            ("Hi {{2}}, your order is ready.", 1, 2_388_072),
            ("{{1}} is ready for you.", 1, 2_388_299),
            ("Order ready: {{1}}", 1, 2_388_299),
            ("Hi {{1}}, your order is ready.", 0, 2_388_043),
            ("", 0, 2_388_072),
            ("A {{1}} {{2}} {{3}} b", 3, 2_388_293),
        ] {
            let error = definition(&with_body(text, examples)).unwrap_err();
            assert_eq!(error.subcode, Some(subcode), "{text}");
        }
        let mut bad = with_body("Fine.", 0);
        bad["name"] = json!("Order-Ready");
        assert_eq!(definition(&bad).unwrap_err().code, 100);
    }

    #[test]
    fn variables_are_found_once_and_in_order() {
        assert_eq!(variables("{{a}} {{ b }} {{a}} {{"), ["a", "b"]);
    }
}
