//! What a unit is about: the keys by which its number, its contact, its messages and its
//! conversation are looked up.

use std::collections::HashMap;

use core_conversation::AttemptOutcome;
use core_types::{
    ContactIdentity, Content, ConversationId, EngagementId, Fact, FactBody, InboundMessage,
    MessageId, StatusUpdate, SystemNotice, WhatsAppMessageId,
};

use super::batch::Target;
use super::unit::{Place, Unit, What};
use crate::directory::Number;
use crate::store::load::{ContactKey, WamidKey};

/// The number a unit is for, when it has to be looked up.
pub(super) fn number_of(unit: &Unit) -> Option<String> {
    match &unit.what {
        What::Receive(item) => item.fact.number_id.as_ref().map(ToString::to_string),
        What::Send(command) => match &command.place {
            Place::Contact(number, _) => Some(number.to_string()),
            Place::Conversation(..) => None,
        },
        _ => None,
    }
}

/// The key an item is remembered by, within its number or account.
pub(super) fn dedupe_key(unit: &Unit) -> Option<String> {
    let What::Receive(item) = &unit.what else {
        return None;
    };
    let fact = &item.fact;
    Some(format!("{}|{}", scope_of(fact), fact.dedupe_key))
}

/// What an item belongs to: its number, or its account.
pub(super) fn scope_of(fact: &Fact) -> &str {
    match &fact.number_id {
        Some(number) => number.as_str(),
        None => fact.waba_id.as_str(),
    }
}

/// The message of an attempt that was accepted, and Meta's id of it.
pub(super) fn accepted_wamid(unit: &Unit) -> Option<(&MessageId, &WhatsAppMessageId)> {
    match &unit.what {
        What::Finish(message, _, AttemptOutcome::Accepted(wamid)) => Some((message, wamid)),
        _ => None,
    }
}

/// Who a message tells of: its sender, and who the sender is from now on.
pub(super) fn message_contacts(message: &InboundMessage) -> Vec<ContactIdentity> {
    let mut contacts = vec![message.from.clone()];
    if let Content::System(SystemNotice::NumberChanged { new_identity, .. }) = &message.content {
        contacts.push(new_identity.clone());
    }
    contacts
}

/// The keys of the contacts a unit tells of.
pub(super) fn contact_keys(unit: &Unit, numbers: &HashMap<String, Number>) -> Vec<ContactKey> {
    let (number, contacts) = match &unit.what {
        What::Receive(item) => match (&item.fact.body, &item.fact.number_id) {
            (FactBody::Message(message), Some(number)) => (number, message_contacts(message)),
            (FactBody::Echo(echo), Some(number)) => (number, vec![echo.to.clone()]),
            _ => return Vec::new(),
        },
        What::Send(command) => match &command.place {
            Place::Contact(number, contact) => (number, vec![contact.clone()]),
            Place::Conversation(..) => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    let Some(known) = numbers.get(number.as_str()) else {
        return Vec::new();
    };
    contacts
        .iter()
        .flat_map(|contact| contact.keys().unwrap_or_default())
        .map(|key| (known.tenant.to_string(), number.to_string(), key.to_text()))
        .collect()
}

/// A message a unit brings, by Meta's id.
pub(super) fn own_wamid(unit: &Unit) -> Option<WamidKey> {
    let What::Receive(item) = &unit.what else {
        return None;
    };
    let wamid = match &item.fact.body {
        FactBody::Message(message) => message.id.clone(),
        FactBody::Echo(echo) => echo.id.clone(),
        FactBody::Status(_) | FactBody::Account(_) => return None,
    };
    Some((item.fact.number_id.as_ref()?.to_string(), wamid))
}

/// Messages by Meta's id that a unit is about, its own included.
pub(super) fn wamids_of(unit: &Unit) -> Vec<WamidKey> {
    let item = match &unit.what {
        What::Receive(item) => item,
        What::Send(command) => {
            let target = target_of(&command.content).into_iter();
            let number = command.number().to_string();
            return target
                .map(|wamid| (number.clone(), wamid.clone()))
                .collect();
        }
        _ => return Vec::new(),
    };
    let Some(number) = item.fact.number_id.as_ref().map(ToString::to_string) else {
        return Vec::new();
    };
    let about = match &item.fact.body {
        FactBody::Message(message) => target_of(&message.content).cloned(),
        FactBody::Echo(echo) => target_of(&echo.content).cloned(),
        FactBody::Status(status) => Some(status.id.clone()),
        FactBody::Account(_) => None,
    };
    let about = about.map(|wamid| (number, wamid));
    own_wamid(unit).into_iter().chain(about).collect()
}

fn target_of(content: &Content) -> Option<&WhatsAppMessageId> {
    match content {
        Content::Reaction { target, .. }
        | Content::Edit { target, .. }
        | Content::Revoke { target } => Some(target),
        _ => None,
    }
}

/// The message a reaction, an edit or a revocation changes.
pub(super) fn change_target(number: &str, content: &Content) -> Target {
    target_of(content).map_or(Target::None, |wamid| {
        Target::Wamid((number.to_owned(), wamid.clone()))
    })
}

/// Our id of the message a unit is about.
pub(super) fn message_id_of(unit: &Unit) -> Option<MessageId> {
    match &unit.what {
        What::Start(id, _) | What::Finish(id, ..) => Some(id.clone()),
        What::Receive(item) => match &item.fact.body {
            FactBody::Status(status) => callback_message(status),
            _ => None,
        },
        _ => None,
    }
}

/// Our id of the message, as egress attached it: `v1.<message id>`.
pub(super) fn callback_message(status: &StatusUpdate) -> Option<MessageId> {
    let text = status.callback_data.as_deref()?.strip_prefix("v1.")?;
    MessageId::new(text).ok()
}

/// Tenant and key of a request that must not be repeated.
pub(super) fn idempotency_of(unit: &Unit) -> Option<(String, String)> {
    let What::Send(command) = &unit.what else {
        return None;
    };
    Some((command.key_scope(), command.key.clone()))
}

/// The conversation inside an engagement's id: `<conversation>.e<n>`.
pub(crate) fn conversation_of_engagement(id: &EngagementId) -> Option<ConversationId> {
    let (conversation, _) = id.as_str().rsplit_once(".e")?;
    ConversationId::new(conversation).ok()
}
