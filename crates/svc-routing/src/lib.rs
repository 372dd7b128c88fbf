//! Queues, offers and the agents' stream.
//!
//! The service follows the conversation log, keeps each tenant's routing state
//! ([`core_routing::Routing`]) in memory and in `routing.db`, offers waiting engagements to agents
//! over their desks, and reports what it does back into the log. One task (the hub) changes state:
//! it takes what has arrived together, stores state, the place in the log and the reports to send
//! in one transaction, and only then tells anybody.

mod backoff;
mod convert;
mod desk_service;
mod effects;
mod facts;
mod follower;
mod hub;
mod order;
mod queue_convert;
mod reporter;
mod routing_service;
mod seat;
mod store;
mod tenant;
mod write;

use std::time::Duration;

use lib_platform::{Context, Parts};
use lib_proto::routing::desk_service_server::DeskServiceServer;
use lib_proto::routing::routing_service_server::RoutingServiceServer;
use tokio::sync::{mpsc, watch};

use crate::desk_service::DeskApi;
use crate::hub::Hub;
use crate::order::Orders;
use crate::routing_service::RoutingApi;
use crate::store::Store;

/// How the service behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Forget everything that can be learnt from the conversation log (who waits, who owns what)
    /// and read the log from its beginning. Queues, agents' capacities and past offers stay.
    /// Nothing is offered until the end of the log is reached. Off by default.
    pub rebuild: bool,
    /// A desk that says nothing for this long is taken for dead. Wall time; 60 s by default.
    pub heartbeat: Duration,
    /// How long an agent whose desk is gone stays ready and may come back. Wall time; 30 s by
    /// default.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rebuild: false,
            heartbeat: Duration::from_secs(60),
            grace: Duration::from_secs(30),
        }
    }
}

/// Orders that may wait for the hub; who sends more waits.
const ORDERS: usize = 1_024;

/// Starts the service: opens `routing.db`, and follows and reports to `conversations`.
///
/// # Errors
/// When the database cannot be opened or read back, or `conversations` has no address.
pub async fn start(config: Config, context: Context) -> anyhow::Result<Parts> {
    let store = Store::open(&context.database_file("routing")).await?;
    if config.rebuild {
        store.forget_log().await?;
    }
    let stored = store.load().await?;
    let cursor = stored.cursor.clone();
    let (sender, receiver) = mpsc::channel(ORDERS);
    let orders = Orders::new(sender);
    let (reports, wake) = watch::channel(stored.last_outgoing);
    let channel = context.channel("conversations")?;

    let hub = Hub::new(
        &config,
        &context,
        store.clone(),
        orders.clone(),
        reports,
        stored,
    );
    context
        .life
        .spawn_critical("routing hub", hub.run(receiver));
    context.life.spawn_critical(
        "routing follower",
        follower::run(
            context.life.clone(),
            channel.clone(),
            orders.clone(),
            cursor,
        ),
    );
    context.life.spawn_critical(
        "routing reporter",
        reporter::run(
            context.life.clone(),
            channel,
            store.clone(),
            orders.clone(),
            wake,
        ),
    );
    let routing = RoutingApi::new(orders.clone(), store);
    let desk = DeskApi::new(orders, context.life.clone(), config.heartbeat);
    Ok(Parts::new()
        .grpc(RoutingServiceServer::new(routing))
        .grpc(DeskServiceServer::new(desk)))
}
