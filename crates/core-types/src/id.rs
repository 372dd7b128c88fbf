//! Typed ids. Each is a short opaque string; the type says what it names.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// Longest id accepted, in bytes. Meta's message ids are the longest we meet (under 128 today).
const MAX_BYTES: usize = 256;

/// Why a string is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The string was empty.
    #[error("{kind} is empty")]
    Empty {
        /// What the id would have named, for example `conversation id`.
        kind: &'static str,
    },
    /// The string was longer than 256 bytes.
    #[error("{kind} has {bytes} bytes; at most 256 are allowed")]
    TooLong {
        /// What the id would have named.
        kind: &'static str,
        /// How long it was.
        bytes: usize,
    },
    /// The string held a control character or white space.
    #[error("{kind} holds a control character or white space")]
    BadCharacter {
        /// What the id would have named.
        kind: &'static str,
    },
}

fn check(kind: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    if text.len() > MAX_BYTES {
        return Err(IdError::TooLong {
            kind,
            bytes: text.len(),
        });
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(IdError::BadCharacter { kind });
    }
    Ok(())
}

/// Reads an id without a copy in between.
struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = IdError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        ///
        /// Ids go from hand to hand far more often than they are made: clones share the text.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text($kind, PhantomData))
            }
        }

        impl $name {
            /// Checks and wraps `text`.
            ///
            /// # Errors
            /// When it is empty, over 256 bytes, or holds white space or control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check($kind, text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                check($kind, &text)?;
                Ok(Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// A business on this installation.
    TenantId, "tenant id"
);
id!(
    /// A person or program that signs in: agent, supervisor, administrator.
    UserId, "user id"
);
id!(
    /// An agent; the same text as the user's [`UserId`].
    AgentId, "agent id"
);
id!(
    /// The link from a tenant to one WhatsApp Business Account.
    ConnectorId, "connector id"
);
id!(
    /// Meta's id of a WhatsApp Business Account: decimal digits, beyond 2^53 in places.
    WabaId, "WABA id"
);
id!(
    /// A business phone number: Meta's `phone_number_id`, never the digits one dials.
    NumberId, "number id"
);
id!(
    /// Everything between one contact and one number, for ever.
    ConversationId, "conversation id"
);
id!(
    /// One episode in a conversation.
    EngagementId, "engagement id"
);
id!(
    /// One message in a conversation, in or out; ours, not Meta's.
    MessageId, "message id"
);
id!(
    /// Meta's id of a message (`wamid.…`): opaque, at most once per message.
    WhatsAppMessageId, "WhatsApp message id"
);
id!(
    /// One wish to send, made once and kept over every attempt. Equal to its message's [`MessageId`].
    IntentId, "intent id"
);
id!(
    /// A flow, over all its versions.
    FlowId, "flow id"
);
id!(
    /// A queue that agents serve.
    QueueId, "queue id"
);
id!(
    /// A lease on one agent's attention for one engagement.
    OfferId, "offer id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_visible_text() {
        assert_eq!(QueueId::new("sales").unwrap().as_str(), "sales");
        assert_eq!(QueueId::new(""), Err(IdError::Empty { kind: "queue id" }));
        assert!(matches!(
            QueueId::new("a\nb"),
            Err(IdError::BadCharacter { .. })
        ));
        assert!(matches!(
            QueueId::new("x".repeat(257)),
            Err(IdError::TooLong { bytes: 257, .. })
        ));
        assert!(serde_json::from_str::<QueueId>("\"\"").is_err());
    }
}
