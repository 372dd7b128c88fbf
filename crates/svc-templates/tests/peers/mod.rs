//! What the registry talks to, small enough to be scripted: a conversation log and a directory over
//! real gRPC, and a Graph API over real HTTP.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response as HttpResponse};
use core_types::{FactBody, Timestamp};
use lib_platform::server::Options;
use lib_platform::{
    Authenticator, AuthorizedChannel, Caller, Clock, Context, IdSource, Lifecycle, Listeners,
    Parts, Peers, channel, serve,
};
use lib_proto::accounts::directory_service_server::{DirectoryService, DirectoryServiceServer};
use lib_proto::accounts::{self, Connector, Number, NumberRecord};
use lib_proto::conversations::conversation_service_server::{
    ConversationService, ConversationServiceServer,
};
use lib_proto::conversations::{self as pb, LogEntry, WatchResponse, log_entry};
use lib_proto::templates::template_service_client::TemplateServiceClient;
use lib_proto::timestamp_to_proto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status};

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
struct Directory;

fn connector() -> Connector {
    Connector {
        id: "main".into(),
        waba_id: "1001".into(),
        ..Connector::default()
    }
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn resolve_numbers(
        &self,
        request: Request<accounts::ResolveNumbersRequest>,
    ) -> Result<Response<accounts::ResolveNumbersResponse>, Status> {
        let ids = request.into_inner().number_ids;
        let record = NumberRecord {
            number: Some(Number {
                id: "2001".into(),
                connector_id: "main".into(),
                ..Number::default()
            }),
            connector: Some(connector()),
            tenant_id: "red".into(),
            access_token: "EAAG1".into(),
        };
        let known = ids.is_empty() || ids.iter().any(|id| id == "2001");
        let numbers = known.then_some(record).into_iter().collect();
        Ok(Response::new(accounts::ResolveNumbersResponse { numbers }))
    }

    async fn resolve_waba(
        &self,
        request: Request<accounts::ResolveWabaRequest>,
    ) -> Result<Response<accounts::ResolveWabaResponse>, Status> {
        if request.into_inner().waba_id != "1001" {
            return Err(Status::not_found("unknown account"));
        }
        Ok(Response::new(accounts::ResolveWabaResponse {
            tenant_id: "red".into(),
            connector: Some(connector()),
            access_token: "EAAG1".into(),
        }))
    }

    async fn resolve_access_token(
        &self,
        _: Request<accounts::ResolveAccessTokenRequest>,
    ) -> Result<Response<accounts::Caller>, Status> {
        Err(Status::unimplemented("not the registry's business"))
    }
}

/// The entry the log has after Meta's webhook of `field` about account 1001.
pub(crate) fn entry(cursor: &str, field: &str, value: Value) -> LogEntry {
    let change = json!({"field": field, "value": value});
    let account = json!({"id": "1001", "time": 1_795_000_000, "changes": [change]});
    let body = json!({"object": "whatsapp_business_account", "entry": [account]}).to_string();
    let mut items = core_whatsapp::webhook::read(body.as_bytes()).unwrap();
    let FactBody::Account(fact) = items.remove(0).result.unwrap().body else {
        panic!("not about the account")
    };
    LogEntry {
        cursor: cursor.into(),
        waba_id: "1001".into(),
        recorded_at: Some(timestamp_to_proto(now())),
        event: Some(log_entry::Event::Account((&fact).into())),
        ..LogEntry::default()
    }
}

/// A conversation log of account entries.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<LogState>>);

#[derive(Default)]
struct LogState {
    entries: Vec<LogEntry>,
    watchers: Vec<mpsc::UnboundedSender<Result<WatchResponse, Status>>>,
    cursors: Vec<String>,
}

impl Log {
    /// Appends an entry.
    pub(crate) fn append(&self, entry: LogEntry) {
        let mut state = self.0.lock().unwrap();
        state.entries.push(entry.clone());
        let news = WatchResponse {
            entries: vec![entry],
            head: String::new(),
        };
        state
            .watchers
            .retain(|watcher| watcher.send(Ok(news.clone())).is_ok());
    }

    /// Where followers asked to go on.
    pub(crate) fn cursors(&self) -> Vec<String> {
        self.0.lock().unwrap().cursors.clone()
    }
}

/// The other methods of the log are none of the registry's business.
macro_rules! unused {
    ($($name:ident: $request:ident -> $answer:ident),*) => {
        #[tonic::async_trait]
        impl ConversationService for Log {
            type WatchStream = UnboundedReceiverStream<Result<WatchResponse, Status>>;

            async fn watch(
                &self,
                request: Request<pb::WatchRequest>,
            ) -> Result<Response<Self::WatchStream>, Status> {
                let cursor = request.into_inner().cursor;
                let (watcher, news) = mpsc::unbounded_channel();
                let mut state = self.0.lock().unwrap();
                let entries = state.entries.iter().filter(|entry| entry.cursor > cursor).cloned();
                let first = WatchResponse { entries: entries.collect(), head: String::new() };
                watcher.send(Ok(first)).unwrap();
                state.watchers.push(watcher);
                state.cursors.push(cursor);
                Ok(Response::new(UnboundedReceiverStream::new(news)))
            }

            $(async fn $name(
                &self,
                _: Request<pb::$request>,
            ) -> Result<Response<pb::$answer>, Status> {
                Err(Status::unimplemented("not the registry's business"))
            })*
        }
    };
}

unused! {
    get_conversation: GetConversationRequest -> Conversation,
    list_conversations: ListConversationsRequest -> ListConversationsResponse,
    get_engagement: GetEngagementRequest -> Engagement,
    list_engagements: ListEngagementsRequest -> ListEngagementsResponse,
    list_messages: ListMessagesRequest -> ListMessagesResponse,
    search_messages: SearchMessagesRequest -> SearchMessagesResponse,
    send_message: SendMessageRequest -> Message,
    start_wrap_up: StartWrapUpRequest -> Engagement,
    complete_wrap_up: CompleteWrapUpRequest -> Engagement,
    transfer_to_queue: TransferToQueueRequest -> Engagement
}

/// The registry with its peers.
pub(crate) struct World {
    pub(crate) graph: Graph,
    pub(crate) log: Log,
    folder: tempfile::TempDir,
    graph_url: String,
    peers: Lifecycle,
    peers_address: String,
    registry: (Lifecycle, String),
}

impl World {
    /// Everything is up.
    pub(crate) async fn start() -> Self {
        let (graph, log, peers) = (Graph::default(), Log::default(), Lifecycle::new());
        let graph_url = graph.start().await;
        let parts = Parts::new()
            .grpc(ConversationServiceServer::new(log.clone()))
            .grpc(DirectoryServiceServer::new(Directory));
        let peers_address = serve_at(parts, &peers).await;
        let folder = tempfile::tempdir().unwrap();
        let registry = registry(&folder, &graph_url, &peers_address).await;
        Self {
            graph,
            log,
            folder,
            graph_url,
            peers,
            peers_address,
            registry,
        }
    }

    /// Stops the registry and starts it again on the same data.
    pub(crate) async fn restart(&mut self) {
        self.registry.0.stop();
        self.registry
            .0
            .drained(std::time::Duration::from_secs(5))
            .await;
        self.registry = registry(&self.folder, &self.graph_url, &self.peers_address).await;
    }

    /// Talks to the registry as `token`: `svc`, `red` or `blue`.
    pub(crate) fn client(&self, token: &str) -> TemplateServiceClient<AuthorizedChannel> {
        let address = &self.registry.1;
        TemplateServiceClient::new(channel::connect(address, token).unwrap())
            .max_decoding_message_size(lib_platform::server::MAX_MESSAGE_BYTES)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.peers.stop();
        self.registry.0.stop();
    }
}

async fn registry(folder: &tempfile::TempDir, graph: &str, peers: &str) -> (Lifecycle, String) {
    let life = Lifecycle::new();
    let context = Context {
        clock: Clock::virtual_at(now()),
        ids: IdSource::counted(),
        life: life.clone(),
        peers: Peers::new([("*".to_owned(), peers.to_owned())], "svc").unwrap(),
        data_dir: folder.path().to_owned(),
    };
    let config = svc_templates::Config {
        graph_url: graph.to_owned(),
        ..svc_templates::Config::default()
    };
    let parts = svc_templates::start(config, context).await.unwrap();
    let address = serve_at(parts, &life).await;
    (life, address)
}

async fn serve_at(parts: Parts, life: &Lifecycle) -> String {
    let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", grpc.local_addr().unwrap());
    let administrator = |tenant: &str| Caller::User {
        tenant: tenant.parse().unwrap(),
        user: "root".into(),
        roles: BTreeSet::from([lib_platform::Role::Administrator]),
    };
    let callers = [
        (
            "svc".to_owned(),
            Caller::Service {
                name: "test".into(),
            },
        ),
        ("red".to_owned(), administrator("red")),
        ("blue".to_owned(), administrator("blue")),
    ];
    let options = Options {
        authenticator: Authenticator::new(Clock::virtual_at(now()), callers, None),
        reflection: None,
    };
    let life = life.clone();
    tokio::spawn(async move { serve(parts, Listeners { grpc, http: None }, options, &life).await });
    address
}
