//! The life of an engagement, as routing reports it.

use core_types::{AgentId, EngagementId, OfferId, QueueId};

use super::{Draft, Rejection, RoutingRecord};
use crate::event::Event;
use crate::state::{Engagement, Stage};

impl Draft<'_> {
    pub(super) fn enqueue(&mut self, queue: QueueId, priority: i32) {
        let epoch = self
            .conversation
            .engagement
            .as_ref()
            .map_or(0, |engagement| engagement.epoch);
        self.emit(Event::EngagementQueued {
            queue,
            epoch: epoch + 1,
            priority,
            queued_at: self.now,
            contact: self.conversation.contact.clone(),
            summary: self.conversation.summary.clone(),
        });
    }

    pub(super) fn close(
        &mut self,
        agent: Option<AgentId>,
        disposition: &str,
        note: &str,
        reason: &str,
    ) {
        let epoch = self
            .conversation
            .engagement
            .as_ref()
            .map_or(0, |engagement| engagement.epoch);
        self.emit(Event::EngagementClosed {
            agent,
            epoch,
            disposition: disposition.to_owned(),
            note: note.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The engagement with this id, unless it is not this conversation's current one.
    pub(super) fn current(&self, id: &EngagementId) -> Result<&Engagement, Rejection> {
        match &self.conversation.engagement {
            Some(engagement) if engagement.id == *id => Ok(engagement),
            Some(_) if self.was_mine(id) => Err(Rejection::Closed),
            _ => Err(Rejection::NotFound),
        }
    }

    /// Earlier engagements of this conversation are closed, or a later one could not have begun.
    fn was_mine(&self, id: &EngagementId) -> bool {
        let prefix = format!("{}.e", self.conversation.id);
        id.as_str()
            .strip_prefix(&prefix)
            .and_then(|number| number.parse::<u64>().ok())
            .is_some_and(|number| (1..self.conversation.engagements).contains(&number))
    }

    pub(super) fn at_epoch(&self, id: &EngagementId, epoch: u32) -> Result<&Engagement, Rejection> {
        let engagement = self.current(id)?;
        if !engagement.is_open() {
            return Err(Rejection::Closed);
        }
        if engagement.epoch != epoch {
            return Err(Rejection::StaleEpoch {
                seen: epoch,
                current: engagement.epoch,
            });
        }
        Ok(engagement)
    }

    pub(super) fn routing(
        &mut self,
        id: &EngagementId,
        epoch: u32,
        record: &RoutingRecord,
    ) -> Result<(), Rejection> {
        let engagement = self.at_epoch(id, epoch)?.clone();
        match record {
            // Reported again, after what followed it.
            RoutingRecord::Offered { offer, .. } if engagement.knows_offer(offer) => Ok(()),
            RoutingRecord::Offered {
                offer,
                agent,
                expires_at,
                reason,
            } => {
                self.free_for_offer(&engagement, offer)?;
                if !matches!(&engagement.stage, Stage::Offered { offer: same, .. } if same == offer)
                {
                    self.emit(Event::EngagementOffered {
                        offer: offer.clone(),
                        agent: agent.clone(),
                        epoch,
                        expires_at: *expires_at,
                        reason: reason.clone(),
                    });
                }
                Ok(())
            }
            RoutingRecord::OfferEnded {
                offer,
                agent,
                outcome,
            } => {
                // An offer that is not the current one has ended already.
                if matches!(&engagement.stage, Stage::Offered { offer: same, .. } if same == offer)
                {
                    self.emit(Event::OfferEnded {
                        offer: offer.clone(),
                        agent: agent.clone(),
                        outcome: outcome.clone(),
                    });
                }
                Ok(())
            }
            RoutingRecord::Assign {
                offer,
                agent,
                wrap_up_seconds,
            } => self.assign(&engagement, offer, agent, *wrap_up_seconds),
        }
    }

    fn assign(
        &mut self,
        engagement: &Engagement,
        offer: &OfferId,
        agent: &AgentId,
        wrap_up_seconds: u32,
    ) -> Result<(), Rejection> {
        let may = match &engagement.stage {
            Stage::Queued => true,
            Stage::Offered {
                offer: theirs,
                agent: asked,
            } => theirs == offer && asked == agent,
            Stage::Assigned {
                offer: Some(theirs),
                agent: owner,
            } if theirs == offer && owner == agent => return Ok(()),
            Stage::WrapUp { agent: owner, .. }
                if owner == agent
                    && engagement.offer_number(offer) == Some(engagement.last_offer) =>
            {
                return Ok(());
            }
            Stage::Assigned { .. } | Stage::WrapUp { .. } => {
                return Err(Rejection::AlreadyAssigned);
            }
            Stage::InFlow | Stage::Closed { .. } => false,
        };
        if !may {
            return Err(Rejection::StaleEpoch {
                seen: engagement.epoch,
                current: engagement.epoch,
            });
        }
        self.emit(Event::EngagementAssigned {
            offer: Some(offer.clone()),
            agent: agent.clone(),
            epoch: engagement.epoch,
            queue: engagement.queue.clone(),
            wrap_up_seconds,
        });
        Ok(())
    }

    /// Makes sure the engagement can be offered. Routing decides about offers: a new one takes
    /// the place of another whose end it could not report.
    fn free_for_offer(
        &mut self,
        engagement: &Engagement,
        offer: &OfferId,
    ) -> Result<(), Rejection> {
        match &engagement.stage {
            Stage::Queued => Ok(()),
            Stage::Offered {
                offer: same_or_old,
                agent,
            } => {
                if same_or_old != offer {
                    self.emit(Event::OfferEnded {
                        offer: same_or_old.clone(),
                        agent: agent.clone(),
                        outcome: "withdrawn".to_owned(),
                    });
                }
                Ok(())
            }
            Stage::Assigned { .. } | Stage::WrapUp { .. } => Err(Rejection::AlreadyAssigned),
            Stage::InFlow | Stage::Closed { .. } => Err(Rejection::StaleEpoch {
                seen: engagement.epoch,
                current: engagement.epoch,
            }),
        }
    }
}
