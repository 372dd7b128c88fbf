//! Why a body or an item of it could not be read.

use std::fmt;

/// A body in which no items can be told apart. It is kept whole; Meta gets its 200 all the same,
/// because sending it again would not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing in it.
    #[error("empty_body: the body is empty")]
    Empty,
    /// Over [`super::MAX_BODY_BYTES`].
    #[error("too_large: the body has {0} bytes; at most 4 MiB are read")]
    TooLarge(usize),
    /// Not JSON, or more than one JSON value.
    #[error("json_syntax: the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, but not an object.
    #[error("not_an_object: the body is JSON but not an object")]
    NotAnObject,
    /// An object, but not shaped like a delivery.
    #[error("shape: the body is not a webhook delivery: {0}")]
    NotADelivery(String),
    /// A delivery for another product of Meta.
    #[error("object_unexpected: the body is about `{0}`, not `whatsapp_business_account`")]
    WrongObject(String),
    /// Over [`super::MAX_UPDATES`].
    #[error("too_many_updates: the body holds {0} updates; at most 1,000 are read")]
    TooManyUpdates(usize),
}

/// What kind of problem an item has. The word is stable: metrics and screens use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A part is missing or has the wrong type.
    Shape,
    /// It has no id, so repeated deliveries of it cannot be told apart.
    IdMissing,
    /// Its id is longer than any id of Meta.
    IdTooLong,
    /// It has one key twice, so it says two things.
    DuplicateKey,
    /// Who it is about is not a phone number or user id.
    IdentityInvalid,
    /// It is nested too deep.
    TooDeep,
}

impl Cause {
    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::IdMissing => "id_missing",
            Self::IdTooLong => "id_too_long",
            Self::DuplicateKey => "duplicate_key",
            Self::IdentityInvalid => "identity_invalid",
            Self::TooDeep => "too_deep",
        }
    }
}

/// Why one item cannot be read. Shows no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemProblem {
    /// The kind of problem.
    pub cause: Cause,
    /// What exactly is wrong.
    pub detail: String,
}

impl fmt::Display for ItemProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause.word(), self.detail)
    }
}

impl std::error::Error for ItemProblem {}

impl ItemProblem {
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
        }
    }

    pub(super) fn shape(detail: impl Into<String>) -> Self {
        Self::new(Cause::Shape, detail)
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::shape(format!("{field} is missing"))
    }
}

impl From<serde_json::Error> for ItemProblem {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let cause = if text.starts_with("duplicate field") {
            Cause::DuplicateKey
        } else if text.starts_with("recursion limit") {
            Cause::TooDeep
        } else {
            Cause::Shape
        };
        Self::new(cause, without_value(&text))
    }
}

/// serde's sentence without the value it quotes: `invalid type: string "secret", expected a map`
/// becomes `invalid type: string, expected a map`.
pub(super) fn without_value(sentence: &str) -> String {
    let quote = sentence.find(['"', '`']);
    match (quote, sentence.rfind(", expected ")) {
        (Some(quote), Some(expected)) if sentence.starts_with("invalid ") && quote < expected => {
            format!("{}{}", sentence[..quote].trim_end(), &sentence[expected..])
        }
        _ => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_are_left_out() {
        assert_eq!(
            without_value(
                r#"invalid type: string "my, expected secret", expected a map at line 1"#
            ),
            "invalid type: string, expected a map at line 1"
        );
        assert_eq!(without_value("missing field `id`"), "missing field `id`");
        assert_eq!(
            without_value("invalid type: integer `7`, expected a string"),
            "invalid type: integer, expected a string"
        );
    }
}
