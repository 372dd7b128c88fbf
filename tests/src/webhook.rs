//! Webhook bodies and their signature, written from Meta's documentation and not with the
//! product's code.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// App secret of a development installation.
pub const APP_SECRET: &str = "dev-app-secret";
/// The demo account.
pub const WABA: &str = "200000000000001";
/// The demo number.
pub const NUMBER: &str = "100000000000001";

/// Meta's signature over the exact bytes.
///
/// # Panics
/// Never: any key length will do.
pub fn sign(body: &[u8]) -> String {
    sign_with(APP_SECRET, body)
}

/// The same with another app secret.
///
/// # Panics
/// Never: any key length will do.
pub fn sign_with(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Unix seconds as Meta writes them.
fn seconds_now() -> String {
    lib_platform::Clock::system().now().as_seconds().to_string()
}

/// A body with one change that carries `key` (`messages` or `statuses`) and its updates.
fn body(key: &str, updates: Vec<Value>, contacts: Value) -> String {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100100", "phone_number_id": NUMBER},
        "contacts": contacts,
    });
    value[key] = Value::Array(updates);
    let change = json!({"field": "messages", "value": value});
    json!({"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [change]}]})
        .to_string()
}

/// A customer's text.
pub fn text(customer: &str, wamid: &str, text: &str) -> String {
    let message = json!({"from": customer, "id": wamid, "timestamp": seconds_now(),
                         "type": "text", "text": {"body": text}});
    let contacts = json!([{"profile": {"name": format!("C{customer}")}, "wa_id": customer}]);
    body("messages", vec![message], contacts)
}

/// One status of a message we were sent.
#[derive(Clone, Debug)]
pub struct Status {
    /// Meta's id of the message.
    pub wamid: String,
    /// Digits.
    pub to: String,
    /// What came as `biz_opaque_callback_data`.
    pub intent: String,
    /// `sent`, `delivered`, ….
    pub status: &'static str,
}

/// Statuses, up to 1,000 in one body.
pub fn statuses(updates: &[Status]) -> String {
    let updates = updates.iter().map(|update| {
        json!({
            "id": update.wamid, "status": update.status, "timestamp": seconds_now(),
            "recipient_id": update.to, "biz_opaque_callback_data": update.intent,
            "pricing": {"billable": true, "pricing_model": "PMP", "category": "service",
                        "type": "free_customer_service"},
        })
    });
    body("statuses", updates.collect(), json!([]))
}
