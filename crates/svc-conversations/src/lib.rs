//! Owner of the conversation log, its outbox and timers.
//!
//! The writer ([`committer`]) of a replica takes in webhook items, messages to send, attempts,
//! routing's reports, agents' commands and deadlines of the numbers whose part it holds; decides
//! them with `core-conversation`; lets the flow take its steps; and commits events, state, outbox
//! and timers in one transaction. Readers and followers see only what is committed, by any replica.

mod cache;
mod calls;
mod committer;
mod convert;
mod directory;
mod door;
mod events;
mod flow_runner;
mod grpc_log;
mod grpc_read;
mod grpc_write;
mod metrics;
mod outbox;
mod parse;
mod parts;
mod places;
mod publish;
mod recent;
mod refuse;
mod schedule;
mod shard;
mod steps;
mod store;
mod tail;
mod templates;
mod timers;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use core_conversation::Policy;
use core_types::QueueId;
use lib_platform::forward::Replicas;
use lib_platform::partition::share;
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Context, Parts};
use lib_proto::conversations::conversation_log_service_server::ConversationLogServiceServer;
use lib_proto::conversations::conversation_service_server::ConversationServiceServer;
use lib_storage::{Database, Storage};
use tokio::sync::Mutex;

pub use store::replay::Report;

use crate::committer::{Committer, Writer};
use crate::outbox::Outbox;
use crate::publish::Publisher;
use crate::tail::Tail;

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

impl Config {
    fn policy(&self) -> anyhow::Result<Policy> {
        let fallback_queue = QueueId::new(&self.fallback_queue)
            .context("the fallback queue of conversations must be set")?;
        Ok(Policy {
            fallback_queue,
            attempt_deadline: self.attempt_deadline,
            quiet_window: self.quiet_window,
        })
    }
}

/// The name of the service, and of its database file.
const NAME: &str = "conversations";

/// Starts the service.
///
/// # Errors
/// When the database cannot be opened or the configuration cannot be used.
pub async fn start(config: Config, context: Context) -> anyhow::Result<Parts> {
    let policy = config.policy()?;
    let database = context.database(NAME, store::MIGRATIONS).await?;
    store::place_old_rows(&database).await?;
    let head = store::log::head(&database).await?;
    let (publisher, news) = Publisher::new(head, teller(&context));
    let publisher = Arc::new(publisher);
    let parts = Arc::new(parts::Parts::new());
    let flows = flow_runner::FlowRunner::new(context.channel("flow-runner")?);
    let templates = templates::Templates::new(context.channel("templates")?);
    let (calls, asked) = calls::Calls::new();
    let writer = Writer {
        database: database.clone(),
        clock: context.clock.clone(),
        ids: context.ids.clone(),
        policy,
        directory: Arc::new(directory::Directory::new(context.channel("accounts")?)),
        flows: flows.clone(),
        templates: templates.clone(),
        calls,
        parts: Arc::clone(&parts),
        publisher: Arc::clone(&publisher),
        cache: cache::Cache::new(config.cached_conversations),
        instruments: metrics::Instruments::new(&context.metrics),
    };
    let writer = Arc::new(Mutex::new(writer));
    let committer = Committer::spawn(&context.life, Arc::clone(&writer));
    calls::spawn(&context.life, flows, committer.clone(), asked);
    let outbox = Arc::new(Outbox::new(database.clone(), context.clock.clone()));
    let clock = context.clock.clone();
    let tail = Tail::new(database.clone(), clock, &publisher, &outbox, news);
    work(&context, &committer, &publisher, &outbox, tail, &database);
    let desk = parts::Desk {
        parts: Arc::clone(&parts),
        publisher: Arc::clone(&publisher),
        outbox: Arc::clone(&outbox),
        database: database.clone(),
        writer,
    };
    let (leases, life) = (database.leases(), &context.life);
    let hold = move |held| desk.clone().hold(held);
    let shares = share(store::WORK, leases, &context.me, life, hold).await;
    metrics::watch(&context, &database, &publisher, &shares);
    let door = Arc::new(door::Door {
        parts,
        shares,
        places: places::Places::new(database.clone()),
        replicas: Replicas::default(),
    });
    let people = grpc_read::Conversations {
        database,
        clock: context.clock.clone(),
        life: context.life.clone(),
        publisher: Arc::clone(&publisher),
        committer: committer.clone(),
        door: Arc::clone(&door),
        templates,
    };
    let clock = context.clock.clone();
    let log = grpc_log::Log {
        here: grpc_log::Here { committer, clock },
        door,
        outbox,
        publisher,
        life: context.life.clone(),
    };
    Ok(Parts::new()
        .grpc(ConversationServiceServer::new(people).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .grpc(ConversationLogServiceServer::new(log).max_decoding_message_size(MAX_MESSAGE_BYTES)))
}

/// What this process calls itself towards other replicas: one word, of this process only.
fn teller(context: &Context) -> String {
    let name = context.me.name.replace(char::is_whitespace, "-");
    format!("{name}/{}", std::process::id())
}

/// Starts what goes on by itself.
fn work(
    context: &Context,
    committer: &Committer,
    publisher: &Arc<Publisher>,
    outbox: &Arc<Outbox>,
    tail: Tail,
    database: &Database,
) {
    let life = &context.life;
    life.spawn_critical("tail", tail.run(life.clone()));
    life.spawn_critical("outbox", Arc::clone(outbox).run(life.clone()));
    let timers = timers::run(
        Arc::clone(publisher),
        context.clock.clone(),
        committer.clone(),
        life.clone(),
    );
    life.spawn_critical("timers", timers);
    life.spawn_critical("pruning", prune(database.clone(), context.clone()));
}

/// Forgets old duplicate keys, once a day and at start.
async fn prune(database: Database, context: Context) -> anyhow::Result<()> {
    let stopped = context.life.stopped();
    tokio::pin!(stopped);
    loop {
        match store::commit::prune(&database, context.clock.now()).await {
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

/// Folds the log of every conversation in `storage` from nothing and compares the result with what
/// is stored, byte for byte (guarantee G15). The service need not run; if it does, it must be idle.
///
/// # Errors
/// When the database cannot be read.
pub async fn verify_replay_of(storage: &Storage) -> anyhow::Result<Report> {
    let database = storage.database(NAME, store::MIGRATIONS).await?;
    Ok(store::replay::verify_replay(&database).await?)
}
