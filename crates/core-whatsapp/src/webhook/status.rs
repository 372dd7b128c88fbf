//! What became of messages we sent.

use core_types::{DeliveryStatus, PricingFact, PricingModel, StatusUpdate};
use serde_json::value::RawValue;

use super::contacts::{Contacts, Found, completed, digits};
use super::message::{message_id, platform_errors, time};
use super::problem::ItemProblem;
use super::wire::{self, Status, Word, object, text};

/// An entry of `statuses`.
#[derive(Debug)]
pub(super) enum Reading {
    /// About a message.
    Message(Box<StatusUpdate>),
    /// About a call.
    Call,
    /// A state Frontdesk does not know, such as the old `deleted` and `warning`.
    UnknownState,
}

/// Reads an entry of `statuses`.
pub(super) fn status<'c, 'a>(
    raw: &'a RawValue,
    index: usize,
    contacts: &'c Contacts<'a>,
) -> (Found<'c, 'a>, Result<Reading, ItemProblem>) {
    let status: Status<'a> = match object(raw) {
        Ok(status) => status,
        Err(problem) => return (contacts.find(None, None, index), Err(problem)),
    };
    let (phone, user_id) = (
        status.recipient_id.as_ref(),
        status.recipient_user_id.as_ref(),
    );
    let found = contacts.find(phone, user_id, index);
    (found, reading(status, found))
}

fn state(word: &str) -> Option<DeliveryStatus> {
    [
        DeliveryStatus::Sent,
        DeliveryStatus::Delivered,
        DeliveryStatus::Read,
        DeliveryStatus::Played,
        DeliveryStatus::Failed,
    ]
    .into_iter()
    .find(|status| status.word() == word)
}

fn reading(status: Status<'_>, found: Found<'_, '_>) -> Result<Reading, ItemProblem> {
    if status.kind.is_some_and(|kind| kind.as_str() == "call") {
        return Ok(Reading::Call);
    }
    let word = status.state.as_ref().map_or("", Word::as_str);
    if word.is_empty() {
        return Err(ItemProblem::missing("status"));
    }
    let id = message_id("id", status.id.as_ref())?;
    let Some(fate) = state(word) else {
        return Ok(Reading::UnknownState);
    };
    // A group is not a phone number, whatever its id looks like.
    let group = status
        .recipient_type
        .is_some_and(|kind| kind.as_str() == "group");
    let phone = status.recipient_id.filter(|_| !group);
    let parent = status.parent_recipient_user_id.or(status.parent_user_id);
    let conversation = status.conversation.unwrap_or_default();
    Ok(Reading::Message(Box::new(StatusUpdate {
        id,
        status: fate,
        occurred_at: time(status.timestamp.as_ref()),
        recipient: completed(
            phone.as_ref().and_then(digits),
            text(status.recipient_user_id),
            text(parent),
            found.filter(|_| !group),
        ),
        participant: text(status.recipient_participant_id),
        callback_data: text(status.biz_opaque_callback_data),
        pricing: status.pricing.map(pricing),
        billing_conversation: text(conversation.id),
        billing_conversation_expires: conversation
            .expiration_timestamp
            .as_ref()
            .map(|word| time(Some(word)))
            .filter(|at| *at != core_types::Timestamp::EPOCH),
        billing_conversation_origin: text(conversation.origin.and_then(|origin| origin.kind)),
        errors: platform_errors(status.errors),
    })))
}

fn pricing(pricing: wire::Pricing<'_>) -> PricingFact {
    let billable = match pricing.billable.as_ref().map(Word::as_str) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    let model = match pricing.model.as_ref().map(Word::as_str) {
        Some("CBP") => Some(PricingModel::PerConversation),
        Some("PMP") => Some(PricingModel::PerMessage),
        _ => None,
    };
    PricingFact {
        model,
        kind: text(pricing.kind),
        category: text(pricing.category),
        billable,
    }
}
