//! What people see who debug webhooks.

use core_whatsapp::describe::{lines, text};

use crate::fixtures::own_named;

fn described(name: &str) -> Vec<String> {
    lines(&own_named(name).body).iter().map(text).collect()
}

#[test]
fn one_line_for_each_item() {
    let names = [
        "batch",
        "message_from_advertisement",
        "status_failed",
        "status_sent_priced",
        "field_template_paused",
        "field_unknown",
    ];
    let all: Vec<String> = names.iter().flat_map(|name| described(name)).collect();
    insta::assert_snapshot!("described", all.join("\n"));
}

#[test]
fn what_cannot_be_read_says_why() {
    let [body] = lines(b"<html>").try_into().unwrap();
    assert_eq!(body.position, "body");
    assert!(body.problems[0].starts_with("json_syntax"));
    let broken = String::from_utf8(own_named("message_text").body).unwrap();
    let [item] = lines(broken.replace("wamid.TEST0001==", "").as_bytes())
        .try_into()
        .unwrap();
    assert!(text(&item).ends_with("\n  ! id_missing: id is missing"));
    let json = serde_json::to_value(&item).unwrap();
    assert_eq!(json["kind"], "unreadable");
    assert_eq!(json["number_id"], "771200340056001");
}

#[test]
fn terminals_are_not_steered() {
    let named = String::from_utf8(own_named("message_text").body).unwrap();
    let named = named.replace("Guten Tag", "\\u001b[2J\\nGuten Tag");
    let shown = text(&lines(named.as_bytes())[0]);
    assert!(!shown.contains(char::is_control), "{shown:?}");
}
