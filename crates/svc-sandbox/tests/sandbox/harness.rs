//! A running sandbox, and a business's webhook receiver that records everything.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use core_whatsapp::signature::{AppSecret, Verifier};
use hmac::{Hmac, KeyInit as _, Mac as _};
use lib_platform::{AuthorizedChannel, Clock, Role, outbound};
use lib_proto::common;
use lib_proto::sandbox::phone_service_client::PhoneServiceClient;
use lib_proto::sandbox::sandbox_service_client::SandboxServiceClient;
use lib_proto::sandbox::{self as pb};
use lib_testkit::{Host, NOWHERE, at, context, user, within};
use serde_json::{Value, json};
use sha2::Sha256;
use svc_sandbox::Config;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

pub const WABA: &str = "102290129340398";
pub const NUMBER: &str = "106540352242922";
pub const CUSTOMER: &str = "16505551234";
pub const TOKEN: &str = "EAAtoken";
pub const SECRET: &str = "app-secret";

/// A webhook as it came.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub signature: String,
    pub bytes: Bytes,
}

impl Webhook {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub fn signed_by(&self, secret: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&self.bytes);
        self.signature == format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// Asserts that the rest of Frontdesk takes it: signature and every item.
    pub fn assert_readable(&self) {
        let secret = AppSecret::new(SECRET).unwrap();
        let verifier = Verifier::new(vec![secret]).unwrap();
        assert!(verifier.verify(Some(&self.signature), &self.bytes));
        for item in core_whatsapp::webhook::read(&self.bytes).unwrap() {
            assert!(item.result.is_ok(), "{item:?}");
        }
    }

    /// Every `value` of every change, with its field.
    pub fn changes(&self) -> Vec<(String, Value)> {
        let json = self.json();
        let entries = json["entry"].as_array().unwrap().iter();
        entries
            .flat_map(|entry| entry["changes"].as_array().unwrap())
            .map(|change| {
                (
                    change["field"].as_str().unwrap().to_owned(),
                    change["value"].clone(),
                )
            })
            .collect()
    }
}

#[derive(Clone)]
struct Recorder {
    seen: Arc<watch::Sender<Vec<Webhook>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    gate: Arc<Semaphore>,
    verified: Arc<watch::Sender<bool>>,
}

/// The business's side.
pub struct Receiver {
    recorder: Recorder,
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn verify(
    State(recorder): State<Recorder>,
    Query(query): Query<Value>,
) -> (StatusCode, String) {
    let token = query["hub.verify_token"] == "dev-verify-token";
    if query["hub.mode"] != "subscribe" || !token {
        return (StatusCode::FORBIDDEN, String::new());
    }
    recorder.verified.send_replace(true);
    (
        StatusCode::OK,
        query["hub.challenge"].as_str().unwrap().to_owned(),
    )
}

async fn receive(State(recorder): State<Recorder>, headers: HeaderMap, bytes: Bytes) -> StatusCode {
    let signature = headers["x-hub-signature-256"].to_str().unwrap().to_owned();
    recorder
        .seen
        .send_modify(|seen| seen.push(Webhook { signature, bytes }));
    recorder.gate.acquire().await.unwrap().forget();
    recorder.gate.add_permits(1);
    let answer = recorder.answers.lock().unwrap().pop_front().unwrap_or(200);
    StatusCode::from_u16(answer).unwrap()
}

impl Receiver {
    pub async fn start() -> Self {
        let recorder = Recorder {
            seen: Arc::new(watch::Sender::new(Vec::new())),
            answers: Arc::default(),
            gate: Arc::new(Semaphore::new(1_000)),
            verified: Arc::new(watch::Sender::new(false)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/webhooks/whatsapp",
            listener.local_addr().unwrap()
        );
        let router = Router::new()
            .route("/webhooks/whatsapp", get(verify).post(receive))
            .with_state(recorder.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            recorder,
            url,
            task,
        }
    }

    /// How the next deliveries are answered; 200 after that.
    pub fn answer(&self, statuses: &[u16]) {
        self.recorder.answers.lock().unwrap().extend(statuses);
    }

    /// Answers nothing until [`Receiver::open`].
    pub fn close(&self) {
        assert_eq!(self.recorder.gate.forget_permits(1_000), 1_000);
    }

    pub fn open(&self) {
        self.recorder.gate.add_permits(1_000);
    }

    pub async fn verified(&self) {
        let mut verified = self.recorder.verified.subscribe();
        within(verified.wait_for(|verified| *verified))
            .await
            .unwrap();
    }

    /// Waits for `count` webhooks in all and returns them.
    pub async fn webhooks(&self, count: usize) -> Vec<Webhook> {
        let mut seen = self.recorder.seen.subscribe();
        let seen = within(seen.wait_for(|seen| seen.len() >= count))
            .await
            .unwrap()
            .clone();
        assert_eq!(seen.len(), count, "{seen:#?}");
        seen
    }

    /// Waits until `count` changes came that `wanted` picks, and returns those.
    pub async fn changes<T: Clone>(
        &self,
        count: usize,
        wanted: impl Fn(&str, &Value) -> Option<T>,
    ) -> Vec<T> {
        let mut seen = self.recorder.seen.subscribe();
        let pick = |seen: &Vec<Webhook>| -> Vec<T> {
            let changes = seen.iter().flat_map(Webhook::changes);
            changes
                .filter_map(|(field, value)| wanted(&field, &value))
                .collect()
        };
        let seen = within(seen.wait_for(|seen| pick(seen).len() >= count))
            .await
            .unwrap();
        seen.iter().for_each(Webhook::assert_readable);
        pick(&seen)
    }

    /// Waits for `count` statuses of a message and returns them in order of arrival.
    pub async fn statuses(&self, message: &str, count: usize) -> Vec<Value> {
        let of_message = |_: &str, value: &Value| {
            let status = &value["statuses"][0];
            (status["id"] == message).then(|| status.clone())
        };
        self.changes(count, of_message).await
    }
}

/// A running sandbox.
pub struct Stand {
    pub graph: String,
    pub http: reqwest::Client,
    pub phones: PhoneServiceClient<AuthorizedChannel>,
    pub sandbox: SandboxServiceClient<AuthorizedChannel>,
    pub as_agent: SandboxServiceClient<AuthorizedChannel>,
    host: Host,
}

impl Stand {
    pub async fn start(folder: &Path, clock: Clock, config: Config) -> Self {
        let graph = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let graph_url = format!("http://{}", graph.local_addr().unwrap());
        let context = context(folder, &clock, NOWHERE);
        let parts = svc_sandbox::start(config, context.clone(), graph);
        let users = [
            ("admin", user("demo", "somebody", Role::Administrator)),
            ("agent", user("demo", "somebody", Role::Agent)),
        ];
        let host = Host::start(parts.await.unwrap(), &context, &users).await;
        Self {
            graph: graph_url,
            http: outbound::client(Duration::from_secs(10)).unwrap(),
            phones: PhoneServiceClient::new(host.channel("agent")),
            sandbox: SandboxServiceClient::new(host.channel("admin")),
            as_agent: SandboxServiceClient::new(host.channel("agent")),
            host,
        }
    }

    /// A sandbox on a virtual clock with the account made.
    pub async fn virtual_at(folder: &Path, start: &str, receiver: &Receiver) -> Self {
        let clock = Clock::virtual_at(at(start));
        let mut stand = Self::start(folder, clock, Config::default()).await;
        stand.create_account(&receiver.url).await;
        stand
    }

    pub async fn stop(self) {
        self.host.stop().await;
    }

    pub async fn create_account(&mut self, callback: &str) {
        let account = pb::CreateAccountRequest {
            waba_id: WABA.into(),
            number_id: NUMBER.into(),
            phone: "15550783881".into(),
            verified_name: "Lucky Shrub".into(),
            access_token: TOKEN.into(),
            callback_url: callback.into(),
            app_secret: SECRET.into(),
            currency_code: "USD".into(),
            time_zone: "America/New_York".into(),
        };
        self.sandbox.create_account(account).await.unwrap();
    }

    pub async fn create_template(&mut self, category: &str, name: &str) -> String {
        let definition = json!({"name": name, "language": "en_US", "category": category,
            "components": [
                {"type": "HEADER", "format": "TEXT", "text": "News"},
                {"type": "BODY", "text": format!("Hello {{{{1}}}}, this is about {name}."),
                 "example": {"body_text": [["Pablo"]]}},
                {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop"}]}]});
        let request = pb::CreateTemplateRequest {
            waba_id: WABA.into(),
            definition: definition.to_string(),
            review: "APPROVED".into(),
        };
        self.sandbox
            .create_template(request)
            .await
            .unwrap()
            .into_inner()
            .template_id
    }

    pub async fn advance(&mut self, by: Duration) {
        let by = Some(by.try_into().unwrap());
        self.sandbox
            .advance_clock(pb::AdvanceClockRequest { by })
            .await
            .unwrap();
    }

    pub async fn faults(&mut self, rules: Vec<pb::FaultRule>) {
        let request = pb::SetFaultsRequest {
            rules,
            ..Default::default()
        };
        self.sandbox.set_faults(request).await.unwrap();
    }

    pub async fn delivery_mode(&mut self, delivery: pb::DeliveryMode) {
        let request = pb::SetFaultsRequest {
            delivery: Some(delivery),
            ..Default::default()
        };
        self.sandbox.set_faults(request).await.unwrap();
    }

    /// The customer writes a text.
    pub async fn write(&mut self, body: &str) -> String {
        let content = common::Text {
            body: body.into(),
            preview_url: false,
        };
        self.write_content(common::content::Content::Text(content))
            .await
    }

    pub async fn write_content(&mut self, content: common::content::Content) -> String {
        self.write_request(pb::SendFromPhoneRequest {
            content: Some(common::Content {
                content: Some(content),
            }),
            ..from_customer()
        })
        .await
    }

    pub async fn write_request(&mut self, request: pb::SendFromPhoneRequest) -> String {
        self.phones
            .send_from_phone(request)
            .await
            .unwrap()
            .into_inner()
            .whatsapp_message_id
    }

    /// `POST /v24.0/{NUMBER}/messages`; `None` when there was no answer.
    pub async fn post(&self, body: &Value) -> Option<(u16, Value)> {
        self.call("POST", &format!("v24.0/{NUMBER}/messages"), body)
            .await
    }

    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let url = format!("{}/{path}", self.graph);
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, url).bearer_auth(TOKEN);
        let request = if body.is_null() {
            request
        } else {
            request.json(body)
        };
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap()))
    }

    /// Sends a text to the customer and returns its id.
    pub async fn text(&self, body: &str) -> String {
        let (status, answer) = self.post(&text(body)).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["messages"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Sends a template to the customer and returns its id.
    pub async fn template(&self, name: &str) -> String {
        let (status, answer) = self.post(&template(name, &["Pablo"])).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["messages"][0]["message_status"], "accepted");
        answer["messages"][0]["id"].as_str().unwrap().to_owned()
    }

    pub async fn sends(&mut self) -> Vec<pb::GraphSend> {
        let all = pb::ListGraphSendsRequest {
            offset: 0,
            limit: 0,
        };
        self.sandbox
            .list_graph_sends(all)
            .await
            .unwrap()
            .into_inner()
            .sends
    }
}

/// The customer's identity.
pub fn customer() -> common::ContactIdentity {
    common::ContactIdentity {
        phone: CUSTOMER.into(),
        display_name: "Pablo M.".into(),
        ..Default::default()
    }
}

pub fn from_customer() -> pb::SendFromPhoneRequest {
    pb::SendFromPhoneRequest {
        customer: Some(customer()),
        number_id: NUMBER.into(),
        ..Default::default()
    }
}

pub fn text(body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": format!("+{CUSTOMER}"), "type": "text",
        "text": {"body": body}, "biz_opaque_callback_data": format!("v1.{body}")})
}

pub fn template(name: &str, body: &[&str]) -> Value {
    let parameters: Vec<Value> = body
        .iter()
        .map(|text| json!({"type": "text", "text": text}))
        .collect();
    json!({"messaging_product": "whatsapp", "to": CUSTOMER, "type": "template",
        "template": {"name": name, "language": {"code": "en_US"},
            "components": [{"type": "body", "parameters": parameters}]}})
}
