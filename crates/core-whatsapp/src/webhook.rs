//! What a webhook body says, item by item. Source: `whatsapp-cloud-api.md`, section 1.
//!
//! A body holds up to 1,000 updates of many customers, numbers and accounts. Each becomes one
//! [`ReadItem`] with its own result, so an item nobody can read never takes its siblings with it:
//! the body is split with borrowed structures that only find where items begin and end, and each
//! item is read from its own bytes.
//!
//! Nothing Meta may invent is an error. An unknown message type becomes [`Content::Unknown`], an
//! unknown field an [`AccountFact`] that is not `known`; both keep the JSON as it came. Before
//! anything is read, NUL and lone surrogates in texts become U+FFFD, because no database and no
//! later reader takes them.
//!
//! The words in [`AccountFact::attributes`] are listed in the `fields` table.
//!
//! [`Content::Unknown`]: core_types::Content::Unknown
//! [`AccountFact`]: core_types::AccountFact
//! [`AccountFact::attributes`]: core_types::AccountFact::attributes

mod account;
mod clean;
mod contacts;
mod content;
mod envelope;
mod fields;
mod message;
mod problem;
mod status;
mod wire;

use core_types::Fact;

pub use fields::{ATTRIBUTES, AttributeWords};
pub use problem::{BodyError, Cause, ItemProblem};

/// Largest body read, in bytes: 4 MiB. Meta sends at most 3 MB.
pub const MAX_BODY_BYTES: usize = 4 * 1_024 * 1_024;

/// Most updates in one body, as Meta documents.
pub const MAX_UPDATES: usize = 1_000;

/// One item of a body.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadItem {
    /// Where it stood, such as `entry[0].changes[1].value.messages[0]`.
    pub position: String,
    /// The item with all that is needed to read it again, as the smallest body that holds it.
    /// [`reread`] reads it, and so does anything else that reads webhooks.
    pub raw: String,
    /// Meta's `phone_number_id` of the change it stood in; absent for account-level items.
    pub number_id: Option<String>,
    /// The account it came from (`entry.id`).
    pub waba_id: Option<String>,
    /// What it says, or why it cannot be read.
    pub result: Result<Fact, ItemProblem>,
}

/// Splits and reads a body. The order of items is that of the body.
///
/// Times that Meta left out or garbled become [`Timestamp::EPOCH`]: the caller knows when the body
/// came in and should use that instead.
///
/// # Errors
/// When nothing in it can be told apart: not JSON, not Meta's envelope for WhatsApp, over 4 MiB, or
/// over 1,000 updates.
///
/// [`Timestamp::EPOCH`]: core_types::Timestamp::EPOCH
pub fn read(body: &[u8]) -> Result<Vec<ReadItem>, BodyError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(BodyError::TooLarge(body.len()));
    }
    let text = clean::text(body);
    match envelope::read(&text) {
        // Raw control characters inside a text are the one fault of syntax we can mend: nothing
        // else changes where items begin and end.
        Err(BodyError::NotJson(problem)) => match clean::without_control_characters(&text) {
            Some(mended) => envelope::read(&mended),
            None => Err(BodyError::NotJson(problem)),
        },
        read => read,
    }
}

/// Reads one item again from the `raw` of its [`ReadItem`].
///
/// # Errors
/// When it still cannot be read, or `raw` is not one item.
pub fn reread(raw: &str) -> Result<Fact, ItemProblem> {
    let mut items = read(raw.as_bytes()).map_err(|error| ItemProblem::shape(error.to_string()))?;
    match (items.pop(), items.len()) {
        (Some(item), 0) => item.result,
        (last, more) => Err(ItemProblem::shape(format!(
            "holds {} items instead of one",
            more + usize::from(last.is_some())
        ))),
    }
}
