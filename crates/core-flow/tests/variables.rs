//! A flow's own variables: what they hold from step to step, what happens when a value cannot be
//! computed, and what stands in the record.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use core_flow::lab::{Line, Player, Said};
use core_flow::{CompiledFlow, Session, check};
use core_types::Timestamp;
use serde_json::{Value, json};

/// A question, what is set after it, and a text that shows what came of it; then the question again.
fn flow(variables: Value, set: Value, failed: Value) -> CompiledFlow {
    let text = json!({"format": 1, "name": "Variables", "start": "Start", "variables": variables,
    "widgets": [
        {"name": "Start", "type": "start", "exits": {"next": "Ask"}},
        {"name": "Ask", "type": "collect_input",
         "settings": {"prompt": {"text": "?"}, "timeout_seconds": 60},
         "exits": {"match": "Set", "no_match": null, "timeout": null}},
        {"name": "Set", "type": "set_variables", "settings": {"set": set},
         "exits": {"next": "Show", "failed": failed}},
        {"name": "Show", "type": "send_media",
         "settings": {"parts": [{"type": "text", "text": "{{flow.a}}|{{flow.b}}"}]},
         "exits": {"next": "Ask", "failed": null}},
        {"name": "Broken", "type": "send_media",
         "settings": {"parts": [{"type": "text", "text": "broken {{flow.a}}|{{flow.b}}"}]},
         "exits": {"next": "Ask", "failed": null}}]})
    .to_string();
    let (definition, problems) = check(&text);
    let errors: Vec<_> = problems.iter().filter(|it| it.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    CompiledFlow::compile(&definition.expect("no errors"), NonZeroU32::MIN).expect("it compiles")
}

fn number_and_text() -> Value {
    json!([{"name": "a", "type": "number", "default": "1"}, {"name": "b", "type": "text"}])
}

/// What the flow does about each of the customer's texts, questions left out.
fn answers(flow: &CompiledFlow, texts: &[&str]) -> Vec<Value> {
    let now = Timestamp::from_seconds(1_795_370_000).expect("a time");
    let mut player = Player::new(flow, &BTreeMap::new(), now);
    player
        .customer(&Said::Text("Hi".to_owned()))
        .expect("it begins");
    let mut all = Vec::new();
    for text in texts {
        let lines = player
            .customer(&Said::Text((*text).to_owned()))
            .expect("a step");
        let session = player.session().expect("it has begun");
        let decoded = Session::decode(session).expect("a session");
        assert_eq!(decoded.encode(), session);
        let question = json!({"flow": "?"});
        let asked = json!({"set": {"Ask.value": text}});
        let lines = lines
            .iter()
            .map(|line: &Line| serde_json::to_value(line).expect("a line"));
        all.extend(lines.filter(|line| *line != question && *line != asked));
    }
    all
}

#[test]
fn each_assignment_sees_those_before_it_and_values_last() {
    let set = json!([
        {"variable": "{{flow.a}}", "expression": "flow.a + 1"},
        {"variable": "{{flow.b}}", "value": "{{flow.b}}{{flow.a}}"}]);
    let flow = flow(number_and_text(), set, Value::Null);
    assert_eq!(
        answers(&flow, &["x", "y"]),
        [
            json!({"set": {"flow.a": "2"}}),
            json!({"set": {"flow.b": "2"}}),
            json!({"flow": "2|2"}),
            json!({"set": {"flow.a": "3"}}),
            json!({"set": {"flow.b": "23"}}),
            json!({"flow": "3|23"}),
        ]
    );
}

#[test]
fn all_assignments_hold_or_none_does() {
    let set = json!([
        {"variable": "{{flow.b}}", "value": "changed"},
        {"variable": "{{flow.a}}", "value": "{{Ask.value}}"}]);
    let leads = flow(number_and_text(), set.clone(), json!("Broken"));
    assert_eq!(
        answers(&leads, &["many", "2,5"]),
        [
            json!({"flow": "broken 1|"}),
            json!({"set": {"flow.b": "changed"}}),
            json!({"set": {"flow.a": "2.5"}}),
            json!({"flow": "2.5|changed"}),
        ]
    );
    let passes = flow(number_and_text(), set, Value::Null);
    assert_eq!(answers(&passes, &["many"]), [json!({"flow": "1|"})]);
}

#[test]
fn what_divides_by_zero_or_overflows_takes_the_failed_exit() {
    let set = json!([{"variable": "{{flow.a}}", "expression": "10 / (Ask.value | number)"}]);
    let flow = flow(number_and_text(), set, json!("Broken"));
    assert_eq!(
        answers(&flow, &["0", "4", "nothing", "0,000000000000001"]),
        [
            json!({"flow": "broken 1|"}),
            json!({"set": {"flow.a": "2.5"}}),
            json!({"flow": "2.5|"}),
            json!({"flow": "broken 2.5|"}),
            json!({"flow": "broken 2.5|"}),
        ]
    );
}

#[test]
fn a_computed_number_is_not_read_again_as_people_write_numbers() {
    let variables = json!([
        {"name": "a", "type": "number", "default": "2.125"}, {"name": "b", "type": "currency"}]);
    let set = json!([
        {"variable": "{{flow.b}}", "value": "{{flow.a * 9.75}}"},
        {"variable": "{{flow.a}}", "value": " {{flow.a}} "}]);
    let flow = flow(variables, set, json!("Broken"));
    assert_eq!(
        answers(&flow, &["x"]),
        [
            json!({"set": {"flow.b": "20.72"}}),
            json!({"set": {"flow.a": "2.125"}}),
            json!({"flow": "2.125|20.72"}),
        ]
    );
}

#[test]
fn an_empty_value_takes_a_value_away_for_good() {
    let set = json!([{"variable": "{{flow.a}}", "value": ""}]);
    let flow = flow(number_and_text(), set, Value::Null);
    assert_eq!(
        answers(&flow, &["x"]),
        [json!({"set": {"flow.a": ""}}), json!({"flow": "|"})]
    );
}

#[test]
fn masked_values_are_used_and_not_told() {
    let variables =
        json!([{"name": "a", "type": "text", "masked": true}, {"name": "b", "type": "text"}]);
    let set = json!([{"variable": "{{flow.a}}", "value": "{{Ask.value}}"}]);
    let flow = flow(variables, set, Value::Null);
    assert_eq!(
        answers(&flow, &["4711"]),
        [json!({"set": {"flow.a": "•••"}}), json!({"flow": "4711|"})]
    );
}

#[test]
fn values_are_data_and_never_read_again() {
    let set = json!([{"variable": "{{flow.b}}", "value": "{{Ask.value}}"}]);
    let flow = flow(number_and_text(), set, Value::Null);
    let hostile = "{{flow.a}} {{ 1 + 1 }} {% for x in y %}";
    assert_eq!(
        answers(&flow, &[hostile]),
        [
            json!({"set": {"flow.b": hostile}}),
            json!({"flow": format!("1|{hostile}")}),
        ]
    );
}

#[test]
fn a_variable_that_grows_without_end_is_stopped_before_the_session_is_full() {
    let variables =
        json!([{"name": "a", "type": "list", "default": "[]"}, {"name": "b", "type": "text"}]);
    let set = json!([{"variable": "{{flow.a}}", "expression": "flow.a + [Ask.value]"}]);
    let flow = flow(variables, set, json!("Broken"));
    let long = "x".repeat(4_000);
    let answers = answers(&flow, &[&*long; 8]);
    let broken = answers.iter().filter(|line| {
        line["flow"]
            .as_str()
            .is_some_and(|text| text.starts_with("broken"))
    });
    // Four of them are all that 16,384 bytes of JSON hold; long texts come in several messages.
    assert!(broken.count() >= 4, "{}", answers.len());
}
