//! A faithful local stand-in for Meta: the Graph API, signed webhooks with redelivery, template
//! review, prices by era, customers' phones, a clock to turn and faults by script. Newcomers, flow
//! authors, tests and demos all use it; it is written from Meta's rules and shares with the rest of
//! Frontdesk only the reading of requests to send.

mod deliverer;
mod engine;
mod graph;
mod identity;
mod payload;
mod pricing;
mod rpc;
mod state;
mod store;
mod template;
mod world;

use std::time::Duration;

use anyhow::Context as _;
use lib_platform::{Context, Parts};
use tokio::net::TcpListener;

use crate::deliverer::Deliverer;
use crate::engine::Engine;
use crate::graph::Graph;
use crate::store::Store;
use crate::world::World;

/// Settings of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `hub.verify_token` of the verification request.
    pub verify_token: String,
    /// From accepting a message to its `sent`, on the installation's clock.
    pub sent_after: Duration,
    /// From accepting a message to its `delivered`, on the installation's clock.
    pub delivered_after: Duration,
    /// First wait before a webhook is delivered again; doubles up to an hour, for seven days.
    pub first_backoff: Duration,
    /// How long the review of a template takes that was created through the Graph API.
    pub review_after: Duration,
    /// How long a webhook may take to be answered, in real time.
    pub delivery_timeout: Duration,
    /// Most webhooks under way at once; at least 1.
    pub concurrent_deliveries: usize,
    /// Messages per second of one number, beyond which error 130429 is answered; `None` switches
    /// the limit off. Meta starts numbers at 80.
    pub messages_per_second: Option<u32>,
    /// Whether more than one message per six seconds to one customer, with a burst of 45, is
    /// answered with error 131056.
    pub pair_limit: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            verify_token: "dev-verify-token".to_owned(),
            sent_after: Duration::from_millis(100),
            delivered_after: Duration::from_millis(300),
            first_backoff: Duration::from_secs(1),
            review_after: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(10),
            concurrent_deliveries: 64,
            messages_per_second: None,
            pair_limit: false,
        }
    }
}

/// Serves the Graph API on `listener`, goes on with the deliveries, statuses and reviews that were
/// due, and offers `PhoneService` and `SandboxService`.
///
/// # Errors
/// When the database cannot be opened or holds what cannot be read.
pub async fn start(
    config: Config,
    context: Context,
    listener: TcpListener,
) -> anyhow::Result<Parts> {
    let store = Store::open(&context.database_file("sandbox")?)
        .await
        .context("the sandbox cannot start")?;
    let loaded = store.load().await.context("the sandbox cannot start")?;
    let (engine, queue) = Engine::new();
    let life = context.life.clone();
    let deliverer = Deliverer::new(&config, engine.clone(), life.clone())?;
    let world = World::load(config, context.clock.clone().now(), loaded)?;
    for account in world.unverified() {
        deliverer.verify(account);
    }
    let graph = Graph {
        engine: engine.clone(),
        store: store.clone(),
        clock: context.clock.clone(),
    };
    let parts = rpc::parts(&graph, &deliverer, &life);
    life.spawn_critical(
        "sandbox",
        engine::run(queue, world, store, deliverer, context.clock, life.clone()),
    );
    life.spawn_critical(
        "graph-api",
        graph::serve(listener, graph::router(graph), life.clone()),
    );
    Ok(parts)
}
