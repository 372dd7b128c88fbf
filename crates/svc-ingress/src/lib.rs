//! Meta's webhooks in: verify, admit durably, answer, split, hand on.
//!
//! A POST is answered 200 once its raw bytes are on disk; nothing else stands between. A worker
//! then splits what was admitted and hands it to the conversation log in order. What cannot be
//! read or taken is parked with its bytes, and replayed by [`IngressService`].
//!
//! [`IngressService`]: lib_proto::ingress::ingress_service_server::IngressService

mod admission;
mod backoff;
pub mod embedded;
mod handon;
mod http;
pub mod inbox;
mod metrics;
mod pass;
mod reader;
pub mod redis;
mod service;
mod split;
mod worker;

/// What a delivery contains, for people who debug webhooks: the code that this service runs.
pub use core_whatsapp::describe;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use core_whatsapp::signature::{AppSecret, Verifier};
use lib_platform::credential::token_digest;
use lib_platform::partition::{Work, share};
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Context, Parts};
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use lib_proto::conversations::conversation_log_service_client::ConversationLogServiceClient;
use lib_proto::ingress::ingress_service_server::IngressServiceServer;
use lib_storage::lease::{Alone, Leases};

use crate::admission::{Admission, Most};
use crate::embedded::EmbeddedInbox;
use crate::inbox::Inbox;
use crate::redis::RedisInbox;
use crate::worker::Worker;

/// What replicas share: one of them reads the inbox and hands on.
const READING: Work = Work {
    name: "inbox",
    parts: 1,
};

/// What ingress is told.
#[derive(Clone)]
pub struct Config {
    /// App Secrets of the Meta app: one, or two while one replaces the other. Without any, ingress
    /// does not start.
    pub app_secrets: Vec<String>,
    /// The word Meta shows when it verifies the address. Empty: every verification is refused.
    pub verify_token: String,
    /// Most deliveries that may wait to be handed on; above, webhooks get 503. Default 1,000,000.
    pub max_waiting_deliveries: u64,
    /// Most bytes of them. Default 4 GiB.
    pub max_waiting_bytes: u64,
    /// How long a sender may take to send a body. Default 10 s.
    pub body_timeout: Duration,
    /// An item the conversation log cannot take while others of its kind are taken is parked after
    /// five failures at least this far apart. Default 2 s.
    pub blame_spacing: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            app_secrets: Vec::new(),
            verify_token: String::new(),
            max_waiting_deliveries: 1_000_000,
            max_waiting_bytes: 4 << 30,
            body_timeout: Duration::from_secs(10),
            blame_spacing: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for Config {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("app_secrets", &self.app_secrets.len())
            .field("max_waiting_deliveries", &self.max_waiting_deliveries)
            .field("max_waiting_bytes", &self.max_waiting_bytes)
            .field("body_timeout", &self.body_timeout)
            .field("blame_spacing", &self.blame_spacing)
            .finish_non_exhaustive()
    }
}

/// Starts ingress: HTTP `/webhooks/whatsapp`, `IngressService`, the worker. The inbox is a file, or in
/// Redis, where replicas share it: all admit, and one at a time hands on.
///
/// # Errors
/// When no app secret is configured or the inbox cannot be opened.
pub async fn start(config: Config, context: Context) -> anyhow::Result<Parts> {
    let verifier = verifier(&config.app_secrets)?;
    if config.verify_token.is_empty() {
        tracing::warn!("`verify_token` is empty: Meta cannot verify this webhook address");
    }
    let Some(profile) = context.storage.servers().map(|servers| servers.profile) else {
        let inbox = EmbeddedInbox::open(&context.database_file("ingress")?).await?;
        return start_on(inbox, Arc::new(Alone), verifier, config, context).await;
    };
    let redis = context.redis().await?;
    let leases = redis.leases(redis::TAG);
    let inbox = RedisInbox::new(&redis, &leases.fences(READING.name), profile);
    start_on(inbox, Arc::new(leases), verifier, config, context).await
}

async fn start_on<I: Inbox>(
    inbox: I,
    leases: Arc<dyn Leases>,
    verifier: Verifier,
    config: Config,
    context: Context,
) -> anyhow::Result<Parts> {
    // A server that does not answer now will be asked again; until then nothing is known of it.
    let counts = inbox.counts().await.unwrap_or_default();
    let most = Most {
        deliveries: config.max_waiting_deliveries,
        bytes: config.max_waiting_bytes,
    };
    let admission = Admission::start(&inbox, &context.life, counts, most);
    let log = ConversationLogServiceClient::new(context.channel("conversations")?)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let directory = DirectoryServiceClient::new(context.channel("accounts")?)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let worker = Worker {
        inbox: inbox.clone(),
        admission: admission.clone(),
        log: log.clone(),
        clock: context.clock.clone(),
        blame_spacing: config.blame_spacing,
        fenced: context.metrics.fenced("ingress"),
    };
    let run = move |held| worker.clone().run(held);
    let shared = leases.shared();
    let shares = share(READING, leases, &context.me, &context.life, run).await;
    context.metrics.shares(READING, &shares);
    let refused_signatures = Arc::new(AtomicU64::new(0));
    let inbox_of = metrics::Watched {
        inbox: &inbox,
        admission: &admission,
        shared,
    };
    metrics::watch(&context, &inbox_of, &refused_signatures);
    let service = service::Service {
        inbox,
        log,
        directory,
        clock: context.clock.clone(),
        refused_signatures: Arc::clone(&refused_signatures),
    };
    let door = http::Door {
        verifier,
        verify_token: Some(config.verify_token.as_str())
            .filter(|token| !token.is_empty())
            .map(token_digest),
        admission,
        clock: context.clock,
        body_timeout: config.body_timeout,
        refused_signatures,
    };
    Ok(Parts::new()
        .grpc(IngressServiceServer::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .http(http::routes(door)))
}

fn verifier(secrets: &[String]) -> anyhow::Result<Verifier> {
    let secrets: Result<Vec<_>, _> = secrets.iter().map(AppSecret::new).collect();
    let verifier = secrets
        .map_err(anyhow::Error::from)
        .and_then(|secrets| Ok(Verifier::new(secrets)?));
    verifier.context(
        "ingress cannot start: set `app_secrets` to the App Secret of your Meta app (App settings, \
         Basic)",
    )
}
