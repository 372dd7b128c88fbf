//! Messages we send: by agents, by programs, by the flow.

use core_types::{AgentId, Content, EngagementId, MessageContext, UserId, WhatsAppMessageId};

use super::inbound::change_of;
use super::{Draft, Rejection, Seen};
use crate::event::{Event, SendOutcome};
use crate::message::{Direction, Message, MessageKind, SendState};
use crate::state::{OUTBOX_MOST, OutboxEntry};

/// Why a queued message is withdrawn when its window ends.
pub(super) const WINDOW_CLOSED: &str = "WINDOW_CLOSED";

/// Why a message is withdrawn that could not be sent for a day.
pub(super) const SEND_EXPIRED: &str = "SEND_EXPIRED";
/// Why a flow's message is withdrawn when too many wait already.
const OUTBOX_FULL: &str = "OUTBOX_FULL";

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The agent the engagement is assigned to.
    Agent {
        /// Who.
        agent: AgentId,
        /// What the agent saw.
        engagement: EngagementId,
        /// What the agent saw.
        epoch: u32,
    },
    /// A supervisor, an administrator or a program.
    Api {
        /// Who.
        user: UserId,
        /// What they saw, if they say.
        seen: Option<(EngagementId, u32)>,
    },
}

impl Draft<'_> {
    pub(super) fn send(
        &mut self,
        sender: &Sender,
        content: &Content,
        reply_to: Option<&WhatsAppMessageId>,
        target: Option<&Message>,
    ) -> Result<(), Rejection> {
        let author = match sender {
            Sender::Agent {
                agent,
                engagement,
                epoch,
            } => {
                self.owned(&Seen {
                    engagement: engagement.clone(),
                    epoch: *epoch,
                    agent: Some(agent.clone()),
                })?;
                agent.to_string()
            }
            Sender::Api { user, seen } => {
                if let Some((engagement, epoch)) = seen {
                    self.at_epoch(engagement, *epoch)?;
                }
                format!("api:{user}")
            }
        };
        let open = self.conversation.window_open(self.now);
        if MessageKind::of(content) == MessageKind::Session && !open {
            return Err(Rejection::WindowClosed {
                closed_at: self.conversation.window_closes_at,
            });
        }
        if self.conversation.outbox.len() >= OUTBOX_MOST {
            return Err(Rejection::OutboxFull { most: OUTBOX_MOST });
        }
        self.queue_message(&author, content, reply_to, target, None);
        Ok(())
    }

    /// Queues what the flow says; with the window closed or the outbox full it is withdrawn at
    /// once, and the flow will be told.
    pub(super) fn queue_flow_message(&mut self, key: &str, content: &Content) {
        let full = self.conversation.outbox.len() >= OUTBOX_MOST;
        self.queue_message("flow", content, None, None, Some(key));
        if let (true, Some(last)) = (full, self.conversation.outbox.last().cloned()) {
            self.withdraw(&last, OUTBOX_FULL);
        }
        let open = self.conversation.window_open(self.now);
        if MessageKind::of(content) == MessageKind::Session && !open {
            self.withdraw_waiting();
        }
    }

    /// Keeps what the flow says and cannot be sent; the flow will be told.
    pub(super) fn refuse_flow_message(&mut self, key: &str, content: &Content, cause: &str) {
        self.queue_message("flow", content, None, None, Some(key));
        if let Some(last) = self.conversation.outbox.last().cloned() {
            self.withdraw(&last, cause);
        }
    }

    fn queue_message(
        &mut self,
        author: &str,
        content: &Content,
        reply_to: Option<&WhatsAppMessageId>,
        target: Option<&Message>,
        flow_key: Option<&str>,
    ) {
        let context = reply_to.map(|wamid| MessageContext {
            message_id: Some(wamid.clone()),
            ..MessageContext::default()
        });
        let message = Message {
            context,
            send_state: Some(SendState::Queued),
            flow_key: flow_key.map(str::to_owned),
            ..self.record(Direction::Outbound, author, content, self.now)
        };
        let target = target.and_then(|target| {
            let (_, change) = change_of(content, "business")?;
            Some((target.id.clone(), change))
        });
        self.emit(Event::MessageQueued {
            message: Box::new(message),
            target,
        });
    }

    /// Withdraws the session messages that wait; one that may have been sent stays in doubt.
    pub(super) fn withdraw_waiting(&mut self) {
        let waiting: Vec<_> = self
            .conversation
            .outbox
            .iter()
            .filter(|entry| entry.waits_for_window())
            .cloned()
            .collect();
        for entry in waiting {
            self.withdraw(&entry, WINDOW_CLOSED);
        }
    }

    /// Withdraws a message that waits; one that may have been sent stays in doubt.
    pub(super) fn withdraw(&mut self, entry: &OutboxEntry, cause: &str) {
        let outcome = if entry.doubtful > 0 {
            SendOutcome::Unknown
        } else {
            SendOutcome::Cancelled {
                cause: cause.to_owned(),
            }
        };
        self.end_attempt(entry, entry.attempts, outcome);
    }
}
