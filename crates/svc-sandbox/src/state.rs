//! What the sandbox remembers. Each of these is stored as one document and read back at start.

use std::collections::VecDeque;
use std::time::Duration;

use core_types::{Content, Timestamp};
use serde::{Deserialize, Serialize};

/// A WhatsApp Business Account and the app subscribed to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) callback_url: String,
    pub(crate) app_secret: String,
    pub(crate) access_token: String,
    pub(crate) currency: String,
    pub(crate) time_zone: String,
    /// Without a subscription no webhook is sent.
    pub(crate) subscribed: bool,
    /// The callback has answered the verification request.
    pub(crate) verified: bool,
}

/// A business phone number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Number {
    pub(crate) id: String,
    pub(crate) account: String,
    /// Digits.
    pub(crate) phone: String,
    pub(crate) verified_name: String,
    pub(crate) registered: bool,
    /// The month the free service messages are counted for, such as `2026-11`.
    pub(crate) allowance_month: String,
    /// Service messages delivered in that month.
    pub(crate) allowance_used: u32,
}

/// A message template as Meta keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Template {
    /// A decimal number past 2^53, as Meta's are.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) language: String,
    /// `MARKETING`, `UTILITY` or `AUTHENTICATION`.
    pub(crate) category: String,
    pub(crate) status: TemplateStatus,
    /// `POSITIONAL` or `NAMED`.
    pub(crate) parameter_format: String,
    pub(crate) components: serde_json::Value,
    /// When the review ends by itself.
    pub(crate) review_at: Option<Timestamp>,
    pub(crate) deleted_at: Option<Timestamp>,
}

/// Where a template stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TemplateStatus {
    Pending,
    Approved,
    Rejected,
    Paused,
    Disabled,
    Deleted,
}

impl TemplateStatus {
    pub(crate) const ALL: [Self; 6] = [
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Paused,
        Self::Disabled,
        Self::Deleted,
    ];

    /// Meta's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Paused => "PAUSED",
            Self::Disabled => "DISABLED",
            Self::Deleted => "DELETED",
        }
    }

    /// The status Meta's word stands for.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.word().eq_ignore_ascii_case(word))
    }
}

/// A customer with a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) id: u64,
    /// Digits; customers known by user id only have none.
    pub(crate) phone: Option<String>,
    pub(crate) user_id: String,
    pub(crate) parent_user_id: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) name: Option<String>,
    /// Leave the phone number out of webhooks.
    pub(crate) hidden: bool,
}

/// Who talks with whom: a customer and a business number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ThreadKey {
    pub(crate) customer: u64,
    pub(crate) number: String,
}

impl ThreadKey {
    /// The key as one text.
    pub(crate) fn text(&self) -> String {
        format!("{}@{}", self.customer, self.number)
    }
}

/// What matters of a thread for windows and prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Thread {
    pub(crate) key: ThreadKey,
    /// The customer's last message, in whole seconds as webhooks tell it.
    pub(crate) last_inbound: Option<Timestamp>,
    /// Until when a reply opens a free entry point.
    pub(crate) entry_candidate_until: Option<Timestamp>,
    /// The free entry point that is open or was last open.
    pub(crate) free_entry: Option<BillingConversation>,
    /// Conversations of the time when conversations were charged.
    pub(crate) conversations: Vec<BillingConversation>,
}

/// A conversation in the sense of Meta's bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BillingConversation {
    pub(crate) id: String,
    /// `marketing`, `utility`, `authentication`, `service`, `referral_conversion`.
    pub(crate) category: String,
    pub(crate) until: Timestamp,
}

/// A message of the business on its way to a customer. Forgotten once it is read or has failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outbound {
    pub(crate) id: String,
    pub(crate) thread: ThreadKey,
    pub(crate) accepted_at: Timestamp,
    /// `service`, or the template's category in lower case.
    pub(crate) category: String,
    pub(crate) callback_data: Option<String>,
    /// As the customer will see it.
    pub(crate) content: Content,
    /// Addressed by phone number, so statuses name it even for customers who hide theirs.
    pub(crate) by_phone: bool,
    /// Whether the customer-service window was open when it was accepted.
    pub(crate) in_window: bool,
    pub(crate) delivered: bool,
    /// Say nothing by webhook.
    pub(crate) silent: bool,
    /// What still happens to it, in order.
    pub(crate) plan: VecDeque<Step>,
    /// The conversation it was counted into, as told with `sent`.
    pub(crate) conversation: Option<BillingConversation>,
}

/// One thing that will happen to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) at: Timestamp,
    pub(crate) status: StepStatus,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepStatus {
    Sent,
    Delivered,
    Read,
    Failed(PlatformFault),
}

/// An error in Meta's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlatformFault {
    pub(crate) code: i64,
    pub(crate) title: String,
    pub(crate) details: String,
}

/// One update waiting to be put into a webhook delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) sequence: u64,
    pub(crate) account: String,
    pub(crate) at: Timestamp,
    /// Meta's webhook field.
    pub(crate) field: String,
    pub(crate) value: serde_json::Value,
    /// The thread it is about; deliveries of one thread leave in order.
    pub(crate) thread: Option<ThreadKey>,
    /// The customer's message in it.
    pub(crate) takes: Option<String>,
}

/// A webhook on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) sequence: u64,
    pub(crate) account: String,
    pub(crate) created_at: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) last_status: u16,
    pub(crate) next_at: Timestamp,
    pub(crate) body: std::sync::Arc<str>,
    /// The customers' messages in it: told to their phones when it is taken.
    pub(crate) takes: Vec<(ThreadKey, String)>,
}

/// The parts a script can replace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) rules: Vec<Rule>,
    pub(crate) pace: Pace,
    pub(crate) mode: Mode,
    /// Counts the draws of chance, so that a run can be repeated.
    pub(crate) draws: u64,
}

/// How fast statuses follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// From acceptance.
    pub(crate) sent: Duration,
    /// From acceptance.
    pub(crate) delivered: Duration,
    /// From acceptance; `None`: read only when the chat is opened.
    pub(crate) read: Option<Duration>,
}

/// How webhooks are delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mode {
    pub(crate) batch: usize,
    pub(crate) duplicate_per_thousand: u32,
    pub(crate) shuffle: bool,
    pub(crate) first_backoff: Duration,
}

/// A rule that causes faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) body_contains: String,
    /// How often it may still apply; `None` means always.
    pub(crate) left: Option<u32>,
    pub(crate) per_thousand: u32,
    pub(crate) fault: Fault,
}

/// What a rule causes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    Error(u16, PlatformFault),
    FailLater(PlatformFault),
    AcceptAndHangUp,
    HangUp,
    NoStatus,
    ReadWithoutDelivered,
    StatusBeforeAnswer,
    Delay(Duration),
}

/// What a phone shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PhoneEntry {
    pub(crate) sequence: u64,
    pub(crate) thread: ThreadKey,
    pub(crate) at: Timestamp,
    pub(crate) message: String,
    pub(crate) what: PhoneWhat,
}

/// What happened on the phone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PhoneWhat {
    Arrived(Content),
    Sent(Content),
    Taken,
    BusinessRead,
}

/// One request to the messages endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphSend {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) number: String,
    pub(crate) callback_data: String,
    pub(crate) body: String,
    pub(crate) answered_status: u16,
    pub(crate) message: String,
    pub(crate) answer_lost: bool,
    pub(crate) traceparent: String,
    pub(crate) to: String,
}
