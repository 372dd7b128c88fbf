//! Which events an input causes. Pure: the same conversation, input and time give the same events.

mod commands;
mod engagement;
mod flow;
mod inbound;
mod outbox;
mod send;
mod status;
mod tick;

use std::time::Duration;

use core_types::{
    AgentId, ContactKey, Content, Echo, EngagementId, FlowId, InboundMessage, MessageId, OfferId,
    PlatformError, QueueId, StatusUpdate, Timestamp, WhatsAppMessageId,
};

pub use flow::{Effect, FlowCall, FlowInput, FlowStep, StepOutcome, StepResult};
pub use send::Sender;

use crate::event::{Called, Event};
use crate::message::Message;
use crate::state::{Conversation, Engagement};

/// The numbers the rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where an engagement waits when no flow can answer it.
    pub fallback_queue: QueueId,
    /// After this long an attempt's outcome counts as unknown.
    pub attempt_deadline: Duration,
    /// How long a status is waited for after an unknown outcome.
    pub quiet_window: Duration,
}

/// What comes from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The customer wrote.
    Message {
        /// What.
        message: Box<InboundMessage>,
        /// When we were told; bounds what Meta's clock may say.
        admitted_at: Timestamp,
        /// The flow bound to the number.
        flow: Option<FlowId>,
    },
    /// The business wrote from its phone app.
    Echo {
        /// What.
        echo: Box<Echo>,
        /// When we were told.
        admitted_at: Timestamp,
    },
    /// Meta told what became of a message; the message is the context's target.
    Status(Box<StatusUpdate>),
    /// The flow took the step an earlier decision asked for.
    Step(StepResult),
    /// Somebody sends a message.
    Send {
        /// Who.
        sender: Sender,
        /// What; already checked against WhatsApp's limits.
        content: Content,
        /// The message answered to.
        reply_to: Option<WhatsAppMessageId>,
    },
    /// Egress asks whether it may make an attempt. It may, if the decision starts one.
    StartAttempt {
        /// The message.
        message_id: MessageId,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// Egress tells how an attempt ended; the message is the context's target.
    FinishAttempt {
        /// The message.
        message_id: MessageId,
        /// Which attempt.
        attempt: u32,
        /// How.
        outcome: AttemptOutcome,
    },
    /// Routing tells what it did.
    Routing {
        /// With which engagement.
        engagement: EngagementId,
        /// Of which epoch.
        epoch: u32,
        /// What.
        record: RoutingRecord,
    },
    /// The agent is done talking.
    StartWrapUp(Seen),
    /// The agent files and closes.
    CompleteWrapUp {
        /// What the agent saw.
        seen: Seen,
        /// What it is filed under.
        disposition: String,
        /// A note.
        note: String,
        /// The engagement as it stands, when it is not the conversation's last one.
        earlier: Option<Box<Engagement>>,
    },
    /// The agent hands over to a queue; a supervisor moves what waits to another.
    TransferToQueue {
        /// What the agent saw.
        seen: Seen,
        /// Which queue.
        queue: QueueId,
    },
    /// A call that a flow asked for has come to something.
    Called {
        /// Of which engagement.
        engagement: EngagementId,
        /// The wait it was for.
        wait: u64,
        /// What came of it.
        called: Called,
    },
    /// A key turned out to name another customer now.
    KeyTaken(ContactKey),
    /// Time has passed.
    Tick,
}

/// What a command's sender saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which engagement.
    pub engagement: EngagementId,
    /// Of which epoch.
    pub epoch: u32,
    /// The agent who commands; absent for supervisors, who may act on anybody's.
    pub agent: Option<AgentId>,
}

/// How an attempt ended, as egress saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Meta has it.
    Accepted(WhatsAppMessageId),
    /// Meta refused it for good.
    Rejected(PlatformError),
    /// It certainly was not sent.
    NotSent {
        /// When to try again.
        retry_at: Timestamp,
        /// Why.
        cause: String,
    },
    /// It may or may not have been sent.
    Ambiguous(String),
}

/// What routing did with an engagement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutingRecord {
    /// It asked an agent.
    Offered {
        /// The offer.
        offer: OfferId,
        /// Whom.
        agent: AgentId,
        /// Until when.
        expires_at: Option<Timestamp>,
        /// Why this agent.
        reason: String,
    },
    /// The offer ended without acceptance.
    OfferEnded {
        /// The offer.
        offer: OfferId,
        /// To whom it was.
        agent: AgentId,
        /// `expired`, `declined` or `withdrawn`.
        outcome: String,
    },
    /// The agent accepted and asks to own it.
    Assign {
        /// The offer.
        offer: OfferId,
        /// Who.
        agent: AgentId,
        /// Seconds of wrap-up; 0 means no end.
        wrap_up_seconds: u32,
    },
}

/// Why an input causes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Free-form messages need an open window.
    #[error("the customer-service window is closed; send a template")]
    WindowClosed {
        /// When it closed; absent if it was never open.
        closed_at: Option<Timestamp>,
    },
    /// Too many messages wait to be sent.
    #[error(
        "{most} messages of this conversation wait to be sent; wait until some have left, or see \
         why they do not leave"
    )]
    OutboxFull {
        /// How many may wait.
        most: usize,
    },
    /// The engagement changed hands since the sender looked.
    #[error("the engagement is at epoch {current}, not {seen}; look again")]
    StaleEpoch {
        /// What the sender saw.
        seen: u32,
        /// What is.
        current: u32,
    },
    /// Another agent owns it.
    #[error("another agent owns the engagement")]
    AlreadyAssigned,
    /// Nobody, or somebody else, owns it.
    #[error("the engagement is not assigned to this agent")]
    NotAssigned,
    /// It is over.
    #[error("the engagement is closed")]
    Closed,
    /// The conversation has no such engagement, or it is over and another one followed.
    #[error("there is no such open engagement")]
    NotFound,
    /// The status is about a message this conversation did not send.
    #[error("no message was sent under this id")]
    UnknownMessage,
}

/// What an input causes.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// To be appended to the log, in order.
    pub events: Vec<Event>,
    /// The conversation after them.
    pub conversation: Conversation,
    /// A step the flow has to take; its result is the next [`Input::Step`], and is to be stored
    /// together with these events.
    pub step: Option<FlowStep>,
    /// Calls to other systems, to be made once the events are stored.
    pub calls: Vec<FlowCall>,
}

/// Decides what `input` causes at `now`. `target` is the message the input is about, when there
/// is one: of a status, a finished attempt, a reaction, an edit or a revocation.
///
/// # Errors
/// When the state of the conversation forbids it; nothing happens then.
pub fn decide(
    conversation: &Conversation,
    input: &Input,
    target: Option<&Message>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    let mut draft = Draft {
        conversation: conversation.clone(),
        events: Vec::new(),
        step: None,
        calls: Vec::new(),
        policy,
        now,
    };
    match input {
        Input::Message {
            message,
            admitted_at,
            flow,
        } => draft.message(message, *admitted_at, flow.as_ref(), target),
        Input::Echo { echo, admitted_at } => draft.echo(echo, *admitted_at, target),
        Input::Status(update) => draft.status(update, target)?,
        Input::Step(result) => draft.stepped(result),
        Input::Send {
            sender,
            content,
            reply_to,
        } => draft.send(sender, content, reply_to.as_ref(), target)?,
        Input::StartAttempt {
            message_id,
            attempt,
        } => draft.start_attempt(message_id, *attempt),
        Input::FinishAttempt {
            message_id,
            attempt,
            outcome,
        } => draft.finish_attempt(message_id, *attempt, outcome, target),
        Input::Routing {
            engagement,
            epoch,
            record,
        } => draft.routing(engagement, *epoch, record)?,
        Input::StartWrapUp(seen) => draft.start_wrap_up(seen)?,
        Input::CompleteWrapUp {
            seen,
            disposition,
            note,
            earlier,
        } => draft.complete_wrap_up(seen, (disposition, note), earlier.as_deref())?,
        Input::TransferToQueue { seen, queue } => draft.transfer(seen, queue)?,
        Input::Called {
            engagement,
            wait,
            called,
        } => draft.called(engagement, *wait, called),
        Input::KeyTaken(key) => draft.lose_key(key),
        Input::Tick => draft.tick(),
    }
    Ok(Decision {
        events: draft.events,
        conversation: draft.conversation,
        step: draft.step,
        calls: draft.calls,
    })
}

/// A decision in the making: each event takes effect at once, so that the next rule sees it.
struct Draft<'a> {
    conversation: Conversation,
    events: Vec<Event>,
    step: Option<FlowStep>,
    calls: Vec<FlowCall>,
    policy: &'a Policy,
    now: Timestamp,
}

impl Draft<'_> {
    fn emit(&mut self, event: Event) {
        self.conversation.apply(&event, self.now);
        self.events.push(event);
    }
}
