//! What happens by itself when time passes.

use super::Draft;
use super::commands::WRAP_UP_EXPIRED;
use super::flow::FlowInput;
use super::send::SEND_EXPIRED;
use crate::event::SendOutcome;
use crate::state::{Conversation, Stage, Timer};

impl Draft<'_> {
    /// Lets every deadline that has passed take effect. What needs the flow has a round of its
    /// own: while the flow-runner is away that round fails, and the others must not fail with it.
    pub(super) fn tick(&mut self) {
        let before = self.conversation.sequence;
        let mut last = before;
        while let Some(timer) = self.due(false) {
            self.fire(timer);
            if self.conversation.sequence == last {
                break;
            }
            last = self.conversation.sequence;
        }
        if last == before
            && let Some(timer) = self.due(true)
        {
            self.fire(timer);
        }
    }

    /// The first deadline that has passed, of those that need the flow or of the others.
    fn due(&self, of_flow: bool) -> Option<Timer> {
        let due = self.conversation.deadlines();
        let due = due.filter(|(at, timer)| *at <= self.now && timer.needs_flow() == of_flow);
        due.min().map(|(_, timer)| timer)
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::AttemptDeadline => self.attempt_took_too_long(),
            Timer::QuietWindow => self.quiet_window_over(),
            Timer::WindowClosed => self.withdraw_waiting(),
            Timer::SendExpired => {
                if let Some(head) = self.conversation.outbox.first().cloned() {
                    self.withdraw(&head, SEND_EXPIRED);
                }
            }
            Timer::FailedSend => self.tell_failed_send(),
            Timer::FlowWait => {
                let wait = flow_wait(&self.conversation);
                if let Some(wait) = wait {
                    self.step(FlowInput::TimedOut(wait), None);
                }
            }
            Timer::WrapUp => {
                let agent = self.conversation.open_engagement().and_then(|engagement| {
                    match &engagement.stage {
                        Stage::WrapUp { agent, .. } => Some(agent.clone()),
                        _ => None,
                    }
                });
                self.close(agent, "", "", WRAP_UP_EXPIRED);
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
