//! What operators and load balancers ask a process: does it live, does it take work, what has it done.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{StatusCode, header};

use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// The media type of `/metrics`.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/healthz`: the process lives. `/readyz`: it takes work, and why not. `/metrics`: numbers.
pub(crate) fn routes(life: &Lifecycle, metrics: &Metrics, readiness: &Readiness) -> Router {
    let (life, metrics, readiness) = (life.clone(), metrics.clone(), readiness.clone());
    let readyz = move || {
        let answer = if life.is_stopping() {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned())
        } else if readiness.is_ready() {
            (StatusCode::OK, readiness.text())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, readiness.text())
        };
        async move { answer }
    };
    let scrape = move || {
        let metrics = metrics.clone();
        async move {
            let kind = [(header::CONTENT_TYPE, OPEN_METRICS)];
            (kind, metrics.scrape().await).into_response()
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
}
