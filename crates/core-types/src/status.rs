//! What Meta says became of a message we sent, and what it says of its price.

use serde::{Deserialize, Serialize};

/// A message's fate at Meta. `failed` is final; otherwise a higher one never gives way to a lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Meta's servers have it.
    Sent,
    /// It reached a device. May be missing: `read` implies it.
    Delivered,
    /// The customer opened the chat.
    Read,
    /// The customer played the voice note.
    Played,
    /// It will never arrive.
    Failed,
}

impl DeliveryStatus {
    /// The word used in logs, screens and Meta's own payloads.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }

    /// Whether a message at `current` moves to `self`: never back, and never out of `failed`.
    /// A late `failed` does not undo `delivered` or more: it reached the device.
    pub fn supersedes(self, current: Option<Self>) -> bool {
        match (current, self) {
            (None, _) => true,
            (Some(Self::Failed), _) => false,
            (Some(now), Self::Failed) => now < Self::Delivered,
            (Some(now), new) => new > now,
        }
    }
}

/// Which of Meta's models priced a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricingModel {
    /// Per conversation, until 2025-06-30 (`CBP`).
    PerConversation,
    /// Per delivered message, from 2025-07-01 (`PMP`).
    PerMessage,
}

/// The pricing facts that come with a `sent` and with one of `delivered`/`read`. Words are Meta's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricingFact {
    /// Which model.
    pub model: Option<PricingModel>,
    /// `regular`, `free_customer_service`, `free_entry_point`, `free_group_customer_service`;
    /// absent under per-conversation pricing.
    pub kind: Option<String>,
    /// `marketing`, `utility`, `authentication`, `authentication-international`, `service`, ….
    pub category: Option<String>,
    /// Meta's deprecated flag, kept as evidence and never used.
    pub billable: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::DeliveryStatus::{Delivered, Failed, Played, Read, Sent};

    #[test]
    fn status_never_goes_back() {
        assert!(Read.supersedes(None) && Read.supersedes(Some(Sent)));
        assert!(!Delivered.supersedes(Some(Read)) && !Sent.supersedes(Some(Sent)));
        assert!(Failed.supersedes(Some(Sent)) && !Failed.supersedes(Some(Delivered)));
        assert!(!Delivered.supersedes(Some(Failed)) && Played.supersedes(Some(Read)));
    }
}
