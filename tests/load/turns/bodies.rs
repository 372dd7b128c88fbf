//! Webhook bodies in Meta's shape, written from Meta's documentation and not with the product's
//! code. Nothing here needs escaping: names and texts are ours.

use lib_platform::Clock;

use super::Target;
use super::stub::Sent;

/// Unix seconds, as Meta writes times.
fn seconds() -> i64 {
    Clock::system().now().as_seconds()
}

fn envelope(target: &Target, inner: &str) -> String {
    let Target { number, waba, .. } = target;
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{waba}","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550100100","phone_number_id":"{number}"}},{inner}}},"field":"messages"}}]}}]}}"#
    )
}

/// A customer's text.
pub(super) fn message(target: &Target, customer: &str, wamid: &str, text: &str) -> String {
    let at = seconds();
    envelope(
        target,
        &format!(
            r#""contacts":[{{"profile":{{"name":"Customer {customer}"}},"wa_id":"{customer}"}}],"messages":[{{"from":"{customer}","id":"{wamid}","timestamp":"{at}","text":{{"body":"{text}"}},"type":"text"}}]"#
        ),
    )
}

/// One status of a message that was sent. `sent` and `delivered` name the price, `read` does not.
pub(super) fn status(target: &Target, sent: &Sent, status: &str) -> String {
    let at = seconds();
    let Sent {
        wamid, to, intent, ..
    } = sent;
    let pricing = match status {
        "read" => "",
        _ => {
            r#","pricing":{"billable":false,"pricing_model":"PMP","category":"service","type":"free_customer_service"}"#
        }
    };
    envelope(
        target,
        &format!(
            r#""statuses":[{{"id":"{wamid}","status":"{status}","timestamp":"{at}","recipient_id":"{to}","biz_opaque_callback_data":"{intent}"{pricing}}}]"#
        ),
    )
}
