//! From the log's entries to events that can be rated. An entry that cannot be read is kept aside
//! with its cause; the rest goes on.

use core_billing::{Category, Event, MessageKind, Month, Suspense, Zone};
use core_types::Timestamp;
use lib_proto::common::DeliveryStatus as WireStatus;
use lib_proto::conversations::log_entry::Event as LogEvent;
use lib_proto::conversations::{LogEntry, StatusChanged};
use lib_proto::{identity_from_proto, status_update_from_proto, timestamp_from_proto};

/// A status of the log, with whose it is.
pub(crate) struct Status {
    pub tenant: String,
    pub number: String,
    pub event: Result<Event, Unreadable>,
}

/// A status that cannot be read.
pub(crate) struct Unreadable {
    /// Meta's id of the message, or the entry's cursor where there is none.
    pub wamid: String,
    pub message_id: String,
    pub occurred_at: Timestamp,
    pub cause: String,
}

/// A message that could not be rated, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnratedRow {
    pub tenant: String,
    pub number: String,
    pub wamid: String,
    pub message_id: String,
    pub month: Month,
    pub occurred_at: Timestamp,
    pub awaits_price: bool,
    pub reason: String,
}

/// The status in an entry that bears on a bill; `None` for all other entries, and for statuses that
/// say nothing was delivered.
pub(crate) fn status(entry: LogEntry) -> Option<Status> {
    let Some(LogEvent::StatusChanged(changed)) = entry.event else {
        return None;
    };
    let told = changed
        .update
        .as_ref()
        .map(lib_proto::common::StatusUpdate::status);
    if matches!(told, Some(WireStatus::Sent | WireStatus::Failed)) {
        return None;
    }
    let recorded_at = timestamp_from_proto("recorded_at", entry.recorded_at);
    let recorded_at = recorded_at.ok().flatten().unwrap_or_default();
    Some(Status {
        tenant: entry.tenant_id,
        number: entry.number_id,
        event: read(changed, &entry.cursor, recorded_at),
    })
}

fn read(changed: StatusChanged, cursor: &str, recorded_at: Timestamp) -> Result<Event, Unreadable> {
    let wire_id = changed.update.as_ref().map(|update| update.id.clone());
    let update = match changed.update {
        Some(update) => status_update_from_proto(update).map_err(|error| error.to_string()),
        None => Err("update: must be set".to_owned()),
    };
    let update = update.map_err(|cause| Unreadable {
        wamid: wire_id
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| format!("entry:{cursor}")),
        message_id: changed.message_id.clone(),
        occurred_at: recorded_at,
        cause: format!("log entry {cursor} cannot be read: {cause}"),
    })?;
    Ok(Event {
        message_id: changed.message_id,
        update,
        contact: identity_from_proto(changed.contact.unwrap_or_default()),
        kind: match changed.message_kind.as_str() {
            "template" => MessageKind::Template(Category::parse(&changed.template_category).ok()),
            "session" => MessageKind::Session,
            _ => MessageKind::Unknown,
        },
    })
}

impl UnratedRow {
    /// A message of a number that has no usable payer. Its month is that of UTC: the account's
    /// zone is not known.
    pub(crate) fn without_payer(
        (tenant, number): (String, String),
        event: &Event,
        reason: String,
    ) -> Self {
        Self {
            tenant,
            number,
            wamid: event.update.id.to_string(),
            message_id: event.message_id.clone(),
            month: Zone::utc().month(event.update.occurred_at),
            occurred_at: event.update.occurred_at,
            awaits_price: false,
            reason,
        }
    }

    /// A status that cannot be read.
    pub(crate) fn unreadable((tenant, number): (String, String), entry: Unreadable) -> Self {
        Self {
            tenant,
            number,
            wamid: entry.wamid,
            message_id: entry.message_id,
            month: Zone::utc().month(entry.occurred_at),
            occurred_at: entry.occurred_at,
            awaits_price: false,
            reason: entry.cause,
        }
    }
}

impl From<Suspense> for UnratedRow {
    fn from(suspense: Suspense) -> Self {
        Self {
            tenant: suspense.tenant.into(),
            number: suspense.number.into(),
            wamid: suspense.whatsapp_message_id.into(),
            message_id: suspense.message_id,
            month: suspense.month,
            occurred_at: suspense.occurred_at,
            awaits_price: suspense.unrated.awaits_price,
            reason: suspense.unrated.reason,
        }
    }
}
