//! A message's fate as webhook JSON (section 1.6).

use core_types::Timestamp;
use serde_json::{Value, json};

use super::{contact, metadata, tells_user_ids};
use crate::state::{BillingConversation, Customer, Number, Outbound, PlatformFault};

/// Where Meta explains its codes.
const ERROR_CODES: &str =
    "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/";

/// What one status says.
#[derive(Clone, Debug)]
pub(crate) struct StatusFacts<'a> {
    /// `sent`, `delivered`, `read` or `failed`.
    pub(crate) word: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) message: &'a Outbound,
    pub(crate) customer: &'a Customer,
    pub(crate) number: &'a Number,
    pub(crate) pricing: Option<Value>,
    /// The conversation of the bill, and whether to say when it ends.
    pub(crate) conversation: Option<(&'a BillingConversation, bool)>,
    pub(crate) error: Option<&'a PlatformFault>,
}

/// `value` of the `messages` update.
pub(crate) fn status_update(facts: &StatusFacts<'_>) -> Value {
    let StatusFacts {
        message,
        customer,
        number,
        ..
    } = facts;
    let seconds = facts.at.as_seconds();
    let phone = customer
        .phone
        .as_deref()
        .filter(|_| !customer.hidden || message.by_phone);
    let mut status = json!({
        "id": message.id,
        "status": facts.word,
        "timestamp": seconds.to_string(),
    });
    if let Some(phone) = phone {
        status["recipient_id"] = json!(phone);
    }
    if tells_user_ids(seconds, customer) {
        status["recipient_user_id"] = json!(customer.user_id);
        if let Some(parent) = &customer.parent_user_id {
            status["parent_recipient_user_id"] = json!(parent);
        }
    }
    if let Some((conversation, tell_end)) = facts.conversation {
        let mut object = json!({"id": conversation.id, "origin": {"type": conversation.category}});
        if tell_end {
            object["expiration_timestamp"] = json!(conversation.until.as_seconds().to_string());
        }
        status["conversation"] = object;
    }
    if let Some(pricing) = &facts.pricing {
        status["pricing"] = pricing.clone();
    }
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": metadata(number),
    });
    if let Some(error) = facts.error {
        status["errors"] = json!([{
            "code": error.code,
            "title": error.title,
            "message": error.title,
            "error_data": {"details": error.details},
            "href": ERROR_CODES,
        }]);
    } else {
        // Meta gives neither the callback data nor the contact back with a failure.
        if let Some(data) = &message.callback_data {
            status["biz_opaque_callback_data"] = json!(data);
        }
        value["contacts"] = json!([contact(customer, phone, seconds)]);
    }
    value["statuses"] = json!([status]);
    value
}
