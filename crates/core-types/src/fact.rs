//! Facts: what one item of a webhook says, in our words. `core-whatsapp` makes them from Meta's
//! bytes; the conversation log takes them in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contact::ContactIdentity;
use crate::content::Content;
use crate::id::{NumberId, WabaId, WhatsAppMessageId};
use crate::status::{DeliveryStatus, PricingFact};
use crate::time::Timestamp;

/// One item of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The account it came from (`entry.id`).
    pub waba_id: WabaId,
    /// The number it belongs to; absent for account-level facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_id: Option<NumberId>,
    /// The same for every delivery of the same item; different items never share it.
    /// Messages: `m:<wamid>`; statuses: `s:<wamid>:<status>:<participant>`; else a hash of the value.
    pub dedupe_key: String,
    /// What it says.
    pub body: FactBody,
}

/// What a fact says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum FactBody {
    /// A customer wrote.
    Message(Box<InboundMessage>),
    /// What became of a message we sent.
    Status(Box<StatusUpdate>),
    /// The business answered from its phone app (coexistence).
    Echo(Box<Echo>),
    /// Something about the account, a number, a template, ….
    Account(AccountFact),
}

/// A message from a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InboundMessage {
    /// Meta's id.
    pub id: WhatsAppMessageId,
    /// Who wrote.
    pub from: ContactIdentity,
    /// When, by Meta's clock (seconds).
    pub sent_at: Timestamp,
    /// What.
    pub content: Content,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<MessageContext>,
    /// The advertisement or post the customer came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Referral>,
    /// The group it was written in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// What Meta could not deliver of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
}

/// What a message refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageContext {
    /// The quoted message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<WhatsAppMessageId>,
    /// Who wrote the quoted message: digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// It was forwarded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarded: bool,
    /// It was forwarded many times.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frequently_forwarded: bool,
    /// Catalogue and product of a product enquiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<(String, String)>,
}

/// The click-to-WhatsApp advertisement or post a customer came through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    /// `ad` or `post`.
    pub source_type: String,
    /// Meta's id of it.
    pub source_id: String,
    /// Where it is.
    pub source_url: String,
    /// Its headline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<String>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Click id, for conversion reports; missing for ads in Status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click_id: Option<String>,
    /// The whole referral as JSON text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub raw: String,
}

/// An error as Meta words it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformError {
    /// Meta's number; the only part to build logic on.
    pub code: i64,
    /// Short title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Details.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

/// What became of a message we sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusUpdate {
    /// Meta's id of the message.
    pub id: WhatsAppMessageId,
    /// Its fate.
    pub status: DeliveryStatus,
    /// When, by Meta's clock.
    pub occurred_at: Timestamp,
    /// Who it was for, as far as told.
    pub recipient: ContactIdentity,
    /// The group member it is about, for group messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    /// What we attached when sending: our intent id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_data: Option<String>,
    /// Price facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<PricingFact>,
    /// Meta's conversation (billing window) id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_conversation: Option<String>,
    /// When that window ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_conversation_expires: Option<Timestamp>,
    /// What opened that window (`marketing`, `service`, `referral_conversion`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_conversation_origin: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
}

/// A message the business sent from its phone app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Meta's id.
    pub id: WhatsAppMessageId,
    /// The customer it went to.
    pub to: ContactIdentity,
    /// When.
    pub sent_at: Timestamp,
    /// What.
    pub content: Content,
}

/// A fact about the account rather than a conversation. The words in `attributes` are ours and
/// listed in `core-whatsapp`; the value as Meta sent it stays in `raw`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFact {
    /// Meta's webhook field, such as `message_template_status_update`.
    pub field: String,
    /// What happened, such as `APPROVED`; empty when the field has no event word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// Whether `field` is one Frontdesk knows.
    pub known: bool,
    /// When, if told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// The typed parts: template name, language, new category, tier, ….
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The value exactly as it came, as JSON text.
    pub raw: String,
}
