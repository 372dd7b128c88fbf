//! Agents, offers and engagements for the wire.

use core_routing::{Agent, Engagement, Offer, Phase, Presence, Routing};
use core_types::{AgentId, Timestamp};
use lib_proto::conversations as log;
use lib_proto::routing as pb;
use lib_proto::{timestamp_opt, timestamp_to_proto};

use crate::store::OfferRow;

pub(crate) fn presence_to_proto(presence: Presence) -> pb::AgentPresence {
    match presence {
        Presence::Offline => pb::AgentPresence::Offline,
        Presence::NotReady => pb::AgentPresence::NotReady,
        Presence::Ready => pb::AgentPresence::Ready,
    }
}

/// A presence an agent may ask for.
pub(crate) fn presence_from_proto(presence: i32) -> Option<Presence> {
    match pb::AgentPresence::try_from(presence) {
        Ok(pb::AgentPresence::Offline) => Some(Presence::Offline),
        Ok(pb::AgentPresence::NotReady) => Some(Presence::NotReady),
        Ok(pb::AgentPresence::Ready) => Some(Presence::Ready),
        Ok(pb::AgentPresence::Unspecified) | Err(_) => None,
    }
}

/// An agent, also one of whom only the queues know.
pub(crate) fn agent_to_proto(routing: &Routing, id: &AgentId) -> pb::Agent {
    let agent = routing.agent(id);
    let queues = routing
        .queues()
        .filter(|queue| queue.agents.contains(id))
        .map(|queue| queue.id.to_string());
    pb::Agent {
        id: id.to_string(),
        display_name: id.to_string(),
        presence: presence_to_proto(agent.map_or(Presence::Offline, |agent| agent.presence)).into(),
        capacity: agent.map_or(core_routing::DEFAULT_CAPACITY, |agent| agent.capacity),
        load: routing.load_of(id),
        idle_since: agent.map(|agent: &Agent| timestamp_to_proto(agent.idle_since)),
        queue_ids: queues.collect(),
    }
}

/// An offer as the desk sees it.
pub(crate) fn offer_to_proto(
    routing: &Routing,
    offer: &Offer,
    outcome: &str,
    ended_because: &str,
) -> pb::Offer {
    let engagement = routing
        .engagement(&offer.engagement)
        .filter(|engagement| engagement.epoch == offer.epoch);
    let row = OfferRow {
        offer: offer.clone(),
        conversation: engagement
            .map(|engagement| engagement.conversation.to_string())
            .unwrap_or_default(),
        queued_at: engagement.map_or(0, |engagement| engagement.queued_at.as_micros()),
        outcome: outcome.to_owned(),
        ended_because: ended_because.to_owned(),
    };
    let mut shown = past_offer_to_proto(&row, queue_name(routing, offer));
    if let Some(engagement) = engagement {
        shown.contact = Some((&engagement.contact).into());
        shown.last_message_summary.clone_from(&engagement.summary);
    }
    shown
}

/// An offer as history has it: without the customer.
pub(crate) fn past_offer_to_proto(row: &OfferRow, queue_name: String) -> pb::Offer {
    let offer = &row.offer;
    let queued_at = (row.queued_at > 0).then(|| Timestamp::from_micros(row.queued_at));
    pb::Offer {
        id: offer.id.to_string(),
        engagement_id: offer.engagement.to_string(),
        epoch: offer.epoch,
        conversation_id: row.conversation.clone(),
        queue_id: offer.queue.to_string(),
        queue_name,
        agent_id: offer.agent.to_string(),
        offered_at: Some(timestamp_to_proto(offer.offered_at)),
        expires_at: Some(timestamp_to_proto(offer.expires_at)),
        reason: offer.reason.clone(),
        outcome: row.outcome.clone(),
        contact: None,
        queued_at: timestamp_opt(queued_at),
        last_message_summary: String::new(),
        ended_because: row.ended_because.clone(),
    }
}

/// What people call an offer's queue; its id when it is gone.
pub(crate) fn queue_name(routing: &Routing, offer: &Offer) -> String {
    let queue = routing.queue(&offer.queue);
    queue.map_or_else(|| offer.queue.to_string(), |queue| queue.name.clone())
}

/// An engagement that occupies an agent.
pub(crate) fn desk_engagement(routing: &Routing, engagement: &Engagement) -> pb::DeskEngagement {
    let (state, until) = match &engagement.phase {
        Phase::WrapUp { until, .. } => ("wrap_up", *until),
        _ => ("assigned", None),
    };
    pb::DeskEngagement {
        engagement_id: engagement.id.to_string(),
        epoch: engagement.epoch,
        conversation_id: engagement.conversation.to_string(),
        queue_id: engagement.queue.to_string(),
        state: state.to_owned(),
        contact: Some((&engagement.contact).into()),
        dispositions: routing
            .queue(&engagement.queue)
            .map(|queue| queue.dispositions.clone())
            .unwrap_or_default(),
        wrap_up_until: timestamp_opt(until),
    }
}

/// Everything an agent's desk shows.
pub(crate) fn snapshot(routing: &Routing, agent: &AgentId) -> pb::DeskSnapshot {
    let mut shown = pb::DeskSnapshot {
        agent: Some(agent_to_proto(routing, agent)),
        ..pb::DeskSnapshot::default()
    };
    for engagement in routing.work_of(agent) {
        match &engagement.phase {
            Phase::Offered { offer } => {
                let offer = offer_to_proto(routing, offer, "open", "");
                shown.offers.push(offer);
            }
            Phase::Accepting { offer } => {
                let offer = offer_to_proto(routing, offer, "accepted", "");
                shown.offers.push(offer);
            }
            _ => shown.engagements.push(desk_engagement(routing, engagement)),
        }
    }
    shown
}

/// A report for the conversation log.
pub(crate) fn record(offer: &Offer, record: log::routing_record::Record) -> log::RoutingRecord {
    log::RoutingRecord {
        engagement_id: offer.engagement.to_string(),
        epoch: offer.epoch,
        record: Some(record),
    }
}
