//! The vocabulary every part of Frontdesk shares: ids, time, money, who a customer is, what a
//! message says and what Meta told us.
//!
//! Nothing here knows Meta's field names (see `core-whatsapp`), a database or a network. Types
//! serialise with serde in a stable form, because the conversation log stores them for years:
//! add fields with `#[serde(default)]`, never rename or reorder what is stored.

mod contact;
mod content;
mod fact;
mod id;
mod money;
mod status;
mod template;
mod time;

pub use contact::{ContactIdentity, ContactKey, IdentityError};
pub use content::{
    Button, ContactCard, Content, Interactive, InteractiveAction, InteractiveHeader, ListRow,
    ListSection, Location, Media, MediaKind, OrderItem, Reply, ReplyKind, SystemNotice,
};
pub use fact::{
    AccountFact, Echo, Fact, FactBody, InboundMessage, MessageContext, PlatformError, Referral,
    StatusUpdate,
};
pub use id::{
    AgentId, ConnectorId, ConversationId, EngagementId, FlowId, IdError, IntentId, MessageId,
    NumberId, OfferId, QueueId, TenantId, UserId, WabaId, WhatsAppMessageId,
};
pub use money::{Currency, Money, MoneyError};
pub use status::{DeliveryStatus, PricingFact, PricingModel};
pub use template::{TemplateButtonParameter, TemplateHeaderParameter, TemplateSend};
pub use time::{Timestamp, TimestampError};
