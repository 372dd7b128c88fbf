//! Conversions of `core-types`. `From<&core>` never fails; `TryFrom<proto>` names the field it
//! refuses, by its path from the converted message. An empty string on the wire means absent.

mod content;
mod fact;
mod functions;
mod interactive;
mod price;
#[cfg(test)]
mod tests;

use core_types::{ContactIdentity, IdError, Timestamp};

use crate::common as pb;

pub use functions::{
    account_fact_from_proto, content_from_proto, referral_from_proto, status_update_from_proto,
    template_from_proto,
};

/// A field of a message from the wire that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// Path of the field, such as `message.content.text.body`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl FieldError {
    /// A problem with `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The same problem, seen from the message that contains the field.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// The value of a field that must be set.
///
/// # Errors
/// When it is not.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T, FieldError> {
    value.ok_or_else(|| FieldError::new(field, "must be set"))
}

/// A time for the wire.
pub fn timestamp_to_proto(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_seconds(),
        nanos: i32::try_from(at.as_micros() % 1_000_000).unwrap_or(0) * 1_000,
    }
}

/// An optional time for the wire.
pub fn timestamp_opt(at: Option<Timestamp>) -> Option<prost_types::Timestamp> {
    at.map(timestamp_to_proto)
}

/// A time from the wire; absent stays absent. Nanoseconds are cut to microseconds.
///
/// # Errors
/// When it is before 1970 or after 9999.
pub fn timestamp_from_proto(
    field: &str,
    at: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, FieldError> {
    let Some(at) = at else { return Ok(None) };
    let whole = Timestamp::from_seconds(at.seconds)
        .map_err(|error| FieldError::new(field, error.to_string()))?;
    let micros = i64::from(at.nanos.clamp(0, 999_999_999) / 1_000);
    Ok(Some(Timestamp::from_micros(whole.as_micros() + micros)))
}

/// An empty string on the wire means absent.
fn some(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

/// An id from the wire.
fn id<T: TryFrom<String, Error = IdError>>(field: &str, text: String) -> Result<T, FieldError> {
    T::try_from(text).map_err(|error| FieldError::new(field, error.to_string()))
}

/// An id from the wire that may be absent.
fn id_opt<T: TryFrom<String, Error = IdError>>(
    field: &str,
    text: String,
) -> Result<Option<T>, FieldError> {
    some(text).map(|text| id(field, text)).transpose()
}

/// A list from the wire; an error names the element by its index.
fn list<P, C: TryFrom<P, Error = FieldError>>(
    field: &str,
    items: Vec<P>,
) -> Result<Vec<C>, FieldError> {
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            C::try_from(item).map_err(|error| error.within(&format!("{field}[{index}]")))
        })
        .collect()
}

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

impl From<&ContactIdentity> for pb::ContactIdentity {
    fn from(identity: &ContactIdentity) -> Self {
        Self {
            user_id: text(identity.user_id.as_ref()),
            phone: text(identity.phone.as_ref()),
            parent_user_id: text(identity.parent_user_id.as_ref()),
            username: text(identity.username.as_ref()),
            display_name: text(identity.display_name.as_ref()),
        }
    }
}

/// A contact from the wire. Need not name anybody; see [`ContactIdentity::keys`].
pub fn identity_from_proto(identity: pb::ContactIdentity) -> ContactIdentity {
    ContactIdentity {
        user_id: some(identity.user_id),
        phone: some(identity.phone),
        parent_user_id: some(identity.parent_user_id),
        username: some(identity.username),
        display_name: some(identity.display_name),
    }
}
