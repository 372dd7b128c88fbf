//! What `cargo xtask bench ingress` compares with: the least a webhook server can do in this
//! language. HTTP, the signature over the raw bytes, a typed parse, 200. It stores nothing.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use sha2::Sha256;
use tokio::net::TcpListener;

/// The secret the driver signs with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[derive(Deserialize)]
struct Delivery<'a> {
    #[serde(borrow)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    changes: Vec<Change<'a>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    field: Cow<'a, str>,
    value: Value<'a>,
}

#[derive(Deserialize)]
struct Value<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(default)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    phone_number_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    from: Cow<'a, str>,
    timestamp: Cow<'a, str>,
    r#type: Cow<'a, str>,
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    let routes = Router::new()
        .route("/webhooks/whatsapp", post(receive))
        .with_state(Arc::new(key));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, routes).await?)
}

async fn receive(
    State(key): State<Arc<Hmac<Sha256>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let given = headers
        .get("x-hub-signature-256")
        .and_then(|value| value.as_bytes().strip_prefix(b"sha256="));
    let mut digest = [0; 32];
    if given.is_none_or(|given| hex::decode_to_slice(given, &mut digest).is_err()) {
        return StatusCode::UNAUTHORIZED;
    }
    let mut mac = Hmac::clone(&key);
    mac.update(&body);
    if mac.verify_slice(&digest).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    match serde_json::from_slice::<Delivery<'_>>(&body) {
        Ok(delivery) if read(&delivery) > 0 => StatusCode::OK,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Looks at every field, so that no part of the parse can be left out.
fn read(delivery: &Delivery<'_>) -> usize {
    let mut seen = 0;
    for entry in &delivery.entry {
        seen += entry.id.len();
        for change in &entry.changes {
            seen += change.field.len() + change.value.metadata.phone_number_id.len();
            for message in &change.value.messages {
                let text = message.text.as_ref().map_or(0, |text| text.body.len());
                seen += message.id.len() + message.from.len() + message.timestamp.len();
                seen += message.r#type.len() + text;
            }
        }
    }
    seen
}
