//! The flow's part: what it is asked, and what its answer causes.

use std::collections::BTreeMap;
use std::time::Duration;

use core_types::{Content, EngagementId, FlowId, MessageId, QueueId};

use super::Draft;
use crate::event::{Called, Event, Told};
use crate::session::Session;
use crate::state::{FlowRun, FlowWait, Stage};

/// More failed sends than this without a word from the customer, and the flow is given up: it may
/// be answering each failure with another message that fails.
const FAILURES_MOST: u32 = 10;

/// A step the flow-runner has to compute.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStep {
    /// Which flow.
    pub flow_id: FlowId,
    /// The session so far; empty starts one.
    pub session: Session,
    /// What happened.
    pub input: FlowInput,
    /// The customer's message, where that is what happened.
    pub message: Option<MessageId>,
}

/// What a flow is told.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowInput {
    /// A new session for the customer's first message.
    Start(Content),
    /// The customer wrote.
    Message(Content),
    /// The wait with this number is over.
    TimedOut(u64),
    /// A message the flow sent could not be sent.
    SendFailed {
        /// The effect.
        key: String,
        /// Why.
        reason: String,
    },
    /// The call it waits for came to something.
    Called {
        /// The wait.
        wait: u64,
        /// What came of it.
        called: Called,
    },
}

/// A call that a flow asks for. It is made once the step that asks for it is stored, and never a second
/// time: when the one who makes it dies, the wait ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowCall {
    /// Of which engagement.
    pub engagement: EngagementId,
    /// The wait its outcome is for.
    pub wait: u64,
    /// What is asked, as the flow-runner wrote it; it alone reads it.
    pub request: Vec<u8>,
    /// How long it may take.
    pub patience: Duration,
}

/// The answer to a [`FlowStep`].
#[derive(Clone, Debug, PartialEq)]
pub struct StepResult {
    /// What the flow was told.
    pub input: FlowInput,
    /// The customer's message, as in the [`FlowStep`].
    pub message: Option<MessageId>,
    /// What it did.
    pub outcome: StepOutcome,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    /// It was taken.
    Done {
        /// The version that runs.
        version: u32,
        /// The session to keep.
        session: Session,
        /// What it wants done, in order, each with its key.
        effects: Vec<(String, Effect)>,
        /// What it waits for.
        wait: Option<FlowWait>,
        /// Whether the flow has ended.
        finished: bool,
        /// Widgets passed.
        path: Vec<String>,
    },
    /// It could not be taken, and never will be.
    Failed(String),
}

/// What a flow wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a message.
    Send(Box<Content>),
    /// Send a message that cannot be sent, for one because its template is not approved: it is kept, and
    /// the flow is told as of any other that was refused.
    Refused {
        /// The message.
        content: Box<Content>,
        /// Why.
        cause: String,
    },
    /// Wait in a queue.
    RouteTo {
        /// Which.
        queue: QueueId,
        /// Higher is served first.
        priority: i32,
    },
    /// Remember something.
    SetVariable {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Ask another system.
    Call {
        /// What, as the flow-runner wrote it.
        request: Vec<u8>,
        /// How long it may take.
        patience: Duration,
    },
    /// End the engagement.
    End {
        /// Why.
        reason: String,
    },
}

impl Draft<'_> {
    /// Asks the flow for its next step; without a flow the engagement goes to the fallback queue.
    pub(super) fn ask_flow(&mut self, message: &MessageId, content: &Content) {
        match self.flow() {
            Some(flow) => {
                let input = if flow.session.as_bytes().is_empty() {
                    FlowInput::Start(content.clone())
                } else {
                    FlowInput::Message(content.clone())
                };
                self.step(input, Some(message.clone()));
            }
            None => self.fall_back("no flow is bound to this number", None, None),
        }
    }

    /// Asks for a step with `input`.
    pub(super) fn step(&mut self, input: FlowInput, message: Option<MessageId>) {
        self.step = self.flow().map(|flow| FlowStep {
            flow_id: flow.flow_id.clone(),
            session: flow.session.clone(),
            input,
            message,
        });
    }

    /// Tells the flow of the first failed send, unless it has failed too often.
    pub(super) fn tell_failed_send(&mut self) {
        let Some(flow) = self.flow() else { return };
        let Some((key, reason)) = flow.failed_sends.first().cloned() else {
            return;
        };
        if flow.failures > FAILURES_MOST {
            let problem = "too many messages of the flow could not be sent";
            self.fall_back(problem, Some(key), None);
        } else {
            self.step(FlowInput::SendFailed { key, reason }, None);
        }
    }

    /// A call has come to something. Without effect when nobody waits for it any more.
    pub(super) fn called(&mut self, engagement: &EngagementId, wait: u64, called: &Called) {
        let open = self.conversation.open_engagement();
        let awaited = open.is_some_and(|open| open.id == *engagement)
            && self
                .flow()
                .and_then(|flow| flow.wait)
                .is_some_and(|own| own.id == wait);
        if awaited {
            let called = called.clone();
            self.step(FlowInput::Called { wait, called }, None);
        }
    }

    fn flow(&self) -> Option<&FlowRun> {
        let engagement = self.conversation.open_engagement()?;
        engagement
            .flow
            .as_ref()
            .filter(|_| engagement.stage == Stage::InFlow)
    }

    pub(super) fn stepped(&mut self, result: &StepResult) {
        let in_flow = self
            .conversation
            .engagement
            .as_ref()
            .is_some_and(|engagement| engagement.stage == Stage::InFlow);
        if !in_flow {
            return;
        }
        let settled = match &result.input {
            FlowInput::SendFailed { key, .. } => Some(key.clone()),
            _ => None,
        };
        let told = told(result);
        match &result.outcome {
            StepOutcome::Failed(problem) => self.fall_back(problem, settled, told),
            StepOutcome::Done {
                version,
                session,
                effects,
                wait,
                finished,
                path,
            } => {
                self.emit(Event::SessionAdvanced {
                    flow_version: *version,
                    path: path.clone(),
                    variables: variables(effects),
                    finished: *finished,
                    failure: None,
                    session: session.clone(),
                    wait: *wait,
                    settled,
                    told,
                });
                for (key, effect) in effects {
                    self.take_effect(key, effect, *wait);
                }
                self.settle(*finished, wait.is_some());
            }
        }
    }

    fn take_effect(&mut self, key: &str, effect: &Effect, wait: Option<FlowWait>) {
        match effect {
            Effect::Send(content) => self.queue_flow_message(key, content),
            Effect::Refused { content, cause } => self.refuse_flow_message(key, content, cause),
            Effect::RouteTo { queue, priority } if self.flow().is_some() => {
                self.enqueue(queue.clone(), *priority);
            }
            Effect::End { reason } if self.flow().is_some() => {
                let reason = if reason.is_empty() {
                    "flow_ended"
                } else {
                    reason
                };
                self.close(None, "", "", reason);
            }
            Effect::Call { request, patience } => {
                let engagement = self.conversation.open_engagement();
                let asked = engagement.zip(wait).map(|(engagement, wait)| FlowCall {
                    engagement: engagement.id.clone(),
                    wait: wait.id,
                    request: request.clone(),
                    patience: *patience,
                });
                self.calls.extend(asked);
            }
            Effect::RouteTo { .. } | Effect::End { .. } | Effect::SetVariable { .. } => {}
        }
    }

    /// A flow that ended without saying where to go closes the engagement; one that neither ended
    /// nor waits would strand the customer.
    fn settle(&mut self, finished: bool, waits: bool) {
        if self.flow().is_none() {
            return;
        }
        if finished {
            self.close(None, "", "", "flow_ended");
        } else if !waits {
            self.fall_back("the flow neither waits nor ends", None, None);
        }
    }

    /// Never strand a customer: what a flow cannot do, people do.
    fn fall_back(&mut self, problem: &str, settled: Option<String>, told: Option<Told>) {
        let flow = self.flow();
        let (flow_version, session) = flow.map_or_else(
            || (0, Session::default()),
            |flow| (flow.version, flow.session.clone()),
        );
        self.emit(Event::SessionAdvanced {
            flow_version,
            path: Vec::new(),
            variables: BTreeMap::new(),
            finished: true,
            failure: Some(problem.to_owned()),
            session,
            wait: None,
            settled,
            told,
        });
        self.enqueue(self.policy.fallback_queue.clone(), 0);
    }
}

fn told(result: &StepResult) -> Option<Told> {
    match &result.input {
        FlowInput::Start(_) | FlowInput::Message(_) => result.message.clone().map(Told::Message),
        FlowInput::TimedOut(wait) => Some(Told::TimedOut(*wait)),
        FlowInput::SendFailed { key, .. } => Some(Told::SendFailed(key.clone())),
        FlowInput::Called { wait, called } => Some(Told::Called {
            wait: *wait,
            called: called.clone(),
        }),
    }
}

fn variables(effects: &[(String, Effect)]) -> BTreeMap<String, String> {
    let set = effects.iter().filter_map(|(_, effect)| match effect {
        Effect::SetVariable { name, value } => Some((name.clone(), value.clone())),
        _ => None,
    });
    set.collect()
}
