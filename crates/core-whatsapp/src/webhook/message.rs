//! Messages of customers, and echoes of what the business wrote in its phone app.

use core_types::{
    Echo, InboundMessage, MessageContext, PlatformError, Referral, Timestamp, WhatsAppMessageId,
};
use serde_json::value::RawValue;

use super::contacts::{Contacts, Found, identity};
use super::content::content;
use super::problem::{Cause, ItemProblem};
use super::wire::{self, Message, Word, object, text};
use crate::text::cut;

/// Longest part of an error's text kept, in bytes; the whole stays in the raw item.
const ERROR_TEXT_BYTES: usize = 4_096;

/// A required id of Meta.
pub(super) fn message_id(
    field: &str,
    word: Option<&Word<'_>>,
) -> Result<WhatsAppMessageId, ItemProblem> {
    let word = word.filter(|word| !word.as_str().is_empty());
    let word =
        word.ok_or_else(|| ItemProblem::new(Cause::IdMissing, format!("{field} is missing")))?;
    WhatsAppMessageId::new(word.as_str()).map_err(|error| {
        let cause = match error {
            core_types::IdError::TooLong { .. } => Cause::IdTooLong,
            _ => Cause::Shape,
        };
        ItemProblem::new(cause, format!("{field}: {error}"))
    })
}

/// Unix seconds; what is not a time becomes the epoch, see [`super::read`].
pub(super) fn time(word: Option<&Word<'_>>) -> Timestamp {
    word.and_then(|word| Timestamp::parse_seconds(word.as_str()).ok())
        .unwrap_or(Timestamp::EPOCH)
}

/// An error in Meta's words.
pub(super) fn platform_error(error: wire::PlatformError<'_>) -> PlatformError {
    let code = error.code.and_then(|code| code.as_str().parse().ok());
    let kept = |word: Option<Word<'_>>| {
        word.map(|word| cut(word.as_str(), ERROR_TEXT_BYTES).to_owned())
            .unwrap_or_default()
    };
    PlatformError {
        code: code.unwrap_or_default(),
        title: kept(error.title.or(error.message)),
        details: kept(error.error_data.and_then(|data| data.details)),
    }
}

pub(super) fn platform_errors(errors: Option<Vec<wire::PlatformError<'_>>>) -> Vec<PlatformError> {
    errors.into_iter().flatten().map(platform_error).collect()
}

/// A customer's message, and the contact that goes with it.
pub(super) fn inbound<'c, 'a>(
    raw: &'a RawValue,
    index: usize,
    contacts: &'c Contacts<'a>,
) -> (Found<'c, 'a>, Result<InboundMessage, ItemProblem>) {
    let mut message: Message<'a> = match object(raw) {
        Ok(message) => message,
        Err(problem) => return (contacts.find(None, None, index), Err(problem)),
    };
    let found = contacts.find(message.from.as_ref(), message.from_user_id.as_ref(), index);
    let read = || {
        let id = message_id("id", message.id.as_ref())?;
        let from = identity(
            message.from.take(),
            message.from_user_id.take(),
            message.from_parent_user_id.take(),
            found,
        )?;
        let context = message.context.take().map(context).transpose()?;
        Ok(InboundMessage {
            id,
            from,
            sent_at: time(message.timestamp.as_ref()),
            context,
            referral: message.referral.take().map(referral).transpose()?,
            group_id: text(message.group_id.take()),
            errors: platform_errors(message.errors.take()),
            content: content(message, raw.get(), 0)?,
        })
    };
    (found, read())
}

/// A message the business sent from its phone app.
pub(super) fn echo<'c, 'a>(
    raw: &'a RawValue,
    index: usize,
    contacts: &'c Contacts<'a>,
) -> (Found<'c, 'a>, Result<Echo, ItemProblem>) {
    let mut message: Message<'a> = match object(raw) {
        Ok(message) => message,
        Err(problem) => return (contacts.find(None, None, index), Err(problem)),
    };
    let user_id = message
        .to_user_id
        .take()
        .or(message.recipient_user_id.take());
    let found = contacts.find(message.to.as_ref(), user_id.as_ref(), index);
    let read = || {
        Ok(Echo {
            id: message_id("id", message.id.as_ref())?,
            to: identity(message.to.take(), user_id, None, found)?,
            sent_at: time(message.timestamp.as_ref()),
            content: content(message, raw.get(), 0)?,
        })
    };
    (found, read())
}

fn context(context: wire::Context<'_>) -> Result<MessageContext, ItemProblem> {
    let id = context.id.filter(|id| !id.as_str().is_empty());
    let product = context.referred_product.map(|product| {
        (
            text(product.catalog_id).unwrap_or_default(),
            text(product.product_retailer_id).unwrap_or_default(),
        )
    });
    let truth = |word: Option<Word<'_>>| word.is_some_and(|word| word.as_str() == "true");
    Ok(MessageContext {
        message_id: id
            .as_ref()
            .map(|id| message_id("context.id", Some(id)))
            .transpose()?,
        from: text(context.from),
        forwarded: truth(context.forwarded),
        frequently_forwarded: truth(context.frequently_forwarded),
        product,
    })
}

fn referral(raw: &RawValue) -> Result<Referral, ItemProblem> {
    let referral: wire::Referral<'_> = object(raw)?;
    Ok(Referral {
        source_type: text(referral.source_type).unwrap_or_default(),
        source_id: text(referral.source_id).unwrap_or_default(),
        source_url: text(referral.source_url).unwrap_or_default(),
        headline: text(referral.headline),
        body: text(referral.body),
        click_id: text(referral.ctwa_clid),
        raw: raw.get().to_owned(),
    })
}
