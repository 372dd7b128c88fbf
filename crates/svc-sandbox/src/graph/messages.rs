//! `POST /{phone_number_id}/messages`: messages of every type, "mark as read" and typing.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use core_types::Content;
use core_whatsapp::send;
use serde_json::{Value, json};

use super::error::GraphError;
use super::serve::HangUp;
use super::{Graph, bearer};
use crate::engine::Engine;
use crate::identity::{Direction, direction_of};
use crate::world::{Accepted, MessagesRequest, Outcome};

/// Takes a message, or the news that the business has read one.
pub(super) async fn messages(
    State(graph): State<Graph>,
    Path((_, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let as_text = |field: &str| match &parsed[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let to = if parsed["to"].is_null() {
        as_text("recipient")
    } else {
        as_text("to")
    };
    let is_status = parsed.get("status").is_some();
    let message = if is_status {
        Err(GraphError::parameter("the request is not a message"))
    } else {
        read(&text, &parsed, &to)
    };
    let message = match message {
        Ok(message) => match known_target(&graph, &message.content).await {
            Ok(()) => Ok(message),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let request = MessagesRequest {
        number,
        token: bearer(&headers),
        body: text,
        traceparent: header("traceparent").unwrap_or_default().to_owned(),
        message,
        to,
        callback_data: as_text("biz_opaque_callback_data"),
    };
    if is_status {
        return mark_read(&graph, request, &parsed).await;
    }
    let engine = graph.engine.clone();
    let outcome = engine
        .with(move |world| world.messages_request(request))
        .await;
    let Ok(outcome) = outcome else {
        return GraphError::stopping().into_response();
    };
    answer(&graph, outcome).await
}

fn read(text: &str, parsed: &Value, input: &str) -> Result<Accepted, GraphError> {
    let refused =
        |problem: send::SendProblem| GraphError::message(problem.code(), &problem.to_string());
    let decoded = send::decode(text).map_err(refused)?;
    if let Some(problem) = send::check(&decoded.content).first() {
        return Err(GraphError::message(131_009, &problem.to_string()));
    }
    let callback_bytes = decoded.callback_data.as_ref().map_or(0, String::len);
    if callback_bytes > send::MAX_CALLBACK_BYTES {
        return Err(refused(send::SendProblem::CallbackTooLong(callback_bytes)));
    }
    Ok(Accepted {
        by_user_id: decoded.to.phone.is_none(),
        input: if parsed["to"].is_null() {
            decoded.to.user_id.clone().unwrap_or_default()
        } else {
            input.to_owned()
        },
        to: decoded.to,
        content: decoded.content,
        callback_data: decoded.callback_data,
    })
}

/// A reaction to a customer's message needs that message to be there.
async fn known_target(graph: &Graph, content: &Content) -> Result<(), GraphError> {
    let Content::Reaction { target, .. } = content else {
        return Ok(());
    };
    let unknown = || GraphError::message(131_009, "reaction: there is no message with this id");
    match direction_of(target.as_str()) {
        Some(Direction::FromBusiness) => Ok(()),
        Some(Direction::FromCustomer) => match graph.store.thread_of(target.as_str()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(unknown()),
            Err(error) => Err(failed(&error)),
        },
        None => Err(unknown()),
    }
}

/// Marks a customer's message as read. A typing indicator comes along with it.
async fn mark_read(graph: &Graph, request: MessagesRequest, parsed: &Value) -> Response {
    let message = parsed["message_id"].as_str().unwrap_or_default().to_owned();
    let thread = match graph.store.thread_of(&message).await {
        Ok(thread) => thread,
        Err(error) => return failed(&error).into_response(),
    };
    let status = parsed["status"].as_str().unwrap_or_default();
    let readable = match (status, message.is_empty(), &thread) {
        ("read", true, _) => Err(GraphError::message(131_008, "message_id is missing")),
        ("read", false, Some(thread)) if thread.number == request.number => Ok(()),
        ("read", false, _) => Err(GraphError::message(
            131_009,
            "message_id: there is no message with this id",
        )),
        _ => Err(GraphError::parameter("status must be read")),
    };
    let outcome = graph.engine.with(move |world| {
        let allowed = world.authorize_number(request.token.as_deref(), &request.number);
        match (allowed.and(readable), thread) {
            (Ok(()), Some(thread)) => {
                world.business_read(&thread, &message);
                Ok(())
            }
            (Ok(()), None) => Ok(()),
            (Err(error), _) => Err(world.traced(error)),
        }
    });
    match outcome.await {
        Ok(Ok(())) => Json(json!({"success": true})).into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(_) => GraphError::stopping().into_response(),
    }
}

async fn answer(graph: &Graph, outcome: Outcome) -> Response {
    if outcome.hang_up {
        return HangUp.into_response();
    }
    let mut unanswered = Unanswered {
        engine: graph.engine.clone(),
        sequence: outcome.sequence,
        armed: true,
    };
    for tried in outcome.first {
        // A dropped sender means the sandbox is stopping; the answer may go out then.
        let _ = tried.await;
    }
    if !outcome.delay.is_zero() {
        graph.clock.sleep(outcome.delay).await;
    }
    unanswered.armed = false;
    match outcome.answer {
        Ok(body) => Json(body).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Notes, when dropped while armed, that the caller went away before the answer.
struct Unanswered {
    engine: Engine,
    sequence: u64,
    armed: bool,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if self.armed {
            let sequence = self.sequence;
            self.engine.post(move |world| world.answer_lost(sequence));
        }
    }
}

/// The database refused. Nothing was done.
fn failed(error: &lib_storage::StorageError) -> GraphError {
    tracing::error!(%error, "the sandbox's database refused");
    GraphError::stopping()
}
