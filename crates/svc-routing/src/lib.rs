//! Queues, offers and the agents' stream.
//!
//! The service follows the conversation log, keeps each tenant's routing state
//! ([`core_routing::Routing`]) in memory and in a store, offers waiting engagements to agents over
//! their desks, and reports what it does back into the log. One task (a hub) changes state: it takes
//! what has arrived together, stores state, the place in the log and the reports to send in one
//! transaction, and only then tells anybody.
//!
//! Replicas share the tenants: each belongs to one of a few parts, a part's hub runs in one replica
//! at a time, and the others pass calls and desks on to it.

mod backoff;
mod convert;
mod desk_service;
mod effects;
mod facts;
mod follower;
mod hub;
mod hubs;
mod metrics;
mod order;
mod queue_convert;
mod reporter;
mod routing_service;
mod seat;
mod store;
mod tenant;
mod write;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use lib_platform::partition::{Held, Passing, Work, share};
use lib_platform::{Context, Lifecycle, Parts};
use lib_proto::routing::desk_service_server::DeskServiceServer;
use lib_proto::routing::routing_service_server::RoutingServiceServer;
use tokio::sync::{mpsc, watch};

use crate::desk_service::DeskApi;
use crate::hub::Hub;
use crate::hubs::{Hubs, OpenHub, OpenHubs};
use crate::order::Orders;
use crate::routing_service::RoutingApi;
use crate::store::{LiveState, MIGRATIONS, Part, Store, StoreError, WORK};

/// How the service behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Forget everything that can be learnt from the conversation log (who waits, who owns what)
    /// and read the log from its beginning. Queues, agents' capacities and past offers stay.
    /// Nothing is offered until the end of the log is reached. Off by default.
    pub rebuild: bool,
    /// Into how many parts the tenants are cut on servers; embedded there is one. Never changed
    /// for an installation. 8 by default.
    pub parts: u16,
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
            parts: 8,
            heartbeat: Duration::from_secs(60),
            grace: Duration::from_secs(30),
        }
    }
}

/// Orders that may wait for a hub; who sends more waits.
const ORDERS: usize = 1_024;
/// How long it takes at most to learn that a lease is another's: longer than a lease lives.
const LEARNING: Duration = Duration::from_secs(8);

/// Starts the service: opens its store, takes its share of the tenants, and follows and reports to
/// `conversations`.
///
/// # Errors
/// When a store cannot be opened, or `conversations` has no address.
pub async fn start(config: Config, context: Context) -> anyhow::Result<Parts> {
    let live = match context.storage.servers() {
        Some(_) => Some(LiveState::new(context.redis().await?)),
        None => None,
    };
    let records = context.database("routing", MIGRATIONS).await?;
    let parts = if live.is_some() { config.parts } else { 1 };
    let open = OpenHubs::default();
    let post = Post {
        config: config.clone(),
        context: context.clone(),
        records: records.clone(),
        live,
        open: open.clone(),
        parts,
        to_rebuild: Arc::new(Mutex::new(if config.rebuild {
            (0..parts).collect()
        } else {
            BTreeSet::new()
        })),
    };
    let work = Work { name: WORK, parts };
    let leases = records.leases();
    let shares = share(work, leases, &context.me, &context.life, move |held| {
        post.clone().run(held)
    })
    .await;
    context.metrics.shares(work, &shares);
    metrics::watch(&context.metrics, &context.clock, &open);
    let hubs = Hubs::new(open, shares, parts);
    let routing = RoutingApi::new(hubs.clone());
    let desk = DeskApi::new(hubs, context.life.clone(), config.heartbeat);
    Ok(Parts::new()
        .grpc(RoutingServiceServer::new(routing))
        .grpc(DeskServiceServer::new(desk)))
}

/// What a hub needs, wherever its part is taken over.
#[derive(Clone)]
struct Post {
    config: Config,
    context: Context,
    records: lib_storage::Database,
    live: Option<LiveState>,
    open: OpenHubs,
    parts: u16,
    /// Parts whose state is to be read from the log again: at a start that asks for it, once, and
    /// when an operator asks.
    to_rebuild: Arc<Mutex<BTreeSet<u16>>>,
}

impl Post {
    fn to_rebuild(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        // A set is whole after every operation.
        self.to_rebuild
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a part's hub until the part is lost. A hub that ends before is to be rebuilt. One whose
    /// stores are away ends, too: what it knows is ahead of what is stored. It is begun again from
    /// there; calls are told meanwhile to try again.
    async fn run(self, held: Held) -> anyhow::Result<()> {
        let part = held.part;
        let outcome = loop {
            let life = held.life(&self.context.life).child();
            let outcome = self.serve(&held, &life).await;
            self.open.close(part, held.fence);
            if held.is_lost() {
                break outcome;
            }
            if outcome.is_ok() || life.is_stopping() {
                self.to_rebuild().insert(part);
            }
            life.stop();
            if outcome.is_err() {
                break outcome;
            }
            tracing::info!(part, "routing state is read from the log again");
        };
        match outcome {
            // Another replica has taken over; that ends the work here and harms nothing.
            Err(error) if is(&error, StoreError::is_fenced) => {
                self.context.metrics.fenced("routing").inc();
                tracing::warn!(part, "another replica has this part; its hub ends");
                match tokio::time::timeout(LEARNING, held.lost()).await {
                    Ok(()) => Ok(()),
                    // Nobody has: the store has forgotten our fence, as an emptied Redis does.
                    Err(_) => Err(Passing(error).into()),
                }
            }
            Err(error) if is(&error, StoreError::is_passing) => Err(Passing(error).into()),
            outcome => outcome,
        }
    }

    async fn serve(&self, held: &Held, life: &Lifecycle) -> anyhow::Result<()> {
        let part = Part {
            index: held.part,
            of: self.parts,
            fence: held.fence,
        };
        let live = self.live.as_ref().map(|live| live.part(held.part));
        let store = Store::new(self.records.clone(), live, part);
        let rebuild = self.to_rebuild().contains(&held.part);
        if rebuild {
            store.forget_log().await?;
            self.to_rebuild().remove(&held.part);
        }
        let stored = store
            .load()
            .await
            .context("routing cannot read its state")?;
        let cursor = stored.cursor.clone();
        let (sender, receiver) = mpsc::channel(ORDERS);
        let orders = Orders::new(sender);
        let (reports, wake) = watch::channel(stored.last_outgoing);
        let channel = self.context.channel("conversations")?;
        let life = life.clone();
        let hub = Hub::new(
            &self.config,
            (&self.context.clock, &life),
            store.clone(),
            orders.clone(),
            reports,
            stored,
        );
        let followed = self.context.metrics.followed("routing", held.part);
        let follow = (cursor, followed);
        let follower = follower::run(life.clone(), channel.clone(), orders.clone(), follow, part);
        let reporter = reporter::run(life.clone(), channel, store.clone(), orders.clone(), wake);
        self.open.open(
            held.part,
            OpenHub {
                orders,
                store,
                life,
            },
        );
        tokio::try_join!(hub.run(receiver), follower, reporter).map(|_| ())
    }
}

fn is(error: &anyhow::Error, what: fn(&StoreError) -> bool) -> bool {
    error.downcast_ref::<StoreError>().is_some_and(what)
}
