//! What the registry talks to, small enough to be scripted: a conversation log and a directory over
//! real gRPC, and a Graph API over real HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response as HttpResponse};
use core_types::{FactBody, Timestamp};
use lib_platform::{AuthorizedChannel, Clock, Parts, Role};
use lib_proto::accounts::directory_service_server::DirectoryServiceServer;
use lib_proto::accounts::{Connector, Number, NumberRecord};
use lib_proto::conversations::conversation_service_server::ConversationServiceServer;
use lib_proto::conversations::{LogEntry, log_entry};
use lib_proto::templates::template_service_client::TemplateServiceClient;
use lib_proto::timestamp_to_proto;
use lib_testkit::{Directory, Host, Log, Place, user};
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_000_000).unwrap()
}

/// A template as the Graph API lists it.
pub(crate) fn listed(name: &str, language: &str, status: &str) -> Value {
    json!({
        "id": "777", "name": name, "language": language, "status": status, "category": "UTILITY",
        "quality_score": {"score": "GREEN", "date": 1_795_000_000}, "rejected_reason": "NONE",
        "components": [{
            "type": "BODY", "text": "Hello {{1}}, order {{2}} has left.",
            "example": {"body_text": [["Ana", "17"]]}
        }],
        "parameter_format": "POSITIONAL"
    })
}

/// A Graph API with pages of at most 100 templates.
#[derive(Clone, Default)]
pub(crate) struct Graph(Arc<Mutex<GraphState>>);

#[derive(Default)]
struct GraphState {
    templates: Vec<Value>,
    failures: Vec<(u16, String)>,
    requests: usize,
}

impl Graph {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/v24.0/1001/message_templates", axum::routing::get(page))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        url
    }

    /// The account's templates from now on.
    pub(crate) fn set(&self, templates: Vec<Value>) {
        self.0.lock().unwrap().templates = templates;
    }

    /// The next request fails.
    pub(crate) fn fail(&self, status: u16, body: &str) {
        self.0
            .lock()
            .unwrap()
            .failures
            .push((status, body.to_owned()));
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.0.lock().unwrap().requests
    }
}

async fn page(
    State(graph): State<Graph>,
    Query(query): Query<HashMap<String, String>>,
) -> HttpResponse {
    let mut state = graph.0.lock().unwrap();
    state.requests += 1;
    if let Some((status, body)) = state.failures.pop() {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    let start: usize = query.get("after").map_or(0, |after| after.parse().unwrap());
    let limit: usize = query["limit"].parse().unwrap();
    let data: Vec<Value> = state
        .templates
        .iter()
        .skip(start)
        .take(limit.min(100))
        .cloned()
        .collect();
    let end = start + data.len();
    let mut paging = json!({"cursors": {"before": start.to_string(), "after": end.to_string()}});
    if end < state.templates.len() {
        paging["next"] = json!(format!("https://graph.example/next?after={end}"));
    }
    json!({"data": data, "paging": paging})
        .to_string()
        .into_response()
}

/// Tenant `red` with connector `main` (account 1001) and number 2001.
fn directory() -> Directory {
    Directory::of([NumberRecord {
        number: Some(Number {
            id: "2001".into(),
            connector_id: "main".into(),
            ..Number::default()
        }),
        connector: Some(Connector {
            id: "main".into(),
            waba_id: "1001".into(),
            ..Connector::default()
        }),
        tenant_id: "red".into(),
        access_token: "EAAG1".into(),
    }])
}

/// The entry the log has after Meta's webhook of `field` about account 1001.
pub(crate) fn entry(field: &str, value: Value) -> LogEntry {
    let change = json!({"field": field, "value": value});
    let account = json!({"id": "1001", "time": 1_795_000_000, "changes": [change]});
    let body = json!({"object": "whatsapp_business_account", "entry": [account]}).to_string();
    let mut items = core_whatsapp::webhook::read(body.as_bytes()).unwrap();
    let FactBody::Account(fact) = items.remove(0).result.unwrap().body else {
        panic!("not about the account")
    };
    LogEntry {
        waba_id: "1001".into(),
        recorded_at: Some(timestamp_to_proto(now())),
        event: Some(log_entry::Event::Account((&fact).into())),
        ..LogEntry::default()
    }
}

/// The registry with its peers.
pub(crate) struct World<'a> {
    pub(crate) graph: Graph,
    pub(crate) log: Log,
    place: &'a Place,
    graph_url: String,
    peers: Host,
    /// Empty only while it is started again.
    registry: Option<Host>,
}

impl<'a> World<'a> {
    /// Everything is up.
    pub(crate) async fn start(place: &'a Place) -> Self {
        let (graph, log) = (Graph::default(), Log::default());
        let parts = Parts::new()
            .grpc(ConversationServiceServer::new(log.clone()))
            .grpc(DirectoryServiceServer::new(directory()));
        let mut world = Self {
            graph_url: graph.start().await,
            graph,
            log,
            place,
            peers: Host::peer(parts, &Clock::virtual_at(now())).await,
            registry: None,
        };
        world.run().await;
        world
    }

    async fn run(&mut self) {
        let clock = Clock::virtual_at(now());
        let context = self.place.context(&clock, &self.peers.url);
        let config = svc_templates::Config {
            graph_url: self.graph_url.clone(),
            ..svc_templates::Config::default()
        };
        let parts = svc_templates::start(config, context.clone());
        let users = ["red", "blue"].map(|tenant| {
            let root = user(tenant, "root", Role::Administrator);
            (tenant, root)
        });
        let registry = Host::start(parts.await.unwrap(), &context, &users).await;
        self.registry = Some(registry);
    }

    /// Stops the registry and starts it again on the same data.
    pub(crate) async fn restart(&mut self) {
        self.registry.take().unwrap().stop().await;
        self.run().await;
    }

    /// Talks to the registry as a service, `red` or `blue`.
    pub(crate) fn client(&self, token: &str) -> TemplateServiceClient<AuthorizedChannel> {
        let registry = self.registry.as_ref().unwrap();
        TemplateServiceClient::new(registry.channel(token))
            .max_decoding_message_size(lib_platform::server::MAX_MESSAGE_BYTES)
    }
}
