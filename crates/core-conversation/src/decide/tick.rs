//! What happens by itself when time passes.

use super::Draft;
use super::flow::FlowInput;
use crate::event::SendOutcome;
use crate::state::{Conversation, Stage, Timer};

impl Draft<'_> {
    /// Lets every deadline that has passed take effect. A step of the flow ends the round; what is
    /// still due then is due in the next one.
    pub(super) fn tick(&mut self) {
        while let Some((at, timer)) = self.conversation.next_deadline() {
            if at > self.now || self.step.is_some() {
                return;
            }
            let before = self.conversation.sequence;
            self.fire(timer);
            if self.conversation.sequence == before {
                return;
            }
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::AttemptDeadline => self.attempt_took_too_long(),
            Timer::QuietWindow => self.quiet_window_over(),
            Timer::WindowClosed => self.withdraw_waiting(),
            Timer::FailedSend => self.tell_failed_send(),
            Timer::FlowWait => {
                let wait = flow_wait(&self.conversation);
                if let Some(wait) = wait {
                    self.step(FlowInput::TimedOut(wait));
                }
            }
            Timer::WrapUp => {
                let agent = self.conversation.open_engagement().and_then(|engagement| {
                    match &engagement.stage {
                        Stage::WrapUp { agent, .. } => Some(agent.clone()),
                        _ => None,
                    }
                });
                self.close(agent, "", "", "wrap_up_expired");
            }
        }
    }

    fn attempt_took_too_long(&mut self) {
        if let Some(head) = self.conversation.outbox.first().cloned() {
            let outcome = SendOutcome::Ambiguous {
                until: self.now.plus(self.policy.quiet_window),
                cause: "no outcome was reported in time".to_owned(),
            };
            self.end_attempt(&head, head.attempts, outcome);
        }
    }

    fn quiet_window_over(&mut self) {
        if let Some(head) = self.conversation.outbox.first().cloned() {
            let may_go =
                head.kind.resends() >= head.doubtful && self.conversation.window_open(self.now);
            let outcome = if may_go {
                SendOutcome::Resend
            } else {
                SendOutcome::Unknown
            };
            self.end_attempt(&head, head.attempts, outcome);
        }
    }
}

fn flow_wait(conversation: &Conversation) -> Option<u64> {
    let flow = conversation.open_engagement()?.flow.as_ref()?;
    flow.wait.map(|wait| wait.id)
}
