//! Our records as the contract's messages.

use core_conversation::{
    Conversation, Direction, Engagement, Event, Message, SendOutcome, SendState, Stage,
};
use core_types::{PlatformError, Timestamp};
use lib_proto::{conversations as pb, timestamp_opt, timestamp_to_proto};
use pb::log_entry::Event as Wire;

use crate::store::write::{LogEvent, NewEntry};

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A conversation at `now`.
pub(crate) fn conversation(conversation: &Conversation, now: Timestamp) -> pb::Conversation {
    pb::Conversation {
        id: conversation.id.to_string(),
        number_id: conversation.number_id.to_string(),
        contact: Some((&conversation.contact).into()),
        window: Some(pb::Window {
            open: conversation.window_open(now),
            closes_at: timestamp_opt(conversation.window_closes_at),
            free_entry_point_until: timestamp_opt(conversation.free_entry_point_until),
        }),
        engagement_id: text(conversation.engagement.as_ref().map(|it| &it.id)),
        last_activity_at: Some(timestamp_to_proto(conversation.last_activity_at)),
        last_message_summary: conversation.summary.clone(),
        sequence: conversation.sequence,
    }
}

/// An engagement of `conversation`.
pub(crate) fn engagement(engagement: &Engagement, conversation: &Conversation) -> pb::Engagement {
    let state = match &engagement.stage {
        Stage::InFlow => pb::EngagementState::InFlow,
        Stage::Queued => pb::EngagementState::Queued,
        Stage::Offered { .. } => pb::EngagementState::Offered,
        Stage::Assigned { .. } => pb::EngagementState::Assigned,
        Stage::WrapUp { .. } => pb::EngagementState::WrapUp,
        Stage::Closed { .. } => pb::EngagementState::Closed,
    };
    let (disposition, close_reason) = match &engagement.stage {
        Stage::Closed {
            disposition,
            reason,
            ..
        } => (disposition.clone(), reason.clone()),
        _ => (String::new(), String::new()),
    };
    pb::Engagement {
        id: engagement.id.to_string(),
        conversation_id: conversation.id.to_string(),
        state: state.into(),
        epoch: engagement.epoch,
        queue_id: text(engagement.queue.as_ref()),
        agent_id: text(engagement.agent()),
        opened_at: Some(timestamp_to_proto(engagement.opened_at)),
        queued_at: timestamp_opt(engagement.queued_at),
        assigned_at: timestamp_opt(engagement.assigned_at),
        wrap_up_at: timestamp_opt(engagement.wrap_up_at),
        closed_at: timestamp_opt(engagement.closed_at),
        disposition,
        close_reason,
        flow_id: text(engagement.flow.as_ref().map(|flow| &flow.flow_id)),
        flow_version: engagement.flow.as_ref().map_or(0, |flow| flow.version),
        variables: engagement.variables.clone().into_iter().collect(),
        number_id: conversation.number_id.to_string(),
        contact: Some((&conversation.contact).into()),
    }
}

fn send_state(state: SendState) -> pb::SendState {
    match state {
        SendState::Queued => pb::SendState::Queued,
        SendState::InFlight => pb::SendState::InFlight,
        SendState::Ambiguous => pb::SendState::Ambiguous,
        SendState::Accepted => pb::SendState::Accepted,
        SendState::Rejected => pb::SendState::Rejected,
        SendState::Unknown => pb::SendState::Unknown,
        SendState::Cancelled => pb::SendState::Cancelled,
    }
}

/// A message of the conversation with this id.
pub(crate) fn message(message: &Message, conversation_id: &str) -> pb::Message {
    let direction = match message.direction {
        Direction::Inbound => pb::Direction::Inbound,
        Direction::Outbound => pb::Direction::Outbound,
        Direction::Echo => pb::Direction::Echo,
    };
    let status = message
        .status
        .map(lib_proto::common::DeliveryStatus::from)
        .unwrap_or_default();
    pb::Message {
        id: message.id.to_string(),
        conversation_id: conversation_id.to_owned(),
        engagement_id: text(message.engagement.as_ref()),
        direction: direction.into(),
        content: Some((&message.content).into()),
        whatsapp_message_id: text(message.wamid.as_ref()),
        author: message.author.clone(),
        sent_at: Some(timestamp_to_proto(message.sent_at)),
        send_state: message
            .send_state
            .map_or(pb::SendState::Unspecified, send_state)
            .into(),
        status: status.into(),
        status_at: timestamp_opt(message.status_at),
        errors: message.errors.iter().map(Into::into).collect(),
        attempts: message.attempts,
        pricing: message.pricing.as_ref().map(Into::into),
        context: message.context.as_ref().map(Into::into),
        referral: message.referral.as_ref().map(Into::into),
        revoked: message.revoked,
        edited_text: message.edited_text.clone().unwrap_or_default(),
        reactions: message.reactions.clone().into_iter().collect(),
    }
}

/// A log entry at `position`.
pub(crate) fn entry(entry: &NewEntry, position: i64) -> pb::LogEntry {
    let event = match &entry.event {
        LogEvent::Conversation(event) => self::event(event, &entry.conversation),
        LogEvent::Account(fact) => Wire::Account(fact.into()),
    };
    pb::LogEntry {
        cursor: position.to_string(),
        tenant_id: entry.tenant.clone(),
        conversation_id: entry.conversation.clone(),
        engagement_id: entry.engagement.clone(),
        sequence: entry.sequence,
        recorded_at: Some(timestamp_to_proto(entry.recorded_at)),
        traceparent: entry.traceparent.clone(),
        number_id: entry.number_id.clone(),
        waba_id: entry.waba_id.clone(),
        event: Some(event),
    }
}

fn event(event: &Event, conversation_id: &str) -> Wire {
    match event {
        Event::Started { contact, .. } | Event::ContactChanged { contact, .. } => {
            Wire::ContactChanged(pb::ContactChanged {
                contact: Some(contact.into()),
            })
        }
        Event::MessageReceived { .. } | Event::MessageQueued { .. } => {
            // The message as it was born, with the changes that came before it.
            let born = Message::born_of(event).map(|born| message(&born, conversation_id));
            if matches!(event, Event::MessageReceived { .. }) {
                Wire::MessageReceived(pb::MessageReceived { message: born })
            } else {
                Wire::MessageQueued(pb::MessageQueued { message: born })
            }
        }
        Event::AttemptStarted {
            message_id,
            attempt,
            ..
        } => Wire::AttemptStarted(pb::AttemptStarted {
            message_id: message_id.to_string(),
            attempt: *attempt,
        }),
        Event::AttemptEnded {
            message_id,
            attempt,
            outcome,
            ..
        } => Wire::AttemptEnded(attempt_ended(message_id.to_string(), *attempt, outcome)),
        Event::StatusChanged {
            message_id,
            update,
            status,
            kind,
            template_category,
            contact,
            ..
        } => Wire::StatusChanged(pb::StatusChanged {
            message_id: message_id.to_string(),
            update: Some(update.as_ref().into()),
            status: lib_proto::common::DeliveryStatus::from(*status).into(),
            message_kind: kind.word().to_owned(),
            contact: Some(contact.into()),
            template_category: template_category.clone(),
        }),
        Event::WindowOpened {
            closes_at,
            free_entry_point_until,
        } => Wire::WindowOpened(pb::WindowOpened {
            window: Some(pb::Window {
                open: true,
                closes_at: timestamp_opt(*closes_at),
                free_entry_point_until: timestamp_opt(*free_entry_point_until),
            }),
        }),
        of_engagement => engagement_event(of_engagement),
    }
}

fn attempt_ended(message_id: String, attempt: u32, outcome: &SendOutcome) -> pb::AttemptEnded {
    let note = |title: &str| PlatformError {
        code: 0,
        title: title.to_owned(),
        details: String::new(),
    };
    let (wamid, errors) = match outcome {
        SendOutcome::Accepted { wamid } => (wamid.to_string(), Vec::new()),
        SendOutcome::Rejected { error } => (String::new(), vec![error.clone()]),
        SendOutcome::NotSent { cause, .. }
        | SendOutcome::Ambiguous { cause, .. }
        | SendOutcome::Cancelled { cause } => (String::new(), vec![note(cause)]),
        SendOutcome::Resend | SendOutcome::Unknown => (String::new(), Vec::new()),
    };
    pb::AttemptEnded {
        message_id,
        attempt,
        send_state: send_state(outcome.send_state()).into(),
        whatsapp_message_id: wamid,
        errors: errors.iter().map(Into::into).collect(),
    }
}

fn engagement_event(event: &Event) -> Wire {
    match event {
        Event::SessionAdvanced {
            flow_version,
            path,
            variables,
            finished,
            failure,
            ..
        } => Wire::SessionAdvanced(pb::SessionAdvanced {
            flow_version: *flow_version,
            path: path.clone(),
            variables: variables.clone().into_iter().collect(),
            finished: *finished,
            failure: failure.clone().unwrap_or_default(),
        }),
        Event::EngagementQueued {
            queue,
            epoch,
            priority,
            queued_at,
            contact,
            summary,
        } => Wire::EngagementQueued(pb::EngagementQueued {
            queue_id: queue.to_string(),
            epoch: *epoch,
            priority: *priority,
            queued_at: Some(timestamp_to_proto(*queued_at)),
            contact: Some(contact.into()),
            last_message_summary: summary.clone(),
        }),
        Event::EngagementOpened { flow_id, cause, .. } => {
            Wire::EngagementOpened(pb::EngagementOpened {
                flow_id: text(flow_id.as_ref()),
                cause: cause.clone(),
            })
        }
        of_agent => agent_event(of_agent),
    }
}

fn agent_event(event: &Event) -> Wire {
    match event {
        Event::EngagementOffered {
            offer,
            agent,
            epoch,
            expires_at,
            reason,
        } => Wire::EngagementOffered(pb::EngagementOffered {
            offer_id: offer.to_string(),
            agent_id: agent.to_string(),
            epoch: *epoch,
            expires_at: timestamp_opt(*expires_at),
            reason: reason.clone(),
        }),
        Event::OfferEnded {
            offer,
            agent,
            outcome,
        } => Wire::OfferEnded(pb::OfferEnded {
            offer_id: offer.to_string(),
            agent_id: agent.to_string(),
            outcome: outcome.clone(),
        }),
        Event::EngagementAssigned {
            offer,
            agent,
            epoch,
            queue,
            ..
        } => Wire::EngagementAssigned(pb::EngagementAssigned {
            offer_id: text(offer.as_ref()),
            agent_id: agent.to_string(),
            epoch: *epoch,
            queue_id: text(queue.as_ref()),
        }),
        Event::WrapUpStarted {
            agent,
            epoch,
            until,
        } => Wire::WrapUpStarted(pb::WrapUpStarted {
            agent_id: agent.to_string(),
            epoch: *epoch,
            until: timestamp_opt(*until),
        }),
        Event::EngagementClosed {
            agent,
            epoch,
            disposition,
            reason,
            ..
        } => Wire::EngagementClosed(pb::EngagementClosed {
            agent_id: text(agent.as_ref()),
            epoch: *epoch,
            disposition: disposition.clone(),
            reason: reason.clone(),
        }),
        Event::EngagementFiled {
            agent,
            epoch,
            disposition,
            ..
        } => Wire::EngagementFiled(pb::EngagementFiled {
            agent_id: agent.to_string(),
            epoch: *epoch,
            disposition: disposition.clone(),
        }),
        // `event` hands on nothing else.
        _ => Wire::EventParked(pb::EventParked {
            cause: "this entry has no form on the wire".to_owned(),
        }),
    }
}
