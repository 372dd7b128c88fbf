//! Bad input, row by row of the catalogue in `reliability.md` 5.1. Rows about HTTP, storage and
//! conversations are tested where those are.

use core_types::{Content, Fact, FactBody, Timestamp};
use core_whatsapp::webhook::{BodyError, Cause, ItemProblem, MAX_UPDATES, ReadItem, read};

/// A delivery of these messages (JSON texts).
fn delivery(messages: &[String]) -> String {
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1000","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"4930","phone_number_id":"77"}},"contacts":[],"messages":[{}]}}}}]}}]}}"#,
        messages.join(",")
    )
}

fn text(id: usize, body: &str) -> String {
    format!(
        r#"{{"from":"4915120000001","id":"wamid.{id}","timestamp":"1790000000","type":"text","text":{{"body":"{body}"}}}}"#
    )
}

fn with(rest: &str) -> String {
    format!(r#"{{"from":"4915120000001","timestamp":"1790000000",{rest}}}"#)
}

fn one(message: &str) -> Result<Fact, ItemProblem> {
    let siblings = [text(1, "before"), message.to_owned(), text(2, "after")];
    let mut items = read(delivery(&siblings).as_bytes()).unwrap();
    assert_eq!(items.len(), 3);
    assert!(items[0].result.is_ok() && items[2].result.is_ok());
    items.remove(1).result
}

fn cause(message: &str) -> Cause {
    one(message).unwrap_err().cause
}

fn content(fact: Fact) -> Content {
    match fact.body {
        FactBody::Message(message) => message.content,
        other => panic!("{other:?}"),
    }
}

fn body_of(item: &ReadItem) -> String {
    match content(item.result.clone().unwrap()) {
        Content::Text { body, .. } => body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn w25_to_w30_bodies_that_are_no_deliveries() {
    let error = |body: &[u8]| read(body).unwrap_err();
    assert_eq!(error(b""), BodyError::Empty);
    assert_eq!(error(b" \n"), BodyError::Empty);
    for body in ["null", "[]", "\"x\"", "42", "true"] {
        assert_eq!(error(body.as_bytes()), BodyError::NotAnObject, "{body}");
    }
    assert!(matches!(error(b"<html></html>"), BodyError::NotJson(at) if at.contains("column 1")));
    let utf16: Vec<u8> = r#"{"object":"x"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(error(&utf16), BodyError::NotJson(_)));
    assert!(matches!(error(b"{}"), BodyError::NotADelivery(_)));
    let no_entry = br#"{"object":"whatsapp_business_account"}"#;
    assert!(matches!(error(no_entry), BodyError::NotADelivery(_)));
}

#[test]
fn w28_a_byte_order_mark_is_no_harm() {
    let body = format!("\u{feff}{}", delivery(&[text(1, "hi")]));
    assert_eq!(body_of(&read(body.as_bytes()).unwrap()[0]), "hi");
}

#[test]
fn w29_invalid_utf8_is_replaced_in_place() {
    let body = delivery(&[text(1, "a?b"), text(2, "fine")]).replace('?', "\u{1}");
    let body: Vec<u8> = body
        .bytes()
        .map(|b| if b == 1 { 0xff } else { b })
        .collect();
    let items = read(&body).unwrap();
    assert_eq!(body_of(&items[0]), "a\u{fffd}b");
    assert_eq!(body_of(&items[1]), "fine");
}

#[test]
fn w31_a_lone_surrogate_among_a_thousand() {
    let mut messages: Vec<String> = (0..MAX_UPDATES).map(|id| text(id, "x")).collect();
    messages[500] = text(500, r"bad \ud800 here");
    let items = read(delivery(&messages).as_bytes()).unwrap();
    assert_eq!(items.len(), MAX_UPDATES);
    assert_eq!(body_of(&items[500]), "bad \u{fffd} here");
    assert!(items.iter().all(|item| item.result.is_ok()));
}

#[test]
fn w32_w33_nul_becomes_a_replacement_character() {
    let items = read(delivery(&[text(1, r"a\u0000b"), text(2, "c\0d\te")]).as_bytes()).unwrap();
    assert_eq!(body_of(&items[0]), "a\u{fffd}b");
    assert_eq!(body_of(&items[1]), "c\u{fffd}d e");
    assert!(items.iter().all(|item| !item.raw.contains("\\u0000")));
}

#[test]
fn w34_deep_nesting_harms_nobody() {
    let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    let in_known = with(&format!(r#""id":"wamid.9","type":"text","text":{deep}"#));
    assert!(one(&in_known).is_err());
    let aside = with(&format!(
        r#""id":"wamid.9","type":"text","text":{{"body":"x"}},"new":{deep}"#
    ));
    assert!(one(&aside).is_ok());
    assert!(matches!(read(deep.as_bytes()), Err(BodyError::NotAnObject)));
}

#[test]
fn w35_a_key_given_twice() {
    let twice = with(r#""id":"wamid.a","id":"wamid.b","type":"text","text":{"body":"x"}"#);
    assert_eq!(cause(&twice), Cause::DuplicateKey);
}

#[test]
fn w36_trailing_bytes() {
    let body = format!("{} x", delivery(&[text(1, "hi")]));
    assert!(
        matches!(read(body.as_bytes()), Err(BodyError::NotJson(why)) if why.contains("trailing"))
    );
}

#[test]
fn w37_w38_times_of_every_kind() {
    let sent_at = |time: &str| {
        let message = format!(
            r#"{{"from":"4915120000001","id":"wamid.9","timestamp":{time},"type":"text","text":{{"body":"x"}}}}"#
        );
        match one(&message).unwrap().body {
            FactBody::Message(message) => message.sent_at,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sent_at("1504902988").as_seconds(), 1_504_902_988);
    assert_eq!(sent_at("\"1504902988\"").as_seconds(), 1_504_902_988);
    for odd in [
        "\"0\"",
        "\"-5\"",
        "\"99999999999999\"",
        "\"soon\"",
        "null",
        "1.5",
    ] {
        assert_eq!(sent_at(odd), Timestamp::EPOCH, "{odd}");
    }
}

#[test]
fn w41_w42_ids() {
    let message = |id: &str| with(&format!(r#""id":{id},"type":"text","text":{{"body":"x"}}"#));
    assert_eq!(cause(&message("null")), Cause::IdMissing);
    assert_eq!(cause(&message("\"\"")), Cause::IdMissing);
    assert_eq!(
        cause(&with(r#""type":"text","text":{"body":"x"}"#)),
        Cause::IdMissing
    );
    let long = format!("\"wamid.{}\"", "x".repeat(4_096));
    assert_eq!(cause(&message(&long)), Cause::IdTooLong);
    assert_eq!(cause(&message("\"wamid a\"")), Cause::Shape);
    assert_eq!(cause(&message("{}")), Cause::Shape);
}

#[test]
fn w46_other_products() {
    for object in ["\"page\"", "\"instagram\"", "7"] {
        let body = format!(r#"{{"object":{object},"entry":[]}}"#);
        assert!(
            matches!(read(body.as_bytes()), Err(BodyError::WrongObject(_))),
            "{object}"
        );
    }
}

#[test]
fn w48_to_w52_contents() {
    let unknown = one(&with(
        r#""id":"wamid.9","type":"hologram","hologram":{"x":1}"#,
    ));
    let Content::Unknown { kind, raw } = content(unknown.unwrap()) else {
        panic!();
    };
    assert!(kind == "hologram" && raw.contains("\"x\":1"));
    assert_eq!(
        cause(&with(r#""id":"wamid.9","type":"text""#)),
        Cause::Shape
    );
    assert_eq!(
        cause(&with(r#""id":"wamid.9","type":"text","text":"hi""#)),
        Cause::Shape
    );
    assert_eq!(cause(&with(r#""id":"wamid.9""#)), Cause::Shape);
    let long = "y".repeat(1_000_000);
    assert_eq!(
        content(one(&text(9, &long)).unwrap()),
        Content::Text {
            body: long,
            preview_url: false
        }
    );
    assert!(one(&text(9, "")).is_ok());
}

#[test]
fn w57_a_message_without_its_number() {
    let body = delivery(&[text(1, "hi")]).replace(
        r#""metadata":{"display_phone_number":"4930","phone_number_id":"77"},"#,
        "",
    );
    let items = read(body.as_bytes()).unwrap();
    let problem = items[0].result.clone().unwrap_err();
    assert_eq!(
        problem.to_string(),
        "shape: metadata.phone_number_id is missing"
    );
}

#[test]
fn w58_to_w60_who_wrote() {
    // No contacts: the name is unknown, the sender is not.
    assert!(one(&text(9, "x")).is_ok());
    for from in ["+1 (555) 1", "call me", "4915120000001491512000000149", "1"] {
        let message = format!(
            r#"{{"from":"{from}","id":"wamid.9","timestamp":"1","type":"text","text":{{"body":"x"}}}}"#
        );
        assert_eq!(cause(&message), Cause::IdentityInvalid, "{from}");
    }
    let nobody = r#"{"id":"wamid.9","timestamp":"1","type":"text","text":{"body":"x"}}"#;
    assert_eq!(cause(nobody), Cause::IdentityInvalid);
    let hidden = r#"{"from_user_id":"US.1","id":"wamid.9","type":"text","text":{"body":"x"}}"#;
    let FactBody::Message(message) = one(hidden).unwrap().body else {
        panic!();
    };
    assert_eq!(message.from.user_id.as_deref(), Some("US.1"));
    assert_eq!(message.from.phone, None);
}

#[test]
fn w70_w76_long_lists_are_cut_in_the_typed_part_only() {
    let details = "e".repeat(500_000);
    let unsupported = with(&format!(
        r#""id":"wamid.9","type":"unsupported","errors":[{{"code":1,"error_data":{{"details":"{details}"}}}}]"#
    ));
    let FactBody::Message(message) = one(&unsupported).unwrap().body else {
        panic!();
    };
    assert_eq!(message.errors[0].details.len(), 4_096);
    let phones = vec![r#"{"phone":"+49"}"#; 5_000].join(",");
    let cards = with(&format!(
        r#""id":"wamid.9","type":"contacts","contacts":[{{"name":{{"formatted_name":"N"}},"phones":[{phones}]}}]"#
    ));
    let Content::Contacts { cards, .. } = content(one(&cards).unwrap()) else {
        panic!();
    };
    assert_eq!(cards[0].phones.len(), 50);
    assert!(cards[0].raw.len() > 70_000);
}

#[test]
fn w74_w77_odd_numbers_stay_text() {
    let place =
        with(r#""id":"wamid.9","type":"location","location":{"latitude":999,"longitude":0}"#);
    assert!(matches!(content(one(&place).unwrap()), Content::Location(at) if at.latitude > 998.0));
    let order = with(
        r#""id":"wamid.9","type":"order","order":{"catalog_id":7,"product_items":[{"quantity":-1,"item_price":"NaN"},{"quantity":1000000000000,"item_price":1e400}]}"#,
    );
    let Content::Order { items, .. } = content(one(&order).unwrap()) else {
        panic!();
    };
    assert_eq!(
        (items[0].quantity.as_str(), items[0].price.as_str()),
        ("-1", "NaN")
    );
    assert_eq!(
        (items[1].quantity.as_str(), items[1].price.as_str()),
        ("1000000000000", "1e400")
    );
}

#[test]
fn w80_broken_entries_and_changes_leave_their_siblings() {
    let good = delivery(&[text(1, "a")]);
    let entry = good
        .split_once("\"entry\":[")
        .unwrap()
        .1
        .strip_suffix("]}")
        .unwrap();
    let body = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{entry},7,{{"id":"2","changes":[3,{{"field":[]}},{{"field":"messages"}},{{"field":"messages","value":[]}},{{"field":"messages","value":{{"messages":{{}}}}}}]}},{{"id":"3","changes":"x"}},{entry}]}}"#
    );
    let items = read(body.as_bytes()).unwrap();
    let seen: Vec<(&str, bool)> = items
        .iter()
        .map(|item| (item.position.as_str(), item.result.is_ok()))
        .collect();
    assert_eq!(
        seen,
        [
            ("entry[0].changes[0].value.messages[0]", true),
            ("entry[1]", false),
            ("entry[2].changes[0]", false),
            ("entry[2].changes[1]", false),
            ("entry[2].changes[2].value", false),
            ("entry[2].changes[3].value", false),
            ("entry[2].changes[4].value", false),
            ("entry[3]", false),
            ("entry[4].changes[0].value.messages[0]", true),
        ]
    );
}

#[test]
fn w81_names_that_are_special_elsewhere_are_plain_data() {
    let message =
        with(r#""id":"wamid.9","__proto__":{"x":1},"type":"constructor","constructor":{}"#);
    assert!(matches!(
        content(one(&message).unwrap()),
        Content::Unknown { .. }
    ));
}

#[test]
fn more_updates_than_meta_sends() {
    let messages: Vec<String> = (0..=MAX_UPDATES).map(|id| text(id, "x")).collect();
    assert_eq!(
        read(delivery(&messages).as_bytes()),
        Err(BodyError::TooManyUpdates(MAX_UPDATES + 1))
    );
    let large = delivery(&[text(1, &"x".repeat(5_000_000))]);
    assert!(matches!(
        read(large.as_bytes()),
        Err(BodyError::TooLarge(_))
    ));
}

#[test]
fn problems_do_not_quote_what_people_wrote() {
    let problem = one(&with(
        r#""id":"wamid.9","type":"text","text":"my secret, expected""#,
    ));
    assert!(!problem.unwrap_err().to_string().contains("secret"));
}
