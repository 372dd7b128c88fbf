//! What the customer says, and what the business says from its phone app.

use std::time::Duration;

use core_types::{
    ContactIdentity, ContactKey, Content, Echo, EngagementId, FlowId, InboundMessage, MessageId,
    SystemNotice, Timestamp, WhatsAppMessageId,
};

use super::Draft;
use crate::event::{Change, Event};
use crate::message::{Direction, Message};
use crate::state::{EARLY_FOR, ENTRY_WINDOW, SERVICE_WINDOW, Stage};

/// How far Meta's clock may be ahead of ours before it is not believed.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

impl Draft<'_> {
    pub(super) fn message(
        &mut self,
        message: &InboundMessage,
        admitted_at: Timestamp,
        flow: Option<&FlowId>,
        target: Option<&Message>,
    ) {
        self.learn(&message.from, &message.content);
        let sent_at = believable(message.sent_at, admitted_at);
        // What is said in a group is kept, but it is not a word to us.
        let to_us = message.group_id.is_none();
        let talks = to_us && advances(&message.content);
        if talks && self.conversation.open_engagement().is_none() {
            let engagement = self.next_engagement();
            self.emit(Event::EngagementOpened {
                engagement,
                flow_id: flow.cloned(),
                cause: "message".to_owned(),
            });
        }
        let record = Message {
            context: message.context.clone(),
            referral: message.referral.clone(),
            errors: message.errors.clone(),
            ..self.record(Direction::Inbound, "contact", &message.content, sent_at)
        };
        let id = record.id.clone();
        self.receive(record, &message.id, "contact", target);
        let opens = talks || (to_us && matches!(message.content, Content::Reaction { .. }));
        let closes_at = sent_at.plus(SERVICE_WINDOW);
        if opens && Some(closes_at) > self.conversation.window_closes_at {
            self.emit(Event::WindowOpened {
                closes_at: Some(closes_at),
                free_entry_point_until: None,
            });
        }
        if talks {
            self.go_on(&id, &message.content);
        }
    }

    /// Who has the engagement hears of the message.
    fn go_on(&mut self, message: &MessageId, content: &Content) {
        let Some(engagement) = self.conversation.open_engagement() else {
            return;
        };
        match &engagement.stage {
            Stage::InFlow => self.ask_flow(message, content),
            // The customer has more to say: the agent who files it takes it up again.
            Stage::WrapUp { agent, .. } => {
                let event = Event::EngagementAssigned {
                    offer: None,
                    agent: agent.clone(),
                    epoch: engagement.epoch + 1,
                    queue: engagement.queue.clone(),
                    wrap_up_seconds: engagement.wrap_up_seconds,
                };
                self.emit(event);
            }
            Stage::Queued
            | Stage::Offered { .. }
            | Stage::Assigned { .. }
            | Stage::Closed { .. } => {}
        }
    }

    pub(super) fn echo(&mut self, echo: &Echo, admitted_at: Timestamp, target: Option<&Message>) {
        self.learn(&echo.to, &echo.content);
        let sent_at = believable(echo.sent_at, admitted_at);
        let record = self.record(Direction::Echo, "business", &echo.content, sent_at);
        self.receive(record, &echo.id, "business", target);
        self.answer_entry_point(sent_at);
    }

    /// The first answer to a customer who came through an advertisement opens 72 h in which
    /// everything is free (`whatsapp-cloud-api.md`, section 3). `at` is when it was given, by
    /// Meta's clock where that is known: what is reported late must not shift the window, and
    /// what was said before the customer came is no answer.
    pub(super) fn answer_entry_point(&mut self, at: Timestamp) {
        let in_time = self
            .conversation
            .entry_candidate
            .is_some_and(|came| came <= at && at < came.plus(SERVICE_WINDOW));
        if in_time {
            self.emit(Event::WindowOpened {
                closes_at: None,
                free_entry_point_until: Some(at.plus(ENTRY_WINDOW)),
            });
        }
    }

    /// Meta has just accepted an answer. Our clock may be behind Meta's, by which the customer
    /// came.
    pub(super) fn answered_now(&mut self) {
        let came = self.conversation.entry_candidate.unwrap_or(self.now);
        self.answer_entry_point(self.now.max(came));
    }

    fn receive(
        &mut self,
        mut record: Message,
        wamid: &WhatsAppMessageId,
        by: &str,
        target: Option<&Message>,
    ) {
        record.wamid = Some(wamid.clone());
        let early = self.early_changes(wamid);
        let (target, outran) = match change_of(&record.content, by) {
            None => (None, None),
            Some((on, change)) => match target {
                Some(message) => (Some((message.id.clone(), change)), None),
                None => (None, Some((on, change))),
            },
        };
        self.emit(Event::MessageReceived {
            message: Box::new(record),
            target,
            outran,
            early,
        });
    }

    /// Changes that came before the message `wamid`.
    pub(super) fn early_changes(&self, wamid: &WhatsAppMessageId) -> Vec<Change> {
        let early = self.conversation.early.iter();
        early
            .filter(|early| early.target == *wamid && self.now < early.at.plus(EARLY_FOR))
            .map(|early| early.change.clone())
            .collect()
    }

    /// A message of this conversation, with nothing known but the obvious.
    pub(super) fn record(
        &self,
        direction: Direction,
        author: &str,
        content: &Content,
        sent_at: Timestamp,
    ) -> Message {
        let engagement = self.conversation.open_engagement();
        Message {
            id: self.next_message(),
            engagement: engagement.map(|engagement| engagement.id.clone()),
            direction,
            content: content.clone(),
            wamid: None,
            author: author.to_owned(),
            sent_at,
            send_state: None,
            status: None,
            status_at: None,
            errors: Vec::new(),
            attempts: 0,
            pricing: None,
            context: None,
            referral: None,
            revoked: false,
            edited_text: None,
            reactions: std::collections::BTreeMap::new(),
            flow_key: None,
        }
    }

    fn learn(&mut self, seen: &ContactIdentity, content: &Content) {
        let mut contact = self.conversation.contact.clone();
        // Only a notice of Meta makes one user id another; anything else is somebody else.
        let stranger = matches!(
            (&contact.user_id, &seen.user_id),
            (Some(known), Some(seen)) if known != seen
        );
        if !stranger {
            contact.absorb(seen);
        }
        let mut dropped = Vec::new();
        if let Content::System(SystemNotice::NumberChanged { new_identity, .. }) = content
            && let Ok(keys) = new_identity.keys()
        {
            contact.absorb(new_identity);
            contact.user_id.clone_from(&new_identity.user_id);
            contact.phone.clone_from(&new_identity.phone);
            let old = self.conversation.keys.iter();
            dropped = old.filter(|key| !keys.contains(key)).cloned().collect();
        }
        let unknown = |key: &ContactKey| !self.conversation.keys.contains(key);
        let new_key = contact.keys().unwrap_or_default().iter().any(unknown);
        if contact != self.conversation.contact || new_key || !dropped.is_empty() {
            self.emit(Event::ContactChanged { contact, dropped });
        }
    }

    /// Forgets a key that names another customer now. The last key stays: without one nobody could
    /// be answered.
    pub(super) fn lose_key(&mut self, key: &ContactKey) {
        let mut contact = self.conversation.contact.clone();
        match key {
            ContactKey::Phone(phone) => {
                contact.phone.take_if(|own| own == phone);
            }
            ContactKey::UserId(user) => {
                contact.user_id.take_if(|own| own == user);
            }
        }
        if self.conversation.keys.contains(key) && contact.keys().is_ok() {
            let dropped = vec![key.clone()];
            self.emit(Event::ContactChanged { contact, dropped });
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "a conversation id is well under the longest id by construction"
    )]
    fn next_message(&self) -> MessageId {
        let id = &self.conversation.id;
        MessageId::new(format!("{id}.m{}", self.conversation.messages + 1)).expect("short")
    }

    #[expect(
        clippy::expect_used,
        reason = "a conversation id is well under the longest id by construction"
    )]
    pub(super) fn next_engagement(&self) -> EngagementId {
        let id = &self.conversation.id;
        EngagementId::new(format!("{id}.e{}", self.conversation.engagements + 1)).expect("short")
    }
}

/// Meta's time, unless it is further ahead than clocks go wrong.
pub(super) fn believable(sent_at: Timestamp, admitted_at: Timestamp) -> Timestamp {
    if sent_at > admitted_at.plus(CLOCK_SKEW) {
        admitted_at
    } else {
        sent_at
    }
}

/// Whether the customer says something that wants an answer.
fn advances(content: &Content) -> bool {
    content.is_customer_message()
        && !matches!(
            content,
            Content::Reaction { .. } | Content::Edit { .. } | Content::Revoke { .. }
        )
}

/// What `content` does to which earlier message.
pub(super) fn change_of(content: &Content, by: &str) -> Option<(WhatsAppMessageId, Change)> {
    match content {
        Content::Reaction { target, emoji } => Some((
            target.clone(),
            Change::Reaction {
                by: by.to_owned(),
                emoji: emoji.clone(),
            },
        )),
        Content::Edit {
            target,
            replacement,
        } => Some((
            target.clone(),
            Change::Edit {
                text: replacement.summary(),
            },
        )),
        Content::Revoke { target } => Some((target.clone(), Change::Revoke)),
        _ => None,
    }
}
