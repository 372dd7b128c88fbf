//! The flows that are measured.

use serde_json::{Value, json};

/// Conditions passed in a sprint of the long flow.
pub(super) const BRANCHES: u32 = 840;
/// Messages sent in it; the engine allows 64.
pub(super) const SENDS: u32 = 60;

/// A question, and behind each answer a long road of conditions and messages back to it.
pub(super) fn long() -> String {
    let every = BRANCHES / SENDS;
    let mut widgets = vec![
        json!({"name": "Start", "type": "start", "exits": {"next": "Ask"}}),
        question("Ask", "W0"),
    ];
    let count = BRANCHES + SENDS;
    for n in 0..count {
        let next = if n + 1 == count {
            "Ask".to_owned()
        } else {
            format!("W{}", n + 1)
        };
        widgets.push(if n % (every + 1) == every {
            json!({"name": format!("W{n}"), "type": "send_media",
                   "settings": {"parts": [{"type": "text",
                       "text": "Dear {{contact.display_name}}, you said {{Ask.value}}."}]},
                   "exits": {"next": next, "failed": null}})
        } else {
            json!({"name": format!("W{n}"), "type": "condition",
                   "settings": {"variable": "{{Ask.value}}", "branches": [
                       {"exit": "a", "operator": "equals", "value": "never"},
                       {"exit": "b", "operator": "equals", "value": "again"}]},
                   "exits": {"a": "Ask", "b": next, "no_match": "Ask"}})
        });
    }
    flow(&widgets)
}

/// One question that leads to itself.
pub(super) fn asking() -> String {
    flow(&[
        json!({"name": "Start", "type": "start", "exits": {"next": "Ask"}}),
        question("Ask", "Ask"),
    ])
}

/// A thousand widgets: menus, messages and conditions.
pub(super) fn large() -> String {
    let mut widgets = vec![
        json!({"name": "Start", "type": "start", "exits": {"next": "W0"}}),
        json!({"name": "Queue", "type": "route_to", "settings": {"queue": "support"}}),
    ];
    for n in 0..998 {
        let name = format!("W{n}");
        let next = if n == 997 {
            "Queue".to_owned()
        } else {
            format!("W{}", n + 1)
        };
        widgets.push(match n % 3 {
            0 => json!({"name": name, "type": "collect_input",
                "settings": {"prompt": {"text": "Which, {{contact.display_name}}?", "show": "buttons"},
                    "choices": [{"value": "1", "title": "One", "synonyms": ["uno", "eins"]},
                                {"value": "2", "title": "Two"}],
                    "timeout_seconds": 600, "retries": {"count": 2}},
                "exits": {"match": next, "no_match": "Queue", "timeout": "Queue"}}),
            1 => json!({"name": name, "type": "condition",
                "settings": {"variable": format!("{{{{W{}.value}}}}", n - 1), "branches": [
                    {"exit": "one", "operator": "equals", "value": "1"}]},
                "exits": {"one": next, "no_match": "Queue"}}),
            _ => json!({"name": name, "type": "send_media",
                "settings": {"parts": [{"type": "text", "text": "Thank you."}]},
                "exits": {"next": next, "failed": "Queue"}}),
        });
    }
    flow(&widgets)
}

fn question(name: &str, leads: &str) -> Value {
    json!({"name": name, "type": "collect_input",
           "settings": {"prompt": {"text": "What now?"}, "timeout_seconds": 600},
           "exits": {"match": leads, "no_match": leads, "timeout": null}})
}

fn flow(widgets: &[Value]) -> String {
    json!({"format": 1, "name": "Measured", "start": "Start", "widgets": widgets}).to_string()
}
