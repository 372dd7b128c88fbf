//! `/sandbox/…` on the Graph listener: what people do by `curl`. No credential is asked for; the
//! listener is on this machine only. Bodies must say that they are JSON, which a web page of
//! another origin cannot do.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use core_types::{ContactIdentity, Content};
use http::StatusCode;
use lib_platform::Refusal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Graph;
use crate::rpc::faults;
use crate::state::GraphSend;
use crate::world::FromPhone;

/// Rows when the caller does not say.
const ROWS: u32 = 1_000;
/// Most rows at once.
const MOST_ROWS: u32 = 10_000;

/// How many rows a list returns: 0 means 1,000, more than 10,000 means 10,000.
pub(crate) fn list_limit(limit: u32) -> u32 {
    if limit == 0 {
        ROWS
    } else {
        limit.min(MOST_ROWS)
    }
}

/// The wall clock cannot be moved.
pub(crate) fn clock_not_virtual() -> Refusal {
    Refusal::precondition(
        "CLOCK_NOT_VIRTUAL",
        "the sandbox runs on the wall clock, which cannot be moved; start with a virtual clock",
    )
}

pub(super) fn routes() -> Router<Graph> {
    Router::new()
        .route("/sandbox/phones/{phone}/messages", post(send))
        .route("/sandbox/sends", get(sends))
        .route("/sandbox/clock", get(clock).post(advance))
        .route("/sandbox/faults", post(set_faults))
}

/// A refusal for people at a terminal.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code() {
            tonic::Code::NotFound => StatusCode::NOT_FOUND,
            tonic::Code::FailedPrecondition => StatusCode::CONFLICT,
            tonic::Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            tonic::Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, refusal.to_string())
    }
}

impl From<crate::engine::Stopped> for Refused {
    fn from(stopped: crate::engine::Stopped) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhoneMessage {
    /// Meta's phone_number_id.
    to: String,
    text: String,
}

async fn send(
    State(graph): State<Graph>,
    Path(phone): Path<String>,
    Json(message): Json<PhoneMessage>,
) -> Result<Json<Value>, Refused> {
    let from = FromPhone {
        customer: ContactIdentity {
            phone: Some(phone),
            ..ContactIdentity::default()
        },
        number: message.to,
        content: Content::Text {
            body: message.text,
            preview_url: false,
        },
        reply_to: None,
        referral: None,
        hide_phone: false,
    };
    let id = graph
        .engine
        .with(move |world| world.customer_writes(from))
        .await??;
    Ok(Json(json!({"id": id})))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    offset: u64,
    limit: u32,
}

async fn sends(
    State(graph): State<Graph>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Refused> {
    let (sends, total) = graph
        .store
        .sends(page.offset, list_limit(page.limit))
        .await
        .map_err(|error| Refused::from(Refusal::internal(&error)))?;
    let sends: Vec<Value> = sends.iter().map(send_object).collect();
    Ok(Json(json!({"sends": sends, "total": total})))
}

fn send_object(send: &GraphSend) -> Value {
    json!({
        "at": send.at.to_string(),
        "number_id": send.number,
        "to": send.to,
        "callback_data": send.callback_data,
        "body": send.body,
        "answered_status": send.answered_status,
        "whatsapp_message_id": send.message,
        "answer_lost": send.answer_lost,
        "traceparent": send.traceparent,
    })
}

fn clock_object(graph: &Graph) -> Json<Value> {
    let now = graph.clock.now().to_string();
    Json(json!({"now": now, "virtual": graph.clock.is_virtual()}))
}

async fn clock(State(graph): State<Graph>) -> Json<Value> {
    clock_object(&graph)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u64,
}

async fn advance(
    State(graph): State<Graph>,
    Json(advance): Json<Advance>,
) -> Result<Json<Value>, Refused> {
    if !graph.clock.is_virtual() {
        return Err(clock_not_virtual().into());
    }
    graph
        .clock
        .advance(Duration::from_secs(advance.advance_seconds));
    graph.engine.with(|_| ()).await?;
    Ok(clock_object(&graph))
}

async fn set_faults(
    State(graph): State<Graph>,
    Json(script): Json<faults::Script>,
) -> Result<Json<Value>, Refused> {
    let first = graph
        .engine
        .with(|world| (world.pace().clone(), world.mode().clone()))
        .await?;
    let (rules, pace, mode) = faults::from_proto(script.into(), &first.1)?;
    graph
        .engine
        .with(move |world| world.set_faults(rules, pace, mode))
        .await?;
    Ok(Json(json!({})))
}
