//! Facts about accounts, numbers, templates and calls.

use std::collections::BTreeMap;

use core_types::{AccountFact, Timestamp};
use serde_json::Value;

use super::fields::words_of;

/// Reads the value of an account-level field, or one entry of its list. Never fails: what cannot be
/// taken apart is kept as it came and is not `known`. `delivered` is the time of the delivery;
/// `rejection` is the part Meta's reference puts beside the value.
pub(super) fn account(
    field: &str,
    raw: &str,
    delivered: Option<Timestamp>,
    rejection: Option<&str>,
) -> AccountFact {
    let mut value: Value = serde_json::from_str(raw).unwrap_or_default();
    if let Some(rejection) = rejection.and_then(|raw| serde_json::from_str(raw).ok())
        && let Some(object) = value.as_object_mut()
    {
        object.entry("rejection_info").or_insert(rejection);
    }
    let field = actual_field(field, &value);
    let mut fact = AccountFact {
        field: field.to_owned(),
        event: String::new(),
        known: false,
        occurred_at: delivered,
        attributes: BTreeMap::new(),
        raw: raw.to_owned(),
    };
    let Some(words) = words_of(field).filter(|_| value.is_object()) else {
        return fact;
    };
    fact.known = true;
    let mut events = words.event.iter().filter_map(|at| find(&value, at));
    fact.event = events.next().unwrap_or_default();
    if !words.time.is_empty() {
        let told = find(&value, words.time);
        let told = told.and_then(|text| Timestamp::parse_seconds(&text).ok());
        fact.occurred_at = told.or(delivered);
    }
    for (word, at) in words.words {
        if let Some(text) = find(&value, at) {
            fact.attributes.insert((*word).to_owned(), text);
        }
    }
    if let Some(language) = fact.attributes.get_mut("language") {
        *language = language.replace('-', "_");
    }
    if field == "template_category_update" {
        let announced = fact.attributes.contains_key("coming_category");
        fact.event = String::from(if announced { "ANNOUNCED" } else { "CHANGED" });
    }
    fact
}

/// Meta's example of a quality update carries the name of the status field.
fn actual_field<'f>(field: &'f str, value: &Value) -> &'f str {
    let quality = field == "message_template_status_update"
        && value.get("new_quality_score").is_some()
        && value.get("event").is_none();
    if quality {
        "message_template_quality_update"
    } else {
        field
    }
}

/// The text at a JSON pointer; with `/*/` the texts of all entries of a list, joined by commas.
fn find(value: &Value, pointer: &str) -> Option<String> {
    let Some((list, rest)) = pointer.split_once("/*") else {
        return word(value.pointer(pointer)?);
    };
    let entries = value.pointer(list)?.as_array()?;
    let texts: Vec<String> = entries
        .iter()
        .filter_map(|entry| word(entry.pointer(rest)?))
        .collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}
