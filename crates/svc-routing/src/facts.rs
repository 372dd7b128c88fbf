//! What routing reads in the conversation log, and the log's answers to what routing reports.

use core_routing::{Input, LogFact, Offer, Outcome, QueuedFact};
use core_types::{AgentId, EngagementId, OfferId, QueueId, TenantId, Timestamp};
use lib_proto::conversations::{self as log, log_entry::Event, routing_record::Record};
use lib_proto::{FieldError, identity_from_proto, timestamp_from_proto};

/// An entry as a fact; `None` when routing has no use for it.
///
/// # Errors
/// When an entry routing needs cannot be read.
pub(crate) fn fact_of(entry: log::LogEntry) -> Result<Option<(TenantId, LogFact)>, FieldError> {
    let Some(event) = entry.event else {
        return Ok(None);
    };
    let relevant = matches!(
        event,
        Event::EngagementQueued(_)
            | Event::EngagementOffered(_)
            | Event::OfferEnded(_)
            | Event::EngagementAssigned(_)
            | Event::WrapUpStarted(_)
            | Event::EngagementClosed(_)
    );
    if !relevant {
        return Ok(None);
    }
    let tenant = id("tenant_id", &entry.tenant_id, TenantId::new)?;
    let engagement = id("engagement_id", &entry.engagement_id, EngagementId::new)?;
    let recorded_at =
        timestamp_from_proto("recorded_at", entry.recorded_at)?.unwrap_or(Timestamp::EPOCH);
    let conversation = || {
        id(
            "conversation_id",
            &entry.conversation_id,
            core_types::ConversationId::new,
        )
    };
    let fact = match event {
        Event::EngagementQueued(queued) => LogFact::Queued(QueuedFact {
            engagement,
            conversation: conversation()?,
            epoch: queued.epoch,
            queue: id("queue_id", &queued.queue_id, QueueId::new)?,
            priority: queued.priority,
            queued_at: timestamp_from_proto("queued_at", queued.queued_at)?.unwrap_or(recorded_at),
            contact: identity_from_proto(queued.contact.unwrap_or_default()),
            summary: queued.last_message_summary,
        }),
        Event::EngagementOffered(offered) => {
            LogFact::Offered(offer_of(engagement, offered, recorded_at)?)
        }
        Event::OfferEnded(ended) => LogFact::OfferEnded {
            engagement,
            offer: id("offer_id", &ended.offer_id, OfferId::new)?,
            outcome: match ended.outcome.as_str() {
                "declined" => Outcome::Declined,
                "expired" => Outcome::Expired,
                _ => Outcome::Withdrawn,
            },
        },
        Event::EngagementAssigned(assigned) => LogFact::Assigned {
            engagement,
            conversation: conversation()?,
            epoch: assigned.epoch,
            agent: id("agent_id", &assigned.agent_id, AgentId::new)?,
            // An engagement assigned without a queue is work all the same.
            queue: match assigned.queue_id.as_str() {
                "" => id("queue_id", "none", QueueId::new)?,
                queue => id("queue_id", queue, QueueId::new)?,
            },
            offer: OfferId::new(&assigned.offer_id).ok(),
        },
        Event::WrapUpStarted(started) => LogFact::WrapUp {
            engagement,
            epoch: started.epoch,
            until: timestamp_from_proto("until", started.until)?,
        },
        _ => LogFact::Closed(engagement),
    };
    Ok(Some((tenant, fact)))
}

fn offer_of(
    engagement: EngagementId,
    offered: log::EngagementOffered,
    recorded_at: Timestamp,
) -> Result<Offer, FieldError> {
    let expires_at = timestamp_from_proto("expires_at", offered.expires_at)?;
    Ok(Offer {
        id: id("offer_id", &offered.offer_id, OfferId::new)?,
        engagement,
        epoch: offered.epoch,
        // The log does not repeat it, and the core does not read it.
        queue: id("queue_id", "unknown", QueueId::new)?,
        agent: id("agent_id", &offered.agent_id, AgentId::new)?,
        offered_at: recorded_at,
        expires_at: expires_at.unwrap_or(recorded_at),
        reason: offered.reason,
    })
}

fn id<T, E: std::fmt::Display>(
    field: &str,
    text: &str,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, FieldError> {
    make(text.to_owned()).map_err(|error| FieldError::new(field, error.to_string()))
}

/// What the log's answer to a report means for routing; `None` when nothing follows from it.
pub(crate) fn answer_to(
    report: &log::RoutingRecord,
    accepted: bool,
    reason: &str,
) -> Option<Input> {
    let engagement = EngagementId::new(&report.engagement_id).ok()?;
    match report.record.as_ref()? {
        Record::Assign(assign) if accepted => Some(Input::AssignConfirmed {
            engagement,
            offer: OfferId::new(&assign.offer_id).ok()?,
        }),
        record @ (Record::Assign(log::Assign { offer_id, .. })
        | Record::Offered(log::EngagementOffered { offer_id, .. }))
            if !accepted =>
        {
            Some(Input::LogRefused {
                engagement,
                offer: OfferId::new(offer_id).ok()?,
                assignment: matches!(record, Record::Assign(_)),
                reason: reason.to_owned(),
            })
        }
        _ => None,
    }
}
