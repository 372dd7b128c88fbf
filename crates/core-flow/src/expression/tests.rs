//! What expressions give, what is refused, and that hostile ones end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Expression, check};
use crate::definition::Definition;
use crate::interpolation::Placeholder;
use crate::scope::{Scope, Variable};

/// A menu with choices, a question for a number, and variables of several types.
const FLOW: &str = r#"{"format":1,"name":"x","start":"Start","variables":[
    {"name":"count","type":"number","default":"2"},
    {"name":"city","type":"text"},
    {"name":"vip","type":"boolean"},
    {"name":"price","type":"currency","default":"19.99"},
    {"name":"answer","type":"json"},
    {"name":"tags","type":"list","default":"[\"a\",\"b\"]"}],"widgets":[
    {"name":"Start","type":"start","exits":{"next":"Menu"}},
    {"name":"Menu","type":"collect_input","settings":{"prompt":{"text":"?"},
        "choices":[{"value":"1"}],"timeout_seconds":60},
        "exits":{"match":"Amount","no_match":null,"timeout":null}},
    {"name":"Amount","type":"collect_input","settings":{"prompt":{"text":"?"},
        "accept":{"type":"number"},"timeout_seconds":60},
        "exits":{"match":null,"no_match":null,"timeout":null}}]}"#;

fn definition() -> Definition {
    crate::parse(FLOW).unwrap()
}

/// What an expression gives as a text, with some variables known.
fn text(source: &str) -> Option<String> {
    let definition = definition();
    let scope = Scope::new(&definition);
    let expression = Expression::compile(source, &scope).unwrap_or_else(|wrong| {
        panic!("{source}: {}", wrong.message);
    });
    let known = [
        ("Menu", "value", "1"),
        ("Amount", "value", "12.5"),
        ("flow", "count", "2"),
        ("flow", "price", "19.99"),
        ("flow", "vip", "true"),
        ("flow", "tags", r#"["a","b"]"#),
        (
            "flow",
            "answer",
            r#"{"total":7,"items":[{"name":"tea"}],"none":null}"#,
        ),
        ("contact", "display_name", "Maria"),
    ];
    let known: BTreeMap<Variable, &str> = known
        .into_iter()
        .map(|(scope_name, field, value)| {
            let place = Placeholder {
                scope: scope_name,
                field,
            };
            (scope.variable(place).unwrap(), value)
        })
        .collect();
    let value = expression.value(|variable| known.get(variable).copied().unwrap_or_default())?;
    super::as_text(&value)
}

#[test]
fn expressions_compute_what_they_say() {
    let cases = [
        ("flow.count + 1", "3"),
        ("flow.count / 4", "0.5"),
        ("0.1 + 0.2", "0.3"),
        ("flow.price * 3", "59.97"),
        ("(flow.price * 3) | decimals(1)", "60.0"),
        ("flow.city or \"nowhere\"", "nowhere"),
        ("contact.display_name or \"there\"", "Maria"),
        ("contact.username or \"there\"", "there"),
        ("\"Hello \" ~ contact.display_name", "Hello Maria"),
        ("flow.vip and flow.count >= 2", "true"),
        ("Menu.value == \"1\"", "true"),
        ("Amount.value > 12", "true"),
        ("Menu.text | length", "0"),
        ("flow.answer.total + 1", "8"),
        ("(flow.answer.total | number) * 2", "14"),
        ("flow.city | default(\"there\")", "there"),
        ("flow.vip | string", "true"),
        ("flow.answer.items[0].name | upper", "TEA"),
        ("flow.answer.items | length", "1"),
        ("flow.answer.missing.deep or \"-\"", "-"),
        ("flow.answer.none is none", "true"),
        ("flow.tags | join(\", \")", "a, b"),
        ("\"a\" in flow.tags", "true"),
        ("flow.tags + [\"c\"]", "[\"a\",\"b\",\"c\"]"),
        ("\"1.234,50\" | number", "1234.5"),
        ("\"many\" | number", ""),
        ("\"big\" if flow.count > 1 else \"small\"", "big"),
        ("\"big\" if flow.count > 5", ""),
        ("{\"n\": flow.count}", "{\"n\":2}"),
        ("7 // 2 ~ \"/\" ~ 7 % 2", "3/1"),
        ("-flow.count | abs", "2"),
        ("1 < flow.count <= 2", "true"),
    ];
    for (source, wanted) in cases {
        assert_eq!(text(source).as_deref(), Some(wanted), "{source}");
    }
}

#[test]
fn what_cannot_be_computed_gives_nothing() {
    for source in [
        "1 / (flow.count - 2)",
        "1 // (flow.count - 2)",
        "1 % (flow.count - 2)",
        "flow.answer.items + 1",
        "9223372036854775807 + 1",
        "2 ** 2000",
        "\"nothing\" | int",
    ] {
        assert_eq!(text(source), None, "{source}");
    }
}

#[test]
fn hostile_expressions_end_within_their_fuel() {
    for source in [
        "((\"xxxxxxxxxx\" | replace(\"x\", \"xxxxxxxxxx\")) | replace(\"x\", \"xxxxxxxxxx\")) | replace(\"x\", \"xxxxxxxxxx\") | replace(\"x\", \"xxxxxxxxxx\") | replace(\"x\", \"xxxxxxxxxx\") | replace(\"x\", \"xxxxxxxxxx\") | replace(\"x\", \"xxxxxxxxxx\") | length",
        "flow.count ** flow.count ** flow.count ** flow.count ** 9",
    ] {
        assert_eq!(text(source), None, "{source}");
    }
}

#[test]
fn the_deepest_expressions_leave_half_of_a_stack() {
    let deepest = || {
        let definition = definition();
        let scope = Scope::new(&definition);
        for times in [6, 10, 19, 20, 40, 66, 98, 99, 196, 199, 400, 900] {
            for deep in [
                "(".repeat(times) + "1" + &")".repeat(times),
                "[".repeat(times) + &"]".repeat(times),
                "{1:".repeat(times) + "1" + &"}".repeat(times),
                "-".repeat(times) + "1",
                "not ".repeat(times) + "1",
                "1".to_owned() + &"+1".repeat(times),
                "flow.count".to_owned() + &"-1".repeat(times),
                "flow.count".to_owned() + &"*1".repeat(times),
                "1".to_owned() + &"~flow.city".repeat(times),
                "flow.answer".to_owned() + &".a".repeat(times),
                "flow.answer".to_owned() + &"[0]".repeat(times),
                "flow.city".to_owned() + &"|trim".repeat(times),
                "1 if 1 else ".repeat(times) + "1",
                "flow.city|default(".repeat(times) + "1" + &")".repeat(times),
            ] {
                // Must end; how does not matter.
                if let Ok(expression) = Expression::compile(&deep, &scope) {
                    let _ = expression.value(|_| "1");
                }
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(deepest).unwrap().join().unwrap();
}

/// An expression, and how the problem told of it begins.
const MISTAKES: &[(&str, &str)] = &[
    ("", "column 1: there is no expression"),
    ("flow.count +", "column 12: unexpected end of input"),
    ("flow.count + * 2", "column 14: unexpected `*`"),
    ("flow.cont + 1", "column 1: the flow has no variable `cont`"),
    (
        "1 + Nobody.value",
        "column 5: `Nobody.value` is not a variable",
    ),
    ("Menu.valeu", "column 1: `Menu.valeu` is not a variable"),
    ("count + 1", "column 1: `count` is not a value"),
    ("system(\"rm\")", "column 1: expressions have no functions"),
    ("range(10)", "column 1: expressions have no functions"),
    (
        "flow.city.upper()",
        "column 10: expressions have no functions",
    ),
    ("flow.count | rund", "column 14: there is no filter `rund`"),
    ("flow.count | safe", "column 14: there is no filter `safe`"),
    ("flow.count is evn", "column 15: there is no test `evn`"),
    ("flow.city + 1", "column 1: a text + a number has no value"),
    ("Menu.value * 2", "column 1: this is a text, not a number"),
    ("Menu.value == 1", "column 1: a text is never a number"),
    (
        "Menu.value > 3",
        "column 1: a text and a number have no order",
    ),
    (
        "flow.vip < 1",
        "column 1: true or false and a number have no order",
    ),
    ("\"a\" in flow.count", "column 8: nothing is in a number"),
    ("flow.count.parts", "column 1: this is a number, not a map"),
    (
        "flow.count[0]",
        "column 1: this is a number, not a list or a map or a text",
    ),
    (
        "flow.city | round",
        "column 1: this is a text, not a number",
    ),
    (
        "flow.price | decimals",
        "column 14: `decimals` has 0 arguments",
    ),
    (
        "flow.price | upper",
        "column 1: this is a number, not a text",
    ),
    ("flow.count / 0", "column 14: this divides by zero"),
    ("flow.count % (1 - 1)", "column 15: this divides by zero"),
    (
        "1 * (2 in (([1] or 1) * 99999999))",
        "column 13: this is any value, not a number",
    ),
    // What is long only when it is looked at must not be made.
    (
        "flow.answer * 99999999",
        "column 1: this is any value, not a number",
    ),
    (
        "([1] if flow.vip else 1) * 99999999",
        "column 1: this is any value, not a number",
    ),
    (
        "([1] or 1) * 99999999",
        "column 2: this is any value, not a number",
    ),
    (
        "flow.city | replace(*flow.tags)",
        "column 13: arguments cannot be unpacked",
    ),
];

#[test]
fn mistakes_are_found_with_their_column() {
    let definition = definition();
    let scope = Scope::new(&definition);
    let mut others = Vec::new();
    for (source, wanted) in MISTAKES {
        let wrong = check(source, &scope).expect_err(source);
        assert!(!wrong.remedy.is_empty(), "{source}");
        if !wrong.message.starts_with(wanted) {
            others.push((source, wrong.message));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    let long = "1 + ".repeat(300) + "1";
    assert!(
        check(&long, &scope)
            .unwrap_err()
            .message
            .contains("1201 characters")
    );
    let nested = "(".repeat(21) + "1" + &")".repeat(21);
    assert!(
        check(&nested, &scope)
            .unwrap_err()
            .message
            .contains("more than 20 brackets")
    );
    let many = "1+".repeat(150) + "1";
    assert!(
        check(&many, &scope)
            .unwrap_err()
            .message
            .contains("more than 200 words")
    );
}

/// Pieces of expressions, sound and otherwise.
const PIECES: &[&str] = &[
    "flow.count",
    "flow.city",
    "flow.vip",
    "flow.price",
    "flow.answer",
    "flow.tags",
    "Menu.value",
    "Amount.value",
    "contact.phone",
    "flow",
    ".",
    ".a",
    "[0]",
    "[-1]",
    "[1:2]",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    "|",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    " and ",
    " or ",
    " not ",
    " in ",
    " is ",
    " if ",
    " else ",
    "0",
    "1",
    "2.5",
    "1e308",
    "9223372036854775807",
    "\"a\"",
    "'ä'",
    "\"\"",
    "true",
    "none",
    "upper",
    "round",
    "decimals(2)",
    "number",
    "length",
    "join(\",\")",
    "replace(\"a\",\"aaaa\")",
    "split",
    "sort",
    "map",
    "sum",
    "min",
    "default(1)",
    "int",
    "float",
    "odd",
    "divisibleby(0)",
    "startingwith(\"a\")",
    "range(9)",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_expression_is_explained_or_ends(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24)) {
        let source = pieces.concat();
        let definition = definition();
        let scope = Scope::new(&definition);
        match Expression::compile(&source, &scope) {
            Err(wrong) => prop_assert!(!wrong.message.is_empty() && !wrong.remedy.is_empty()),
            Ok(expression) => {
                for known in ["", "1", "true", "[1,\"a\",null]", "{\"a\":{\"a\":2}}", "x"] {
                    // Must end, and give the same again; what does not matter.
                    let text = || expression.value(|_| known).and_then(|value| super::as_text(&value));
            let once = text();
                    prop_assert_eq!(text(), once);
                }
            }
        }
    }

    #[test]
    fn any_text_is_an_expression_or_explained(source in any::<String>()) {
        let definition = definition();
        let scope = Scope::new(&definition);
        if let Err(wrong) = Expression::compile(&source, &scope) {
            prop_assert!(!wrong.message.is_empty() && !wrong.remedy.is_empty());
        }
    }
}
