//! What conversations asks of others, small enough to be scripted.

use std::sync::{Arc, Mutex};

use core_types::Timestamp;
use lib_proto::accounts::{Connector, Number, NumberRecord};
use lib_proto::common::content::Content as Said;
use lib_proto::common::{Content, FlowAnswer, FlowCalled, TemplateSend, Text, flow_called};
use lib_proto::flow_runner::flow_runner_service_server::FlowRunnerService;
use lib_proto::flow_runner::{self as fr, advanced, flow_effect::Effect, flow_input::Input};
use lib_proto::templates::template_service_server::TemplateService;
use lib_proto::{templates as tp, timestamp_to_proto};
use lib_testkit::Directory;
use prost::Message as _;
use tonic::{Request, Response, Status};

/// How long the scripted flow waits for an answer.
pub(crate) const FLOW_WAIT: u64 = 600;

/// Knows the numbers `n1` (tenant acme, flow), `n2` (tenant other, flow) and `n3` (acme, no flow),
/// and the account `w1` of acme.
pub(crate) fn accounts() -> Directory {
    let record = |id: &str, tenant: &str, flow: &str, waba: Option<&str>| NumberRecord {
        number: Some(Number {
            id: id.to_owned(),
            flow_id: flow.to_owned(),
            ..Number::default()
        }),
        connector: waba.map(|waba| Connector {
            waba_id: waba.to_owned(),
            ..Connector::default()
        }),
        tenant_id: tenant.to_owned(),
        ..NumberRecord::default()
    };
    Directory::of([
        record("n1", "acme", "guide", Some("w1")),
        record("n2", "other", "guide", None),
        record("n3", "acme", "", Some("w1")),
    ])
}

/// Greets, asks, and routes `1` to sales; `ask` calls another system; `bye` ends, `break` fails, a timeout or a failed send
/// goes to support.
#[derive(Clone, Default)]
pub(crate) struct Flows(Arc<Mutex<FlowState>>);

#[derive(Default)]
struct FlowState {
    down: bool,
    calls: Vec<usize>,
    /// Keys of the calls to other systems that were made.
    asked: Vec<String>,
}

impl Flows {
    /// Whether it answers at all.
    pub(crate) fn set_down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }

    /// Keys of the calls to other systems that were made.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    /// How many steps each call asked for.
    pub(crate) fn calls(&self) -> Vec<usize> {
        self.0.lock().unwrap().calls.clone()
    }
}

fn text_of(content: Option<Content>) -> String {
    match content.and_then(|content| content.content) {
        Some(Said::Text(text)) => text.body,
        _ => String::new(),
    }
}

fn say(body: &str) -> Effect {
    Effect::Send(Content {
        content: Some(Said::Text(Text {
            body: body.to_owned(),
            preview_url: false,
        })),
    })
}

fn route(queue: &str) -> Effect {
    Effect::RouteTo(fr::RouteTo {
        queue_id: queue.to_owned(),
        priority: 0,
    })
}

/// What the flow does about a text; whether it waits then.
fn heard(text: &str) -> (bool, Vec<Effect>) {
    match text {
        "1" => {
            let choice = fr::SetVariable {
                name: "choice".to_owned(),
                value: "1".to_owned(),
            };
            let effects = vec![Effect::SetVariable(choice), say("To sales"), route("sales")];
            (false, effects)
        }
        // Asks another system, which answers, or too late.
        address @ ("ask" | "ask late") => {
            let call = fr::FlowCall {
                url: address.to_owned(),
                timeout_seconds: 5,
                ..fr::FlowCall::default()
            };
            (true, vec![Effect::Call(call)])
        }
        name @ ("offer" | "bargain") => {
            let template = TemplateSend {
                name: name.to_owned(),
                language: "en_US".to_owned(),
                ..TemplateSend::default()
            };
            let content = Content {
                content: Some(Said::Template(template)),
            };
            (true, vec![Effect::Send(content)])
        }
        "bye" => {
            let end = fr::EndEngagement {
                reason: String::new(),
            };
            (false, vec![Effect::End(end)])
        }
        _ => (true, vec![say("1 or 2, please")]),
    }
}

fn step(advance: fr::Advance) -> fr::Advanced {
    let sprint = advance.session.len() as u64 + 1;
    let (waits, effects) = match advance.input.and_then(|input| input.input) {
        Some(Input::Start(start)) if text_of(start.message.clone()) == "break" => {
            let failure = fr::StepFailure {
                kind: fr::step_failure::Kind::Invalid.into(),
                message: "the flow is broken".to_owned(),
            };
            let result = Some(advanced::Result::Failure(failure));
            return fr::Advanced { result };
        }
        Some(Input::Start(_)) => (true, vec![say("Hello"), say("1 or 2?")]),
        Some(Input::Message(content)) => heard(&text_of(Some(content))),
        Some(Input::Called(called)) => match called.outcome {
            Some(flow_called::Outcome::Answer(answer)) => {
                let said = format!("{} {}", answer.status, answer.saved.join(","));
                (true, vec![say(&said)])
            }
            _ => (true, vec![say("no answer")]),
        },
        _ => (false, vec![route("support")]),
    };
    let now = Timestamp::from_seconds(advance.now.unwrap().seconds).unwrap();
    let until = now.plus(std::time::Duration::from_secs(FLOW_WAIT));
    let numbered = effects.into_iter().enumerate();
    let effects = numbered.map(|(index, effect)| fr::FlowEffect {
        key: format!("{sprint}.{index}"),
        effect: Some(effect),
    });
    let mut session = advance.session;
    session.push(b'x');
    fr::Advanced {
        result: Some(advanced::Result::Step(fr::Step {
            session,
            flow_version: 3,
            effects: effects.collect(),
            wait: waits.then(|| fr::FlowWait {
                wait: sprint,
                until: Some(timestamp_to_proto(until)),
            }),
            finished: !waits,
            path: vec![format!("Step{sprint}/next")],
        })),
    }
}

#[tonic::async_trait]
impl FlowRunnerService for Flows {
    async fn advance(
        &self,
        request: Request<fr::AdvanceRequest>,
    ) -> Result<Response<fr::AdvanceResponse>, Status> {
        let steps = request.into_inner().steps;
        let mut state = self.0.lock().unwrap();
        if state.down {
            return Err(Status::unavailable("down"));
        }
        state.calls.push(steps.len());
        let results = steps.into_iter().map(step).collect();
        Ok(Response::new(fr::AdvanceResponse { results }))
    }

    async fn call(
        &self,
        request: Request<fr::CallRequest>,
    ) -> Result<Response<fr::CallResponse>, Status> {
        let request = request.into_inner();
        let call = fr::FlowCall::decode(&*request.call).unwrap();
        self.0.lock().unwrap().asked.push(request.idempotency_key);
        if call.url == "ask late" {
            return Err(Status::deadline_exceeded("too late"));
        }
        let answer = FlowAnswer {
            status: 200,
            usable: true,
            saved: vec!["59.90".to_owned()],
        };
        let called = FlowCalled {
            wait: 0,
            outcome: Some(flow_called::Outcome::Answer(answer)),
        };
        Ok(Response::new(fr::CallResponse {
            called: Some(called),
        }))
    }
}

/// Knows one template, `offer`.
#[derive(Clone)]
pub(crate) struct Templates;

#[tonic::async_trait]
impl TemplateService for Templates {
    async fn list_templates(
        &self,
        _: Request<tp::ListTemplatesRequest>,
    ) -> Result<Response<tp::ListTemplatesResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn get_template(
        &self,
        _: Request<tp::GetTemplateRequest>,
    ) -> Result<Response<tp::Template>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn sync_templates(
        &self,
        _: Request<tp::SyncTemplatesRequest>,
    ) -> Result<Response<tp::SyncTemplatesResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn prepare_template(
        &self,
        request: Request<tp::PrepareTemplateRequest>,
    ) -> Result<Response<tp::PrepareTemplateResponse>, Status> {
        let mut template = request.into_inner().template.unwrap();
        if template.name != "offer" {
            return Err(Status::not_found("there is no such template"));
        }
        "An offer for you".clone_into(&mut template.rendered);
        "marketing".clone_into(&mut template.category);
        Ok(Response::new(tp::PrepareTemplateResponse {
            template: Some(template),
        }))
    }
}
