//! Meta as seen from outside: a source of signed webhooks that tries again until 200, and a Graph
//! API that accepts messages and writes down what it was sent. It shares no code with the product
//! and lives in the test's process, so that killing the product does not touch it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tests::webhook::{self, Status};
use tokio::sync::mpsc;

/// One message the Graph API was asked to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphSend {
    /// `biz_opaque_callback_data`: names the intent.
    pub(crate) intent: String,
    /// Digits.
    pub(crate) to: String,
    pub(crate) text: String,
    pub(crate) wamid: String,
}

/// Bugs built into this Meta, to show that the checker sees them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeededBugs {
    /// Say that message number n was answered 200 without having delivered it.
    pub(crate) lose_message: Option<u64>,
    /// Count the Graph request number n twice, as if it had been sent twice.
    pub(crate) double_send: Option<u64>,
}

/// What happened, as seen from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Message ids whose webhook was answered 200, by customer, in order.
    pub(crate) acknowledged: BTreeMap<String, Vec<String>>,
    /// Everything the Graph API accepted, in order.
    pub(crate) sends: Vec<GraphSend>,
    /// Message ids whose `delivered` status was answered 200.
    pub(crate) delivered: Vec<String>,
}

/// The outside Meta.
#[derive(Clone)]
pub(crate) struct Meta {
    client: reqwest::Client,
    webhooks: String,
    bugs: SeededBugs,
    written: Arc<AtomicU64>,
    seen: Arc<Mutex<Seen>>,
    statuses: mpsc::UnboundedSender<GraphSend>,
}

impl Meta {
    /// Starts the Graph API on `address` and a sender of statuses.
    pub(crate) async fn start(address: &str, webhooks: String, bugs: SeededBugs) -> Self {
        let (statuses, accepted) = mpsc::unbounded_channel();
        let client = lib_platform::outbound::client(Duration::from_secs(10)).unwrap();
        let (written, seen) = (Arc::default(), Arc::default());
        let meta = Self {
            client,
            webhooks,
            bugs,
            written,
            seen,
            statuses,
        };
        let routes = axum::Router::new()
            .route("/{version}/{number}/messages", post(accept_message))
            .route("/{version}/{waba}/message_templates", get(no_templates))
            .with_state(meta.clone());
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        tokio::spawn(meta.clone().send_statuses(accepted));
        meta
    }

    /// What has been seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Whether a bug was built in.
    pub(crate) fn has_bugs(&self) -> bool {
        self.bugs.lose_message.is_some() || self.bugs.double_send.is_some()
    }

    /// Delivers a customer's text; tries again until it is answered 200, as Meta does.
    pub(crate) async fn customer_writes(&self, customer: &str, wamid: &str, text: &str) {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        if self.bugs.lose_message != Some(number) {
            self.deliver(webhook::text(customer, wamid, text)).await;
        }
        let mut seen = self.seen.lock().unwrap();
        seen.acknowledged
            .entry(customer.to_owned())
            .or_default()
            .push(wamid.to_owned());
    }

    async fn deliver(&self, body: String) {
        let signature = webhook::sign(body.as_bytes());
        let mut pause = Duration::from_millis(20);
        loop {
            let request = self
                .client
                .post(&self.webhooks)
                .header("content-type", "application/json")
                .header("x-hub-signature-256", &signature)
                .body(body.clone());
            if request
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 200)
            {
                return;
            }
            // Meta's own back-off, sped up: this is the outside world's clock.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// `sent`, then `delivered`, for everything accepted. A second copy of a message is told too.
    async fn send_statuses(self, mut accepted: mpsc::UnboundedReceiver<GraphSend>) {
        while let Some(send) = accepted.recv().await {
            let meta = self.clone();
            tokio::spawn(async move {
                for status in ["sent", "delivered"] {
                    let update = Status {
                        wamid: send.wamid.clone(),
                        to: send.to.clone(),
                        intent: send.intent.clone(),
                        status,
                    };
                    meta.deliver(webhook::statuses(&[update])).await;
                }
                meta.seen.lock().unwrap().delivered.push(send.wamid);
            });
        }
    }
}

async fn accept_message(
    State(meta): State<Meta>,
    Path((_version, _number)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let to = text(&body["to"]).trim_start_matches('+').to_owned();
    let (count, send) = {
        let mut seen = meta.seen.lock().unwrap();
        let count = seen.sends.len() as u64;
        let send = GraphSend {
            intent: text(&body["biz_opaque_callback_data"]),
            text: text(&body["text"]["body"]),
            wamid: format!("wamid.OUT{count:06}"),
            to: to.clone(),
        };
        seen.sends.push(send.clone());
        if meta.bugs.double_send == Some(count) {
            seen.sends.push(GraphSend {
                wamid: format!("{}B", send.wamid),
                ..send.clone()
            });
        }
        (count, send)
    };
    let answer = json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": to}],
        "messages": [{"id": send.wamid}],
    });
    let _ = meta.statuses.send(send);
    // Some answers take a while, so that kills find attempts under way.
    if count % 3 == 0 {
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Json(answer)
}

async fn no_templates() -> Json<Value> {
    Json(json!({"data": []}))
}
