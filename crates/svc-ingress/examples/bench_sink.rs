//! A conversation log that takes every item and keeps none, for `cargo xtask bench ingress --
//! --hand-on`. Prints its address, and at the end of its standard input how many items it took.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lib_platform::server::{Admin, Options};
use lib_platform::{Authenticator, Caller, Clock, Lifecycle, Listeners, Parts};
use lib_proto::conversations as log;
use lib_proto::conversations::conversation_log_service_server::{
    ConversationLogService, ConversationLogServiceServer,
};
use lib_proto::conversations::receive_result::Outcome;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Sink(Arc<AtomicU64>);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sink = Sink::default();
    let service = ConversationLogServiceServer::new(sink.clone())
        .max_decoding_message_size(lib_platform::server::MAX_MESSAGE_BYTES);
    let caller = Caller::Service {
        name: "ingress".into(),
    };
    let options = Options {
        authenticator: Authenticator::new(Clock::system(), [("bench".into(), caller)], None),
        reflection: None,
        metrics: lib_platform::Metrics::new(),
        readiness: lib_platform::Readiness::new(),
    };
    let grpc = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", grpc.local_addr()?);
    let life = Lifecycle::new();
    let stop = life.clone();
    life.spawn("stdin", async move {
        let mut rest = Vec::new();
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
        stop.stop();
    });
    let listeners = Listeners {
        grpc,
        http: None,
        admin: Admin::Elsewhere,
    };
    lib_platform::serve(Parts::new().grpc(service), listeners, options, &life).await?;
    println!("{}", sink.0.load(Ordering::Relaxed));
    Ok(())
}

#[tonic::async_trait]
impl ConversationLogService for Sink {
    async fn receive(
        &self,
        request: Request<log::ReceiveRequest>,
    ) -> Result<Response<log::ReceiveResponse>, Status> {
        let count = request.into_inner().items.len();
        self.0.fetch_add(count as u64, Ordering::Relaxed);
        let taken = log::ReceiveResult {
            outcome: Outcome::Taken.into(),
            cause: String::new(),
        };
        Ok(Response::new(log::ReceiveResponse {
            results: vec![taken; count],
        }))
    }

    type WatchOutboxStream = tokio_stream::Empty<Result<log::WatchOutboxResponse, Status>>;

    async fn watch_outbox(
        &self,
        _: Request<log::WatchOutboxRequest>,
    ) -> Result<Response<Self::WatchOutboxStream>, Status> {
        Err(Status::unimplemented("the sink only takes items"))
    }

    async fn start_attempts(
        &self,
        _: Request<log::StartAttemptsRequest>,
    ) -> Result<Response<log::StartAttemptsResponse>, Status> {
        Err(Status::unimplemented("the sink only takes items"))
    }

    async fn finish_attempts(
        &self,
        _: Request<log::FinishAttemptsRequest>,
    ) -> Result<Response<log::FinishAttemptsResponse>, Status> {
        Err(Status::unimplemented("the sink only takes items"))
    }

    async fn record_routing(
        &self,
        _: Request<log::RecordRoutingRequest>,
    ) -> Result<Response<log::RecordRoutingResponse>, Status> {
        Err(Status::unimplemented("the sink only takes items"))
    }
}
