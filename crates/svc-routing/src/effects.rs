//! What the core wants done for a tenant, as rows to store, reports for the log and events for
//! desks.

use core_routing::{Effect, Offer, Outcome};
use core_types::{AgentId, EngagementId, OfferId};
use lib_proto::conversations::{self as log, routing_record::Record};
use lib_proto::routing::{self as pb, desk_event::Event};
use lib_proto::timestamp_to_proto;
use prost::Message as _;

use crate::convert::{desk_engagement, offer_to_proto, presence_to_proto, record};
use crate::seat::Done;
use crate::store::OfferRow;
use crate::tenant::{Batch, Tenant};
use crate::write::Write;

impl Tenant {
    fn report(&self, report: log::RoutingRecord, batch: &mut Batch) {
        batch.last_outgoing += 1;
        batch.writes.push(Write::Outgoing {
            number: batch.last_outgoing,
            tenant: self.id.clone(),
            record: report.encode_to_vec(),
        });
    }

    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>, batch: &mut Batch) {
        for effect in effects {
            match effect {
                Effect::Offered(offer) => self.offered(offer, batch),
                Effect::AskAssign {
                    offer,
                    wrap_up_seconds,
                } => {
                    let assign = log::Assign {
                        offer_id: offer.id.to_string(),
                        agent_id: offer.agent.to_string(),
                        wrap_up_seconds,
                    };
                    self.report(record(&offer, Record::Assign(assign)), batch);
                }
                Effect::Ended {
                    offer,
                    outcome,
                    because,
                    tell_log,
                } => self.ended(&offer, outcome, because, tell_log, batch),
                Effect::Assigned {
                    agent,
                    engagement,
                    offer,
                } => self.assigned(&agent, &engagement, offer, batch),
                Effect::WrapUp { agent, engagement } => {
                    if let Some(shown) = self.shown(&engagement) {
                        self.emit(&agent, Event::WrapUp(shown), batch);
                    }
                }
                Effect::Released {
                    agent,
                    engagement,
                    epoch,
                    conversation,
                    queue,
                } => {
                    let shown = pb::DeskEngagement {
                        engagement_id: engagement.to_string(),
                        epoch,
                        conversation_id: conversation.to_string(),
                        queue_id: queue.to_string(),
                        state: "released".to_owned(),
                        ..pb::DeskEngagement::default()
                    };
                    self.emit(&agent, Event::Released(shown), batch);
                }
                Effect::PresenceChanged { agent, presence } => {
                    let event = Event::Presence(presence_to_proto(presence).into());
                    self.emit(&agent, event, batch);
                }
            }
        }
    }

    fn shown(&self, engagement: &EngagementId) -> Option<pb::DeskEngagement> {
        let engagement = self.routing.engagement(engagement)?;
        Some(desk_engagement(&self.routing, engagement))
    }

    fn offered(&mut self, offer: Offer, batch: &mut Batch) {
        let engagement = self.routing.engagement(&offer.engagement);
        batch.last_offer += batch.offer_step;
        batch.writes.push(Write::Offer {
            number: batch.last_offer,
            tenant: self.id.clone(),
            row: Box::new(OfferRow {
                offer: offer.clone(),
                conversation: engagement.map_or_else(String::new, |e| e.conversation.to_string()),
                queued_at: engagement.map_or(0, |engagement| engagement.queued_at.as_micros()),
                outcome: "open".to_owned(),
                ended_because: String::new(),
            }),
        });
        let report = log::EngagementOffered {
            offer_id: offer.id.to_string(),
            agent_id: offer.agent.to_string(),
            epoch: offer.epoch,
            expires_at: Some(timestamp_to_proto(offer.expires_at)),
            reason: offer.reason.clone(),
        };
        self.report(record(&offer, Record::Offered(report)), batch);
        let shown = offer_to_proto(&self.routing, &offer, "open", "");
        self.emit(&offer.agent, Event::Offered(shown), batch);
    }

    fn ended(
        &mut self,
        offer: &Offer,
        outcome: Outcome,
        because: String,
        tell_log: bool,
        batch: &mut Batch,
    ) {
        if tell_log {
            let report = log::OfferEnded {
                offer_id: offer.id.to_string(),
                agent_id: offer.agent.to_string(),
                outcome: outcome.word().to_owned(),
            };
            self.report(record(offer, Record::OfferEnded(report)), batch);
        }
        let shown = offer_to_proto(&self.routing, offer, outcome.word(), &because);
        self.emit(&offer.agent, Event::OfferEnded(shown), batch);
        for command_id in self.answered(&offer.agent, &offer.engagement, Some(&offer.id)) {
            let done = Done::refused(command_id, "OFFER_GONE", because.clone());
            self.finish(&offer.agent, done, batch);
        }
        batch.writes.push(Write::OfferEnded {
            tenant: self.id.clone(),
            id: offer.id.clone(),
            outcome: outcome.word(),
            because,
        });
    }

    fn assigned(
        &mut self,
        agent: &AgentId,
        engagement: &EngagementId,
        offer: Option<OfferId>,
        batch: &mut Batch,
    ) {
        if let Some(id) = offer {
            batch.writes.push(Write::OfferEnded {
                tenant: self.id.clone(),
                id,
                outcome: Outcome::Accepted.word(),
                because: "accepted".to_owned(),
            });
        }
        if let Some(shown) = self.shown(engagement) {
            self.emit(agent, Event::Assigned(shown), batch);
        }
        for command_id in self.answered(agent, engagement, None) {
            self.finish(agent, Done::accepted(command_id), batch);
        }
    }

    fn answered(
        &mut self,
        agent: &AgentId,
        engagement: &EngagementId,
        offer: Option<&OfferId>,
    ) -> Vec<String> {
        self.seats
            .get_mut(agent)
            .map(|seat| seat.answered(engagement, offer))
            .unwrap_or_default()
    }
}
