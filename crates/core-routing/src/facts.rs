//! What the conversation log says. The log is the truth about engagements: where it contradicts
//! what routing believes, routing gives way.

use std::collections::BTreeSet;

use core_types::{
    AgentId, ContactIdentity, ConversationId, EngagementId, OfferId, QueueId, Timestamp,
};

use crate::input::{Answer, Effect, LogFact, QueuedFact};
use crate::model::{Engagement, Offer, Outcome, Phase, offer_number};
use crate::state::Routing;

impl Routing {
    pub(crate) fn log_fact(
        &mut self,
        fact: LogFact,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        match fact {
            LogFact::Queued(queued) => self.queued(queued, now, effects),
            LogFact::Offered(offer) => self.offered_by_log(offer, now),
            LogFact::OfferEnded {
                engagement,
                offer,
                outcome,
            } => self.ended_by_log(&engagement, &offer, outcome, effects),
            LogFact::Assigned {
                engagement,
                conversation,
                epoch,
                agent,
                queue,
                offer,
            } => {
                let known = self.engagement(&engagement).cloned();
                let base = known.unwrap_or_else(|| unknown(engagement, conversation, queue, now));
                self.assigned_by_log(base, epoch, &agent, offer, now, effects);
            }
            LogFact::WrapUp {
                engagement,
                epoch,
                until,
            } => self.wrap_up(&engagement, epoch, until, effects),
            LogFact::Closed(engagement) => {
                if let Some(closed) = self.remove(&engagement) {
                    self.leave(&closed, "the engagement was closed", now, effects);
                }
            }
        }
        Answer::Done
    }

    fn queued(&mut self, fact: QueuedFact, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut owner = None;
        if let Some(known) = self.engagement(&fact.engagement).cloned() {
            if known.epoch >= fact.epoch {
                return;
            }
            let why = format!("the engagement was moved to the queue `{}`", fact.queue);
            self.leave(&known, &why, now, effects);
            if let Phase::Assigned { agent, .. } | Phase::WrapUp { agent, .. } = known.phase {
                owner = Some(agent);
            }
        }
        let arrival = self.next_arrival();
        let mut engagement = Engagement {
            id: fact.engagement,
            epoch: fact.epoch,
            conversation: fact.conversation,
            queue: fact.queue,
            priority: fact.priority,
            queued_at: fact.queued_at,
            arrival,
            contact: fact.contact,
            summary: fact.summary,
            phase: Phase::Waiting,
            offers: 0,
            passed_by: BTreeSet::new(),
            rests_until: None,
        };
        // Who transfers an engagement to a queue of their own means the others in it.
        if let Some(owner) = owner {
            engagement.let_pass(owner, now);
        }
        self.put(engagement);
    }

    /// An offer we made ourselves is known. Only when the state is rebuilt from the log it is not:
    /// then it is taken on, so that its number is never used twice.
    fn offered_by_log(&mut self, mut offer: Offer, now: Timestamp) {
        let Some(mut engagement) = self.engagement(&offer.engagement).cloned() else {
            return;
        };
        let number = offer_number(&offer.id).unwrap_or(0);
        if engagement.epoch != offer.epoch || number <= engagement.offers {
            return;
        }
        engagement.offers = number;
        if engagement.phase == Phase::Waiting {
            self.change_agent(&offer.agent, now, |_| {});
            offer.queue = engagement.queue.clone();
            engagement.phase = Phase::Offered { offer };
        }
        self.put(engagement);
    }

    fn ended_by_log(
        &mut self,
        id: &EngagementId,
        offer: &OfferId,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut engagement) = self.engagement(id).cloned() else {
            return;
        };
        let open = match &engagement.phase {
            Phase::Offered { offer: open } if open.id == *offer => open.clone(),
            _ => return,
        };
        if matches!(outcome, Outcome::Declined | Outcome::Expired) {
            engagement.passed_by.insert(open.agent.clone());
        }
        engagement.phase = Phase::Waiting;
        self.put(engagement);
        effects.push(Effect::Ended {
            offer: open,
            outcome,
            because: format!("the conversation log says it was {}", outcome.word()),
            tell_log: false,
        });
    }

    fn assigned_by_log(
        &mut self,
        mut engagement: Engagement,
        epoch: u32,
        agent: &AgentId,
        mut offer: Option<OfferId>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if engagement.epoch > epoch {
            return;
        }
        match &engagement.phase {
            Phase::Assigned { agent: owner, .. } | Phase::WrapUp { agent: owner, .. }
                if owner == agent =>
            {
                if engagement.epoch == epoch {
                    return;
                }
                // The customer wrote during wrap-up: the owner takes it up again.
            }
            Phase::Offered { offer: ours } | Phase::Accepting { offer: ours }
                if ours.agent == *agent =>
            {
                offer = offer.or_else(|| Some(ours.id.clone()));
            }
            _ => self.leave(
                &engagement,
                "another agent has the engagement",
                now,
                effects,
            ),
        }
        engagement.epoch = epoch;
        self.assign(engagement, agent, offer, now, effects);
    }

    fn assign(
        &mut self,
        mut engagement: Engagement,
        agent: &AgentId,
        offer: Option<OfferId>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let id = engagement.id.clone();
        engagement.phase = Phase::Assigned {
            agent: agent.clone(),
            offer: offer.clone(),
        };
        engagement.passed_by.clear();
        engagement.rests_until = None;
        self.put(engagement);
        self.change_agent(agent, now, |agent| agent.idle_since = now);
        effects.push(Effect::Assigned {
            agent: agent.clone(),
            engagement: id,
            offer,
        });
        self.take_back_surplus(agent, effects);
    }

    pub(crate) fn assign_confirmed(
        &mut self,
        id: &EngagementId,
        offer_id: &OfferId,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let Some(engagement) = self.engagement(id).cloned() else {
            return Answer::Done;
        };
        if let Phase::Accepting { offer } = &engagement.phase
            && offer.id == *offer_id
        {
            let agent = offer.agent.clone();
            self.assign(engagement, &agent, Some(offer_id.clone()), now, effects);
        }
        Answer::Done
    }

    /// Whatever the reason, the log knows something we do not; offering again at once would only
    /// be refused again.
    pub(crate) fn log_refused(
        &mut self,
        id: &EngagementId,
        offer_id: &OfferId,
        (assignment, reason): (bool, String),
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let Some(mut engagement) = self.engagement(id).cloned() else {
            return Answer::Done;
        };
        let offer = match &engagement.phase {
            Phase::Accepting { offer } if assignment && offer.id == *offer_id => offer.clone(),
            Phase::Offered { offer } if !assignment && offer.id == *offer_id => offer.clone(),
            _ => return Answer::Done,
        };
        effects.push(Effect::Ended {
            because: format!("the conversation log refused it ({reason})"),
            outcome: Outcome::Withdrawn,
            tell_log: false,
            offer,
        });
        engagement.phase = Phase::Held { reason };
        self.put(engagement);
        Answer::Done
    }

    fn wrap_up(
        &mut self,
        id: &EngagementId,
        epoch: u32,
        until: Option<Timestamp>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut engagement) = self.engagement(id).cloned() else {
            return;
        };
        let Phase::Assigned { agent, offer } = engagement.phase else {
            return;
        };
        if engagement.epoch != epoch {
            return;
        }
        engagement.phase = Phase::WrapUp {
            agent: agent.clone(),
            offer,
            until,
        };
        self.put(engagement);
        effects.push(Effect::WrapUp {
            agent,
            engagement: id.clone(),
        });
    }

    /// Tells whoever had to do with `before` that it is theirs no longer.
    fn leave(&mut self, before: &Engagement, why: &str, now: Timestamp, effects: &mut Vec<Effect>) {
        match &before.phase {
            Phase::Waiting | Phase::Held { .. } => {}
            Phase::Offered { offer } | Phase::Accepting { offer } => effects.push(Effect::Ended {
                offer: offer.clone(),
                outcome: Outcome::Withdrawn,
                because: why.to_owned(),
                tell_log: false,
            }),
            Phase::Assigned { agent, .. } | Phase::WrapUp { agent, .. } => {
                self.change_agent(agent, now, |agent| agent.idle_since = now);
                effects.push(Effect::Released {
                    agent: agent.clone(),
                    engagement: before.id.clone(),
                    epoch: before.epoch,
                    conversation: before.conversation.clone(),
                    queue: before.queue.clone(),
                });
            }
        }
    }
}

/// An engagement we first hear of when it has an owner already.
fn unknown(
    id: EngagementId,
    conversation: ConversationId,
    queue: QueueId,
    now: Timestamp,
) -> Engagement {
    Engagement {
        id,
        epoch: 0,
        conversation,
        queue,
        priority: 0,
        queued_at: now,
        arrival: 0,
        contact: ContactIdentity::default(),
        summary: String::new(),
        phase: Phase::Waiting,
        offers: 0,
        passed_by: BTreeSet::new(),
        rests_until: None,
    }
}
