//! Webhook bodies as Meta writes them (`whatsapp-cloud-api.md`, section 1). Nothing here is
//! shared with the parser in `core-whatsapp`, so that the two check each other.

mod message;
mod status;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

pub(crate) use message::{FromCustomer, customer_message};
pub(crate) use status::{StatusFacts, status_update};

use crate::state::{Customer, Number, Template, Update};

/// From this second on webhooks name the business-scoped user id of every customer (2026-03-31).
const USER_IDS_SINCE: i64 = 1_774_915_200;

/// The field of everything about messages.
pub(crate) const MESSAGES: &str = "messages";
/// The field of a template's review.
pub(crate) const TEMPLATE_STATUS: &str = "message_template_status_update";

/// The body of one delivery: all `messages` updates in one entry, everything else in entries of
/// their own, which carry the time. Characters beyond ASCII are escaped, as in what Meta signs.
pub(crate) fn envelope(account: &str, updates: &[Update]) -> String {
    let change = |update: &Update| json!({"value": update.value, "field": update.field});
    let (messages, others): (Vec<&Update>, Vec<&Update>) =
        updates.iter().partition(|update| update.field == MESSAGES);
    let mut entries = Vec::new();
    if !messages.is_empty() {
        let changes: Vec<Value> = messages.into_iter().map(change).collect();
        entries.push(json!({"id": account, "changes": changes}));
    }
    for update in others {
        let time = update.at.as_seconds();
        entries.push(json!({"id": account, "time": time, "changes": [change(update)]}));
    }
    escaped(&json!({"object": "whatsapp_business_account", "entry": entries}).to_string())
}

/// JSON text with every character beyond ASCII written as `\uXXXX`.
fn escaped(json: &str) -> String {
    if json.is_ascii() {
        return json.to_owned();
    }
    let mut text = String::with_capacity(json.len() + json.len() / 2);
    for letter in json.chars() {
        if letter.is_ascii() {
            text.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            text.push_str("\\u");
            text.push_str(&hex::encode(unit.to_be_bytes()));
        }
    }
    text
}

/// The value of `X-Hub-Signature-256` for these bytes.
pub(crate) fn signature(app_secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(app_secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// `value` of a template's status update.
pub(crate) fn template_status(template: &Template, reason: &str) -> Value {
    // The id is a number here and a string everywhere else.
    let id: Value = template.id.parse::<u64>().map_or(Value::Null, Value::from);
    json!({
        "event": template.status.word(),
        "message_template_id": id,
        "message_template_name": template.name,
        "message_template_language": template.language,
        "message_template_category": template.category,
        "reason": reason,
    })
}

/// Whether webhooks at this second carry user ids.
fn tells_user_ids(at_second: i64, customer: &Customer) -> bool {
    at_second >= USER_IDS_SINCE || customer.hidden || customer.phone.is_none()
}

fn metadata(number: &Number) -> Value {
    json!({"display_phone_number": number.phone, "phone_number_id": number.id})
}

/// The customer as an element of `contacts`.
fn contact(customer: &Customer, phone: Option<&str>, at_second: i64) -> Value {
    let mut profile = json!({"name": customer.name.as_deref().unwrap_or("Customer")});
    if let Some(username) = &customer.username {
        profile["username"] = json!(username);
    }
    let mut contact = json!({"profile": profile});
    if let Some(phone) = phone {
        contact["wa_id"] = json!(phone);
    }
    if tells_user_ids(at_second, customer) {
        contact["user_id"] = json!(customer.user_id);
        if let Some(parent) = &customer.parent_user_id {
            contact["parent_user_id"] = json!(parent);
        }
    }
    contact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ascii_is_signed() {
        let text = escaped(r#"{"body":"Olá 1️⃣ 👋 \" \n"}"#);
        assert!(text.is_ascii(), "{text}");
        assert!(
            text.contains(r"Ol\u00e1 1\ufe0f\u20e3 \ud83d\udc4b"),
            "{text}"
        );
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["body"], "Olá 1️⃣ 👋 \" \n");
    }

    #[test]
    fn signatures_are_hmac_sha_256() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            format!("sha256={expected}")
        );
    }
}
