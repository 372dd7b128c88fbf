//! Scripts: what they may do, and what does no harm.

use serde_json::json;

use super::{Answer, Ask, Given, Outcome, Said, mistake, run};

fn with(code: &str, answers: &[Answer]) -> Outcome {
    let variables =
        json!({"Ask.value": "7", "flow.count": 2, "flow.items": ["a"], "contact.phone": ""});
    let given = Given {
        variables: variables.as_object().cloned().unwrap_or_default(),
        own: vec!["flow.count", "flow.items"],
        answers,
        now: 1_795_370_000_000,
        seed: 7,
    };
    run(code, &given)
}

fn done(code: &str) -> Said {
    match with(code, &[]) {
        Outcome::Done(said) => said,
        other => panic!("{code}: {other:?}"),
    }
}

fn failed(code: &str) -> String {
    match with(code, &[]) {
        Outcome::Failed(reason, _) => reason,
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn variables_come_in_and_go_out() {
    let said = done(
        "function main() {
           set('count', get('flow.count') + Number(get('Ask.value')));
           set('flow.items', get('items').concat([get('count'), get('nobody'), get('contact.phone')]));
           log('now', get('count'), { a: 1 });
           return 'found';
         }",
    );
    assert_eq!(said.exit.as_deref(), Some("found"));
    assert_eq!(
        json!(said.set),
        json!({"flow.count": 9, "flow.items": ["a", 9, null, ""]})
    );
    assert_eq!(said.log, ["now 9 {\"a\":1}"]);
    let said = done("const main = async () => { await null; }");
    assert_eq!((said.exit, said.set.len()), (None, 0));
}

#[test]
fn a_script_asks_and_goes_on_with_the_answers() {
    let code = "async function main() {
        const first = await http.get('https://a.example.com/1', { headers: { 'X-A': 1 }, credential: 'shop' });
        set('count', first.body.n);
        try { await http.post('https://a.example.com/2', { n: first.body.n }, { timeout: 3 }); }
        catch (error) { log(error.message); return 'none'; }
    }";
    let answer = |ask: &Ask, text: &str| Answer {
        of: ask.mark(),
        status: 200,
        text: text.to_owned(),
        failed: None,
    };
    let Outcome::Asks(ask) = with(code, &[]) else {
        panic!()
    };
    let first = answer(&ask, "{\"n\": 5}");
    assert_eq!(
        (&*ask.method, &*ask.url),
        ("GET", "https://a.example.com/1")
    );
    assert_eq!(ask.headers, [("X-A".to_owned(), "1".to_owned())]);
    assert_eq!(ask.credential.as_deref(), Some("shop"));
    let Outcome::Asks(ask) = with(code, std::slice::from_ref(&first)) else {
        panic!()
    };
    assert_eq!(
        (&*ask.method, ask.body.as_deref(), ask.json),
        ("POST", Some("{\"n\":5}"), true)
    );
    assert_eq!(ask.timeout, Some(3.0));
    // An answer to another question is none to this.
    let Outcome::Failed(reason, _) = with(code, &[answer(&ask, "{}")]) else {
        panic!()
    };
    assert!(reason.contains("asks otherwise"), "{reason}");
    let silent = Answer {
        of: ask.mark(),
        status: 0,
        text: String::new(),
        failed: Some("timed out".to_owned()),
    };
    let Outcome::Done(said) = with(code, &[first, silent]) else {
        panic!()
    };
    assert_eq!(
        (said.exit.as_deref(), said.log.as_slice()),
        (Some("none"), &["timed out".to_owned()][..])
    );
}

#[test]
fn time_and_chance_are_given() {
    let code = "function main() { set('items', [Date.now(), new Date().toISOString(),
        new Date(0).getTime(), new Date() instanceof Date, Math.random(), Math.random(),
        new Date(2026, 10, 22, 17).getHours(), new Date('2026-11-22T17:00').getTimezoneOffset(),
        Object.getPrototypeOf(Date).now === undefined, new Date('2026-11-22T17:00').toISOString(),
        typeof WeakRef, typeof performance, typeof require, typeof fetch, typeof setTimeout]); }";
    let (first, second) = (done(code).set, done(code).set);
    assert_eq!(first, second);
    let items = &first["flow.items"];
    assert_eq!(items[0], 1_795_370_000_000_i64);
    assert_eq!(items[1], "2026-11-22T17:53:20.000Z");
    assert_eq!((&items[2], &items[3]), (&json!(0), &json!(true)));
    assert_eq!(
        (&items[6], &items[7], &items[8]),
        (&json!(17), &json!(0), &json!(true))
    );
    assert_eq!(items[9], "2026-11-22T17:00:00.000Z");
    for name in 10..15 {
        assert_eq!(items[name], "undefined");
    }
}

#[test]
fn hostile_scripts_end_within_their_budget() {
    for code in [
        "while (true) {}",
        "function main() { for (;;) ; }",
        "async function main() { for (;;) await null; }",
        "function main() { return main(); }",
        "function main() { let s = 'x'; for (;;) s += s; }",
        "function main() { const a = []; for (;;) a.push(new Array(1000)); }",
        "function main() { return 'x'.repeat(1 << 30); }",
        "function main() { try { for (;;) ; } catch (_) { return 'next'; } }",
        "function main() { try { for (;;) ; } finally { for (;;) ; } }",
        "function main() { return /(a+)+$/.test('a'.repeat(40) + 'b'); }",
        "function main() { return JSON.stringify('['.repeat(1e7)); }",
        "function main() { return eval('('.repeat(100000)); }",
        "async function main() { await new Promise(() => {}); }",
        "Object.defineProperty(Object.prototype, 'done', { get() { for (;;) ; } }); function main() { for (;;) ; }",
        "JSON.stringify = () => '{}'; function main() { set('count', 1n); }",
        "function main() { throw { toString() { for (;;) ; } }; }",
        "import x from 'fs'; function main() {}",
        "for (let n = 0; n < 2000; n++) Promise.resolve().then(() => { for (;;) ; }); function main() {}",
        "function other() {}",
        "",
    ] {
        let reason = failed(code);
        assert!(!reason.is_empty(), "{code}");
    }
}

#[test]
fn one_script_knows_nothing_of_another() {
    done("globalThis.seen = 1; Array.prototype.seen = 1; function main() {}");
    let said = done(
        "function main() { set('count', typeof seen === 'undefined' && [].seen === undefined ? 1 : 2); }",
    );
    assert_eq!(said.set["flow.count"], 1);
}

#[test]
fn mistakes_have_their_line() {
    assert_eq!(mistake("async function main() { await 1; }\n"), None);
    let wrong = mistake("function main() {\n  let a = ;\n}").unwrap_or_default();
    assert!(wrong.contains("line 2"), "{wrong}");
    let thrown = failed("function main() {\n  nobody();\n}");
    assert!(thrown.contains("nobody"), "{thrown}");
}

#[test]
fn half_a_pair_of_surrogates_is_mended() {
    let said = done(
        "function main() { set('items', ['x\u{1F600}'.slice(0, 2)]); log('y'.repeat(499) + '\u{1F600}'); }",
    );
    assert_eq!(said.set["flow.items"][0], "x\u{FFFD}");
    assert_eq!(said.log.len(), 1);
}

#[test]
fn looking_for_mistakes_runs_nothing() {
    let escape = "}); for (;;) ; (async function () {";
    let wrong = mistake(escape).unwrap_or_default();
    assert!(wrong.contains("line 1"), "{wrong}");
    assert_eq!(mistake("for (;;) ; function main() {}"), None);
}
