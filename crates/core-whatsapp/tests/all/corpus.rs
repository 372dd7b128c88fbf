//! Somebody else's payloads: all are taken, and no item is lost.

use core_types::FactBody;
use core_whatsapp::errors;
use core_whatsapp::send::{SendOutcome, read_answer};
use core_whatsapp::template::Definition;
use core_whatsapp::webhook::{BodyError, read, reread};
use serde_json::Value;

use crate::fixtures::{Fixture, extra, items_of, own};

/// Files that hold no delivery, with the reason; they are kept whole.
fn not_a_delivery(fixture: &Fixture, body: &Value, error: &BodyError) -> bool {
    let envelope = body["object"] == "whatsapp_business_account" && body["entry"].is_array();
    println!("kept whole: {}: {error}", fixture.name);
    !envelope
}

#[test]
fn every_delivery_is_taken_and_no_item_is_lost() {
    let (mut files, mut typed, mut unknown, mut kept) = (0, 0, 0, 0);
    for fixture in own().into_iter().chain(extra("webhook")) {
        files += 1;
        let body: Value = serde_json::from_slice(&fixture.body).unwrap();
        let name = &fixture.name;
        let items = match read(&fixture.body) {
            Ok(items) => items,
            Err(error) => {
                assert!(not_a_delivery(&fixture, &body, &error), "{name}: {error}");
                continue;
            }
        };
        let expected = items_of(&body);
        assert_eq!(items.len(), expected.len(), "{name}");
        for (item, json) in items.iter().zip(expected) {
            // The bytes of the item are inside what is kept, whatever became of it.
            let raw: Value = serde_json::from_str(&item.raw).unwrap();
            assert_eq!(items_of(&raw), [json], "{name} {}", item.position);
            assert_eq!(reread(&item.raw), item.result, "{name} {}", item.position);
            match &item.result {
                Ok(fact) => match &fact.body {
                    FactBody::Account(account) if !account.known => unknown += 1,
                    _ => typed += 1,
                },
                Err(problem) => {
                    println!("kept raw: {name} {}: {problem}", item.position);
                    assert!(fixture.has_placeholders(), "{name} {problem}");
                    kept += 1;
                }
            }
        }
    }
    println!("{files} files: {typed} typed, {unknown} not known, {kept} kept raw");
    assert!(typed > 90);
}

#[test]
fn every_template_is_read() {
    for fixture in extra("template").into_iter().chain(extra("response")) {
        let template: Value = serde_json::from_slice(&fixture.body).unwrap();
        let list = template["data"].as_array().cloned();
        for template in list.unwrap_or_else(|| vec![template]) {
            let Some(components) = template.get("components") else {
                continue;
            };
            let format = template["parameter_format"].as_str().unwrap_or_default();
            let definition = Definition::parse(&components.to_string(), format);
            let definition = definition.unwrap_or_else(|e| panic!("{}: {e}", fixture.name));
            assert!(!definition.body().is_empty(), "{}", fixture.name);
            let variables = definition.body().matches("{{").count();
            let parameters = definition.parameters();
            let body = parameters.iter().filter(|p| p.component == "body").count();
            assert_eq!(variables, body, "{}", fixture.name);
        }
    }
}

#[test]
fn every_error_is_classified() {
    for fixture in extra("error").into_iter().chain(extra("mgmt_response")) {
        let body: Value = serde_json::from_slice(&fixture.body).unwrap();
        let Some(code) = body["error"]["code"].as_i64() else {
            continue;
        };
        // Only some codes of node look-ups (803, …) are outside of messaging.
        assert!(
            errors::lookup(code).is_some() || code == 803,
            "{} {code}",
            fixture.name
        );
        let outcome = read_answer(400, &fixture.body);
        assert!(
            !matches!(
                outcome,
                SendOutcome::Accepted { .. } | SendOutcome::Ambiguous { .. }
            ),
            "{} {outcome:?}",
            fixture.name
        );
    }
}

#[test]
fn every_send_answer_is_accepted() {
    for fixture in extra("response") {
        let body: Value = serde_json::from_slice(&fixture.body).unwrap();
        if body["messages"].is_array() {
            let outcome = read_answer(200, &fixture.body);
            assert!(
                matches!(outcome, SendOutcome::Accepted { held: false, .. }),
                "{outcome:?}"
            );
        }
    }
}
