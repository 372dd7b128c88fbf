//! Statuses: they join a message by Meta's id or by ours, and may come before the send's answer.

use core_types::{Content, DeliveryStatus, StatusUpdate};

use super::inbound::believable;
use super::{Draft, Rejection};
use crate::event::Event;
use crate::message::{Direction, Message, SendState};

impl Draft<'_> {
    pub(super) fn status(
        &mut self,
        update: &StatusUpdate,
        target: Option<&Message>,
    ) -> Result<(), Rejection> {
        let message = target.ok_or(Rejection::UnknownMessage)?;
        let sent = match message.direction {
            Direction::Inbound => false,
            Direction::Echo => true,
            Direction::Outbound => message.attempts > 0,
        };
        if !sent {
            return Err(Rejection::UnknownMessage);
        }
        let undecided = matches!(
            message.send_state,
            Some(
                SendState::Queued | SendState::InFlight | SendState::Ambiguous | SendState::Unknown
            )
        );
        if undecided {
            self.accept(message, &update.id);
            // A message that failed answered nobody.
            if update.status != DeliveryStatus::Failed {
                self.answer_entry_point(believable(update.occurred_at, self.now));
            }
        }
        let moves = update.status.supersedes(message.status);
        let newly_failed = moves && update.status == DeliveryStatus::Failed;
        let status = match message.status {
            Some(current) if !moves => current,
            _ => update.status,
        };
        let template_category = match &message.content {
            Content::Template(template) => template.category.clone(),
            _ => String::new(),
        };
        self.emit(Event::StatusChanged {
            message_id: message.id.clone(),
            engagement: message.engagement.clone(),
            update: Box::new(update.clone()),
            status,
            kind: message.kind(),
            template_category,
            contact: self.conversation.contact.clone(),
            failed_flow_key: message.flow_key.clone().filter(|_| newly_failed),
        });
        Ok(())
    }
}
