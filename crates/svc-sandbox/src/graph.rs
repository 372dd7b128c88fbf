//! The Graph API over HTTP, as far as Frontdesk and its users call it, and a small control API for
//! people with `curl`.

mod control;
pub(crate) mod error;
mod management;
mod messages;
mod serve;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use lib_platform::Clock;

use crate::engine::Engine;
use crate::graph::error::GraphError;
use crate::store::Store;

pub(crate) use control::{clock_not_virtual, list_limit};
pub(crate) use serve::serve;

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Graph {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
}

/// Every route.
pub(crate) fn router(graph: Graph) -> Router {
    let templates = get(management::list_templates)
        .post(management::create_template)
        .delete(management::delete_templates);
    let subscriptions = get(management::list_subscriptions)
        .post(management::subscribe)
        .delete(management::unsubscribe);
    let api = Router::new()
        .route("/{version}/{id}/messages", post(messages::messages))
        .route("/{version}/{id}/message_templates", templates)
        .route(
            "/{version}/{id}/phone_numbers",
            get(management::list_numbers),
        )
        .route("/{version}/{id}/subscribed_apps", subscriptions)
        .route("/{version}/{id}/register", post(management::register))
        .route("/{version}/{id}", get(management::node))
        .fallback(no_path)
        .layer(from_fn(check_version));
    api.merge(control::routes()).with_state(graph)
}

async fn no_path(request: Request) -> GraphError {
    GraphError::no_path(request.uri().path())
}

/// Any version is served, but a path needs one.
async fn check_version(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let version = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let numbers = version
        .strip_prefix('v')
        .and_then(|version| version.split_once('.'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if numbers.is_some_and(|(major, minor)| digits(major) && digits(minor)) {
        next.run(request).await
    } else {
        GraphError::no_path(path).into_response()
    }
}

/// The bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}
