//! What can happen to a conversation. Events are stored for ever: add fields with
//! `#[serde(default)]`, never rename what is stored.

use std::collections::BTreeMap;

use core_types::{
    AgentId, ContactIdentity, ContactKey, ConversationId, DeliveryStatus, EngagementId, FlowId,
    MessageId, NumberId, OfferId, PlatformError, QueueId, StatusUpdate, TenantId, Timestamp,
    WhatsAppMessageId,
};
use serde::{Deserialize, Serialize};

use crate::message::{Message, MessageKind, SendState};
use crate::session::Session;
use crate::state::FlowWait;

/// One entry of a conversation's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first entry: who talks to which number.
    Started {
        /// The conversation.
        id: ConversationId,
        /// Whose it is.
        tenant: TenantId,
        /// The business number.
        number_id: NumberId,
        /// The customer as first seen.
        contact: ContactIdentity,
    },
    /// The customer, or the business from its phone app, wrote.
    MessageReceived {
        /// The message.
        message: Box<Message>,
        /// The earlier message it changes, when that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<(MessageId, Change)>,
        /// A change to a message not seen yet; kept until it comes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outran: Option<(WhatsAppMessageId, Change)>,
        /// Changes that came before this message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        early: Vec<Change>,
    },
    /// A message waits to be sent.
    MessageQueued {
        /// The message.
        message: Box<Message>,
        /// The earlier message it reacts to, when that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<(MessageId, Change)>,
    },
    /// An attempt to send begins; stored before it is made.
    AttemptStarted {
        /// The message.
        message_id: MessageId,
        /// Its engagement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engagement: Option<EngagementId>,
        /// Which attempt, from 1.
        attempt: u32,
        /// When its outcome counts as unknown.
        deadline: Timestamp,
    },
    /// An attempt, or the message as a whole, came to an end.
    AttemptEnded {
        /// The message.
        message_id: MessageId,
        /// Its engagement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engagement: Option<EngagementId>,
        /// Which attempt; 0 when none was made.
        attempt: u32,
        /// How.
        outcome: SendOutcome,
        /// Changes to it that came before its id was known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        early: Vec<Change>,
    },
    /// Meta told what became of a message.
    StatusChanged {
        /// The message.
        message_id: MessageId,
        /// Its engagement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engagement: Option<EngagementId>,
        /// What Meta told.
        update: Box<StatusUpdate>,
        /// The message's status after it.
        status: DeliveryStatus,
        /// Template or session message.
        kind: MessageKind,
        /// Approved category of a template.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        template_category: String,
        /// Whom it went to.
        contact: ContactIdentity,
        /// The flow effect it came from, when it newly failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed_flow_key: Option<String>,
    },
    /// An engagement begins.
    EngagementOpened {
        /// `<conversation>.e<n>`.
        engagement: EngagementId,
        /// The flow that answers it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flow_id: Option<FlowId>,
        /// `message` or `api`.
        cause: String,
    },
    /// The flow took a step.
    SessionAdvanced {
        /// The version that runs; 0 when none could be started.
        flow_version: u32,
        /// Widgets passed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Vec<String>,
        /// Variables set by this step.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        variables: BTreeMap<String, String>,
        /// Whether the flow has ended.
        finished: bool,
        /// Why the step failed and the fallback was taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// The session after the step.
        session: Session,
        /// What it waits for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait: Option<FlowWait>,
        /// The failed send this step was told about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settled: Option<String>,
        /// What the flow was told, so that the step can be taken again; absent where no step was
        /// taken, and in entries written before this was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<Told>,
    },
    /// It waits in a queue.
    EngagementQueued {
        /// Which.
        queue: QueueId,
        /// Counts the times it changed hands.
        epoch: u32,
        /// Higher is served first.
        priority: i32,
        /// Its place in line.
        queued_at: Timestamp,
        /// The customer.
        contact: ContactIdentity,
        /// What the customer said last.
        summary: String,
    },
    /// It was offered to an agent.
    EngagementOffered {
        /// The offer.
        offer: OfferId,
        /// To whom.
        agent: AgentId,
        /// Of which epoch.
        epoch: u32,
        /// When the offer ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// Why this agent.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// The offer ended without acceptance.
    OfferEnded {
        /// The offer.
        offer: OfferId,
        /// To whom it was.
        agent: AgentId,
        /// `expired`, `declined` or `withdrawn`.
        outcome: String,
    },
    /// An agent owns it.
    EngagementAssigned {
        /// The accepted offer; absent when it came back from wrap-up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offer: Option<OfferId>,
        /// Who.
        agent: AgentId,
        /// From which epoch on.
        epoch: u32,
        /// Where it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue: Option<QueueId>,
        /// Wrap-up ends by itself after this many seconds; 0 means never.
        wrap_up_seconds: u32,
    },
    /// The agent is done talking.
    WrapUpStarted {
        /// Who.
        agent: AgentId,
        /// Of which epoch.
        epoch: u32,
        /// When it closes by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The engagement is over.
    EngagementClosed {
        /// Who had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
        /// Of which epoch.
        epoch: u32,
        /// What it was filed under.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        disposition: String,
        /// The agent's note.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
        /// `wrapped_up`, `wrap_up_expired`, `flow_ended`, or the flow's own word.
        reason: String,
    },
    /// The agent filed it after its wrap-up had ended by itself.
    EngagementFiled {
        /// Which; it need not be the last one.
        engagement: EngagementId,
        /// Who had it.
        agent: AgentId,
        /// Of which epoch.
        epoch: u32,
        /// What it was filed under.
        disposition: String,
        /// The agent's note.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// More is known of the customer.
    ContactChanged {
        /// The customer from now on.
        contact: ContactIdentity,
        /// Keys that no longer name this customer (the number was changed).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<ContactKey>,
    },
    /// A window opened or grew.
    WindowOpened {
        /// When free-form messages end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closes_at: Option<Timestamp>,
        /// When the free-entry-point window ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        free_entry_point_until: Option<Timestamp>,
    },
}

/// What a flow was told before it took a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The customer wrote this message.
    Message(MessageId),
    /// The wait with this number was over.
    TimedOut(u64),
    /// The message of this effect could not be sent.
    SendFailed(String),
    /// The call it waited for came to something.
    Called {
        /// The wait.
        wait: u64,
        /// What came of it.
        called: Called,
    },
}

/// What came of a call that a flow asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Called {
    /// The other system answered.
    Answered {
        /// Its HTTP status.
        status: u16,
        /// What the flow keeps of the answer, in its order; absent when that was not in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saved: Option<Vec<String>>,
    },
    /// There was no answer, for this reason.
    Failed(String),
}

/// What a later message does to an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// An emoji, or its removal.
    Reaction {
        /// `contact` or `business`.
        by: String,
        /// The emoji; absent when it was taken away.
        emoji: Option<String>,
    },
    /// A new text.
    Edit {
        /// The text, in one line.
        text: String,
    },
    /// It was taken back.
    Revoke,
}

/// How an attempt, or a message, ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum SendOutcome {
    /// Meta has it.
    Accepted {
        /// Meta's id.
        wamid: WhatsAppMessageId,
    },
    /// Meta refused it for good.
    Rejected {
        /// Why.
        error: PlatformError,
    },
    /// It certainly was not sent.
    NotSent {
        /// When to try again.
        retry_at: Timestamp,
        /// Why.
        cause: String,
    },
    /// It may or may not have been sent.
    Ambiguous {
        /// How long a status is waited for.
        until: Timestamp,
        /// What happened.
        cause: String,
    },
    /// No status came: it will be sent once more.
    Resend,
    /// No status came and it must not be sent again.
    Unknown,
    /// It was withdrawn before it was sent.
    Cancelled {
        /// Why, such as `WINDOW_CLOSED`.
        cause: String,
    },
}

impl SendOutcome {
    /// Where the message stands after it.
    pub fn send_state(&self) -> SendState {
        match self {
            Self::Accepted { .. } => SendState::Accepted,
            Self::Rejected { .. } => SendState::Rejected,
            Self::NotSent { .. } | Self::Resend => SendState::Queued,
            Self::Ambiguous { .. } => SendState::Ambiguous,
            Self::Unknown => SendState::Unknown,
            Self::Cancelled { .. } => SendState::Cancelled,
        }
    }
}

impl Event {
    /// The messages it changes, without those it creates.
    pub fn touched(&self) -> Option<&MessageId> {
        match self {
            Self::MessageReceived { target, .. } | Self::MessageQueued { target, .. } => {
                target.as_ref().map(|(id, _)| id)
            }
            Self::AttemptStarted { message_id, .. }
            | Self::AttemptEnded { message_id, .. }
            | Self::StatusChanged { message_id, .. } => Some(message_id),
            _ => None,
        }
    }
}
