//! Who is offered what: offers that were not answered end, then the first in line goes to the
//! agent who has been idle longest, for as long as both exist.

use core_types::{AgentId, QueueId, Timestamp};

use crate::input::Effect;
use crate::model::{Engagement, Offer, Outcome, Phase, Place, Presence, offer_id};
use crate::state::Routing;

impl Routing {
    /// Does what is due: ends expired offers and pauses, takes back what exceeds a capacity, and
    /// makes new offers.
    pub fn settle(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(engagement) = self.due(now) {
            self.expire(engagement, now, &mut effects);
        }
        for agent in self.overloaded() {
            self.take_back_surplus(&agent, &mut effects);
        }
        while let Some(mut engagement) = self.rested(now) {
            engagement.rests_until = None;
            self.put(engagement);
        }
        while let Some(engagement) = self.next_to_offer() {
            self.make_offer(engagement, now, &mut effects);
        }
        effects
    }

    /// An agent who lets an offer expire is not there: not ready, so that one ghost does not hold
    /// up the whole queue, one offer after the other.
    fn expire(&mut self, mut engagement: Engagement, now: Timestamp, effects: &mut Vec<Effect>) {
        let Phase::Offered { offer } = engagement.phase else {
            return;
        };
        let agent = offer.agent.clone();
        engagement.phase = Phase::Waiting;
        engagement.let_pass(agent.clone(), now);
        self.put(engagement);
        let seconds = offer.expires_at.since(offer.offered_at).as_secs();
        effects.push(Effect::Ended {
            offer,
            outcome: Outcome::Expired,
            because: format!("not answered within {seconds} s; you are not ready now"),
            tell_log: true,
        });
        if self
            .agent(&agent)
            .is_some_and(|agent| agent.presence == Presence::Ready)
        {
            self.set_presence(&agent, Presence::NotReady, now, effects);
        }
    }

    /// The first in line, over all queues, for whom somebody is free whom it has not just passed.
    fn next_to_offer(&self) -> Option<Engagement> {
        if self.free().is_empty() {
            return None;
        }
        let mut first: Option<(&Place, &Engagement)> = None;
        for (queue, line) in self.lines() {
            let free = self.free_in(queue);
            if free.is_empty() {
                continue;
            }
            // Those who rest are few: each was declined within the last seconds.
            let offerable = line
                .iter()
                .take_while(|place| first.is_none_or(|(best, _)| *place < best))
                .filter_map(|place| Some((place, self.engagement(&place.engagement)?)))
                .find(|(_, waiting)| free.iter().any(|agent| waiting.may_ask(agent)));
            first = offerable.or(first);
        }
        first.map(|(_, engagement)| engagement.clone())
    }

    fn make_offer(
        &mut self,
        mut engagement: Engagement,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(queue) = self.queue(&engagement.queue) else {
            return;
        };
        let expires_at = now.plus(std::time::Duration::from_secs(queue.offer_seconds.into()));
        let free = self.free_in(&engagement.queue);
        let fresh = |agent: &&AgentId| !engagement.passed_by.contains(*agent);
        let longest_idle = free
            .iter()
            .copied()
            .filter(fresh)
            .min_by_key(|agent| self.turn(agent))
            .cloned();
        let agent = match longest_idle {
            Some(agent) => agent,
            None if engagement.rests_until.is_some() => return,
            // Everybody who is free has let it pass, and the pause is over: ask everybody again.
            None => match free.iter().copied().min_by_key(|agent| self.turn(agent)) {
                Some(agent) => {
                    let again = agent.clone();
                    engagement.passed_by.clear();
                    again
                }
                None => return,
            },
        };
        let reason = self.offer_reason(&engagement, &agent, now);
        engagement.offers += 1;
        match offer_id(&engagement.id, engagement.epoch, engagement.offers) {
            Ok(id) => {
                let offer = Offer {
                    id,
                    engagement: engagement.id.clone(),
                    epoch: engagement.epoch,
                    queue: engagement.queue.clone(),
                    agent,
                    offered_at: now,
                    expires_at,
                    reason,
                };
                effects.push(Effect::Offered(offer.clone()));
                engagement.phase = Phase::Offered { offer };
            }
            // Visible, and out of the way of the others.
            Err(error) => {
                engagement.phase = Phase::Held {
                    reason: error.to_string(),
                };
            }
        }
        self.put(engagement);
    }

    /// Free agents of a queue.
    pub(crate) fn free_in(&self, queue: &QueueId) -> Vec<&AgentId> {
        self.free()
            .iter()
            .filter(|agent| self.serves(agent, queue))
            .collect()
    }

    /// Whose turn it is, smallest first: who serves nobody before who does, then who has had
    /// nothing new for longest, then by id.
    fn turn(&self, agent: &AgentId) -> (bool, Timestamp, AgentId) {
        let idle_since = self
            .agent(agent)
            .map_or(Timestamp::EPOCH, |agent| agent.idle_since);
        (self.load_of(agent) > 0, idle_since, agent.clone())
    }
}
