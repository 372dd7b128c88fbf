//! Owner of the conversation log, its outbox and timers.
//!
//! One writer ([`committer`]) takes in webhook items, messages to send, attempts, routing's
//! reports, agents' commands and deadlines; decides them with `core-conversation`; lets the flow
//! take its steps; and commits events, state, outbox and timers in one transaction. Readers and
//! followers see only what is committed.

mod cache;
mod committer;
mod convert;
mod directory;
mod flow_runner;
mod grpc_log;
mod grpc_read;
mod grpc_write;
mod metrics;
mod outbox;
mod parse;
mod publish;
mod refuse;
mod schedule;
mod store;
mod timers;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use core_conversation::Policy;
use core_types::QueueId;
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Context, Parts};
use lib_proto::conversations::conversation_log_service_server::ConversationLogServiceServer;
use lib_proto::conversations::conversation_service_server::ConversationServiceServer;
use lib_storage::SqliteFile;

pub use store::replay::Report;

use crate::committer::{Committer, Writer};
use crate::publish::Publisher;
use crate::schedule::Schedule;

/// How the service is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where an engagement waits when no flow can answer it. Must name a queue of every tenant.
    pub fallback_queue: String,
    /// After this long the outcome of an attempt to send counts as unknown. Longer than any call
    /// egress makes.
    pub attempt_deadline: Duration,
    /// How long a status is waited for after an unknown outcome.
    pub quiet_window: Duration,
    /// Conversations kept in memory.
    pub cached_conversations: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fallback_queue: "support".to_owned(),
            attempt_deadline: Duration::from_secs(60),
            quiet_window: Duration::from_secs(120),
            cached_conversations: 20_000,
        }
    }
}

/// The name of the service, and of its database file.
const NAME: &str = "conversations";

/// Starts the service.
///
/// # Errors
/// When the database cannot be opened or the configuration cannot be used.
pub async fn start(config: Config, context: Context) -> anyhow::Result<Parts> {
    let fallback_queue = QueueId::new(&config.fallback_queue)
        .context("the fallback queue of conversations must be set")?;
    let database = SqliteFile::open(&context.database_file(NAME), store::MIGRATIONS).await?;
    let timers = Schedule::new(store::log::timers(&database).await?);
    let retries = Schedule::new(later(&database, &context).await?);
    let head = store::log::head(&database).await?;
    let (publisher, changes) = Publisher::new(head, timers, retries);
    let publisher = Arc::new(publisher);
    let writer = Writer {
        database: database.clone(),
        clock: context.clock.clone(),
        ids: context.ids.clone(),
        policy: Policy {
            fallback_queue,
            attempt_deadline: config.attempt_deadline,
            quiet_window: config.quiet_window,
        },
        directory: Arc::new(directory::Directory::new(context.channel("accounts")?)),
        flows: flow_runner::FlowRunner::new(context.channel("flow-runner")?),
        publisher: Arc::clone(&publisher),
        cache: cache::Cache::new(config.cached_conversations),
        instruments: metrics::Instruments::new(&context.metrics),
    };
    writer.instruments.watch(&publisher);
    let committer = Committer::spawn(&context.life, writer);
    let outbox = Arc::new(outbox::Outbox::new(database.clone(), context.clock.clone()));
    context.life.spawn_critical(
        "outbox",
        Arc::clone(&outbox).run(
            changes,
            Arc::clone(&publisher.retries),
            context.life.clone(),
        ),
    );
    context.life.spawn_critical(
        "timers",
        timers::run(
            Arc::clone(&publisher.timers),
            context.clock.clone(),
            committer.clone(),
            context.life.clone(),
        ),
    );
    context
        .life
        .spawn_critical("pruning", prune(database.clone(), context.clone()));
    let people = grpc_read::Conversations {
        database,
        clock: context.clock.clone(),
        life: context.life.clone(),
        publisher,
        committer: committer.clone(),
        templates: context.channel("templates")?,
    };
    let log = grpc_log::Log {
        committer,
        outbox,
        life: context.life.clone(),
        clock: context.clock.clone(),
    };
    Ok(Parts::new()
        .grpc(ConversationServiceServer::new(people).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .grpc(ConversationLogServiceServer::new(log).max_decoding_message_size(MAX_MESSAGE_BYTES)))
}

/// Messages whose time to go lies ahead.
async fn later(
    database: &SqliteFile,
    context: &Context,
) -> anyhow::Result<Vec<(core_types::ConversationId, core_types::Timestamp)>> {
    let now = context.clock.now();
    let mut times = store::log::outbox_times(database).await?;
    times.retain(|(_, at)| *at > now);
    Ok(times)
}

/// Forgets old duplicate keys, once a day and at start.
async fn prune(database: SqliteFile, context: Context) -> anyhow::Result<()> {
    let stopped = context.life.stopped();
    tokio::pin!(stopped);
    loop {
        match store::write::prune(&database, context.clock.now()).await {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(gone, "old keys forgotten"),
            Err(error) => tracing::warn!(%error, "old keys could not be forgotten"),
        }
        tokio::select! {
            () = context.clock.sleep(Duration::from_secs(24 * 3_600)) => {}
            () = &mut stopped => return Ok(()),
        }
    }
}

/// Folds the log of every conversation in `folder` from nothing and compares the result with what
/// is stored, byte for byte (guarantee G15). The service need not run; if it does, it must be idle.
///
/// # Errors
/// When the database cannot be read.
pub async fn verify_replay_of(folder: &Path) -> anyhow::Result<Report> {
    let path = folder.join(format!("{NAME}.db"));
    let database = SqliteFile::open(&path, store::MIGRATIONS).await?;
    Ok(store::replay::verify_replay(&database).await?)
}
