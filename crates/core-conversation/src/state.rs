//! What a conversation remembers: little, because messages are records of their own and the log
//! holds the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use core_types::{
    AgentId, ContactIdentity, ContactKey, ConversationId, EngagementId, FlowId, MessageId,
    NumberId, OfferId, QueueId, TenantId, Timestamp, WhatsAppMessageId,
};
use serde::{Deserialize, Serialize};

use crate::event::Change;
use crate::message::MessageKind;
use crate::session::Session;

/// The customer-service window: 24 h from the customer's last message
/// (`whatsapp-cloud-api.md`, section 3).
pub(crate) const SERVICE_WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// The free-entry-point window: 72 h from our first answer.
pub(crate) const ENTRY_WINDOW: Duration = Duration::from_secs(72 * 3_600);
/// How long a message may go on being tried; then it is withdrawn, so that a number that was
/// stopped does not hold what comes after it for ever.
pub(crate) const SEND_FOR: Duration = Duration::from_secs(24 * 3_600);
/// A retry is never put off further than this, whatever the sender asks for.
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(3_600);
/// Most messages on their way in one conversation.
pub(crate) const OUTBOX_MOST: usize = 200;
/// How long a change waits for the message it changes, and how many may wait.
pub(crate) const EARLY_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Most changes that wait for their message.
pub(crate) const EARLY_MOST: usize = 100;

/// Everything between one contact and one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Which.
    pub id: ConversationId,
    /// Whose.
    pub tenant: TenantId,
    /// The business number.
    pub number_id: NumberId,
    /// The customer, as far as known.
    pub contact: ContactIdentity,
    /// Every key the customer can be found by.
    pub keys: BTreeSet<ContactKey>,
    /// Entries in the log. It is what the log itself says, so it is not stored with the state.
    #[serde(default, skip_serializing)]
    pub sequence: u64,
    /// Messages so far.
    pub messages: u64,
    /// Engagements so far.
    pub engagements: u64,
    /// When free-form messages end or ended; never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_closes_at: Option<Timestamp>,
    /// When the customer came through an advertisement and has no answer yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_candidate: Option<Timestamp>,
    /// When the free-entry-point window ends or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_entry_point_until: Option<Timestamp>,
    /// The open engagement, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engagement: Option<Engagement>,
    /// Messages on their way, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<OutboxEntry>,
    /// Changes whose message has not come yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub early: Vec<EarlyChange>,
    /// When something happened last.
    pub last_activity_at: Timestamp,
    /// The last message in one line, cut to 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A change that outran its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyChange {
    /// The message it is for.
    pub target: WhatsAppMessageId,
    /// What it does.
    pub change: Change,
    /// When it came.
    pub at: Timestamp,
}

/// One episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engagement {
    /// `<conversation>.e<n>`.
    pub id: EngagementId,
    /// Where it stands: exactly one of six (guarantee G8).
    pub stage: Stage,
    /// Counts the times it changed hands; agent commands carry the one they saw.
    pub epoch: u32,
    /// The queue it is or was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// Its priority there.
    #[serde(default)]
    pub priority: i32,
    /// The number of the last offer of this epoch; 0 before the first. Routing reports at least
    /// once: what it says of an offer up to this one has been taken in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last_offer: u32,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it entered its queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Timestamp>,
    /// When its agent took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Timestamp>,
    /// When wrap-up began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrap_up_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Seconds of wrap-up its agent has; 0 means no end.
    #[serde(default)]
    pub wrap_up_seconds: u32,
    /// The flow that answers or answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowRun>,
    /// What the flow found out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// Where an engagement stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// A flow talks.
    InFlow,
    /// It waits for an agent.
    Queued,
    /// One agent is asked.
    Offered {
        /// The offer.
        offer: OfferId,
        /// Who is asked.
        agent: AgentId,
    },
    /// One agent owns it.
    Assigned {
        /// Who.
        agent: AgentId,
        /// By which offer; absent when it came back from wrap-up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offer: Option<OfferId>,
    },
    /// Its agent files it.
    WrapUp {
        /// Who.
        agent: AgentId,
        /// When it closes by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// It is over.
    Closed {
        /// Who had it last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
        /// What it was filed under.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        disposition: String,
        /// Why it ended.
        reason: String,
        /// Whether its agent filed it after it had ended by itself.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        filed: bool,
    },
}

/// One run of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRun {
    /// Which flow.
    pub flow_id: FlowId,
    /// Which version; 0 before the first step.
    pub version: u32,
    /// Its session.
    pub session: Session,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<FlowWait>,
    /// Failed sends it has not been told about: effect key and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_sends: Vec<(String, String)>,
    /// Failed sends since the customer wrote last; bounds a flow that answers each with another.
    #[serde(default)]
    pub failures: u32,
}

/// What a flow waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowWait {
    /// Its number.
    pub id: u64,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// The message.
    pub message_id: MessageId,
    /// Its engagement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engagement: Option<EngagementId>,
    /// What kind it is.
    pub kind: MessageKind,
    /// The flow effect it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_key: Option<String>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts whose outcome nobody knows.
    pub doubtful: u32,
    /// Where it stands.
    pub state: AttemptState,
}

/// Where a message on its way stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AttemptState {
    /// It waits for its turn.
    Queued,
    /// It waits until a time.
    RetryAt {
        /// When it may go.
        at: Timestamp,
    },
    /// An attempt is under way.
    InFlight {
        /// When its outcome counts as unknown.
        deadline: Timestamp,
    },
    /// A status is waited for.
    Ambiguous {
        /// Until when.
        until: Timestamp,
    },
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// An attempt took too long.
    AttemptDeadline,
    /// No status came for an attempt with unknown outcome.
    QuietWindow,
    /// The window closed while session messages wait.
    WindowClosed,
    /// A message could not be sent for so long that it is withdrawn.
    SendExpired,
    /// The flow has to be told of a failed send.
    FailedSend,
    /// What the flow waited for is over.
    FlowWait,
    /// Wrap-up is over.
    WrapUp,
}

impl Timer {
    /// Whether the flow has to take a step for it.
    pub fn needs_flow(self) -> bool {
        matches!(self, Self::FailedSend | Self::FlowWait)
    }
}

impl Conversation {
    /// Whether free-form messages may be sent at `now`.
    pub fn window_open(&self, now: Timestamp) -> bool {
        self.window_closes_at.is_some_and(|end| now < end)
    }

    /// The engagement, if it is not closed.
    pub fn open_engagement(&self) -> Option<&Engagement> {
        self.engagement
            .as_ref()
            .filter(|engagement| engagement.is_open())
    }

    /// The one message that may be sent, with the time from which on; none while one is under way.
    pub fn ready(&self) -> Option<(&OutboxEntry, Timestamp)> {
        let head = self.outbox.first()?;
        match head.state {
            AttemptState::Queued => Some((head, Timestamp::EPOCH)),
            AttemptState::RetryAt { at } => Some((head, at)),
            AttemptState::InFlight { .. } | AttemptState::Ambiguous { .. } => None,
        }
    }

    /// The earliest time at which something happens by itself, and what.
    pub fn next_deadline(&self) -> Option<(Timestamp, Timer)> {
        self.deadlines().min()
    }

    /// Every time at which something happens by itself, and what.
    pub fn deadlines(&self) -> impl Iterator<Item = (Timestamp, Timer)> {
        let head = self.outbox.first().and_then(|head| match head.state {
            AttemptState::InFlight { deadline } => Some((deadline, Timer::AttemptDeadline)),
            AttemptState::Ambiguous { until } => Some((until, Timer::QuietWindow)),
            AttemptState::RetryAt { .. } => Some((head.send_until(), Timer::SendExpired)),
            AttemptState::Queued => None,
        });
        let waits = self.outbox.iter().any(OutboxEntry::waits_for_window);
        let window = self
            .window_closes_at
            .filter(|_| waits)
            .map(|at| (at, Timer::WindowClosed));
        let engagement = self.open_engagement().and_then(Engagement::next_deadline);
        [head, window, engagement].into_iter().flatten()
    }
}

impl Engagement {
    /// Whether it is not closed.
    pub fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Closed { .. })
    }

    /// The agent who is asked, owns it, files it or had it last.
    pub fn agent(&self) -> Option<&AgentId> {
        match &self.stage {
            Stage::InFlow | Stage::Queued => None,
            Stage::Offered { agent, .. }
            | Stage::Assigned { agent, .. }
            | Stage::WrapUp { agent, .. } => Some(agent),
            Stage::Closed { agent, .. } => agent.as_ref(),
        }
    }

    /// The number of one of this epoch's offers, out of `<engagement>.o<epoch>.<n>`.
    pub(crate) fn offer_number(&self, offer: &OfferId) -> Option<u32> {
        let rest = offer.as_str().strip_prefix(self.id.as_str())?;
        let (epoch, number) = rest.strip_prefix(".o")?.split_once('.')?;
        (epoch.parse() == Ok(self.epoch)).then(|| number.parse().ok())?
    }

    /// Whether what routing says of `offer` was taken in before.
    pub(crate) fn knows_offer(&self, offer: &OfferId) -> bool {
        self.offer_number(offer)
            .is_some_and(|number| number <= self.last_offer)
    }

    fn next_deadline(&self) -> Option<(Timestamp, Timer)> {
        match &self.stage {
            Stage::InFlow => {
                let flow = self.flow.as_ref()?;
                if !flow.failed_sends.is_empty() {
                    return Some((Timestamp::EPOCH, Timer::FailedSend));
                }
                let until = flow.wait.as_ref()?.until?;
                Some((until, Timer::FlowWait))
            }
            Stage::WrapUp { until, .. } => until.map(|at| (at, Timer::WrapUp)),
            _ => None,
        }
    }
}

impl OutboxEntry {
    /// When it is withdrawn if it could not be sent by then.
    pub(crate) fn send_until(&self) -> Timestamp {
        self.queued_at.plus(SEND_FOR)
    }

    /// Whether an attempt before the latest one may have been sent.
    pub(crate) fn earlier_doubt(&self) -> bool {
        let latest = matches!(self.state, AttemptState::Ambiguous { .. });
        self.doubtful > u32::from(latest)
    }

    /// Whether it is a session message that has yet to be sent.
    pub fn waits_for_window(&self) -> bool {
        self.kind == MessageKind::Session
            && matches!(
                self.state,
                AttemptState::Queued | AttemptState::RetryAt { .. }
            )
    }
}
