//! The conversions from the wire as plain functions, for `map` and `and_then` chains where the
//! target type would have to be spelled out.

use core_types::{AccountFact, Content, Referral, StatusUpdate, TemplateSend};

use super::FieldError;
use crate::common as pb;

/// What a message says, from the wire.
///
/// # Errors
/// When nothing is set, a field cannot be used, or edits nest too deep.
pub fn content_from_proto(content: pb::Content) -> Result<Content, FieldError> {
    content.try_into()
}

/// A template and its parameters from the wire.
///
/// # Errors
/// When the name or language is missing, or a header or button cannot be used.
pub fn template_from_proto(template: pb::TemplateSend) -> Result<TemplateSend, FieldError> {
    template.try_into()
}

/// The advertisement or post a customer came through, from the wire.
pub fn referral_from_proto(referral: pb::Referral) -> Referral {
    referral.into()
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
