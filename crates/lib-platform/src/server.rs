//! Serving: services hand in their [`Parts`]; this puts them on the listeners with health,
//! reflection, credentials and traces, and drains them at the end.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service;
use tracing::Instrument as _;

use crate::credential::{Authenticator, authenticate};
use crate::lifecycle::Lifecycle;
use crate::metrics::{Metrics, http as requests, rpc};
use crate::readiness::Readiness;
use crate::{admin, trace};

/// Largest gRPC message taken in: a batch of items may carry several deliveries of 4 MiB. Services
/// and clients set it with `max_decoding_message_size`.
pub const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// What one service brings: gRPC services and HTTP routes.
#[derive(Default)]
pub struct Parts {
    grpc: Router,
    names: Vec<&'static str>,
    http: Router,
}

impl Parts {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a gRPC service.
    #[must_use]
    pub fn grpc<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        let routes = Routes::new(service).into_axum_router().reset_fallback();
        self.grpc = self.grpc.merge(routes);
        self
    }

    /// Adds HTTP routes.
    #[must_use]
    pub fn http(mut self, routes: Router) -> Self {
        self.http = self.http.merge(routes);
        self
    }

    /// Both services' parts as one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.grpc = self.grpc.merge(other.grpc);
        self.names.extend(other.names);
        self.http = self.http.merge(other.http);
        self
    }
}

/// Sockets that are bound already, so that a taken port is an error before anything has started.
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// HTTP.
    pub http: Option<TcpListener>,
    /// `/healthz`, `/readyz` and `/metrics`.
    pub admin: Admin,
}

/// Where `/healthz`, `/readyz` and `/metrics` are.
pub enum Admin {
    /// On a listener of their own.
    Own(TcpListener),
    /// Among the HTTP routes.
    WithHttp,
    /// Served already, by [`serve_admin`].
    Elsewhere,
}

/// Binds `address` for `purpose`.
///
/// # Errors
/// When it is taken or cannot be used; the error says which and what to do.
pub async fn bind(purpose: &str, address: &str, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for {purpose}; choose another address with {option}")
    })
}

/// What a server is told besides its parts.
pub struct Options {
    /// Says who is calling.
    pub authenticator: Authenticator,
    /// The contracts, for reflection; `None` switches reflection off (production).
    pub reflection: Option<&'static [u8]>,
    /// Where calls and requests are counted, and what `/metrics` shows.
    pub metrics: Metrics,
    /// What `/readyz` and gRPC health show.
    pub readiness: Readiness,
}

/// Serves `parts` until `life` is stopped, then drains. Returns when everything has ended.
///
/// # Errors
/// When a server or a critical task failed, or when tasks had to be left behind.
pub async fn serve(
    parts: Parts,
    listeners: Listeners,
    options: Options,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    let Parts { grpc, names, http } = parts;
    let Options {
        authenticator,
        reflection,
        metrics,
        readiness,
    } = options;
    let (health, health_service) = tonic_health::server::health_reporter();
    life.spawn(
        "health",
        follow_readiness(health, names, readiness.clone(), life.clone()),
    );
    let mut open = Routes::new(health_service);
    if let Some(contracts) = reflection {
        open = add_reflection(open, contracts)?;
    }
    let router = grpc
        .merge(open.into_axum_router().reset_fallback())
        .layer(from_fn_with_state(authenticator, authenticate))
        .layer(from_fn_with_state(rpc::Calls::new(&metrics), rpc::measure))
        .layer(from_fn(trace_call))
        .fallback(unknown_method);
    let incoming = TcpIncoming::from(listeners.grpc).with_nodelay(Some(true));
    let serve_grpc = Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .add_routes(Routes::from(router).prepare())
        .serve_with_incoming_shutdown(incoming, life.stopped());
    life.spawn_critical("grpc", async move { Ok(serve_grpc.await?) });
    let requests = requests::Requests::new(&metrics);
    let mut http = http
        .layer(from_fn_with_state(requests, requests::measure))
        .layer(from_fn(trace_call));
    match listeners.admin {
        Admin::Own(listener) => serve_admin(listener, life, &metrics, &readiness),
        Admin::WithHttp => {
            readiness.publish(&metrics);
            http = http.merge(admin::routes(life, &metrics, &readiness));
        }
        Admin::Elsewhere => {}
    }
    if let Some(listener) = listeners.http {
        serve_http(life, "http", listener, http);
    }
    life.stopped().await;
    let patience = life.patience();
    let drained = life.drained(patience).await;
    match life.failure() {
        Some(failure) => anyhow::bail!("{failure}"),
        None if drained => Ok(()),
        None => anyhow::bail!(
            "some tasks did not end within {} s of the stop",
            patience.as_secs()
        ),
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics` from now until `life` is stopped: a role shows why it
/// is not ready before its services stand.
pub fn serve_admin(
    listener: TcpListener,
    life: &Lifecycle,
    metrics: &Metrics,
    readiness: &Readiness,
) {
    readiness.publish(metrics);
    serve_http(
        life,
        "admin",
        listener,
        admin::routes(life, metrics, readiness),
    );
}

fn add_reflection(routes: Routes, contracts: &'static [u8]) -> anyhow::Result<Routes> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(contracts)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // grpcurl up to 1.8 speaks v1alpha only.
    Ok(routes
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?))
}

fn serve_http(life: &Lifecycle, name: &'static str, listener: TcpListener, routes: Router) {
    let serve = axum::serve(listener, routes).with_graceful_shutdown(life.stopped());
    life.spawn_critical(name, async move { Ok(serve.await?) });
}

/// Keeps gRPC health, of each service and of the whole (no name), in step with `readiness`.
async fn follow_readiness(
    health: HealthReporter,
    names: Vec<&'static str>,
    readiness: Readiness,
    life: Lifecycle,
) {
    let mut changes = readiness.changes();
    let stopped = life.stopped();
    tokio::pin!(stopped);
    loop {
        let serving = readiness.is_ready() && !life.is_stopping();
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in names.iter().chain([&""]) {
            health.set_service_status(*name, status).await;
        }
        if life.is_stopping() {
            return;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = &mut stopped => {}
        }
    }
}

/// Middleware: one span per call, continuing the caller's trace.
async fn trace_call(request: Request, next: Next) -> Response {
    let span = tracing::debug_span!("call", path = request.uri().path());
    let parent = request
        .headers()
        .get(trace::HEADER)
        .and_then(|value| value.to_str().ok());
    let Some(parent) = parent else {
        return next.run(request).instrument(span).await;
    };
    if span.is_disabled() && trace::is_valid(parent) {
        let parent = parent.to_owned();
        return trace::on_behalf_of(parent, next.run(request)).await;
    }
    trace::continue_from(&span, parent);
    next.run(request).instrument(span).await
}

async fn unknown_method(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    tonic::Status::unimplemented(format!("there is no method {path}")).into_http()
}
