//! The neighbours of ingress, as small as they can be: a conversation log that records what it
//! took, and a directory of two numbers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lib_platform::{Clock, Parts};
use lib_proto::accounts::directory_service_server::DirectoryServiceServer;
use lib_proto::conversations as log;
use lib_proto::conversations::conversation_log_service_server::{
    ConversationLogService, ConversationLogServiceServer,
};
use lib_proto::conversations::receive_result::Outcome;
use lib_testkit::{Directory, Host, number};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// How the log answers one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Take,
    Refuse,
    Retry,
    /// Fails the whole call, whatever else is in it.
    Fail,
}

type Rule = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// The recording log. Clones share the record; it outlives the server.
#[derive(Clone)]
pub(crate) struct Peer {
    taken: watch::Sender<Vec<log::ReceivedItem>>,
    known: Arc<Mutex<BTreeSet<String>>>,
    rule: Arc<Mutex<Rule>>,
    /// How many items each call brought.
    pub(crate) calls: Arc<Mutex<Vec<usize>>>,
}

pub(crate) fn key(item: &log::ReceivedItem) -> String {
    item.fact
        .as_ref()
        .map(|fact| fact.dedupe_key.clone())
        .unwrap_or_default()
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            taken: watch::Sender::new(Vec::new()),
            known: Arc::default(),
            rule: Arc::new(Mutex::new(Arc::new(|_: &str| Answer::Take))),
            calls: Arc::default(),
        }
    }

    /// From now on items are answered by their dedupe key.
    pub(crate) fn answers(&self, rule: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        *self.rule.lock().unwrap() = Arc::new(rule);
    }

    /// Serves at `address` until the host is dropped. Number 100 belongs to tenant `a`, number 200 to
    /// tenant `b`.
    pub(crate) async fn serve(&self, address: &str) -> Host {
        let directory = Directory::of([number("a", "100"), number("b", "200")]);
        let parts = Parts::new()
            .grpc(ConversationLogServiceServer::new(self.clone()))
            .grpc(DirectoryServiceServer::new(directory));
        let listener = TcpListener::bind(address.trim_start_matches("http://")).await;
        Host::peer_on(listener.unwrap(), parts, &Clock::system()).await
    }

    /// Waits until `enough` says so; fails after 20 s.
    pub(crate) async fn until(&self, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let keys = |items: &Vec<log::ReceivedItem>| items.iter().map(key).collect::<Vec<_>>();
        let mut taken = self.taken.subscribe();
        let wait = taken.wait_for(|items| enough(&keys(items)));
        let outcome = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
        match outcome {
            Ok(items) => keys(&items.unwrap()),
            Err(late) => panic!("{late}: only {:?} arrived", keys(&self.taken.borrow())),
        }
    }

    /// What was taken, in order.
    pub(crate) fn taken(&self) -> Vec<log::ReceivedItem> {
        self.taken.borrow().clone()
    }
}

#[tonic::async_trait]
impl ConversationLogService for Peer {
    async fn receive(
        &self,
        request: Request<log::ReceiveRequest>,
    ) -> Result<Response<log::ReceiveResponse>, Status> {
        let items = request.into_inner().items;
        self.calls.lock().unwrap().push(items.len());
        let rule = Arc::clone(&self.rule.lock().unwrap());
        if items.iter().any(|item| rule(&key(item)) == Answer::Fail) {
            return Err(Status::internal("poison"));
        }
        let mut results = Vec::new();
        for item in items {
            let outcome = match rule(&key(&item)) {
                Answer::Refuse => Outcome::Refused,
                Answer::Retry => Outcome::Retry,
                Answer::Take | Answer::Fail => {
                    if self.known.lock().unwrap().insert(key(&item)) {
                        self.taken.send_modify(|taken| taken.push(item));
                        Outcome::Taken
                    } else {
                        Outcome::Duplicate
                    }
                }
            };
            results.push(log::ReceiveResult {
                outcome: outcome.into(),
                cause: if outcome == Outcome::Refused {
                    "never".into()
                } else {
                    String::new()
                },
            });
        }
        Ok(Response::new(log::ReceiveResponse { results }))
    }

    type WatchOutboxStream = tokio_stream::Empty<Result<log::WatchOutboxResponse, Status>>;

    async fn watch_outbox(
        &self,
        _: Request<log::WatchOutboxRequest>,
    ) -> Result<Response<Self::WatchOutboxStream>, Status> {
        Err(Status::unimplemented("ingress does not send"))
    }

    async fn start_attempts(
        &self,
        _: Request<log::StartAttemptsRequest>,
    ) -> Result<Response<log::StartAttemptsResponse>, Status> {
        Err(Status::unimplemented("ingress does not send"))
    }

    async fn finish_attempts(
        &self,
        _: Request<log::FinishAttemptsRequest>,
    ) -> Result<Response<log::FinishAttemptsResponse>, Status> {
        Err(Status::unimplemented("ingress does not send"))
    }

    async fn record_routing(
        &self,
        _: Request<log::RecordRoutingRequest>,
    ) -> Result<Response<log::RecordRoutingResponse>, Status> {
        Err(Status::unimplemented("ingress does not route"))
    }
}
