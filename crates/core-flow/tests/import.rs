//! Flows that Zoom exported, read as ours: one made by hand, and the real ones where a folder of them is
//! named by `FRONTDESK_FIXTURES`. Imported, they are right, and play with their web service stubbed.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use core_flow::import::{Imported, Taken, from_zoom};
use core_flow::lab::{Act, Answered, Line, Player, Said, Stub};
use core_flow::{CompiledFlow, Definition, Problem, VariableType};
use core_types::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const CLUB: &str = include_str!("flows/zoom-club.json");

fn imported(text: &str) -> Imported {
    let imported = from_zoom(text).unwrap();
    // What is written is read again as the same.
    let written = imported.definition.to_json();
    assert_eq!(core_flow::parse(&written).unwrap(), imported.definition);
    let (_, problems) = core_flow::check(&written);
    let errors: Vec<&Problem> = problems.iter().filter(|it| it.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    imported
}

fn with_default(definition: &mut Definition, name: &str, value: &str) {
    let mut variables = definition.variables.iter_mut();
    let variable = variables.find(|variable| variable.name == name).unwrap();
    variable.default = Some(match variable.r#type {
        VariableType::Json => Value::from(value).to_string(),
        _ => value.to_owned(),
    });
}

/// What the flow says to a customer who writes and taps so.
fn said(definition: &Definition, stubs: &[Stub], customer: &[Said]) -> Vec<String> {
    let flow = CompiledFlow::compile(definition, NonZeroU32::MIN).unwrap();
    let now = Timestamp::from_seconds(1_795_370_000).unwrap();
    let mut player = Player::new(&flow, &BTreeMap::new(), now);
    player.answer_calls(stubs);
    let mut all = Vec::new();
    for one in customer {
        for line in player.customer(one).unwrap() {
            match line {
                Line::Flow(shown) => all.push(serde_json::to_string(&shown).unwrap()),
                Line::Call(call) => all.push(serde_json::to_string(&call).unwrap()),
                Line::End(exit) => all.push(format!("end {exit}")),
                _ => {}
            }
        }
    }
    all
}

fn says(text: &str) -> Said {
    Said::Text(text.to_owned())
}

fn taps(title: &str) -> Said {
    Said::Act(Box::new(Act::Tap(title.to_owned())))
}

fn stub(request: &str, status: u16, body: Value) -> Stub {
    Stub {
        request: request.to_owned(),
        answer: Answered {
            status: Some(status),
            body: Some(body),
            ..Answered::default()
        },
    }
}

fn club() -> Definition {
    let mut definition = imported(CLUB).definition;
    with_default(&mut definition, "garden_name", "the garden");
    definition
}

#[test]
fn what_was_taken_in_another_way_is_told() {
    let remarks = imported(CLUB).remarks;
    let told: Vec<String> = remarks.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "Ask_member: approximated: it waits without an end; here it waits 23 hours",
            "Callback: left out: there is no widget like `Callback`; the engagement ends there",
            "the flow: approximated: nothing in it sets `global_custom.garden.name`; give \
             {{flow.garden_name}} a default",
        ]
    );
    assert_eq!(remarks[1].taken, Taken::LeftOut);
}

#[test]
fn an_imported_flow_plays_with_its_web_service_stubbed() {
    let found = json!({"members": [{"name": "Ann", "points": 120}]});
    let stubs = [stub(
        "GET https://club.example.com/members?number=*",
        200,
        found,
    )];
    let lines = said(
        &club(),
        &stubs,
        &[says("Hi"), taps("My points"), says("a b&c")],
    );
    let words = lines.join("\n");
    for part in [
        "Welcome to the garden!",
        "\"buttons\":[\"My points\",\"Call me\"]",
        "members?number=a%20b%26c",
        "You have 120 points.",
        "end The_end/ended",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    // Nobody of that number; and a service that has a fault.
    for (status, body) in [(200, json!({"members": []})), (500, json!({}))] {
        let stubs = [stub("GET https://club.example.com/*", status, body)];
        let lines = said(&club(), &stubs, &[says("Hi"), says("my points"), says("7")]);
        assert!(!lines.join("\n").contains("You have"), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "end The_end/ended");
    }
}

/// The real export of a web shop's chat, by both ways through it.
#[test]
fn the_real_shop_flow_imports_and_plays() {
    let Some(folder) = std::env::var_os("FRONTDESK_FIXTURES") else {
        return;
    };
    let path = std::path::Path::new(&folder).join("zoom-flows/web-chat-shop.json");
    let imported = imported(&std::fs::read_to_string(path).unwrap());
    let left_out = imported
        .remarks
        .iter()
        .filter(|it| it.taken == Taken::LeftOut);
    assert_eq!(left_out.count(), 0, "{:#?}", imported.remarks);
    let mut definition = imported.definition;
    with_default(&mut definition, "accShopify_storeName", "test-store");
    with_default(&mut definition, "accShopify_apiKey", "KEY");
    let customer = json!({"id": 17, "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee",
        "phone": "+1555", "orders_count": 2, "last_order_id": 99, "state": "enabled", "tags": "vip",
        "total_spent": "120.00"});
    let order = json!({"id": 99, "order_number": 1001, "customer": {"id": 17},
        "financial_status": "paid", "total_price": "60.00", "line_items": [], "shipping_address": {}});
    let stubs = [
        stub(
            "GET https://test-store.myshopify.com/admin/api/2023-01/customers/search.json?email=ann%40example.com",
            200,
            json!({"customers": [customer]}),
        ),
        stub(
            "GET https://test-store.myshopify.com/admin/api/2023-01/orders/99.json",
            200,
            json!({"order": order}),
        ),
        stub(
            "GET https://test-store.myshopify.com/admin/api/2023-01/orders.json?name=1001&status=any",
            200,
            json!({"orders": [order]}),
        ),
        stub(
            "GET https://test-store.myshopify.com//admin/api/2023-01/customers/17.json",
            200,
            json!({"customer": customer}),
        ),
        stub("GET *", 404, json!({})),
    ];
    let by_email = [says("Hi"), taps("Email address"), says("ann@example.com")];
    let by_order = [says("Hi"), taps("Order Number"), says("1001")];
    for way in [&by_email, &by_order] {
        let words = said(&definition, &stubs, way).join("\n");
        for part in [
            "customerFirstName: Ann",
            "customerTotalSpent: 120.00",
            "orderNumber: 1001",
            "orderTotalPrice: 60.00",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(words.ends_with("end The_end/ended"), "{words}");
    }
    let nobody = [says("Hi"), taps("Email address"), says("bob@example.com")];
    let words = said(&definition, &stubs, &nobody).join("\n");
    assert!(words.contains("Something went wrong"), "{words}");
    let wrong = [
        says("Hi"),
        taps("Email address"),
        says("no address"),
        taps("No thanks"),
    ];
    let words = said(&definition, &stubs, &wrong).join("\n");
    assert!(words.contains("Error code: 1004"), "{words}");
}

#[test]
fn what_is_no_export_is_refused_in_a_sentence() {
    for (text, words) in [
        ("", "EOF"),
        ("[]", "not a flow exported from Zoom"),
        ("{}", "missing field `flowName`"),
        (r#"{"flowName":"x","widgetsJson":"{"}"#, "`widgetsJson`"),
        (
            r#"{"flowName":"x","widgetsJson":"{\"state\":[]}"}"#,
            "no widget of type Start",
        ),
        (&" ".repeat(2 << 20), "2097152 bytes"),
        (&format!("{{\"x\":{}", "[".repeat(100_000)), "EOF"),
    ] {
        let error = from_zoom(text).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// A JSON value somewhere in the export, in another's place.
fn damaged(text: &str, seed: usize, with: &Value) -> String {
    let mut file: Value = serde_json::from_str(text).unwrap();
    let mut canvas: Value = serde_json::from_str(file["widgetsJson"].as_str().unwrap()).unwrap();
    let mut paths = Vec::new();
    pointers(&canvas, String::new(), &mut paths);
    let path = &paths[seed % paths.len()];
    if let Some(place) = canvas.pointer_mut(path) {
        *place = with.clone();
    }
    file["widgetsJson"] = canvas.to_string().into();
    file.to_string()
}

fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, format!("{at}/{index}"), all);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                pointers(field, format!("{at}/{name}"), all);
            }
        }
        _ => {}
    }
    all.push(at);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is wrong in an export: it is refused, or read as a flow that can be checked.
    #[test]
    fn damaged_exports_do_no_harm(seed in 0_usize..100_000, kind in 0_usize..6) {
        let with = [json!(null), json!(7), json!([]), json!({}), json!("{{"), json!("Set up.x {{Nobody.value}}")];
        let text = damaged(CLUB, seed, &with[kind]);
        if let Ok(imported) = from_zoom(&text) {
            let (read, _) = core_flow::check(&imported.definition.to_json());
            prop_assert!(read.is_some());
        }
    }
}
