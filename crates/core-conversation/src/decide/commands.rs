//! What agents and supervisors do with an engagement. Commands carry what their sender saw, and a
//! repeated one changes nothing (guarantee G10).

use std::time::Duration;

use core_types::{AgentId, QueueId};

use super::{Draft, Rejection, Seen};
use crate::event::Event;
use crate::state::{Engagement, Stage};

/// Why an engagement closed that its agent filed.
const WRAPPED_UP: &str = "wrapped_up";
/// Why an engagement closed whose wrap-up took too long.
pub(super) const WRAP_UP_EXPIRED: &str = "wrap_up_expired";

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

    /// Files and closes. What was filed is filed, however late the same command comes again; what
    /// closed by itself may still be filed, once, even after another engagement began.
    pub(super) fn complete_wrap_up(
        &mut self,
        seen: &Seen,
        (disposition, note): (&str, &str),
        earlier: Option<&Engagement>,
    ) -> Result<(), Rejection> {
        let engagement = match (self.current(&seen.engagement), earlier) {
            (Ok(current), _) => current,
            (Err(Rejection::Closed), Some(earlier)) if earlier.id == seen.engagement => earlier,
            (Err(rejection), _) => return Err(rejection),
        };
        if let Stage::Closed {
            agent: Some(agent),
            disposition: under,
            reason,
            filed,
        } = &engagement.stage
            && engagement.epoch == seen.epoch
            && may(seen, agent)
        {
            if (*filed || reason == WRAPPED_UP) && under == disposition {
                return Ok(());
            }
            if !filed && reason == WRAP_UP_EXPIRED {
                let event = Event::EngagementFiled {
                    engagement: seen.engagement.clone(),
                    agent: agent.clone(),
                    epoch: seen.epoch,
                    disposition: disposition.to_owned(),
                    note: note.to_owned(),
                };
                self.emit(event);
                return Ok(());
            }
        }
        let engagement = self.at_epoch(&seen.engagement, seen.epoch)?;
        let agent = match &engagement.stage {
            Stage::WrapUp { agent, .. } | Stage::Assigned { agent, .. } if may(seen, agent) => {
                agent.clone()
            }
            _ => return Err(Rejection::NotAssigned),
        };
        self.close(Some(agent), disposition, note, WRAPPED_UP);
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
        let engagement = self.at_epoch(&seen.engagement, seen.epoch)?;
        let priority = engagement.priority;
        match (&engagement.stage, &seen.agent) {
            // Nobody owns it: only those above the agents may move it, or it could wait for ever
            // in a queue nobody serves.
            (Stage::Queued, None) => {}
            (Stage::Offered { offer, agent }, None) => {
                let event = Event::OfferEnded {
                    offer: offer.clone(),
                    agent: agent.clone(),
                    outcome: "withdrawn".to_owned(),
                };
                self.emit(event);
            }
            _ => {
                self.owned(seen)?;
            }
        }
        self.enqueue(queue.clone(), priority);
        Ok(())
    }
}

/// Whether the command's sender may act for `agent`.
fn may(seen: &Seen, agent: &AgentId) -> bool {
    seen.agent.as_ref().is_none_or(|own| own == agent)
}
