//! What routing knows of agents, engagements and offers.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use core_types::{AgentId, ContactIdentity, ConversationId, EngagementId, OfferId, QueueId};
use core_types::{IdError, Timestamp};
use serde::{Deserialize, Serialize};

/// Engagements an agent serves at once, unless the agent says otherwise.
pub const DEFAULT_CAPACITY: u32 = 1;
/// Most engagements an agent may serve at once.
pub const MAX_CAPACITY: u32 = 50;
/// How long an agent who let an engagement pass is not asked for it again.
pub const PAUSE: Duration = Duration::from_secs(10);

/// Whether an agent takes work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Not at work.
    #[default]
    Offline,
    /// At work, but takes nothing now.
    NotReady,
    /// Takes work.
    Ready,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Who.
    pub id: AgentId,
    /// What the agent, or an unanswered offer, has set.
    pub presence: Presence,
    /// Whether a desk is open. Only connected agents are offered anything.
    pub connected: bool,
    /// Engagements at once: 1 to 50.
    pub capacity: u32,
    /// Since when the agent has had nothing new: the last time the agent became ready, took on or
    /// finished an engagement, or declined an offer.
    pub idle_since: Timestamp,
}

impl Agent {
    /// An agent of whom nothing is known yet.
    pub(crate) fn new(id: AgentId, now: Timestamp) -> Self {
        Self {
            id,
            presence: Presence::Offline,
            connected: false,
            capacity: DEFAULT_CAPACITY,
            idle_since: now,
        }
    }

    /// Whether the agent takes work and would see an offer.
    pub fn is_ready(&self) -> bool {
        self.connected && self.presence == Presence::Ready
    }
}

/// A lease on one agent's attention for one engagement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// `<engagement>.o<epoch>.<n>`.
    pub id: OfferId,
    /// What is offered.
    pub engagement: EngagementId,
    /// The engagement's epoch at that time.
    pub epoch: u32,
    /// The queue it waits in.
    pub queue: QueueId,
    /// To whom.
    pub agent: AgentId,
    /// Since when.
    pub offered_at: Timestamp,
    /// From then on it cannot be accepted.
    pub expires_at: Timestamp,
    /// Why this agent, in words.
    pub reason: String,
}

/// The id of the `number`th offer of an engagement's epoch.
///
/// # Errors
/// When the engagement's id leaves no room for the suffix.
pub(crate) fn offer_id(
    engagement: &EngagementId,
    epoch: u32,
    number: u32,
) -> Result<OfferId, IdError> {
    OfferId::new(format!("{engagement}.o{epoch}.{number}"))
}

/// The number inside an offer id, if it is one of ours.
pub(crate) fn offer_number(id: &OfferId) -> Option<u32> {
    let (_, suffix) = id.as_str().rsplit_once(".o")?;
    suffix.split_once('.')?.1.parse().ok()
}

/// How an offer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The agent has the engagement.
    Accepted,
    /// The agent said no.
    Declined,
    /// The agent did not answer in time.
    Expired,
    /// It was taken back: the agent left, the engagement moved on, the queue changed.
    Withdrawn,
}

impl Outcome {
    /// The word contracts use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// Where an engagement stands. Exactly one of these (G8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// In line.
    Waiting,
    /// Offered to one agent; in line still.
    Offered {
        /// The open offer.
        offer: Offer,
    },
    /// The agent has accepted, and the conversation log has been asked to make the agent the
    /// owner. The offer no longer expires: only the log's answer ends this.
    Accepting {
        /// The accepted offer.
        offer: Offer,
    },
    /// The log refused what we did with it, so it knows something we do not. Not offered until the
    /// log says what, or the log is read to its end after the next start.
    Held {
        /// The log's reason, such as `STALE_EPOCH`.
        reason: String,
    },
    /// One agent owns it.
    Assigned {
        /// The owner.
        agent: AgentId,
        /// The offer it was accepted by.
        offer: Option<OfferId>,
    },
    /// The owner files it.
    WrapUp {
        /// The owner.
        agent: AgentId,
        /// The offer it was accepted by.
        offer: Option<OfferId>,
        /// When it closes by itself.
        until: Option<Timestamp>,
    },
}

/// An engagement that waits or is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engagement {
    /// Which.
    pub id: EngagementId,
    /// Counts the times it entered a queue.
    pub epoch: u32,
    /// The conversation it belongs to.
    pub conversation: ConversationId,
    /// The queue it waits in or was served from.
    pub queue: QueueId,
    /// Higher goes first.
    pub priority: i32,
    /// Its place in line among equals.
    pub queued_at: Timestamp,
    /// Breaks ties of `queued_at`: the order in which the log told us.
    pub arrival: u64,
    /// The customer, for the desk.
    pub contact: ContactIdentity,
    /// The last message, for the desk.
    pub summary: String,
    /// Where it stands.
    #[serde(flatten)]
    pub phase: Phase,
    /// Offers made in this epoch.
    pub offers: u32,
    /// Agents who let this engagement pass since everybody was last asked: by declining, by not
    /// answering, or by transferring it to this queue. Others are asked first.
    pub passed_by: BTreeSet<AgentId>,
    /// Until then those who let it pass are not asked again; it does not hold up the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Timestamp>,
}

/// An engagement's place in line: smaller is earlier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Higher priority first.
    pub priority: Reverse<i32>,
    /// Then who came first.
    pub queued_at: Timestamp,
    /// Then the order of the log.
    pub arrival: u64,
    /// Whose place it is.
    pub engagement: EngagementId,
}

impl Engagement {
    /// Its place in line.
    pub fn place(&self) -> Place {
        Place {
            priority: Reverse(self.priority),
            queued_at: self.queued_at,
            arrival: self.arrival,
            engagement: self.id.clone(),
        }
    }

    /// Notes that `agent` let it pass.
    pub(crate) fn let_pass(&mut self, agent: AgentId, now: Timestamp) {
        self.passed_by.insert(agent);
        self.rests_until = Some(now.plus(PAUSE));
    }

    /// Whether `agent` may be asked now, as far as this engagement is concerned.
    pub(crate) fn may_ask(&self, agent: &AgentId) -> bool {
        self.rests_until.is_none() || !self.passed_by.contains(agent)
    }

    /// The agent whose capacity it counts against.
    pub fn agent(&self) -> Option<&AgentId> {
        match &self.phase {
            Phase::Waiting | Phase::Held { .. } => None,
            Phase::Offered { offer } | Phase::Accepting { offer } => Some(&offer.agent),
            Phase::Assigned { agent, .. } | Phase::WrapUp { agent, .. } => Some(agent),
        }
    }

    /// The offer that stands now.
    pub fn offer(&self) -> Option<&Offer> {
        match &self.phase {
            Phase::Offered { offer } | Phase::Accepting { offer } => Some(offer),
            _ => None,
        }
    }

    /// Whether nobody owns it yet.
    pub fn is_waiting(&self) -> bool {
        !matches!(self.phase, Phase::Assigned { .. } | Phase::WrapUp { .. })
    }
}
