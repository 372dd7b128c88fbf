//! Whatever happens to the bytes: no panic, and what was not touched is read as before.

use core_whatsapp::describe;
use core_whatsapp::send::{decode, read_answer};
use core_whatsapp::template::Definition;
use core_whatsapp::webhook::{read, reread};
use proptest::prelude::*;
use serde_json::Value;

use crate::fixtures::{own, own_named};

/// Replaces the value at a place chosen by `path`, or removes or doubles it.
fn mutate(value: &mut Value, path: &[usize], with: &Value) {
    let Some((step, rest)) = path.split_first() else {
        *value = with.clone();
        return;
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            let key = map
                .keys()
                .nth(step % map.len())
                .cloned()
                .unwrap_or_default();
            if rest.is_empty() && with.is_null() {
                map.remove(&key);
            } else if let Some(inner) = map.get_mut(&key) {
                mutate(inner, rest, with);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let index = step % list.len();
            mutate(&mut list[index], rest, with);
        }
        other => *other = with.clone(),
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::from(7)),
        Just(Value::from(-1.5)),
        Just(Value::from("")),
        Just(Value::from("\0\u{fffd}")),
        Just(serde_json::json!([])),
        Just(serde_json::json!([[[]], {}])),
        Just(serde_json::json!({"id": "x", "type": "edit"})),
        any::<String>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
        let _ = read_answer(200, &bytes);
        let _ = read_answer(400, &bytes);
        let _ = describe::lines(&bytes).iter().map(describe::text).count();
        let text = String::from_utf8_lossy(&bytes);
        let _ = (decode(&text), reread(&text), Definition::parse(&text, "named"));
    }

    #[test]
    fn damaged_bytes_never_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let fixtures = own();
        let mut body = which.get(&fixtures).body.clone();
        let at = at.index(body.len());
        if cut { body.truncate(at) } else { body[at] = byte }
        if let Ok(items) = read(&body) {
            for item in items {
                prop_assert_eq!(reread(&item.raw), item.result);
            }
        }
    }

    #[test]
    fn siblings_of_a_damaged_item_stay(
        which in 0..5_usize,
        path in prop::collection::vec(any::<usize>(), 1..5),
        with in values(),
    ) {
        let fixture = own_named("batch");
        let before = read(&fixture.body).unwrap();
        let mut body: Value = serde_json::from_slice(&fixture.body).unwrap();
        let places = [
            "/entry/0/changes/0/value/messages/0",
            "/entry/0/changes/0/value/messages/3",
            "/entry/0/changes/0/value/statuses/0",
            "/entry/0/changes/1/value/messages/0",
            "/entry/1/changes/1/value/statuses/0",
        ];
        mutate(body.pointer_mut(places[which]).unwrap(), &path, &with);
        let after = read(body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(after.len(), before.len());
        let touched = places[which].replace("/entry/", "entry[").replace("/changes/", "].changes[")
            .replace("/value/", "].value.").replace("messages/", "messages[").replace("statuses/", "statuses[") + "]";
        for (was, is) in before.iter().zip(&after) {
            prop_assert_eq!(&was.position, &is.position);
            if was.position != touched {
                // Account facts keep their bytes, which `to_string` has written anew.
                let same = was.result.as_ref().is_ok_and(|fact| fact.dedupe_key.starts_with("x:"));
                prop_assert!(same || was.result == is.result, "{}", was.position);
            }
        }
    }

    #[test]
    fn a_damaged_change_leaves_other_changes(with in values()) {
        let fixture = own_named("batch");
        let mut body: Value = serde_json::from_slice(&fixture.body).unwrap();
        body["entry"][0]["changes"][0]["value"] = with;
        let after = read(body.to_string().as_bytes()).unwrap();
        let alive = |position: &str| after.iter().any(|item| item.position == position && item.result.is_ok());
        prop_assert!(alive("entry[0].changes[1].value.messages[0]"));
        prop_assert!(alive("entry[1].changes[1].value.statuses[0]"));
        prop_assert!(after.iter().any(|item| item.position.starts_with("entry[0].changes[0]")));
    }
}
