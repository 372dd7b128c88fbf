//! What comes to the writer, and what it answers.

use core_conversation::{
    AttemptOutcome, Conversation, Engagement, Input, Message, Rejection, RoutingRecord, Sender,
};
use core_types::{
    ContactIdentity, Content, ConversationId, EngagementId, Fact, MessageId, NumberId, TenantId,
    Timestamp, WhatsAppMessageId,
};

/// One thing that changes one conversation, or none.
pub(crate) struct Unit {
    /// What.
    pub(crate) what: What,
    /// The trace it came with.
    pub(crate) traceparent: String,
}

/// What a unit is.
pub(crate) enum What {
    /// An item of a webhook.
    Receive(Box<Item>),
    /// Somebody sends a message.
    Send(Box<SendCommand>),
    /// Egress asks whether it may make an attempt.
    Start(MessageId, u32),
    /// Egress tells how an attempt ended.
    Finish(MessageId, u32, AttemptOutcome),
    /// Routing tells what it did.
    Routing(EngagementId, u32, RoutingRecord),
    /// Somebody acts on an engagement of a tenant; services act on any.
    Desk(Option<TenantId>, EngagementId, Box<Input>),
    /// A deadline of a conversation has passed.
    Tick(ConversationId),
}

/// An item of a webhook.
pub(crate) struct Item {
    /// What it says.
    pub(crate) fact: Fact,
    /// When ingress admitted it.
    pub(crate) admitted_at: Timestamp,
}

/// A message somebody wants sent. Its content has been checked.
pub(crate) struct SendCommand {
    /// Whose; absent for services, which act for the conversation's or the number's tenant.
    pub(crate) tenant: Option<TenantId>,
    /// Where to.
    pub(crate) place: Place,
    /// Who.
    pub(crate) sender: Sender,
    /// What.
    pub(crate) content: Content,
    /// The message answered to.
    pub(crate) reply_to: Option<WhatsAppMessageId>,
    /// Makes a repeat harmless.
    pub(crate) key: String,
}

/// Where a message goes.
pub(crate) enum Place {
    /// To a conversation that exists, by its number.
    Conversation(ConversationId, NumberId),
    /// From a number to a contact.
    Contact(NumberId, ContactIdentity),
}

impl SendCommand {
    /// The number it goes out by.
    pub(crate) fn number(&self) -> &NumberId {
        match &self.place {
            Place::Conversation(_, number) | Place::Contact(number, _) => number,
        }
    }

    /// Within what the key is unique: a tenant, or the services of this installation.
    pub(crate) fn key_scope(&self) -> String {
        match &self.tenant {
            Some(tenant) => tenant.to_string(),
            None => String::new(),
        }
    }
}

/// What became of a unit.
pub(crate) enum Answer {
    /// It took effect, or had taken it before.
    Done,
    /// A webhook item that was taken in before.
    Duplicate,
    /// It can never take effect.
    Refused(String),
    /// It cannot take effect now.
    Retry(String),
    /// Another replica works on its part.
    Elsewhere,
    /// Whether the attempt may be made.
    Granted(bool),
    /// The message, and its conversation.
    Sent(Box<(Message, ConversationId)>),
    /// The engagement, and its conversation.
    Engagement(Box<(Engagement, Conversation)>),
    /// The state of the conversation forbids it.
    Rejected(Rejection, Option<Box<(Engagement, Conversation)>>),
    /// The idempotency key was used for another message.
    KeyReused,
    /// There is no such thing, or it is another tenant's.
    NotFound(&'static str, String),
}
