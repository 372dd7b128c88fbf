//! What routing is told, what it answers, and what it wants done.

use core_types::{
    AgentId, ContactIdentity, ConversationId, EngagementId, OfferId, QueueId, Timestamp,
};

use crate::model::{Offer, Outcome, Presence};
use crate::queue::Queue;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A queue was created or changed. The shell has checked [`Queue::violations`].
    QueueSet(Queue),
    /// A queue was deleted. Refused while engagements wait in it.
    QueueDeleted(QueueId),
    /// An agent opened a desk.
    Connected {
        /// Who.
        agent: AgentId,
        /// Engagements at once; `None` leaves it. Brought into 1 to 50.
        capacity: Option<u32>,
    },
    /// An agent's desk is gone. Open offers go on to the next agent at once; presence stays for
    /// the grace period, which the shell measures.
    Disconnected(AgentId),
    /// An agent did not come back within the grace period.
    Absent(AgentId),
    /// An agent wants to take work, or not.
    PresenceSet {
        /// Who.
        agent: AgentId,
        /// What.
        presence: Presence,
    },
    /// An agent takes an offer.
    Accept {
        /// Who.
        agent: AgentId,
        /// Which, as seen on the desk.
        offer: OfferId,
        /// The epoch seen on the desk.
        epoch: u32,
    },
    /// An agent does not take an offer.
    Decline {
        /// Who.
        agent: AgentId,
        /// Which, as seen on the desk.
        offer: OfferId,
        /// The epoch seen on the desk.
        epoch: u32,
    },
    /// The conversation log made the agent of an accepted offer the owner.
    AssignConfirmed {
        /// Which engagement.
        engagement: EngagementId,
        /// By which offer.
        offer: OfferId,
    },
    /// The conversation log refused an offer or an assignment.
    LogRefused {
        /// Which engagement.
        engagement: EngagementId,
        /// Which offer.
        offer: OfferId,
        /// Whether it refused the assignment, and not the offer itself. A repeated report of an
        /// offer is refused once the assignment has been taken, and means nothing then.
        assignment: bool,
        /// Why, in the log's word.
        reason: String,
    },
    /// The conversation log says.
    Log(LogFact),
    /// The program started anew on stored state: no desk is open any more.
    Restarted,
    /// The log has been read up to its end after a start: offers to agents who did not come back
    /// are taken back, and what the log refused is offered again.
    CaughtUp,
}

/// What the conversation log says of an engagement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFact {
    /// It entered a queue; again, with a higher epoch, when it was transferred.
    Queued(QueuedFact),
    /// It was offered: our own report, which matters only when the state is rebuilt. The offer's
    /// queue is not read; the engagement knows it.
    Offered(Offer),
    /// An offer ended: mostly our own report, which matters only when the state is rebuilt. If we
    /// take the offer for open, its agent is told.
    OfferEnded {
        /// Which engagement.
        engagement: EngagementId,
        /// Which offer.
        offer: OfferId,
        /// How.
        outcome: Outcome,
    },
    /// An agent owns it.
    Assigned {
        /// Which.
        engagement: EngagementId,
        /// Its conversation.
        conversation: ConversationId,
        /// Its epoch.
        epoch: u32,
        /// The owner.
        agent: AgentId,
        /// The queue it came from.
        queue: QueueId,
        /// The offer that was accepted, if it was by one.
        offer: Option<OfferId>,
    },
    /// The owner is done talking.
    WrapUp {
        /// Which.
        engagement: EngagementId,
        /// Its epoch.
        epoch: u32,
        /// When it closes by itself.
        until: Option<Timestamp>,
    },
    /// It is over.
    Closed(EngagementId),
}

/// An engagement entered a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedFact {
    /// Which.
    pub engagement: EngagementId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Counts the times it entered a queue.
    pub epoch: u32,
    /// Which queue; it need not exist.
    pub queue: QueueId,
    /// Higher goes first.
    pub priority: i32,
    /// When it first entered this queue.
    pub queued_at: Timestamp,
    /// The customer.
    pub contact: ContactIdentity,
    /// The last message in short.
    pub summary: String,
}

/// The answer to an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, or nothing to do.
    Done,
    /// The log has been asked; [`Effect::Assigned`] or [`Effect::Ended`] tells how it went.
    Pending,
    /// Refused; nothing has changed.
    Rejected(Rejection),
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The offer is not open any more. Carries what became of the engagement, in words.
    OfferGone(String),
    /// The engagement has entered a queue again since.
    StaleEpoch(u32),
    /// The offer was made to somebody else.
    NotYours,
    /// Declined after it was accepted.
    AlreadyAccepted,
    /// Engagements wait in the queue to be deleted: how many.
    QueueNotEmpty(usize),
}

impl Rejection {
    /// The stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OfferGone(_) => "OFFER_GONE",
            Self::StaleEpoch(_) => "STALE_EPOCH",
            Self::NotYours => "NOT_YOURS",
            Self::AlreadyAccepted => "ALREADY_ACCEPTED",
            Self::QueueNotEmpty(_) => "QUEUE_NOT_EMPTY",
        }
    }

    /// The same for people.
    pub fn message(&self) -> String {
        match self {
            Self::OfferGone(why) => format!("the offer is gone: {why}"),
            Self::StaleEpoch(now) => format!(
                "the engagement has moved on since (epoch {now}); look at the desk's offers again"
            ),
            Self::NotYours => "the offer was made to another agent".to_owned(),
            Self::AlreadyAccepted => {
                "the offer has been accepted; transfer the engagement instead".to_owned()
            }
            Self::QueueNotEmpty(1) => {
                "1 engagement waits in it; serve or transfer it first".to_owned()
            }
            Self::QueueNotEmpty(count) => {
                format!("{count} engagements wait in it; serve or transfer them first")
            }
        }
    }
}

/// Something to do once the state is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An offer stands: tell the agent and the log.
    Offered(Offer),
    /// The agent accepted: ask the log to make the agent the owner.
    AskAssign {
        /// The accepted offer.
        offer: Offer,
        /// Wrap-up closes by itself after this many seconds; 0 means never.
        wrap_up_seconds: u32,
    },
    /// An offer ended without an owner.
    Ended {
        /// Which.
        offer: Offer,
        /// How.
        outcome: Outcome,
        /// Why, in words for the agent.
        because: String,
        /// Whether the log must be told: not if it told us.
        tell_log: bool,
    },
    /// An agent owns an engagement now.
    Assigned {
        /// Who.
        agent: AgentId,
        /// What.
        engagement: EngagementId,
        /// The offer that was accepted, if it was by one.
        offer: Option<OfferId>,
    },
    /// The owner files it.
    WrapUp {
        /// Who.
        agent: AgentId,
        /// What.
        engagement: EngagementId,
    },
    /// The agent no longer owns it: it was closed or transferred.
    Released {
        /// Who.
        agent: AgentId,
        /// What.
        engagement: EngagementId,
        /// The epoch in which the agent owned it.
        epoch: u32,
        /// Its conversation.
        conversation: ConversationId,
        /// The queue it was served from.
        queue: QueueId,
    },
    /// An agent's presence is another now.
    PresenceChanged {
        /// Who.
        agent: AgentId,
        /// What.
        presence: Presence,
    },
}
