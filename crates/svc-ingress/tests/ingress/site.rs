//! One installation of ingress in its own folder, and Meta's part of the conversation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use core_types::TenantId;
use core_whatsapp::signature::AppSecret;
use lib_platform::channel::connect;
use lib_platform::server::Options;
use lib_platform::{
    Authenticator, Caller, Clock, Context, IdSource, Lifecycle, Listeners, Parts, Peers, Role,
};
use lib_proto::ingress as pb;
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use serde_json::{Value, json};
use svc_ingress::Config;
use tokio::net::TcpListener;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const OLD_SECRET: &str = "fedcba9876543210fedcba9876543210";
pub(crate) const VERIFY_TOKEN: &str = "a-long-verify-token";
/// Nobody listens there.
pub(crate) const NOWHERE: &str = "127.0.0.1:1";

pub(crate) type Client = IngressServiceClient<lib_platform::AuthorizedChannel>;

/// A running ingress. Dropping it is a crash: nothing is finished, nothing is told.
pub(crate) struct Site {
    pub(crate) life: Lifecycle,
    pub(crate) address: String,
    grpc: String,
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

pub(crate) fn context(folder: &Path, peer: &str, life: &Lifecycle) -> Context {
    let peers = [("*".to_owned(), format!("http://{peer}"))];
    Context {
        clock: Clock::system(),
        ids: IdSource::random(),
        life: life.clone(),
        peers: Peers::new(peers, "service").unwrap(),
        data_dir: PathBuf::from(folder),
    }
}

pub(crate) fn serve(parts: Parts, grpc: TcpListener, http: Option<TcpListener>, life: &Lifecycle) {
    let user = |tenant: &str, role| Caller::User {
        tenant: TenantId::new(tenant).unwrap(),
        user: format!("{role:?}"),
        roles: [role].into(),
    };
    let service = Caller::Service {
        name: "test".into(),
    };
    let tokens = [
        ("service".to_owned(), service),
        ("admin-a".to_owned(), user("a", Role::Administrator)),
        ("admin-b".to_owned(), user("b", Role::Administrator)),
        ("agent-a".to_owned(), user("a", Role::Agent)),
    ];
    let options = Options {
        authenticator: Authenticator::new(Clock::system(), tokens, None),
        reflection: None,
    };
    let life = life.clone();
    tokio::spawn(async move {
        let listeners = Listeners { grpc, http };
        lib_platform::serve(parts, listeners, options, &life).await
    });
}

/// A free address that can be bound again and again.
pub(crate) async fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Site {
    pub(crate) async fn start(folder: &Path, peer: &str) -> Self {
        Self::start_with(config(), folder, peer).await
    }

    pub(crate) async fn start_with(config: Config, folder: &Path, peer: &str) -> Self {
        let life = Lifecycle::new();
        let parts = svc_ingress::start(config, context(folder, peer, &life))
            .await
            .unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self {
            address: http.local_addr().unwrap().to_string(),
            grpc: format!("http://{}", grpc.local_addr().unwrap()),
            http: lib_platform::outbound::client(Duration::from_secs(20)).unwrap(),
            life: life.clone(),
        };
        serve(parts, grpc, Some(http), &life);
        site
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/webhooks/whatsapp", self.address)
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
        IngressServiceClient::new(connect(&self.grpc, token).unwrap())
    }

    pub(crate) async fn inbox(&self) -> pb::Inbox {
        let mut client = self.client("service");
        let state = client.get_inbox(pb::GetInboxRequest {}).await;
        state.unwrap().into_inner()
    }

    /// Waits until nothing waits to be handed on; fails after 20 s.
    pub(crate) async fn emptied(&self) -> pb::Inbox {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let state = self.inbox().await;
            if state.waiting_deliveries == 0 {
                return state;
            }
            assert!(tokio::time::Instant::now() < deadline, "{state:?}");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn parked(&self, token: &str) -> Vec<pb::ParkedItem> {
        let request = pb::ListParkedItemsRequest::default();
        let listed = self.client(token).list_parked_items(request).await.unwrap();
        listed.into_inner().items
    }

    /// Ends every task of the service without letting it finish anything, and frees its file.
    pub(crate) async fn crash(self) {
        self.life.stop();
        assert!(self.life.drained(Duration::from_secs(10)).await);
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
