//! What services tell the log, from the wire.

use core_conversation::{AttemptOutcome, RoutingRecord};
use core_types::{AgentId, EngagementId, Fact, MessageId, OfferId, Timestamp, WhatsAppMessageId};
use lib_proto::{FieldError, conversations as pb, required, timestamp_from_proto};

use crate::committer::{Item, Unit, What};

fn id<T>(field: &str, value: Result<T, core_types::IdError>) -> Result<T, FieldError> {
    value.map_err(|error| FieldError::new(field, error.to_string()))
}

/// An item of a webhook.
pub(crate) fn item(item: pb::ReceivedItem, now: Timestamp) -> Result<Unit, FieldError> {
    let fact = Fact::try_from(required("fact", item.fact)?).map_err(|e| e.within("fact"))?;
    let admitted_at = timestamp_from_proto("admitted_at", item.admitted_at)?.unwrap_or(now);
    Ok(Unit {
        what: What::Receive(Box::new(Item { fact, admitted_at })),
        traceparent: item.traceparent,
    })
}

/// An attempt's key.
pub(crate) fn attempt_key(key: Option<pb::AttemptKey>) -> Result<(MessageId, u32), FieldError> {
    let key = required("attempt", key)?;
    Ok((
        id("attempt.message_id", MessageId::new(&key.message_id))?,
        key.attempt,
    ))
}

/// How an attempt ended.
pub(crate) fn result(result: pb::AttemptResult) -> Result<What, FieldError> {
    use pb::attempt_result::Outcome;
    let (message, attempt) = attempt_key(result.attempt)?;
    let outcome = match required("outcome", result.outcome)? {
        Outcome::Accepted(accepted) => AttemptOutcome::Accepted(id(
            "accepted.whatsapp_message_id",
            WhatsAppMessageId::new(&accepted.whatsapp_message_id),
        )?),
        Outcome::Rejected(rejected) => {
            AttemptOutcome::Rejected(rejected.error.map(Into::into).unwrap_or_default())
        }
        Outcome::NotSent(not_sent) => AttemptOutcome::NotSent {
            retry_at: timestamp_from_proto("not_sent.retry_at", not_sent.retry_at)?
                .unwrap_or(Timestamp::EPOCH),
            cause: not_sent.cause,
        },
        Outcome::Ambiguous(ambiguous) => AttemptOutcome::Ambiguous(ambiguous.cause),
    };
    Ok(What::Finish(message, attempt, outcome))
}

/// What routing did.
pub(crate) fn routing(record: pb::RoutingRecord) -> Result<What, FieldError> {
    use pb::routing_record::Record;
    let engagement = id("engagement_id", EngagementId::new(&record.engagement_id))?;
    let agent = |text: &str| id("agent_id", AgentId::new(text));
    let offer = |text: &str| id("offer_id", OfferId::new(text));
    let what = match required("record", record.record)? {
        Record::Offered(offered) => RoutingRecord::Offered {
            offer: offer(&offered.offer_id)?,
            agent: agent(&offered.agent_id)?,
            expires_at: timestamp_from_proto("offered.expires_at", offered.expires_at)?,
            reason: offered.reason,
        },
        Record::OfferEnded(ended) => RoutingRecord::OfferEnded {
            offer: offer(&ended.offer_id)?,
            agent: agent(&ended.agent_id)?,
            outcome: ended.outcome,
        },
        Record::Assign(assign) => RoutingRecord::Assign {
            offer: offer(&assign.offer_id)?,
            agent: agent(&assign.agent_id)?,
            wrap_up_seconds: assign.wrap_up_seconds,
        },
    };
    Ok(What::Routing(engagement, record.epoch, what))
}
