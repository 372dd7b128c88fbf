//! Messages we send: into Meta's JSON and back, their limits, and what the answer means.

mod answer;
mod check;
mod decode;
mod encode;

use core_types::{ContactIdentity, Content, PlatformError, WhatsAppMessageId};

pub use answer::read_answer;
pub use check::check;
pub(crate) use check::{media_source, parameter as template_text};
pub use decode::decode;
pub use encode::encode;

/// Longest `biz_opaque_callback_data`, in bytes.
pub const MAX_CALLBACK_BYTES: usize = 512;

/// One limit a message breaks.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct LimitProblem {
    /// Path of the field within the content, such as `interactive.action.buttons[2].title`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// Why a request could not be written or understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendProblem {
    /// The contact has neither a phone number nor a user id.
    #[error("the contact has neither a phone number nor a user id")]
    Nobody,
    /// Only customers, or WhatsApp itself, send this kind of content.
    #[error("a message of kind `{0}` can only be received")]
    NotSendable(&'static str),
    /// The data to come back with statuses is too long.
    #[error("callback data has {0} bytes; at most 512 are allowed")]
    CallbackTooLong(usize),
    /// The body is not JSON, or a field has the wrong type.
    #[error("the request cannot be read: {0}")]
    Malformed(String),
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(String),
    /// A field has a value that cannot be used.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A kind of message Frontdesk does not send.
    #[error("messages of type `{0}` are not supported")]
    UnsupportedType(String),
    /// A request about a message rather than a message, such as "mark as read".
    #[error("the request is not a message but sets the status `{0}`")]
    NotAMessage(String),
}

impl SendProblem {
    /// Meta's code for such a problem, as the sandbox answers it.
    pub fn code(&self) -> i64 {
        match self {
            Self::Malformed(_) | Self::NotAMessage(_) => 100,
            Self::Nobody | Self::Missing(_) => 131_008,
            Self::CallbackTooLong(_) | Self::Invalid { .. } => 131_009,
            Self::NotSendable(_) | Self::UnsupportedType(_) => 131_051,
        }
    }
}

/// A request to send, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedSend {
    /// Who it goes to: phone number, user id or both.
    pub to: ContactIdentity,
    /// What it says.
    pub content: Content,
    /// Meta's id of the message it answers.
    pub reply_to: Option<String>,
    /// What comes back with every status.
    pub callback_data: Option<String>,
}

/// What the answer to a request means for the message.
#[derive(Clone, Debug, PartialEq)]
pub enum SendOutcome {
    /// Meta has it.
    Accepted {
        /// Meta's id of it.
        id: WhatsAppMessageId,
        /// Meta holds it back to see how customers take the template.
        held: bool,
    },
    /// It was not sent and never will be.
    Rejected(PlatformError),
    /// It was not sent; the same request may succeed after a wait.
    RetryLater {
        /// Meta's words.
        error: PlatformError,
        /// What has to wait, and so for how long.
        class: RetryClass,
    },
    /// It was not sent, and nothing from this number will be before a person has looked.
    StopNumber(PlatformError),
    /// Nobody knows whether it was sent.
    Ambiguous {
        /// Why.
        cause: String,
    },
}

/// What has to wait before a request may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// The number reached its throughput (130429).
    Throughput,
    /// Too many messages to this one customer (131056): wait 4^X seconds, X from 0.
    Pair,
    /// The app or account reached its call limit (4, 17, 613, 80007), or the number its spam limit
    /// (131048).
    Limit,
    /// The number is in maintenance, usually below a minute (131057).
    Maintenance,
    /// Meta has a temporary problem with this request.
    Other,
}

impl RetryClass {
    /// Whether every message of the number should wait, not only this one.
    pub fn is_number_wide(self) -> bool {
        match self {
            Self::Throughput | Self::Limit | Self::Maintenance => true,
            Self::Pair | Self::Other => false,
        }
    }
}
