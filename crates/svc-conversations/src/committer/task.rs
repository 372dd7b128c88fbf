//! What a unit asks of one conversation.

use core_conversation::{Event, Input};
use core_types::{EngagementId, MessageId, StatusUpdate, TenantId};

use super::unit::Unit;
use crate::store::load::WamidKey;

/// One input for one conversation.
pub(super) struct Task {
    /// The unit to answer.
    pub(super) unit: usize,
    /// What happened.
    pub(super) input: Input,
    /// The message it is about.
    pub(super) target: Target,
    /// The trace it came with.
    pub(super) traceparent: String,
    /// The key under which it is remembered.
    pub(super) dedupe: Option<String>,
    /// Scope and key of a request that must not be repeated.
    pub(super) idempotency: Option<(String, String)>,
    /// Starts the conversation if it is not there yet.
    pub(super) birth: Option<Event>,
    /// Whose the conversation must be; absent for services.
    pub(super) tenant: Option<TenantId>,
    /// The number the conversation must be of, for statuses.
    pub(super) number: Option<String>,
    /// How it is answered.
    pub(super) reply: ReplyWith,
}

impl Task {
    /// A task for `unit`, about no message and free to touch any conversation.
    pub(super) fn new(at: usize, unit: &Unit, input: Input, reply: ReplyWith) -> Self {
        Self {
            unit: at,
            input,
            target: Target::None,
            traceparent: unit.traceparent.clone(),
            dedupe: None,
            idempotency: None,
            birth: None,
            tenant: None,
            number: None,
            reply,
        }
    }

    /// A task that follows from another and is not answered.
    pub(super) fn aside(from: &Self, input: Input) -> Self {
        Self {
            unit: usize::MAX,
            input,
            target: Target::None,
            traceparent: from.traceparent.clone(),
            dedupe: None,
            idempotency: None,
            birth: None,
            tenant: None,
            number: None,
            reply: ReplyWith::Done,
        }
    }

    /// The engagement this task names.
    pub(super) fn engagement(&self) -> Option<&EngagementId> {
        match &self.input {
            Input::Routing { engagement, .. } => Some(engagement),
            Input::StartWrapUp(seen)
            | Input::CompleteWrapUp { seen, .. }
            | Input::TransferToQueue { seen, .. } => Some(&seen.engagement),
            _ => None,
        }
    }

    /// The status this task is about, as one that has no message.
    pub(super) fn loose_status(&self) -> Option<Loose> {
        match (&self.input, &self.dedupe, &self.number) {
            (Input::Status(status), Some(key), Some(number_id)) => Some(Loose {
                unit: self.unit,
                number_id: number_id.clone(),
                key: key.clone(),
                traceparent: self.traceparent.clone(),
                status: status.as_ref().clone(),
            }),
            _ => None,
        }
    }
}

/// How a task is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyWith {
    /// It is done.
    Done,
    /// Whether an attempt began.
    Granted,
    /// The message queued.
    Message,
    /// The engagement.
    Engagement,
}

/// Which message a task is about.
#[derive(Clone)]
pub(super) enum Target {
    /// None.
    None,
    /// By our id.
    Id(MessageId),
    /// By Meta's.
    Wamid(WamidKey),
}

/// A status whose message is not known (yet).
pub(super) struct Loose {
    /// The unit to answer.
    pub(super) unit: usize,
    /// The number.
    pub(super) number_id: String,
    /// Its dedupe key.
    pub(super) key: String,
    /// The trace it came with.
    pub(super) traceparent: String,
    /// What it says.
    pub(super) status: StatusUpdate,
}
