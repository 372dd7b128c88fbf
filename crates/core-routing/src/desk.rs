//! What agents do: open and leave a desk, become ready, accept and decline.

use core_types::{AgentId, EngagementId, OfferId, Timestamp};

use crate::input::{Answer, Effect, Rejection};
use crate::model::{Engagement, MAX_CAPACITY, Outcome, Phase, Presence};
use crate::state::Routing;

/// The engagement inside an offer id.
fn engagement_of(offer: &OfferId) -> Option<EngagementId> {
    let (engagement, _) = offer.as_str().rsplit_once(".o")?;
    EngagementId::new(engagement).ok()
}

/// Refuses a command that saw something else than what is.
fn seen(engagement: &Engagement, epoch: u32) -> Result<(), Rejection> {
    if engagement.epoch == epoch {
        Ok(())
    } else {
        Err(Rejection::StaleEpoch(engagement.epoch))
    }
}

/// What became of an engagement whose offer is gone, for the agent who asks.
fn fate(engagement: &Engagement) -> String {
    match &engagement.phase {
        Phase::Waiting => "it ended, and the engagement waits in line again",
        Phase::Offered { .. } | Phase::Accepting { .. } => {
            "it ended, and the engagement is offered anew"
        }
        Phase::Held { .. } => "the conversation has moved on",
        Phase::Assigned { .. } | Phase::WrapUp { .. } => "an agent has the engagement",
    }
    .to_owned()
}

impl Routing {
    pub(crate) fn connect(
        &mut self,
        agent: &AgentId,
        capacity: Option<u32>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        self.change_agent(agent, now, |agent| {
            agent.connected = true;
            if agent.presence == Presence::Offline {
                agent.presence = Presence::NotReady;
            }
            if let Some(capacity) = capacity {
                agent.capacity = capacity.clamp(1, MAX_CAPACITY);
            }
        });
        self.take_back_surplus(agent, effects);
        Answer::Done
    }

    /// Takes back open offers until the rest fits the agent's capacity: the newest first, of
    /// equals the last in line. What is accepted or owned stays, even if it is more.
    pub(crate) fn take_back_surplus(&mut self, agent: &AgentId, effects: &mut Vec<Effect>) {
        let Some(capacity) = self.agent(agent).map(|agent| agent.capacity) else {
            return;
        };
        let surplus = self.load_of(agent).saturating_sub(capacity) as usize;
        if surplus == 0 {
            return;
        }
        let mut open: Vec<_> = self
            .work_of(agent)
            .filter_map(|engagement| match &engagement.phase {
                Phase::Offered { offer } => Some((offer.offered_at, engagement.place())),
                _ => None,
            })
            .collect();
        open.sort();
        let why = format!("you serve no more than {capacity} at once now");
        for (_, place) in open.into_iter().rev().take(surplus) {
            self.take_back(&place.engagement, &why, effects);
        }
    }

    pub(crate) fn disconnect(
        &mut self,
        agent: &AgentId,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        self.change_agent(agent, now, |agent| agent.connected = false);
        self.take_back_from(agent, "the agent's desk was closed", effects);
        Answer::Done
    }

    pub(crate) fn absent(
        &mut self,
        agent: &AgentId,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let ghost = self
            .agent(agent)
            .is_some_and(|agent| !agent.connected && agent.presence == Presence::Ready);
        if ghost {
            self.set_presence(agent, Presence::NotReady, now, effects);
        }
        Answer::Done
    }

    pub(crate) fn set_presence(
        &mut self,
        agent: &AgentId,
        presence: Presence,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let before = self.agent(agent).map(|agent| agent.presence);
        if before == Some(presence) {
            return Answer::Done;
        }
        self.change_agent(agent, now, |agent| {
            agent.presence = presence;
            agent.idle_since = now;
        });
        effects.push(Effect::PresenceChanged {
            agent: agent.clone(),
            presence,
        });
        if presence == Presence::Ready {
            self.forget_passes(agent);
        } else {
            self.take_back_from(agent, "the agent is no longer ready", effects);
        }
        Answer::Done
    }

    /// Who becomes ready is asked like anybody else: what passed the agent by before, perhaps
    /// because nobody was there, does not count any more.
    fn forget_passes(&mut self, agent: &AgentId) {
        let passed: Vec<Engagement> = self
            .engagements()
            .filter(|engagement| engagement.passed_by.contains(agent))
            .cloned()
            .collect();
        for mut engagement in passed {
            engagement.passed_by.remove(agent);
            if engagement.passed_by.is_empty() {
                engagement.rests_until = None;
            }
            self.put(engagement);
        }
    }

    fn take_back_from(&mut self, agent: &AgentId, why: &str, effects: &mut Vec<Effect>) {
        for engagement in self.open_offers(|_, open| open.agent() == Some(agent)) {
            self.take_back(&engagement, why, effects);
        }
    }

    /// Idempotent: accepting again what one has accepted is no error (`reliability.md` 0, item 7).
    pub(crate) fn accept(
        &mut self,
        agent: &AgentId,
        offer_id: &OfferId,
        epoch: u32,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        // Offers a rebuild found in the log may be more than fit now.
        self.take_back_surplus(agent, effects);
        let mut engagement = match self.commanded(offer_id, epoch) {
            Ok(engagement) => engagement,
            Err(rejection) => return Answer::Rejected(rejection),
        };
        match &engagement.phase {
            Phase::Offered { offer } if offer.id == *offer_id => {
                if offer.agent != *agent {
                    return Answer::Rejected(Rejection::NotYours);
                }
                if offer.expires_at <= now {
                    let why = "it was not answered in time".to_owned();
                    return Answer::Rejected(Rejection::OfferGone(why));
                }
                let offer = offer.clone();
                let wrap_up_seconds = self
                    .queue(&engagement.queue)
                    .map_or(0, |queue| queue.wrap_up_seconds);
                engagement.phase = Phase::Accepting {
                    offer: offer.clone(),
                };
                self.put(engagement);
                effects.push(Effect::AskAssign {
                    offer,
                    wrap_up_seconds,
                });
                Answer::Pending
            }
            Phase::Accepting { offer } if offer.id == *offer_id => {
                if offer.agent == *agent {
                    Answer::Pending
                } else {
                    Answer::Rejected(Rejection::NotYours)
                }
            }
            Phase::Assigned {
                agent: owner,
                offer: Some(by),
            }
            | Phase::WrapUp {
                agent: owner,
                offer: Some(by),
                ..
            } if by == offer_id => {
                if owner == agent {
                    Answer::Done
                } else {
                    Answer::Rejected(Rejection::NotYours)
                }
            }
            _ => Answer::Rejected(Rejection::OfferGone(fate(&engagement))),
        }
    }

    pub(crate) fn decline(
        &mut self,
        agent: &AgentId,
        offer_id: &OfferId,
        epoch: u32,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let mut engagement = match self.commanded(offer_id, epoch) {
            Ok(engagement) => engagement,
            Err(rejection) => return Answer::Rejected(rejection),
        };
        let (Phase::Offered { offer } | Phase::Accepting { offer }) = &engagement.phase else {
            let rejection = match &engagement.phase {
                Phase::Assigned { offer, .. } | Phase::WrapUp { offer, .. }
                    if offer.as_ref() == Some(offer_id) =>
                {
                    Rejection::AlreadyAccepted
                }
                _ => Rejection::OfferGone(fate(&engagement)),
            };
            return Answer::Rejected(rejection);
        };
        if offer.id != *offer_id {
            return Answer::Rejected(Rejection::OfferGone(fate(&engagement)));
        }
        if offer.agent != *agent {
            return Answer::Rejected(Rejection::NotYours);
        }
        if matches!(engagement.phase, Phase::Accepting { .. }) {
            return Answer::Rejected(Rejection::AlreadyAccepted);
        }
        let offer = offer.clone();
        engagement.phase = Phase::Waiting;
        engagement.let_pass(agent.clone(), now);
        self.put(engagement);
        // Who declines goes behind the other agents, or would be asked first for ever.
        self.change_agent(agent, now, |agent| agent.idle_since = now);
        effects.push(Effect::Ended {
            offer,
            outcome: Outcome::Declined,
            because: "declined".to_owned(),
            tell_log: true,
        });
        Answer::Done
    }

    /// The engagement a command is about, if the command saw what is.
    fn commanded(&self, offer: &OfferId, epoch: u32) -> Result<Engagement, Rejection> {
        let engagement = engagement_of(offer).and_then(|id| self.engagement(&id));
        let Some(engagement) = engagement else {
            let why = "the engagement is closed or was never here".to_owned();
            return Err(Rejection::OfferGone(why));
        };
        seen(engagement, epoch)?;
        Ok(engagement.clone())
    }

    pub(crate) fn restart(&mut self) -> Answer {
        let connected: Vec<AgentId> = self
            .agents()
            .filter(|agent| agent.connected)
            .map(|agent| agent.id.clone())
            .collect();
        for agent in connected {
            self.change_agent(&agent, Timestamp::EPOCH, |agent| agent.connected = false);
        }
        Answer::Done
    }

    pub(crate) fn caught_up(&mut self, effects: &mut Vec<Effect>) -> Answer {
        let lost = self.open_offers(|this, open| {
            let agent = open.agent().and_then(|agent| this.agent(agent));
            !agent.is_some_and(crate::model::Agent::is_ready)
        });
        for engagement in lost {
            self.take_back(&engagement, "the agent's desk was closed", effects);
        }
        // The log has said nothing of these: they get another chance.
        let held: Vec<Engagement> = self
            .engagements()
            .filter(|engagement| matches!(engagement.phase, Phase::Held { .. }))
            .cloned()
            .collect();
        for mut engagement in held {
            engagement.phase = Phase::Waiting;
            self.put(engagement);
        }
        Answer::Done
    }
}
