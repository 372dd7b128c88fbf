//! What agents and supervisors do with an engagement. Commands carry what their sender saw, and a
//! repeated one changes nothing (guarantee G10).

use std::time::Duration;

use core_types::{AgentId, QueueId};

use super::{Draft, Rejection, Seen};
use crate::event::Event;
use crate::state::{Engagement, Stage};

impl Draft<'_> {
    /// The engagement, if it is assigned at the epoch seen, and to the agent who commands.
    pub(super) fn owned(&self, seen: &Seen) -> Result<(&Engagement, &AgentId), Rejection> {
        let engagement = self.at_epoch(&seen.engagement, seen.epoch)?;
        match &engagement.stage {
            Stage::Assigned { agent, .. } if may(seen, agent) => Ok((engagement, agent)),
            _ => Err(Rejection::NotAssigned),
        }
    }

    pub(super) fn start_wrap_up(&mut self, seen: &Seen) -> Result<(), Rejection> {
        let engagement = self.at_epoch(&seen.engagement, seen.epoch)?;
        if matches!(&engagement.stage, Stage::WrapUp { agent, .. } if may(seen, agent)) {
            return Ok(());
        }
        let (engagement, agent) = self.owned(seen)?;
        let span = Duration::from_secs(u64::from(engagement.wrap_up_seconds));
        let event = Event::WrapUpStarted {
            agent: agent.clone(),
            epoch: engagement.epoch,
            until: (!span.is_zero()).then(|| self.now.plus(span)),
        };
        self.emit(event);
        Ok(())
    }

    pub(super) fn complete_wrap_up(
        &mut self,
        seen: &Seen,
        disposition: &str,
        note: &str,
    ) -> Result<(), Rejection> {
        let engagement = self.current(&seen.engagement)?;
        if let Stage::Closed {
            agent: Some(agent),
            disposition: filed,
            reason,
        } = &engagement.stage
            && engagement.epoch == seen.epoch
            && may(seen, agent)
            && filed == disposition
            && reason == "wrapped_up"
        {
            return Ok(());
        }
        let engagement = self.at_epoch(&seen.engagement, seen.epoch)?;
        let agent = match &engagement.stage {
            Stage::WrapUp { agent, .. } | Stage::Assigned { agent, .. } if may(seen, agent) => {
                agent.clone()
            }
            _ => return Err(Rejection::NotAssigned),
        };
        self.close(Some(agent), disposition, note, "wrapped_up");
        Ok(())
    }

    pub(super) fn transfer(&mut self, seen: &Seen, queue: &QueueId) -> Result<(), Rejection> {
        let engagement = self.current(&seen.engagement)?;
        let done = matches!(engagement.stage, Stage::Queued | Stage::Offered { .. })
            && engagement.epoch == seen.epoch.saturating_add(1)
            && engagement.queue.as_ref() == Some(queue);
        if done {
            return Ok(());
        }
        let (engagement, _) = self.owned(seen)?;
        let priority = engagement.priority;
        self.enqueue(queue.clone(), priority);
        Ok(())
    }
}

/// Whether the command's sender may act for `agent`.
fn may(seen: &Seen, agent: &AgentId) -> bool {
    seen.agent.as_ref().is_none_or(|own| own == agent)
}
