//! Steps of flows, asked of the flow-runner many at a time.

use std::collections::HashMap;
use std::time::Duration;

use core_conversation::{
    Called, Conversation, Effect, FlowInput, FlowStep, FlowWait, Session, StepOutcome, StepResult,
};
use core_types::{Content, QueueId, Timestamp};
use lib_platform::AuthorizedChannel;
use lib_proto::common::{FlowAnswer, FlowCalled, flow_called};
use lib_proto::{
    FieldError, flow_runner as pb, required, timestamp_from_proto, timestamp_to_proto,
};
use pb::flow_runner_service_client::FlowRunnerServiceClient;
use prost::Message as _;

/// How long a round of steps may take. The writer waits for it, so it is short: what is not
/// answered by then is tried again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the flow-runner.
#[derive(Clone)]
pub(crate) struct FlowRunner {
    client: FlowRunnerServiceClient<AuthorizedChannel>,
}

impl FlowRunner {
    /// Lets a call be made, once. `None` when it took too long.
    pub(crate) async fn call(&self, asked: pb::CallRequest, patience: Duration) -> Option<Called> {
        let mut request = tonic::Request::new(asked);
        request.set_timeout(patience);
        let answer = tokio::time::timeout(patience, self.client.clone().call(request)).await;
        match answer {
            Err(_) => None,
            Ok(Ok(answer)) => Some(called_from_proto(answer.into_inner().called)),
            // tonic says of its own timeout that the call was cancelled.
            Ok(Err(status))
                if [tonic::Code::DeadlineExceeded, tonic::Code::Cancelled]
                    .contains(&status.code()) =>
            {
                None
            }
            Ok(Err(status)) => {
                let code = status.code();
                tracing::warn!(?code, "a call could not be made");
                Some(Called::Failed(format!(
                    "the flow-runner: {}",
                    status.message()
                )))
            }
        }
    }

    /// A flow-runner behind `channel`.
    pub(crate) fn new(channel: AuthorizedChannel) -> Self {
        let client = FlowRunnerServiceClient::new(channel)
            .max_decoding_message_size(lib_platform::server::MAX_MESSAGE_BYTES)
            .max_encoding_message_size(lib_platform::server::MAX_MESSAGE_BYTES);
        Self { client }
    }

    /// The results of `steps`, one for each, in order. What cannot be understood is a failed step,
    /// which sends the customer to people.
    ///
    /// # Errors
    /// When the flow-runner does not answer; nothing has happened then.
    pub(crate) async fn advance(
        &self,
        steps: &[(&Conversation, &FlowStep)],
        now: Timestamp,
    ) -> Result<Vec<StepResult>, tonic::Status> {
        let mut request = tonic::Request::new(pb::AdvanceRequest {
            steps: steps
                .iter()
                .map(|(conversation, step)| to_proto(conversation, step, now))
                .collect(),
        });
        request.set_timeout(PATIENCE);
        let answer = self.client.clone().advance(request).await?.into_inner();
        let mut results = answer.results.into_iter();
        Ok(steps
            .iter()
            .map(|(_, step)| StepResult {
                input: step.input.clone(),
                message: step.message.clone(),
                outcome: results
                    .next()
                    .and_then(|advanced| advanced.result)
                    .map_or_else(
                        || StepOutcome::Failed("the flow-runner gave no result".to_owned()),
                        outcome,
                    ),
            })
            .collect())
    }
}

/// What came of a call, for the wire.
pub(crate) fn called_to_proto(wait: u64, called: &Called) -> FlowCalled {
    use flow_called::Outcome;
    let outcome = match called {
        Called::Answered { status, saved } => Outcome::Answer(FlowAnswer {
            status: (*status).into(),
            usable: saved.is_some(),
            saved: saved.clone().unwrap_or_default(),
        }),
        Called::Failed(reason) => Outcome::Failed(reason.clone()),
    };
    FlowCalled {
        wait,
        outcome: Some(outcome),
    }
}

fn called_from_proto(called: Option<FlowCalled>) -> Called {
    use flow_called::Outcome;
    match called.and_then(|called| called.outcome) {
        Some(Outcome::Answer(answer)) => match u16::try_from(answer.status) {
            Ok(status) => Called::Answered {
                status,
                saved: answer.usable.then_some(answer.saved),
            },
            Err(_) => Called::Failed("the answer's status is none".to_owned()),
        },
        Some(Outcome::Failed(reason)) => Called::Failed(reason),
        None => Called::Failed("the flow-runner told no outcome".to_owned()),
    }
}

fn to_proto(conversation: &Conversation, step: &FlowStep, now: Timestamp) -> pb::Advance {
    use pb::flow_input::Input;
    let input = match &step.input {
        FlowInput::Start(content) => Input::Start(pb::StartSession {
            message: Some(content.into()),
        }),
        FlowInput::Message(content) => Input::Message(content.into()),
        FlowInput::TimedOut(wait) => Input::TimedOut(pb::TimedOut { wait: *wait }),
        FlowInput::SendFailed { key, reason } => Input::SendFailed(pb::SendFailed {
            key: key.clone(),
            reason: reason.clone(),
        }),
        FlowInput::Called { wait, called } => Input::Called(called_to_proto(*wait, called)),
    };
    pb::Advance {
        tenant_id: conversation.tenant.to_string(),
        flow_id: step.flow_id.to_string(),
        session: step.session.as_bytes().to_vec(),
        input: Some(pb::FlowInput { input: Some(input) }),
        now: Some(timestamp_to_proto(now)),
        facts: facts(conversation),
    }
}

/// What a flow may ask about the customer and the conversation.
pub(crate) fn facts(conversation: &Conversation) -> HashMap<String, String> {
    let contact = &conversation.contact;
    [
        ("contact.display_name", &contact.display_name),
        ("contact.phone", &contact.phone),
        ("contact.user_id", &contact.user_id),
        ("contact.username", &contact.username),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
    // Decides which way a customer takes at a split, the same one each time.
    .chain([("conversation.id".to_owned(), conversation.id.to_string())])
    .collect()
}

fn outcome(result: pb::advanced::Result) -> StepOutcome {
    match result {
        pb::advanced::Result::Failure(failure) => StepOutcome::Failed(failure.message),
        pb::advanced::Result::Step(step) => done(step).unwrap_or_else(|error| {
            StepOutcome::Failed(format!("the flow-runner's answer cannot be used: {error}"))
        }),
    }
}

fn done(step: pb::Step) -> Result<StepOutcome, FieldError> {
    let wait = step.wait.map(|wait| {
        Ok::<_, FieldError>(FlowWait {
            id: wait.wait,
            until: timestamp_from_proto("wait.until", wait.until)?,
        })
    });
    let effects = step.effects.into_iter().map(|effect| {
        let what = required("effect", effect.effect)?;
        Ok((effect.key, effect_from_proto(what)?))
    });
    Ok(StepOutcome::Done {
        version: step.flow_version,
        session: Session::new(step.session),
        effects: effects.collect::<Result<_, FieldError>>()?,
        wait: wait.transpose()?,
        finished: step.finished,
        path: step.path,
    })
}

fn effect_from_proto(effect: pb::flow_effect::Effect) -> Result<Effect, FieldError> {
    use pb::flow_effect::Effect as Wire;
    Ok(match effect {
        Wire::Send(content) => Effect::Send(Box::new(Content::try_from(content)?)),
        Wire::RouteTo(route) => Effect::RouteTo {
            queue: QueueId::new(&route.queue_id)
                .map_err(|error| FieldError::new("route_to.queue_id", error.to_string()))?,
            priority: route.priority,
        },
        Wire::SetVariable(variable) => Effect::SetVariable {
            name: variable.name,
            value: variable.value,
        },
        Wire::Call(call) => Effect::Call {
            patience: Duration::from_secs(call.timeout_seconds.into()),
            request: call.encode_to_vec(),
        },
        Wire::End(end) => Effect::End { reason: end.reason },
    })
}
