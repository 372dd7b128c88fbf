//! A whole log folded: the proof that nothing but the log makes the state (guarantee G15).

use std::collections::BTreeMap;

use core_types::{ConversationId, EngagementId, MessageId, Timestamp};

use crate::event::Event;
use crate::message::Message;
use crate::state::{Conversation, Engagement};

/// A conversation with all its messages, folded from its log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The state.
    pub conversation: Option<Conversation>,
    /// The messages.
    pub messages: BTreeMap<MessageId, Message>,
    /// Engagements that are over, with the open or last one.
    pub engagements: BTreeMap<EngagementId, Engagement>,
}

/// A log that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The first entry does not start a conversation.
    #[error("the log does not begin with the start of a conversation")]
    NoStart,
    /// Entries are missing or doubled.
    #[error("{conversation}: entry {found} follows entry {after}")]
    Gap {
        /// Which conversation.
        conversation: ConversationId,
        /// The entry before.
        after: u64,
        /// The entry found.
        found: u64,
    },
    /// An entry is about a message the log does not hold.
    #[error("there is no message {0} in the log")]
    NoMessage(MessageId),
}

impl History {
    /// Takes in the next entry.
    ///
    /// # Errors
    /// When the log has a gap, or is about something it does not hold.
    pub fn apply(
        &mut self,
        sequence: u64,
        event: &Event,
        at: Timestamp,
    ) -> Result<(), HistoryError> {
        match &mut self.conversation {
            None => {
                let born = Conversation::born_of(event, at).ok_or(HistoryError::NoStart)?;
                self.conversation = Some(born);
            }
            Some(conversation) if conversation.sequence + 1 == sequence => {
                conversation.apply(event, at);
            }
            Some(conversation) => {
                return Err(HistoryError::Gap {
                    conversation: conversation.id.clone(),
                    after: conversation.sequence,
                    found: sequence,
                });
            }
        }
        if let Some(id) = event.touched() {
            let message = self.messages.get_mut(id);
            message
                .ok_or_else(|| HistoryError::NoMessage(id.clone()))?
                .apply(event);
        }
        if let Some(message) = Message::born_of(event) {
            self.messages.insert(message.id.clone(), message);
        }
        if let Event::EngagementFiled { engagement, .. } = event
            && let Some(filed) = self.engagements.get_mut(engagement)
        {
            filed.apply(event, at);
        }
        if let Some(engagement) = self
            .conversation
            .as_ref()
            .and_then(|it| it.engagement.as_ref())
        {
            self.engagements
                .insert(engagement.id.clone(), engagement.clone());
        }
        Ok(())
    }
}
