//! A call's spans reach a collector as one trace, and the call's duration names that trace. The
//! collector is a real OTLP server in this process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lib_platform::channel::connect;
use lib_platform::server::{Admin, Options};
use lib_platform::telemetry::{LogFormat, Settings, start};
use lib_platform::{
    Authenticator, AuthorizedChannel, Clock, Lifecycle, Listeners, Metrics, Parts, Readiness,
    serve, trace,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tracing::Instrument as _;

/// Takes what is exported.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn until_not_serving(mut health: HealthClient<AuthorizedChannel>) {
    loop {
        let answer = health.check(HealthCheckRequest::default()).await.unwrap();
        if answer.into_inner().status() == ServingStatus::NotServing {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spans_of_a_call_arrive_as_one_trace_and_its_duration_names_it() {
    let (listener, collector_url) = listen().await;
    let collector = Collector::default();
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    let settings = Settings {
        service: "frontdesk-test".to_owned(),
        filter: "warn".to_owned(),
        format: LogFormat::Json,
        otlp_endpoint: Some(collector_url),
    };
    let telemetry = start(&settings).unwrap();

    let (grpc, url) = listen().await;
    let (life, metrics, readiness) = (Lifecycle::new(), Metrics::new(), Readiness::new());
    let listeners = Listeners {
        grpc,
        http: None,
        admin: Admin::WithHttp,
    };
    let options = Options {
        authenticator: Authenticator::new(Clock::system(), [], None),
        reflection: None,
        metrics: metrics.clone(),
        readiness: readiness.clone(),
    };
    let until = life.clone();
    let serving =
        tokio::spawn(async move { serve(Parts::new(), listeners, options, &until).await });

    let mut health = HealthClient::new(connect(&url, "any").unwrap());
    let ask = async {
        let answer = health.check(HealthCheckRequest::default()).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
        trace::current_traceparent().unwrap()
    };
    let root = tracing::info_span!(target: "lib_platform::test", "root");
    let traceparent = ask.instrument(root).await;
    let ids: Vec<&str> = traceparent.split('-').collect();

    // A later call takes the exemplar's place.
    let text = metrics.text();
    let counted = "frontdesk_rpc_requests_total{service=\"grpc.health.v1.Health\",method=\"Check\",\
                   code=\"OK\"}";
    assert!(text.contains(counted), "{text}");
    let exemplar = format!("trace_id=\"{}\"", ids[1]);
    assert!(text.contains(&exemplar), "{text}");

    // gRPC health says what readiness says.
    readiness.set("redis", Err("it does not answer"));
    tokio::time::timeout(Duration::from_secs(10), until_not_serving(health))
        .await
        .unwrap();

    life.stop();
    serving.await.unwrap().unwrap();
    tokio::task::spawn_blocking(|| telemetry.flush())
        .await
        .unwrap();

    let spans = collector.0.lock().unwrap();
    let of_trace: Vec<&Span> = spans
        .iter()
        .filter(|span| hex::encode(&span.trace_id) == ids[1])
        .collect();
    let named = |name: &str| of_trace.iter().find(|span| span.name == name);
    let (root, call) = (named("root").unwrap(), named("call").unwrap());
    assert_eq!(hex::encode(&root.span_id), ids[2]);
    assert_eq!(call.parent_span_id, root.span_id);
}
