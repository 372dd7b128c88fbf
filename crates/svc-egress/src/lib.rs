//! Egress: sends what the conversation log wants sent to Meta's Graph API, and says in the log how
//! each attempt ended. Replicas share the numbers: one sends for a number at a time. An attempt is stored in the log before it is made, and made only if the log
//! grants it; an outcome nobody knows is reported as ambiguous, never guessed at.

mod directory;
mod graph;
mod metrics;
mod number;
mod outbox;
mod rate;
mod redis;
mod reports;
mod sender;
mod service;
mod spool;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lib_platform::partition::{Work, share};
use lib_platform::{Context, Parts};
use lib_proto::egress::egress_service_server::EgressServiceServer;

use crate::number::Numbers;
use crate::outbox::Outbox;
use crate::rate::{Pace, RateWindow};
use crate::redis::RedisWindow;
use crate::sender::Sender;
use crate::service::Egress;
use crate::spool::Spool;

/// Into how many parts numbers are cut on servers. Nothing is stored by part, so it may change with
/// a version, but all replicas must have the same.
const PARTS: u16 = 64;

/// Settings of egress.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the Graph API is, without version: `https://graph.facebook.com`, or the sandbox.
    pub graph_url: String,
    /// Version of the Graph API, such as `v24.0`.
    pub graph_version: String,
    /// How long Graph may take to answer. Must be at least 10 s shorter than `attempt_lease`.
    pub http_timeout: Duration,
    /// How long the log takes an attempt for under way; after it, it is ambiguous. Must not be
    /// longer than the log's own setting.
    pub attempt_lease: Duration,
    /// Messages a second from one number. Meta allows 80 unless it has raised a number's limit.
    pub messages_per_second: u32,
    /// Requests under way at once for one number.
    pub max_in_flight: usize,
    /// Messages held in memory at once; beyond that the outbox is read no further.
    pub max_in_hand: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            graph_url: "https://graph.facebook.com".to_owned(),
            graph_version: "v24.0".to_owned(),
            http_timeout: Duration::from_secs(30),
            attempt_lease: Duration::from_secs(60),
            messages_per_second: 80,
            max_in_flight: 64,
            max_in_hand: 20_000,
        }
    }
}

/// Time kept free at the end of a lease, so that an answer can still be reported within it.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

impl Config {
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.http_timeout + 2 * LEASE_MARGIN <= self.attempt_lease,
            "egress: http_timeout ({:?}) must be at least 10 s shorter than attempt_lease ({:?})",
            self.http_timeout,
            self.attempt_lease
        );
        anyhow::ensure!(
            self.messages_per_second > 0 && self.max_in_flight > 0 && self.max_in_hand > 0,
            "egress: messages_per_second, max_in_flight and max_in_hand must be at least 1"
        );
        Ok(())
    }

    /// How long after the log was asked a request may still be written.
    fn write_within(&self) -> Duration {
        self.attempt_lease
            .saturating_sub(self.http_timeout + LEASE_MARGIN)
    }
}

/// Starts following the outbox, and offers `EgressService`.
///
/// # Errors
/// When a setting cannot be used or the database cannot be opened.
pub async fn start(config: Config, context: Context) -> anyhow::Result<Parts> {
    config.check()?;
    let servers = context.storage.servers();
    let parts = if servers.is_some() { PARTS } else { 1 };
    let interval = Duration::from_secs(1) / config.messages_per_second;
    let shared = match servers.and_then(|servers| servers.redis.as_ref()) {
        Some(_) => {
            let redis = context.redis().await.context("egress cannot start")?;
            let window: Box<dyn RateWindow> = Box::new(RedisWindow::new(redis, interval));
            Some(window)
        }
        None => None,
    };
    let database = context
        .database("egress", spool::MIGRATIONS)
        .await
        .context("egress cannot start")?;
    let pace = Pace::new(interval, shared, &context.metrics);
    let numbers = Arc::new(Numbers::new(&config, pace));
    let spool = Spool::new(database.clone(), &context.me.name);
    let sender = Sender::new(config, &context, spool, Arc::clone(&numbers))?;
    metrics::watch(&context.metrics, &numbers);
    let left_over = Arc::clone(&sender);
    context.life.spawn("egress left over", async move {
        left_over.report_left_over().await;
    });
    let work = Work {
        name: "sending",
        parts,
    };
    let outbox = Outbox::new(sender, context.life.clone(), parts);
    let shares = share(
        work,
        database.leases(),
        &context.me,
        &context.life,
        move |held| outbox.clone().follow(held),
    )
    .await;
    context.metrics.shares(work, &shares);
    let service = Egress::new(numbers, shares, parts);
    Ok(Parts::new().grpc(EgressServiceServer::new(service)))
}
