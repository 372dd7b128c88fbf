//! Accounts and statuses for the tests.

use core_billing::{Account, Event, MessageKind, Zone};
use core_types::{
    ContactIdentity, Currency, DeliveryStatus, NumberId, PricingFact, PricingModel, StatusUpdate,
    TenantId, Timestamp, WabaId, WhatsAppMessageId,
};

/// An account that pays in `currency` and lives in `zone`.
pub(crate) fn account(currency: &str, zone: &str) -> Account {
    Account {
        tenant: TenantId::new("acme").unwrap(),
        waba: WabaId::new("102290129340398").unwrap(),
        number: NumberId::new("106540352242922").unwrap(),
        currency: currency.parse::<Currency>().unwrap(),
        zone: Zone::parse(zone).unwrap(),
    }
}

/// A time such as `2026-10-01T00:00:00Z`.
pub(crate) fn at(text: &str) -> Timestamp {
    let instant: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(instant.as_microsecond())
}

/// Meta's per-message price facts.
pub(crate) fn priced(kind: &str, category: &str) -> PricingFact {
    PricingFact {
        model: Some(PricingModel::PerMessage),
        kind: Some(kind.to_owned()),
        category: Some(category.to_owned()),
        billable: None,
    }
}

/// A status of message `id` to `phone`.
pub(crate) fn status(
    id: &str,
    status: DeliveryStatus,
    phone: &str,
    when: Timestamp,
    pricing: Option<PricingFact>,
) -> Event {
    Event {
        message_id: format!("cnv-1.{id}"),
        update: StatusUpdate {
            id: WhatsAppMessageId::new(format!("wamid.{id}")).unwrap(),
            status,
            occurred_at: when,
            recipient: ContactIdentity::from_phone(phone).unwrap_or_default(),
            participant: None,
            callback_data: None,
            pricing,
            billing_conversation: None,
            billing_conversation_expires: None,
            billing_conversation_origin: None,
            errors: Vec::new(),
        },
        contact: ContactIdentity::default(),
        kind: MessageKind::Unknown,
    }
}
