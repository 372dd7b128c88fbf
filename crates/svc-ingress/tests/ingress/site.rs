//! One installation of ingress in its own folder, and Meta's part of the conversation.

use std::path::Path;
use std::time::Duration;

use core_whatsapp::signature::AppSecret;
use lib_platform::{Clock, Context, Readiness, Role};
use lib_proto::ingress as pb;
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use lib_storage::{Profile, RedisSettings, Servers, Storage};
use lib_testkit::servers::RedisServer;
use lib_testkit::{Host, SERVICE, context, eventually, user};
use serde_json::{Value, json};
use svc_ingress::Config;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const OLD_SECRET: &str = "fedcba9876543210fedcba9876543210";
pub(crate) const VERIFY_TOKEN: &str = "a-long-verify-token";

pub(crate) type Client = IngressServiceClient<lib_platform::AuthorizedChannel>;

/// A running ingress.
pub(crate) struct Site {
    host: Host,
    pub(crate) readiness: Readiness,
    http: reqwest::Client,
}

pub(crate) fn config() -> Config {
    Config {
        app_secrets: vec![SECRET.into(), OLD_SECRET.into()],
        verify_token: VERIFY_TOKEN.into(),
        blame_spacing: Duration::ZERO,
        ..Config::default()
    }
}

/// A URL that nobody listens at and that can be served again and again.
pub(crate) fn free_address() -> String {
    format!("http://127.0.0.1:{}", lib_testkit::servers::free_port())
}

impl Site {
    pub(crate) async fn start(folder: &Path, peer: &str) -> Self {
        Self::start_with(config(), folder, peer).await
    }

    pub(crate) async fn start_with(config: Config, folder: &Path, peer: &str) -> Self {
        Self::start_in(config, context(folder, &Clock::system(), peer)).await
    }

    /// The replica `name` of an installation with this Redis.
    pub(crate) async fn start_replica(
        name: &str,
        server: &RedisServer,
        profile: Profile,
        peer: &str,
    ) -> Self {
        Self::start_replica_at(name, server.url(), profile, peer).await
    }

    /// The replica `name` of an installation whose `redis.url` is `url`.
    pub(crate) async fn start_replica_at(
        name: &str,
        url: String,
        profile: Profile,
        peer: &str,
    ) -> Self {
        let mut context = context(Path::new("/nonexistent"), &Clock::system(), peer);
        context.me.name = name.to_owned();
        context.storage = Storage::Servers(Servers {
            postgres: None,
            redis: Some(RedisSettings { url }),
            profile,
        });
        Self::start_in(config(), context).await
    }

    async fn start_in(config: Config, context: Context) -> Self {
        let readiness = context.readiness.clone();
        let parts = svc_ingress::start(config, context.clone()).await.unwrap();
        let users = [
            ("admin-a", user("a", "admin", Role::Administrator)),
            ("admin-b", user("b", "admin", Role::Administrator)),
            ("agent-a", user("a", "agent", Role::Agent)),
        ];
        Self {
            readiness,
            host: Host::start(parts, &context, &users).await,
            http: lib_platform::outbound::client(Duration::from_secs(20)).unwrap(),
        }
    }

    /// Where its HTTP is, as a socket's address.
    pub(crate) fn address(&self) -> &str {
        self.host.http.trim_start_matches("http://")
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/webhooks/whatsapp", self.host.http)
    }

    pub(crate) fn get(&self, query: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.get(self.url()).query(query)
    }

    /// A signed POST, as Meta sends it.
    pub(crate) fn signed(&self, body: impl Into<Vec<u8>>) -> reqwest::RequestBuilder {
        let body = body.into();
        let signature = sign(SECRET, &body);
        self.unsigned(body).header("X-Hub-Signature-256", signature)
    }

    pub(crate) fn unsigned(&self, body: impl Into<Vec<u8>>) -> reqwest::RequestBuilder {
        self.http
            .post(self.url())
            .header("content-type", "application/json")
            .body(body.into())
    }

    /// Posts `body` signed and returns the status.
    pub(crate) async fn post(&self, body: impl Into<Vec<u8>>) -> u16 {
        self.signed(body).send().await.unwrap().status().as_u16()
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        IngressServiceClient::new(self.host.channel(token))
    }

    pub(crate) async fn inbox(&self) -> pb::Inbox {
        let mut client = self.client(SERVICE);
        let state = client.get_inbox(pb::GetInboxRequest {}).await;
        state.unwrap().into_inner()
    }

    /// Posts `body` until it is admitted; returns how often it was refused.
    pub(crate) async fn insist(&self, body: Vec<u8>) -> usize {
        let mut refused = 0;
        eventually(async || match self.post(body.clone()).await {
            200 => Some(refused),
            503 => {
                refused += 1;
                None
            }
            other => panic!("answered {other}"),
        })
        .await
    }

    /// Waits until nothing waits to be handed on.
    pub(crate) async fn emptied(&self) -> pb::Inbox {
        eventually(async || {
            let state = self.inbox().await;
            (state.waiting_deliveries == 0).then_some(state)
        })
        .await
    }

    pub(crate) async fn parked(&self, token: &str) -> Vec<pb::ParkedItem> {
        let request = pb::ListParkedItemsRequest::default();
        let listed = self.client(token).list_parked_items(request).await.unwrap();
        listed.into_inner().items
    }

    /// Ends every task of the service without letting it finish anything, and frees its file.
    pub(crate) async fn crash(self) {
        self.host.stop().await;
    }
}

pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    AppSecret::new(secret).unwrap().sign(body)
}

/// One text message, as an element of `messages[]`.
pub(crate) fn message(from: &str, id: &str) -> Value {
    json!({
        "from": from, "id": id, "timestamp": "1739321024", "type": "text",
        "text": {"body": format!("I am {id}")}
    })
}

/// A delivery with one change for each number.
pub(crate) fn delivery(numbers: &[(&str, Vec<Value>)]) -> Vec<u8> {
    let changes: Vec<Value> = numbers
        .iter()
        .map(|(number, messages)| {
            json!({"field": "messages", "value": {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
                "messages": messages
            }})
        })
        .collect();
    let body = json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "777", "changes": changes}]
    });
    body.to_string().into_bytes()
}

/// A delivery with one message to number 100.
pub(crate) fn one(from: &str, id: &str) -> Vec<u8> {
    delivery(&[("100", vec![message(from, id)])])
}
