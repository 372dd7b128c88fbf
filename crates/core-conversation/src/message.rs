//! One message of a conversation, in or out, as the log's events make it.

use std::collections::BTreeMap;

use core_types::{
    Content, DeliveryStatus, EngagementId, MessageContext, MessageId, PlatformError, PricingFact,
    Referral, Timestamp, WhatsAppMessageId,
};
use serde::{Deserialize, Serialize};

use crate::event::{Change, Event, SendOutcome};

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the customer.
    Inbound,
    /// From us.
    Outbound,
    /// From the business's phone app (coexistence).
    Echo,
}

/// How far an outbound message has come on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    /// Waits for its turn.
    Queued,
    /// An attempt is under way.
    InFlight,
    /// An attempt's outcome is not known; a status may still tell.
    Ambiguous,
    /// Meta has accepted it.
    Accepted,
    /// Meta has refused it for good.
    Rejected,
    /// Nobody knows whether it was sent; a person decides.
    Unknown,
    /// Withdrawn before it was sent.
    Cancelled,
}

/// What decides a message's rules: templates go at any time but never twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Anything that needs the customer-service window.
    Session,
    /// An approved template.
    Template,
}

impl MessageKind {
    /// The kind of a message that says `content`.
    pub fn of(content: &Content) -> Self {
        match content {
            Content::Template(_) => Self::Template,
            _ => Self::Session,
        }
    }

    /// How often it may be sent again after an outcome nobody knows (R of guarantee G6).
    pub fn resends(self) -> u32 {
        match self {
            Self::Session => 1,
            Self::Template => 0,
        }
    }

    /// `session` or `template`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Template => "template",
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Ours: `<conversation>.m<n>`.
    pub id: MessageId,
    /// The engagement it belongs to; absent between engagements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engagement: Option<EngagementId>,
    /// Which way it went.
    pub direction: Direction,
    /// What it says.
    pub content: Content,
    /// Meta's id, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wamid: Option<WhatsAppMessageId>,
    /// `contact`, `flow`, `business` (phone app), an agent's id, or `api:<user>`.
    pub author: String,
    /// Meta's time for inbound messages, ours for outbound ones.
    pub sent_at: Timestamp,
    /// How far it has come on our side; outbound only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_state: Option<SendState>,
    /// What Meta says became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DeliveryStatus>,
    /// When, by Meta's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_at: Option<Timestamp>,
    /// Why it failed, or what Meta could not deliver of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
    /// Attempts made.
    #[serde(default)]
    pub attempts: u32,
    /// The price facts told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<PricingFact>,
    /// What it refers to; for outbound messages the message answered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<MessageContext>,
    /// Where the customer came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Referral>,
    /// The customer took it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
    /// The latest text after an edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_text: Option<String>,
    /// Emoji by whom: `contact` or `business`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reactions: BTreeMap<String, String>,
    /// The flow effect it came from (`FlowEffect.key`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_key: Option<String>,
}

impl Message {
    /// The message `event` brings into being, if it does.
    pub fn born_of(event: &Event) -> Option<Self> {
        match event {
            Event::MessageReceived { message, early, .. } => {
                let mut message = message.as_ref().clone();
                for change in early {
                    message.change(change);
                }
                Some(message)
            }
            Event::MessageQueued { message, .. } => Some(message.as_ref().clone()),
            _ => None,
        }
    }

    /// What `event` does to this message; events about others do nothing.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::MessageReceived { target, .. } | Event::MessageQueued { target, .. } => {
                if let Some((id, change)) = target
                    && *id == self.id
                {
                    self.change(change);
                }
            }
            Event::AttemptStarted {
                message_id,
                attempt,
                ..
            } if *message_id == self.id => {
                self.attempts = *attempt;
                self.send_state = Some(SendState::InFlight);
            }
            Event::AttemptEnded {
                message_id,
                outcome,
                early,
                ..
            } if *message_id == self.id => {
                self.end_attempt(outcome);
                for change in early {
                    self.change(change);
                }
            }
            Event::StatusChanged {
                message_id,
                update,
                status,
                ..
            } if *message_id == self.id => {
                if self.status != Some(*status) {
                    self.status = Some(*status);
                    self.status_at = Some(update.occurred_at);
                }
                if update.pricing.is_some() {
                    self.pricing.clone_from(&update.pricing);
                }
                if !update.errors.is_empty() {
                    self.errors.clone_from(&update.errors);
                }
                if self.wamid.is_none() {
                    self.wamid = Some(update.id.clone());
                }
            }
            _ => {}
        }
    }

    fn end_attempt(&mut self, outcome: &SendOutcome) {
        self.send_state = Some(outcome.send_state());
        match outcome {
            SendOutcome::Accepted { wamid } => self.wamid = Some(wamid.clone()),
            SendOutcome::Rejected { error } => self.errors = vec![error.clone()],
            SendOutcome::Cancelled { cause } => {
                self.errors = vec![PlatformError {
                    code: 0,
                    title: cause.clone(),
                    details: String::new(),
                }];
            }
            SendOutcome::NotSent { .. }
            | SendOutcome::Ambiguous { .. }
            | SendOutcome::Resend
            | SendOutcome::Unknown => {}
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Reaction {
                by,
                emoji: Some(emoji),
            } => {
                self.reactions.insert(by.clone(), emoji.clone());
            }
            Change::Reaction { by, emoji: None } => {
                self.reactions.remove(by);
            }
            Change::Edit { text } => self.edited_text = Some(text.clone()),
            Change::Revoke => self.revoked = true,
        }
    }

    /// What kind of message it is.
    pub fn kind(&self) -> MessageKind {
        MessageKind::of(&self.content)
    }
}
