//! The conversions from the wire as plain functions, for `map` and `and_then` chains where the
//! target type would have to be spelled out.

use core_types::{
    AccountFact, Content, DeliveryStatus, Fact, Media, MessageContext, PlatformError, PricingFact,
    Referral, StatusUpdate, TemplateSend,
};

use super::FieldError;
use crate::common as pb;

/// One item of a webhook delivery from the wire.
///
/// # Errors
/// When a field cannot be used.
pub fn fact_from_proto(fact: pb::Fact) -> Result<Fact, FieldError> {
    fact.try_into()
}

/// What a message says, from the wire.
///
/// # Errors
/// When nothing is set, a field cannot be used, or edits nest too deep.
pub fn content_from_proto(content: pb::Content) -> Result<Content, FieldError> {
    content.try_into()
}

/// Media from the wire.
///
/// # Errors
/// When its kind is not set or not known.
pub fn media_from_proto(media: pb::Media) -> Result<Media, FieldError> {
    media.try_into()
}

/// A template and its parameters from the wire.
///
/// # Errors
/// When the name or language is missing, or a header or button cannot be used.
pub fn template_from_proto(template: pb::TemplateSend) -> Result<TemplateSend, FieldError> {
    template.try_into()
}

/// What a message refers to, from the wire.
///
/// # Errors
/// When the quoted message's id cannot be used.
pub fn context_from_proto(context: pb::MessageContext) -> Result<MessageContext, FieldError> {
    context.try_into()
}

/// The advertisement or post a customer came through, from the wire.
pub fn referral_from_proto(referral: pb::Referral) -> Referral {
    referral.into()
}

/// Meta's error from the wire.
pub fn error_from_proto(error: pb::PlatformError) -> PlatformError {
    error.into()
}

/// A delivery status from the wire; `None` when unspecified.
pub fn delivery_status_from_proto(status: pb::DeliveryStatus) -> Option<DeliveryStatus> {
    status.try_into().ok()
}

/// Price facts from the wire; an unknown model counts as absent.
pub fn pricing_from_proto(pricing: pb::PricingFact) -> PricingFact {
    pricing.into()
}

/// What became of a message we sent, from the wire.
///
/// # Errors
/// When a field cannot be used.
pub fn status_update_from_proto(update: pb::StatusUpdate) -> Result<StatusUpdate, FieldError> {
    update.try_into()
}

/// A fact about an account, from the wire.
///
/// # Errors
/// When the field is missing or the time cannot be used.
pub fn account_fact_from_proto(fact: pb::AccountFact) -> Result<AccountFact, FieldError> {
    fact.try_into()
}
