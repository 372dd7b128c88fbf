//! Rate, errors and duration of HTTP requests, by route: for webhooks that is how soon Meta has its
//! answer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};

use super::{CALL_SECONDS, Counter, Histogram, Metrics};
use crate::trace;

const REQUESTS: &str = "frontdesk_http_requests_total";
const DURATION: &str = "frontdesk_http_duration_seconds";

/// What requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Requests {
    metrics: Metrics,
    routes: Arc<RwLock<Routes>>,
}

type Routes = HashMap<Verb, HashMap<String, Arc<Route>>>;

/// Methods that are told apart; senders may invent others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Verb {
    Get,
    Post,
    Other,
}

impl Verb {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::POST => Self::Post,
            _ => Self::Other,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Other => "other",
        }
    }
}

struct Route {
    duration: Histogram,
    codes: RwLock<HashMap<StatusCode, Counter>>,
}

impl Requests {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            routes: Arc::default(),
        }
    }

    fn route(&self, path: &str, verb: Verb) -> Arc<Route> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(&verb).and_then(|routes| routes.get(path)) {
            return Arc::clone(route);
        }
        drop(routes);
        let labels = [("route", path), ("method", verb.word())];
        let help = "Time from a request's head to its answer, in seconds";
        let route = Arc::new(Route {
            duration: self
                .metrics
                .histogram(DURATION, help, CALL_SECONDS, &labels),
            codes: RwLock::default(),
        });
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let routes = routes.entry(verb).or_default();
        Arc::clone(routes.entry(path.to_owned()).or_insert(route))
    }

    fn count(&self, route: &Route, (path, verb): (&str, Verb), status: StatusCode) {
        let codes = route.codes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = codes.get(&status) {
            return counter.inc();
        }
        drop(codes);
        let labels = [
            ("route", path),
            ("method", verb.word()),
            ("code", status.as_str()),
        ];
        let help = "HTTP requests answered, by status code";
        let counter = self.metrics.counter(REQUESTS, help, &labels);
        counter.inc();
        let mut codes = route.codes.write().unwrap_or_else(PoisonError::into_inner);
        codes.insert(status, counter);
    }
}

/// Middleware: counts and times a request until its answer begins.
pub(crate) async fn measure(
    State(requests): State<Requests>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let verb = Verb::of(request.method());
    let (began, trace) = (Instant::now(), trace::current_trace_id());
    let response = next.run(request).await;
    let path = path.as_ref().map_or("other", MatchedPath::as_str);
    let route = requests.route(path, verb);
    requests.count(&route, (path, verb), response.status());
    let seconds = began.elapsed().as_secs_f64();
    route.duration.observe_in_trace(seconds, trace);
    response
}
