//! Attempts to send: one in flight per conversation, in order, at most 1 + R copies (guarantees
//! G6 and G7; `reliability.md`, section 2.3).

use core_types::{MessageId, WhatsAppMessageId};

use super::send::SEND_EXPIRED;
use super::{AttemptOutcome, Draft};
use crate::event::{Event, SendOutcome};
use crate::message::{Message, MessageKind, SendState};
use crate::state::{AttemptState, OutboxEntry, RETRY_MOST};

impl Draft<'_> {
    /// Starts the attempt if it is the next one of the message whose turn it is.
    pub(super) fn start_attempt(&mut self, message_id: &MessageId, attempt: u32) {
        let Some((head, due)) = self.conversation.ready() else {
            return;
        };
        let head = head.clone();
        if head.message_id != *message_id || due > self.now || head.attempts + 1 != attempt {
            return;
        }
        if head.kind == MessageKind::Session && !self.conversation.window_open(self.now) {
            self.withdraw_waiting();
            return;
        }
        self.emit(Event::AttemptStarted {
            message_id: head.message_id,
            engagement: head.engagement,
            attempt,
            deadline: self.now.plus(self.policy.attempt_deadline),
        });
    }

    /// Takes in how an attempt ended. Anything about an attempt that is resolved already changes
    /// nothing, so that the report may be repeated.
    pub(super) fn finish_attempt(
        &mut self,
        message_id: &MessageId,
        attempt: u32,
        outcome: &AttemptOutcome,
        target: Option<&Message>,
    ) {
        let Some(entry) = self.outbox_entry(message_id) else {
            self.settle_unknown(message_id, attempt, outcome, target);
            return;
        };
        if entry.attempts != attempt {
            // Of an earlier attempt only this still counts: Meta has the message.
            let earlier = (1..entry.attempts).contains(&attempt);
            if let (true, AttemptOutcome::Accepted(wamid)) = (earlier, outcome) {
                let wamid = wamid.clone();
                self.end_attempt(&entry, attempt, SendOutcome::Accepted { wamid });
            }
            return;
        }
        let ended = match (&entry.state, outcome) {
            (_, AttemptOutcome::Accepted(wamid)) => SendOutcome::Accepted {
                wamid: wamid.clone(),
            },
            // Not under way any more: only certainty about this attempt may still change it.
            (AttemptState::Queued | AttemptState::RetryAt { .. }, _)
            | (AttemptState::Ambiguous { .. }, AttemptOutcome::Ambiguous(_)) => return,
            // This copy was refused, but an earlier one may be on its way.
            (_, AttemptOutcome::Rejected(_)) if entry.earlier_doubt() => SendOutcome::Unknown,
            (_, AttemptOutcome::Rejected(error)) => SendOutcome::Rejected {
                error: error.clone(),
            },
            (_, AttemptOutcome::NotSent { .. }) if entry.send_until() <= self.now => {
                if entry.earlier_doubt() {
                    SendOutcome::Unknown
                } else {
                    let cause = SEND_EXPIRED.to_owned();
                    SendOutcome::Cancelled { cause }
                }
            }
            (_, AttemptOutcome::NotSent { retry_at, cause }) => SendOutcome::NotSent {
                retry_at: (*retry_at).min(self.now.plus(RETRY_MOST)),
                cause: cause.clone(),
            },
            (_, AttemptOutcome::Ambiguous(cause)) => SendOutcome::Ambiguous {
                until: self.now.plus(self.policy.quiet_window),
                cause: cause.clone(),
            },
        };
        self.end_attempt(&entry, attempt, ended);
    }

    /// A message given up as unknown turns out to be with Meta after all.
    fn settle_unknown(
        &mut self,
        message_id: &MessageId,
        attempt: u32,
        outcome: &AttemptOutcome,
        target: Option<&Message>,
    ) {
        if let (Some(message), AttemptOutcome::Accepted(wamid)) = (target, outcome)
            && message.id == *message_id
            && message.send_state == Some(SendState::Unknown)
            && attempt <= message.attempts
        {
            self.accept(message, wamid);
            self.answered_now();
        }
    }

    /// Meta has `message` under `wamid`.
    pub(super) fn accept(&mut self, message: &Message, wamid: &WhatsAppMessageId) {
        let early = self.early_changes(wamid);
        self.emit(Event::AttemptEnded {
            message_id: message.id.clone(),
            engagement: message.engagement.clone(),
            attempt: message.attempts,
            outcome: SendOutcome::Accepted {
                wamid: wamid.clone(),
            },
            early,
        });
    }

    pub(super) fn end_attempt(&mut self, entry: &OutboxEntry, attempt: u32, outcome: SendOutcome) {
        let accepted = match &outcome {
            SendOutcome::Accepted { wamid } => Some(wamid.clone()),
            _ => None,
        };
        let early = accepted.as_ref().map(|wamid| self.early_changes(wamid));
        self.emit(Event::AttemptEnded {
            message_id: entry.message_id.clone(),
            engagement: entry.engagement.clone(),
            attempt,
            outcome,
            early: early.unwrap_or_default(),
        });
        if accepted.is_some() {
            self.answered_now();
        }
    }

    pub(super) fn outbox_entry(&self, id: &MessageId) -> Option<OutboxEntry> {
        let mut entries = self.conversation.outbox.iter();
        entries.find(|entry| entry.message_id == *id).cloned()
    }
}
