//! Rate, errors and duration of each RPC. A stream counts when it ends.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use opentelemetry::TraceId;
use tonic::Code;

use super::{CALL_SECONDS, Counter, Gauge, Histogram, Metrics};
use crate::trace;

const REQUESTS: &str = "frontdesk_rpc_requests_total";
const DURATION: &str = "frontdesk_rpc_duration_seconds";
const IN_FLIGHT: &str = "frontdesk_rpc_in_flight_requests";

/// What calls share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Calls {
    metrics: Metrics,
    /// By path. Only methods that exist get here, so that nobody can make endless labels.
    methods: Arc<RwLock<HashMap<String, Arc<Method>>>>,
    other: Arc<Method>,
}

/// The instruments of one method.
struct Method {
    metrics: Metrics,
    service: String,
    name: String,
    duration: Histogram,
    in_flight: Gauge,
    codes: [OnceLock<Counter>; 17],
}

impl Calls {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            methods: Arc::default(),
            other: Arc::new(Method::new(metrics, "/other/other")),
        }
    }

    fn known(&self, path: &str) -> Option<Arc<Method>> {
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        methods.get(path).cloned()
    }

    fn learn(&self, path: String) -> Arc<Method> {
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Method::new(&self.metrics, &path));
        let method = methods.entry(path.clone()).or_insert_with(new);
        Arc::clone(method)
    }
}

impl Method {
    /// `path` is `/package.Service/Method`.
    fn new(metrics: &Metrics, path: &str) -> Self {
        let (service, name) = path
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or(("other", "other"));
        // The last part of the package's name is the same for all services: `v1`.
        let labels = [("service", service), ("method", name)];
        let help = "Duration of RPCs in seconds; a stream's is that of the whole stream";
        Self {
            duration: metrics.histogram(DURATION, help, CALL_SECONDS, &labels),
            in_flight: metrics.gauge(IN_FLIGHT, "RPCs and streams under way", &labels),
            codes: std::array::from_fn(|_| OnceLock::new()),
            service: service.to_owned(),
            name: name.to_owned(),
            metrics: metrics.clone(),
        }
    }

    fn count(&self, code: Code) {
        let counter = self.codes[code as usize].get_or_init(|| {
            let labels = [
                ("service", self.service.as_str()),
                ("method", self.name.as_str()),
                ("code", word(code)),
            ];
            let help = "RPCs answered, by gRPC code; a stream counts when it ends";
            self.metrics.counter(REQUESTS, help, &labels)
        });
        counter.inc();
    }
}

/// One call under way; it ends once.
struct Call {
    calls: Calls,
    /// Known from the start, or a path of which nobody knows yet whether it is a method.
    method: Result<Arc<Method>, String>,
    began: Instant,
    trace: Option<TraceId>,
    ended: bool,
}

impl Call {
    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let method = match &mut self.method {
            Ok(method) => {
                method.in_flight.add(-1.0);
                Arc::clone(method)
            }
            Err(_) if matches!(code, Code::Unimplemented | Code::Unauthenticated) => {
                Arc::clone(&self.calls.other)
            }
            Err(path) => self.calls.learn(std::mem::take(path)),
        };
        method.count(code);
        let seconds = self.began.elapsed().as_secs_f64();
        method.duration.observe_in_trace(seconds, self.trace);
    }
}

impl Drop for Call {
    /// The caller went away before the end.
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Middleware: counts and times the call until its last byte.
pub(crate) async fn measure(State(calls): State<Calls>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let method = calls.known(path).ok_or_else(|| path.to_owned());
    if let Ok(method) = &method {
        method.in_flight.add(1.0);
    }
    let mut call = Call {
        method,
        began: Instant::now(),
        trace: trace::current_trace_id(),
        ended: false,
        calls,
    };
    let response = next.run(request).await;
    if let Some(code) = code_in(response.headers()) {
        call.end(code);
        return response;
    }
    response.map(|body| Body::new(Counted { body, call }))
}

/// An answer's body that sees the trailers go by.
struct Counted {
    body: Body,
    call: Call,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.end(code_in(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(_)) | None => self.call.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    let value = headers.get("grpc-status")?;
    Some(Code::from_bytes(value.as_bytes()))
}

/// The code as the gRPC specification writes it.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
