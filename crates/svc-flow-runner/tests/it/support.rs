//! The real service on a port of its own.

use std::collections::HashMap;

use core_types::{Content, Timestamp};
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{AuthorizedChannel, Clock, Role};
use lib_proto::flow_runner as pb;
use lib_proto::timestamp_to_proto;
use lib_testkit::{Host, NOWHERE, Place, SERVICE, user};
use pb::flow_runner_service_client::FlowRunnerServiceClient;
use pb::flow_service_client::FlowServiceClient;

/// The flow of the guide.
pub(crate) const GUIDE: &str = include_str!("../../../../deploy/flows/whatsapp-for-business.json");

/// A running flow-runner.
pub(crate) struct Server(Host);

/// The time of the virtual clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_370_000).unwrap()
}

impl Server {
    /// Starts on the data in `place`.
    pub(crate) async fn start(place: &Place) -> Self {
        Self::start_with(place, true).await
    }

    /// Starts on the data in `place`, with scripts allowed or not.
    pub(crate) async fn start_with(place: &Place, scripts: bool) -> Self {
        let context = place.context(&Clock::virtual_at(now()), NOWHERE);
        let config = svc_flow_runner::Config {
            private_hosts: vec!["127.0.0.1".to_owned()],
            scripts,
            ..svc_flow_runner::Config::default()
        };
        let parts = svc_flow_runner::start(config, context.clone());
        let users = [
            ("red", user("red", "root", Role::Administrator)),
            ("red-author", user("red", "flora", Role::FlowAuthor)),
            ("red-agent", user("red", "ana", Role::Agent)),
            ("blue", user("blue", "boss", Role::Administrator)),
        ];
        Self(Host::start(parts.await.unwrap(), &context, &users).await)
    }

    /// `FlowService` with a token.
    pub(crate) fn flows(&self, token: &str) -> FlowServiceClient<AuthorizedChannel> {
        FlowServiceClient::new(self.0.channel(token)).max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// `FlowRunnerService` with a token.
    pub(crate) fn runner(&self, token: &str) -> FlowRunnerServiceClient<AuthorizedChannel> {
        FlowRunnerServiceClient::new(self.0.channel(token))
    }

    /// Creates a flow of tenant red and publishes it.
    pub(crate) async fn publish(&self, id: &str, draft: &str) -> pb::FlowVersion {
        let mut flows = self.flows("red");
        flows.create_flow(create(id, draft)).await.unwrap();
        flows.publish_flow(publish(id)).await.unwrap().into_inner()
    }

    /// Takes steps, one after the other in one call.
    pub(crate) async fn advance(&self, steps: Vec<pb::Advance>) -> Vec<pb::advanced::Result> {
        let request = pb::AdvanceRequest { steps };
        let answer = self
            .runner(SERVICE)
            .advance(request)
            .await
            .unwrap()
            .into_inner();
        answer
            .results
            .into_iter()
            .map(|each| each.result.unwrap())
            .collect()
    }

    /// Drains and stops.
    pub(crate) async fn stop(self) {
        self.0.stop().await;
    }
}

/// A creation.
pub(crate) fn create(id: &str, draft: &str) -> pb::CreateFlowRequest {
    pb::CreateFlowRequest {
        id: id.into(),
        name: "A flow".into(),
        draft: draft.into(),
    }
}

/// A change of the draft.
pub(crate) fn update(id: &str, draft: &str, etag: &str) -> pb::UpdateFlowRequest {
    pb::UpdateFlowRequest {
        id: id.into(),
        name: "A flow".into(),
        draft: draft.into(),
        etag: etag.into(),
    }
}

/// A publication.
pub(crate) fn publish(id: &str) -> pb::PublishFlowRequest {
    pb::PublishFlowRequest {
        id: id.into(),
        note: "because".into(),
        etag: String::new(),
    }
}

/// A text of the customer.
pub(crate) fn text(body: &str) -> lib_proto::common::Content {
    let content = Content::Text {
        body: body.into(),
        preview_url: false,
    };
    (&content).into()
}

/// A step of tenant red: the first one where `session` is empty.
pub(crate) fn step(flow: &str, session: &[u8], said: &str) -> pb::Advance {
    use pb::flow_input::Input;
    let input = if session.is_empty() {
        Input::Start(pb::StartSession {
            message: Some(text(said)),
        })
    } else {
        Input::Message(text(said))
    };
    pb::Advance {
        tenant_id: "red".into(),
        flow_id: flow.into(),
        session: session.to_vec(),
        input: Some(pb::FlowInput { input: Some(input) }),
        now: Some(timestamp_to_proto(now())),
        facts: HashMap::new(),
    }
}

/// The step that was taken.
pub(crate) fn taken(result: pb::advanced::Result) -> pb::Step {
    match result {
        pb::advanced::Result::Step(step) => step,
        pb::advanced::Result::Failure(failure) => panic!("{failure:?}"),
    }
}

/// Why a step was not taken.
pub(crate) fn refused(result: pb::advanced::Result) -> (pb::step_failure::Kind, String) {
    match result {
        pb::advanced::Result::Failure(failure) => (failure.kind(), failure.message),
        pb::advanced::Result::Step(step) => panic!("{step:?}"),
    }
}
