//! Calls to other systems: what is asked for, what answers lead to, and what changes nothing.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::collections::BTreeMap;

use core_flow::lab::{Answered, Line, Player, PlayerError, ShownCall, Stub};
use core_flow::{
    Action, Called, CompiledFlow, Input, Request, Step, advance, read_answer, why_failed,
};
use core_types::Content;
use serde_json::{Value, json};

use self::support::{compiled, now, says};

fn shop() -> Value {
    json!({"format": 1, "name": "Shop", "start": "Start",
      "variables": [
        {"name": "count", "type": "number", "default": "2"},
        {"name": "price", "type": "currency"},
        {"name": "secret", "type": "text", "masked": true},
        {"name": "items", "type": "list"}],
      "widgets": [
        {"name": "Start", "type": "start", "exits": {"next": "Ask"}},
        {"name": "Ask", "type": "collect_input", "settings": {
            "prompt": {"text": "Which order?"}, "timeout_seconds": 600},
         "exits": {"match": "Order", "no_match": null, "timeout": null}},
        {"name": "Order", "type": "http_call", "settings": {
            "method": "POST", "url": "https://shop.example.com/orders/{{Ask.value}}?lang={{contact.username}}",
            "headers": [{"name": "X-Who", "value": "{{contact.display_name}}"}],
            "body": {"order": "No. {{Ask.value}}", "count": "{{flow.count}}", "twice": "{{flow.count * 2}}",
                     "price": "{{flow.price}}", "items": "{{flow.items}}", "fixed": [true, null]},
            "timeout_seconds": 5,
            "save": [
              {"variable": "{{flow.price}}", "expression": "response.body.total"},
              {"variable": "{{flow.secret}}", "expression": "response.body.customer.id"},
              {"variable": "{{flow.items}}", "expression": "response.body.items"}]},
         "exits": {"next": "Good", "failed": "Bad", "timeout": "Late"}},
        {"name": "Good", "type": "send_media", "settings": {"parts": [{"type": "text",
            "text": "{{flow.items | length}} items, {{flow.price}} EUR ({{Order.status}})"}]},
         "exits": {"next": "Ask", "failed": null}},
        {"name": "Bad", "type": "send_media", "settings": {"parts": [{"type": "text",
            "text": "The shop says {{Order.status or 'nothing'}}; price {{flow.price or 'unknown'}}"}]},
         "exits": {"next": "Ask", "failed": null}},
        {"name": "Late", "type": "end"}]})
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.to_owned(),
        preview_url: false,
    }
}

fn known() -> BTreeMap<String, String> {
    [("display_name", "Eve\r\nX-Evil: 1"), ("username", "a&b=c")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn asked(answer: &str) -> Request {
    let flow = compiled(&shop());
    let mut player = Player::new(&flow, &known(), now());
    player.customer(&says("Hi")).unwrap();
    player.customer(&says(answer)).unwrap();
    player.asked().unwrap().clone()
}

#[test]
fn what_customers_write_changes_no_shape() {
    let request = asked("../admin?x=1#\"},{");
    assert_eq!(
        request.url,
        "https://shop.example.com/orders/..%2Fadmin%3Fx%3D1%23%22%7D%2C%7B?lang=a%26b%3Dc"
    );
    assert_eq!(
        request.headers,
        [("X-Who".to_owned(), "Eve  X-Evil: 1".to_owned())]
    );
    let body: Value = serde_json::from_str(&request.body.unwrap().text).unwrap();
    let expected = json!({"order": "No. ../admin?x=1#\"},{", "count": 2, "twice": 4,
        "price": null, "items": null, "fixed": [true, null]});
    assert_eq!(body, expected);
}

#[test]
fn what_is_too_long_or_climbs_is_not_asked() {
    let flow = compiled(&shop());
    for answer in ["ä".repeat(1_000), "..".to_owned(), ".".to_owned()] {
        let mut player = Player::new(&flow, &known(), now());
        player.customer(&says("Hi")).unwrap();
        let said = player.customer(&says(&answer)).unwrap();
        assert!(player.asked().is_none(), "{answer}");
        let words = serde_json::to_string(&said).unwrap();
        assert!(words.contains("The shop says nothing"), "{words}");
    }
}

fn answered(status: u16, body: &Value) -> Answered {
    Answered {
        status: Some(status),
        body: Some(body.clone()),
        ..Answered::default()
    }
}

/// What the flow says after its call was answered so.
fn after(answer: &Answered) -> String {
    let flow = compiled(&shop());
    let mut player = Player::new(&flow, &known(), now());
    player.customer(&says("Hi")).unwrap();
    let lines = player.customer(&says("7")).unwrap();
    assert!(
        matches!(lines.last(), Some(Line::Call(ShownCall::Full(_)))),
        "{lines:?}"
    );
    serde_json::to_string(&player.answer(answer).unwrap()).unwrap()
}

#[test]
fn answers_are_kept_whole_or_not_at_all() {
    let good = json!({"total": 59.9, "customer": {"id": "c-17"}, "items": [1, 2, 3]});
    let said = after(&answered(200, &good));
    assert!(said.contains("3 items, 59.90 EUR (200)"), "{said}");
    assert!(said.contains("•••") && !said.contains("c-17"), "{said}");
    // What is missing is nothing.
    let said = after(&answered(201, &json!({"items": []})));
    assert!(said.contains("0 items,  EUR (201)"), "{said}");
    for (answer, words) in [
        (answered(404, &good), "The shop says 404; price unknown"),
        (answered(302, &good), "The shop says 302; price unknown"),
        (
            answered(200, &json!({"total": 1, "items": "many"})),
            "The shop says 200; price unknown",
        ),
        (
            answered(200, &json!({"total": [1]})),
            "The shop says 200; price unknown",
        ),
        (
            Answered {
                failed: Some("connection refused".to_owned()),
                ..Answered::default()
            },
            "The shop says nothing; price unknown",
        ),
    ] {
        let said = after(&answer);
        assert!(said.contains(words), "{answer:?}: {said}");
    }
    // What is no JSON has no parts; nothing is kept of it, as of an answer without them.
    let no_json = Answered {
        text: Some("<html>".to_owned()),
        ..Answered::default()
    };
    assert!(after(&no_json).contains("0 items,  EUR (200)"));
}

fn waiting(flow: &CompiledFlow) -> Step<'_> {
    let facts = BTreeMap::new();
    let first = advance(flow, None, &Input::Start(text("Hi")), &facts, now()).unwrap();
    let answer = Input::Message(text("7"));
    advance(flow, Some(&first.session), &answer, &facts, now()).unwrap()
}

#[test]
fn only_the_call_that_is_waited_for_counts() {
    let flow = compiled(&shop());
    let facts = BTreeMap::new();
    let step = waiting(&flow);
    let Some(Action::Call(request)) = step.effects.last().map(|effect| &effect.action) else {
        panic!("{step:?}");
    };
    let called = read_answer(&flow, request.widget, 200, b"{\"total\": 1}");
    let wait = step.wait.unwrap();
    let late = Input::Called {
        wait: wait.wait - 1,
        called: called.clone(),
    };
    for aside in [late, Input::Message(text("Hello?"))] {
        let same = advance(&flow, Some(&step.session), &aside, &facts, now()).unwrap();
        assert_eq!((&same.session, same.effects.len()), (&step.session, 0));
        assert_eq!(same.wait, Some(wait));
    }
    // A time that is over is over, whatever comes later.
    let over = Input::TimedOut { wait: wait.wait };
    let ended = advance(&flow, Some(&step.session), &over, &facts, now()).unwrap();
    assert_eq!(ended.path, ["Order/timeout", "Late/ended"]);
    let now_late = Input::Called {
        wait: wait.wait,
        called,
    };
    let same = advance(&flow, Some(&ended.session), &now_late, &facts, now()).unwrap();
    assert!(same.effects.is_empty() && same.finished);
    // Too few values, or a widget that calls nobody, do no harm.
    let strange = Input::Called {
        wait: wait.wait,
        called: Called::Answered {
            status: 200,
            saved: Some(vec!["1".to_owned()]),
        },
    };
    let failed = advance(&flow, Some(&step.session), &strange, &facts, now()).unwrap();
    assert_eq!(failed.path[0], "Order/failed");
    let nobody = read_answer(&flow, 0, 200, b"{}");
    assert!(why_failed(&nobody).unwrap().contains("no call there"));
}

#[test]
fn stubs_answer_calls_at_once() {
    let flow = compiled(&shop());
    let mut player = Player::new(&flow, &known(), now());
    player.answer_calls(&[Stub {
        request: "POST https://shop.example.com/orders/7*".to_owned(),
        answer: answered(200, &json!({"total": 5, "items": [1]})),
    }]);
    player.customer(&says("Hi")).unwrap();
    let said = serde_json::to_string(&player.customer(&says("7")).unwrap()).unwrap();
    assert!(said.contains("1 items, 5.00 EUR (200)"), "{said}");
    // Another address waits for its answer, and for nothing longer than it may take.
    player.customer(&says("8")).unwrap();
    assert!(player.asked().is_some());
    let ended = player.wait("5s".parse().unwrap()).unwrap();
    assert!(matches!(ended.last(), Some(Line::End(_))), "{ended:?}");
    assert_eq!(
        player.answer(&Answered::default()),
        Err(PlayerError::NothingAsked)
    );
}

#[test]
fn a_step_computes_so_much_and_no_more() {
    // A thousand conditions of three expressions each.
    let branches: Vec<Value> = (0..3)
        .map(|_| json!({"expression": "flow.count > 5", "exit": "yes"}))
        .collect();
    let mut widgets = vec![json!({"name": "Start", "type": "start", "exits": {"next": "C0"}})];
    for at in 0..900 {
        let next = if at == 899 {
            "End".to_owned()
        } else {
            format!("C{}", at + 1)
        };
        widgets.push(json!({"name": format!("C{at}"), "type": "condition",
            "settings": {"branches": branches}, "exits": {"yes": "End", "no_match": next}}));
    }
    widgets.push(json!({"name": "End", "type": "end"}));
    let text_of = json!({"format": 1, "name": "Long", "start": "Start", "widgets": widgets,
        "variables": [{"name": "count", "type": "number", "default": "1"}]});
    let flow = compiled(&text_of);
    let facts = BTreeMap::new();
    let refused = advance(&flow, None, &Input::Start(text("Hi")), &facts, now()).unwrap_err();
    assert!(
        refused.to_string().contains("2000 expressions"),
        "{refused}"
    );
}
