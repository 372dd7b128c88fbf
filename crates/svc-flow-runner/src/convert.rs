//! Steps between the wire and the engine.

use core_flow::{
    Action, Called, Effect, EffectKey, Facts, Failure, Input, Request as CallOf, Step,
};
use core_types::{Content, Timestamp};
use lib_proto::common::{FlowAnswer, FlowCalled, flow_called};
use lib_proto::flow_runner as pb;
use lib_proto::{FieldError, required, timestamp_from_proto, timestamp_opt};

/// What a step is taken with, besides the session.
pub(crate) struct Given {
    /// What happened.
    pub(crate) input: Input,
    /// When.
    pub(crate) now: Timestamp,
}

impl Given {
    /// Reads it from the wire.
    pub(crate) fn from_proto(
        input: Option<pb::FlowInput>,
        now: Option<prost_types::Timestamp>,
    ) -> Result<Self, FieldError> {
        let input = required("input", input.and_then(|input| input.input))?;
        Ok(Self {
            input: input_from_proto(input).map_err(|error| error.within("input"))?,
            now: required("now", timestamp_from_proto("now", now)?)?,
        })
    }
}

fn input_from_proto(input: pb::flow_input::Input) -> Result<Input, FieldError> {
    use pb::flow_input::Input as Wire;
    Ok(match input {
        Wire::Start(start) => {
            let message = required("start.message", start.message)?;
            Input::Start(Content::try_from(message).map_err(|error| error.within("start.message"))?)
        }
        Wire::Message(message) => {
            Input::Message(Content::try_from(message).map_err(|error| error.within("message"))?)
        }
        Wire::TimedOut(over) => Input::TimedOut { wait: over.wait },
        Wire::Called(called) => Input::Called {
            wait: called.wait,
            called: called_from_proto(called)?,
        },
        Wire::SendFailed(failed) => Input::SendFailed {
            key: failed
                .key
                .parse::<EffectKey>()
                .map_err(|error| FieldError::new("send_failed.key", error.to_string()))?,
        },
    })
}

/// What came of a call, from the wire.
pub(crate) fn called_from_proto(called: FlowCalled) -> Result<Called, FieldError> {
    use flow_called::Outcome;
    Ok(match required("called.outcome", called.outcome)? {
        Outcome::Answer(answer) => Called::Answered {
            status: u16::try_from(answer.status)
                .map_err(|_| FieldError::new("called.answer.status", "is no HTTP status"))?,
            saved: answer.usable.then_some(answer.saved),
        },
        Outcome::Failed(reason) => Called::Failed(reason),
    })
}

/// What came of a call, for the wire; whoever asked knows which wait it is for.
pub(crate) fn called_to_proto(called: Called) -> FlowCalled {
    use flow_called::Outcome;
    let outcome = match called {
        Called::Answered { status, saved } => Outcome::Answer(FlowAnswer {
            status: status.into(),
            usable: saved.is_some(),
            saved: saved.unwrap_or_default(),
        }),
        Called::Failed(reason) => Outcome::Failed(reason),
    };
    FlowCalled {
        wait: 0,
        outcome: Some(outcome),
    }
}

/// Facts as they came.
pub(crate) struct WireFacts<F>(pub(crate) F);

impl Facts for WireFacts<std::collections::HashMap<String, String>> {
    fn fact(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Facts of a step.
pub(crate) type Known = WireFacts<std::collections::HashMap<String, String>>;

/// A step taken, for the wire.
pub(crate) fn step_to_proto(version: u32, step: Step<'_>) -> pb::Advanced {
    let step = pb::Step {
        session: step.session,
        flow_version: version,
        effects: step.effects.iter().map(effect_to_proto).collect(),
        wait: step.wait.map(|wait| pb::FlowWait {
            wait: wait.wait,
            until: timestamp_opt(wait.until),
        }),
        finished: step.finished,
        path: step.path.into_iter().map(str::to_owned).collect(),
    };
    pb::Advanced {
        result: Some(pb::advanced::Result::Step(step)),
    }
}

fn effect_to_proto(effect: &Effect) -> pb::FlowEffect {
    use pb::flow_effect::Effect as Wire;
    let action = match &effect.action {
        Action::Send(content) => Wire::Send((&**content).into()),
        Action::RouteTo { queue, priority } => Wire::RouteTo(pb::RouteTo {
            queue_id: queue.to_string(),
            priority: *priority,
        }),
        Action::SetVariable { name, value } => Wire::SetVariable(pb::SetVariable {
            name: name.clone(),
            value: value.clone(),
        }),
        Action::Call(request) => Wire::Call(call_to_proto(request)),
        Action::End { reason } => Wire::End(pb::EndEngagement {
            reason: reason.clone(),
        }),
    };
    pb::FlowEffect {
        key: effect.key.to_string(),
        effect: Some(action),
    }
}

fn call_to_proto(request: &CallOf) -> pb::FlowCall {
    let headers = request.headers.iter();
    let body = request.body.as_ref();
    pb::FlowCall {
        widget: request.widget.into(),
        method: request.method.name().to_owned(),
        url: request.url.clone(),
        headers: headers
            .map(|(name, value)| pb::FlowCallHeader {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        body: body.map(|body| body.text.clone()),
        content_type: body.map_or_else(String::new, |body| body.content_type.clone()),
        credential: request.credential.clone().unwrap_or_default(),
        // Whole seconds, as flows write them.
        timeout_seconds: u32::try_from(request.patience.as_secs()).unwrap_or(u32::MAX),
        retries: request.retries.into(),
    }
}

/// A step that cannot be taken, for the wire.
pub(crate) fn failed(kind: pb::step_failure::Kind, message: impl Into<String>) -> pb::Advanced {
    let failure = pb::StepFailure {
        kind: kind.into(),
        message: message.into(),
    };
    pb::Advanced {
        result: Some(pb::advanced::Result::Failure(failure)),
    }
}

/// The engine's refusal, for the wire.
pub(crate) fn failure_to_proto(failure: &Failure) -> pb::Advanced {
    let kind = match failure {
        Failure::Invalid(_) => pb::step_failure::Kind::Invalid,
        Failure::Budget(_) => pb::step_failure::Kind::Budget,
    };
    failed(kind, failure.to_string())
}
