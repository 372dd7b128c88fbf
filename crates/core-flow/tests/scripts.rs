//! Scripts in flows: what they set, where they lead, what they ask, and that a session with one comes
//! out again.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use core_flow::lab::{Answered, Line, Player, Recorded, Stub, retrace};
use core_flow::{Action, CompiledFlow, Input, advance, check, read_answer};
use core_types::Content;
use serde_json::{Value, json};

use self::support::{compiled, now, says};

fn flow(code: &str) -> CompiledFlow {
    let flow = json!({"format": 1, "name": "Script", "start": "Start",
      "variables": [
        {"name": "count", "type": "number", "default": "1"},
        {"name": "secret", "type": "text", "masked": true},
        {"name": "items", "type": "list"}],
      "widgets": [
        {"name": "Start", "type": "start", "exits": {"next": "Ask"}},
        {"name": "Ask", "type": "collect_input", "settings": {
            "prompt": {"text": "How many?"}, "timeout_seconds": 600},
         "exits": {"match": "Reckon", "no_match": null, "timeout": null}},
        {"name": "Reckon", "type": "script", "settings": {"code": code, "exits": ["many"]},
         "exits": {"next": "Few", "failed": "Bad", "many": "Many"}},
        {"name": "Few", "type": "send_media", "settings": {"parts": [
            {"type": "text", "text": "Few: {{flow.count}}, {{flow.items}}"}]},
         "exits": {"next": "Ask", "failed": null}},
        {"name": "Many", "type": "send_media", "settings": {"parts": [
            {"type": "text", "text": "Many: {{flow.count}} ({{Reckon.value}})"}]},
         "exits": {"next": "Ask", "failed": null}},
        {"name": "Bad", "type": "send_media", "settings": {"parts": [
            {"type": "text", "text": "Bad: {{flow.count}}"}]},
         "exits": {"next": "Ask", "failed": null}}]});
    compiled(&flow)
}

fn written(lines: &[Line]) -> String {
    serde_json::to_string(lines).unwrap()
}

/// What the flow does about the answer `7`, with these stubs.
fn after(code: &str, stubs: &[Stub]) -> String {
    let flow = flow(code);
    let mut player = Player::new(&flow, &BTreeMap::new(), now());
    player.answer_calls(stubs);
    player.customer(&says("Hi")).unwrap();
    written(&player.customer(&says("7")).unwrap())
}

#[test]
fn what_a_script_sets_is_kept_whole_or_not_at_all() {
    for (code, expected) in [
        (
            "function main() { set('count', get('Ask.value') * 2); set('items', [1, 'a']); }",
            "Few: 14, [1,\\\"a\\\"]",
        ),
        (
            "function main() { set('count', 1.5); return 'many'; }",
            "Many: 1.5 (many)",
        ),
        (
            "function main() { set('count', 5); return 'nowhere'; }",
            "Few: 5",
        ),
        (
            "function main() { set('count', 5); return 'failed'; }",
            "Bad: 5",
        ),
        (
            "function main() { set('count', 5); throw new Error('no'); }",
            "Bad: 1",
        ),
        (
            "function main() { set('count', 5); set('items', 'none'); }",
            "Bad: 1",
        ),
        ("function main() { set('count', 'many'); }", "Bad: 1"),
        (
            "function main() { try { set('nobody' + 1, 5); } catch (error) { log(error.message); } }",
            "the flow has no variable nobody1",
        ),
        (
            "function main() { set('secret', 'abc'); log('kept'); }",
            "•••",
        ),
        (
            "function main() { for (;;) ; }",
            "the script takes too long",
        ),
    ] {
        let said = after(code, &[]);
        assert!(said.contains(expected), "{code}: {said}");
        assert!(!said.contains("\"abc\""), "{said}");
    }
}

const ASKS: &str = "async function main() {
    const found = [];
    for (const part of ['a', 'b']) {
        const answer = await http.get('https://shop.example.com/' + part + '/' + get('Ask.value'));
        if (!answer.ok) return 'many';
        found.push(answer.body.name, Math.floor(Math.random() * 1e6), Date.now());
    }
    set('items', found);
}";

fn stub(request: &str, status: u16, body: &Value) -> Stub {
    Stub {
        request: request.to_owned(),
        answer: Answered {
            status: Some(status),
            body: Some(body.clone()),
            ..Answered::default()
        },
    }
}

#[test]
fn a_script_asks_several_times_and_sees_one_moment() {
    let name = json!({"name": "x"});
    let all = [stub("GET https://shop.example.com/*/7", 200, &name)];
    let said = after(ASKS, &all);
    assert_eq!(said.matches("\"call\"").count(), 2, "{said}");
    assert_eq!(
        said.matches("1795370000000").count(),
        4,
        "set and said: {said}"
    );
    assert_eq!(said, after(ASKS, &all), "chance is the session's");
    let second = [
        stub("GET https://shop.example.com/a/*", 200, &name),
        stub("GET https://shop.example.com/b/*", 500, &name),
    ];
    assert!(after(ASKS, &second).contains("Many: 1"));
}

#[test]
fn silence_and_large_answers_are_errors_the_script_may_catch() {
    let code = "async function main() {
        try { await http.post('https://shop.example.com/', { n: 1 }, { timeout: 3 }); }
        catch (error) { log(error.message); return 'many'; }
    }";
    let flow = flow(code);
    let mut player = Player::new(&flow, &BTreeMap::new(), now());
    player.customer(&says("Hi")).unwrap();
    player.customer(&says("7")).unwrap();
    assert_eq!(player.asked().unwrap().patience.as_secs(), 3);
    let said = written(&player.wait("3s".parse().unwrap()).unwrap());
    assert!(
        said.contains("no answer in time") && said.contains("Many"),
        "{said}"
    );
    player.customer(&says("8")).unwrap();
    let large = Answered {
        text: Some("x".repeat(70_000)),
        ..Answered::default()
    };
    let said = written(&player.answer(&large).unwrap());
    assert!(said.contains("too large for a script"), "{said}");
}

#[test]
fn addresses_and_methods_that_are_none_are_not_asked() {
    for (call, words) in [
        ("http.get('file:///etc/passwd')", "an address that is none"),
        (
            "http.request({ method: 'TRACE', url: 'https://a.example.com/' })",
            "a method that is none",
        ),
        (
            "http.post('https://a.example.com/', 'x'.repeat(70000))",
            "too large",
        ),
    ] {
        let said = after(&format!("async function main() {{ await {call}; }}"), &[]);
        assert!(
            said.contains(words) && said.contains("Bad"),
            "{call}: {said}"
        );
    }
    let ten = "async function main() { for (;;) await http.get('https://a.example.com/'); }";
    let said = after(ten, &[stub("GET *", 200, &json!({}))]);
    assert!(said.contains("more than 10 times"), "{said}");
}

/// Every step of a session with a script, taken again with what was recorded of it.
#[test]
fn a_session_with_a_script_comes_out_again() {
    let flow = flow(ASKS);
    let facts = BTreeMap::from([("conversation.id".to_owned(), "cnv-1".to_owned())]);
    let text = |body: &str| Content::Text {
        body: body.to_owned(),
        preview_url: false,
    };
    let (mut steps, mut before, mut at) = (Vec::new(), Vec::new(), now());
    let mut inputs = vec![Input::Start(text("Hi")), Input::Message(text("7"))];
    while let Some(input) = (!inputs.is_empty()).then(|| inputs.remove(0)) {
        at = at.plus(std::time::Duration::from_secs(1));
        let session = (!before.is_empty()).then_some(before.as_slice());
        let step = advance(&flow, session, &input, &facts, at).unwrap();
        for effect in &step.effects {
            if let Action::Call(request) = &effect.action {
                inputs.push(Input::Called {
                    wait: step.wait.unwrap().wait,
                    called: read_answer(&flow, request.widget, 200, b"{\"name\":\"y\"}"),
                });
            }
        }
        steps.push(Recorded {
            before: before.clone(),
            input,
            facts: facts.clone(),
            now: at,
            after: step.session.clone(),
            path: step.path.iter().map(|&label| label.to_owned()).collect(),
        });
        before.clone_from(&step.session);
    }
    assert_eq!(steps.len(), 4);
    // What the script had was kept while it waited, and is gone now.
    assert!(steps[2].after.len() > steps[3].after.len());
    assert!(String::from_utf8_lossy(&steps[2].after).contains("answers"));
    let again = retrace(&flow, "again", &steps).unwrap();
    assert_eq!(again.difference, None);
}

#[test]
fn one_step_runs_twenty_scripts_and_no_more() {
    let mut widgets = vec![json!({"name": "Start", "type": "start", "exits": {"next": "S0"}})];
    for at in 0..30 {
        let next = if at == 29 {
            "End".to_owned()
        } else {
            format!("S{}", at + 1)
        };
        widgets.push(json!({"name": format!("S{at}"), "type": "script",
            "settings": {"code": "function main() {}"}, "exits": {"next": next, "failed": "End"}}));
    }
    widgets.push(json!({"name": "End", "type": "end"}));
    let flow = json!({"format": 1, "name": "Many", "start": "Start", "widgets": widgets});
    let (definition, _) = check(&flow.to_string());
    let flow = CompiledFlow::compile(&definition.unwrap(), NonZeroU32::MIN).unwrap();
    let hello = Input::Start(Content::Text {
        body: "Hi".to_owned(),
        preview_url: false,
    });
    let refused = advance(&flow, None, &hello, &BTreeMap::new(), now()).unwrap_err();
    assert!(
        refused.to_string().contains("2000 expressions"),
        "{refused}"
    );
}
