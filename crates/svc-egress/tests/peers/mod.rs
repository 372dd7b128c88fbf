//! What egress talks to, small enough to be scripted: a conversation log, a directory, and a Graph
//! API. The first two speak real gRPC, the last real HTTP.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response as HttpResponse};
use core_types::Timestamp;
use lib_platform::{AuthorizedChannel, Clock, Context, Parts, Role};
use lib_proto::accounts::NumberRecord;
use lib_proto::accounts::directory_service_server::DirectoryServiceServer;
use lib_proto::common::{self, ContactIdentity, Content, content};
use lib_proto::conversations::conversation_log_service_server::{
    ConversationLogService, ConversationLogServiceServer,
};
use lib_proto::conversations::{self as pb, AttemptResult, OutboxIntent};
use lib_proto::egress::egress_service_client::EgressServiceClient;
use lib_testkit::{Directory, Host, Place, number, user};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status};

/// The time of every test.
pub(crate) const NOW: i64 = 1_795_000_000;

type Announcements = mpsc::UnboundedSender<Result<pb::WatchOutboxResponse, Status>>;

/// A conversation log that grants what it is told to.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<LogState>>);

struct LogState {
    waiting: Vec<OutboxIntent>,
    watchers: Vec<Announcements>,
    started: Vec<(String, u32)>,
    /// Who was granted an attempt of a message.
    senders: BTreeMap<String, String>,
    denied: BTreeSet<String>,
    batches: Vec<usize>,
    ended: mpsc::UnboundedSender<AttemptResult>,
}

impl Log {
    fn new() -> (Self, mpsc::UnboundedReceiver<AttemptResult>) {
        let (ended, outcomes) = mpsc::unbounded_channel();
        let state = LogState {
            waiting: Vec::new(),
            watchers: Vec::new(),
            started: Vec::new(),
            senders: BTreeMap::new(),
            denied: BTreeSet::new(),
            batches: Vec::new(),
            ended,
        };
        (Self(Arc::new(Mutex::new(state))), outcomes)
    }

    /// Wants messages sent; announces them together.
    pub(crate) fn want(&self, intents: Vec<OutboxIntent>) {
        let mut state = self.0.lock().unwrap();
        state.waiting.extend(intents.clone());
        let announcement = pb::WatchOutboxResponse { intents };
        state
            .watchers
            .retain(|watcher| watcher.send(Ok(announcement.clone())).is_ok());
    }

    /// Will not grant an attempt of `message`.
    pub(crate) fn deny(&self, message: &str) {
        self.0.lock().unwrap().denied.insert(message.to_owned());
    }

    /// Ends every stream, as a restart does.
    pub(crate) fn hang_up(&self) {
        self.0.lock().unwrap().watchers.clear();
    }

    /// Attempts asked for so far.
    pub(crate) fn started(&self) -> Vec<(String, u32)> {
        self.0.lock().unwrap().started.clone()
    }

    /// Who was granted an attempt of each message.
    pub(crate) fn senders(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().senders.clone()
    }

    /// How many attempts each call asked for.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.0.lock().unwrap().batches.clone()
    }
}

#[tonic::async_trait]
impl ConversationLogService for Log {
    type WatchOutboxStream = UnboundedReceiverStream<Result<pb::WatchOutboxResponse, Status>>;

    async fn watch_outbox(
        &self,
        _: Request<pb::WatchOutboxRequest>,
    ) -> Result<Response<Self::WatchOutboxStream>, Status> {
        let (watcher, announcements) = mpsc::unbounded_channel();
        let mut state = self.0.lock().unwrap();
        let intents = state.waiting.clone();
        watcher
            .send(Ok(pb::WatchOutboxResponse { intents }))
            .unwrap();
        state.watchers.push(watcher);
        Ok(Response::new(UnboundedReceiverStream::new(announcements)))
    }

    async fn start_attempts(
        &self,
        request: Request<pb::StartAttemptsRequest>,
    ) -> Result<Response<pb::StartAttemptsResponse>, Status> {
        let pb::StartAttemptsRequest { attempts, sender } = request.into_inner();
        let mut state = self.0.lock().unwrap();
        state.batches.push(attempts.len());
        let mut granted = Vec::new();
        for key in attempts {
            let attempt = (key.message_id, key.attempt);
            let grant = !state.denied.contains(&attempt.0) && !state.started.contains(&attempt);
            if grant {
                state.senders.insert(attempt.0.clone(), sender.clone());
            }
            granted.push(grant);
            state.started.push(attempt);
        }
        Ok(Response::new(pb::StartAttemptsResponse { granted }))
    }

    async fn finish_attempts(
        &self,
        request: Request<pb::FinishAttemptsRequest>,
    ) -> Result<Response<pb::FinishAttemptsResponse>, Status> {
        let mut state = self.0.lock().unwrap();
        for result in request.into_inner().results {
            let key = result.attempt.clone().unwrap();
            state
                .waiting
                .retain(|intent| intent.message_id != key.message_id);
            state.ended.send(result).unwrap();
        }
        Ok(Response::new(pb::FinishAttemptsResponse {}))
    }

    async fn receive(
        &self,
        _: Request<pb::ReceiveRequest>,
    ) -> Result<Response<pb::ReceiveResponse>, Status> {
        Err(Status::unimplemented("not egress's business"))
    }

    async fn record_routing(
        &self,
        _: Request<pb::RecordRoutingRequest>,
    ) -> Result<Response<pb::RecordRoutingResponse>, Status> {
        Err(Status::unimplemented("not egress's business"))
    }
}

/// Numbers that are connected, from 2001 on.
pub(crate) const NUMBERS: usize = 32;

fn connected(access_token: &str) -> impl Iterator<Item = NumberRecord> {
    (1..=NUMBERS).map(move |n| NumberRecord {
        access_token: access_token.to_owned(),
        ..number("red", &format!("{}", 2000 + n))
    })
}

/// A request as the Graph API saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) traceparent: String,
    pub(crate) body: serde_json::Value,
}

/// A Graph API that gives the scripted answers in order, then accepts.
#[derive(Clone)]
pub(crate) struct Graph {
    pub(crate) url: String,
    script: Arc<Mutex<VecDeque<(u16, String)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    hold: Arc<tokio::sync::RwLock<()>>,
    arrived: Arc<tokio::sync::Notify>,
}

impl Graph {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let graph = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            script: Arc::default(),
            seen: Arc::default(),
            hold: Arc::default(),
            arrived: Arc::default(),
        };
        let routes = Router::new().fallback(answer).with_state(graph.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        graph
    }

    /// The next answer.
    pub(crate) fn will_answer(&self, status: u16, body: &str) {
        self.script
            .lock()
            .unwrap()
            .push_back((status, body.to_owned()));
    }

    /// The next answer is an error.
    pub(crate) fn will_fail(&self, status: u16, code: i64) {
        let body = format!(
            r#"{{"error":{{"message":"(#{code}) no","type":"OAuthException","code":{code},"error_data":{{"messaging_product":"whatsapp","details":"because"}},"fbtrace_id":"A"}}}}"#
        );
        self.will_answer(status, &body);
    }

    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Lets no answer out until the guard is dropped.
    pub(crate) async fn hold(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.hold).write_owned().await
    }

    /// Waits for a request.
    pub(crate) async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

async fn answer(
    State(graph): State<Graph>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> HttpResponse {
    let header = |name: &str| {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
            .to_owned()
    };
    let count = {
        let mut seen = graph.seen.lock().unwrap();
        seen.push(Seen {
            path: uri.path().to_owned(),
            authorization: header("authorization"),
            traceparent: header("traceparent"),
            body: serde_json::from_slice(&body).unwrap(),
        });
        seen.len()
    };
    graph.arrived.notify_one();
    let _held = graph.hold.read().await;
    let (status, body) = graph.script.lock().unwrap().pop_front().unwrap_or_else(|| {
        let body = format!(r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"16505551234","wa_id":"16505551234"}}],"messages":[{{"id":"wamid.{count}"}}]}}"#);
        (200, body)
    });
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

/// Egress with its peers.
pub(crate) struct World {
    pub(crate) log: Log,
    directory: Directory,
    pub(crate) outcomes: mpsc::UnboundedReceiver<AttemptResult>,
    pub(crate) config: svc_egress::Config,
    pub(crate) place: Arc<Place>,
    pub(crate) clock: Clock,
    pub(crate) peers: Host,
    egress: Option<Host>,
}

impl World {
    /// Peers are up, egress is not yet.
    pub(crate) async fn new(graph_url: &str) -> Self {
        Self::at(graph_url, Place::folder()).await
    }

    /// The same, with records at `place`.
    pub(crate) async fn at(graph_url: &str, place: Place) -> Self {
        let (log, outcomes) = Log::new();
        let directory = Directory::of(connected("EAAG1"));
        let clock = Clock::virtual_at(Timestamp::from_seconds(NOW).unwrap());
        let parts = Parts::new()
            .grpc(ConversationLogServiceServer::new(log.clone()))
            .grpc(DirectoryServiceServer::new(directory.clone()));
        let peers = Host::peer(parts, &clock).await;
        Self {
            log,
            directory,
            outcomes,
            config: svc_egress::Config {
                graph_url: graph_url.to_owned(),
                ..svc_egress::Config::default()
            },
            place: Arc::new(place),
            clock,
            peers,
            egress: None,
        }
    }

    /// Starts egress.
    pub(crate) async fn start(&mut self) {
        self.egress = Some(self.replica("egress").await);
    }

    /// Starts a replica of egress.
    pub(crate) async fn replica(&self, name: &str) -> Host {
        let context = self.place.replica(name, &self.clock, &self.peers.url);
        replica(self.config.clone(), context).await
    }

    /// Peers and egress are up.
    pub(crate) async fn started(graph_url: &str) -> Self {
        let mut world = Self::new(graph_url).await;
        world.start().await;
        world
    }

    /// Tells egress to stop.
    pub(crate) fn stop(&mut self) -> Host {
        let egress = self.egress.take().unwrap();
        egress.life.stop();
        egress
    }

    /// The next outcome egress reports.
    pub(crate) async fn outcome(&mut self) -> pb::attempt_result::Outcome {
        self.outcomes.recv().await.unwrap().outcome.unwrap()
    }

    /// Talks to egress as `red` or `blue`.
    pub(crate) fn client(&self, token: &str) -> EgressServiceClient<AuthorizedChannel> {
        EgressServiceClient::new(self.egress.as_ref().unwrap().channel(token))
    }

    /// Replaces the token of the number.
    pub(crate) fn replace_token(&self, token: &str) {
        self.directory.set(connected(token));
    }
}

/// A replica of egress, on a port of its own.
pub(crate) async fn replica(config: svc_egress::Config, context: Context) -> Host {
    let parts = svc_egress::start(config, context.clone());
    let users = ["red", "blue"].map(|tenant| {
        let root = user(tenant, "root", Role::Administrator);
        (tenant, root)
    });
    Host::start(parts.await.unwrap(), &context, &users).await
}

/// A text from tenant `red` on number 2001.
pub(crate) fn text(message: &str, attempt: u32) -> OutboxIntent {
    OutboxIntent {
        message_id: message.into(),
        conversation_id: "cnv".into(),
        tenant_id: "red".into(),
        number_id: "2001".into(),
        contact: Some(ContactIdentity {
            phone: "16505551234".into(),
            ..ContactIdentity::default()
        }),
        content: Some(Content {
            content: Some(content::Content::Text(common::Text {
                body: "Hello".into(),
                preview_url: false,
            })),
        }),
        attempt,
        reply_to: String::new(),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
    }
}
