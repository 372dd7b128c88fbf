//! The hub: the one task that changes routing state. It takes the orders that have arrived
//! together, stores what follows in one transaction, and only then answers, tells desks and lets
//! the reporter go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use core_routing::{Answer, Input, Rejection, Routing};
use core_types::{AgentId, TenantId};
use lib_platform::{Clock, Lifecycle, Refusal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::Config;
use crate::metrics::Census;
use crate::order::{Change, Look, Order, Orders};
use crate::store::{Store, StoreError, Stored, StoredTenant};
use crate::tenant::{Batch, DeskPost, Tenant};
use crate::write::Write;

/// Most orders taken together.
const TOGETHER: usize = 256;
/// Log entries without effect on routing after which the place in the log is stored all the same.
const ENTRIES_UNSTORED: usize = 10_000;
/// How long the log's answers to reports wait for a commit to join. Wall time.
const FLUSH: Duration = Duration::from_millis(50);
/// How often a commit is tried before the hub gives up; state in memory is ahead by then.
const COMMIT_ATTEMPTS: u32 = 5;

/// The state of the hub.
pub(crate) struct Hub {
    tenants: BTreeMap<TenantId, Tenant>,
    store: Store,
    clock: Clock,
    life: Lifecycle,
    orders: Orders,
    reports: watch::Sender<i64>,
    grace: Duration,
    caught_up: bool,
    last_offer: i64,
    last_outgoing: i64,
    /// What may be stored with the next change, because repeating it after a crash is harmless.
    unstored: Unstored,
}

#[derive(Default)]
struct Unstored {
    cursor: Option<String>,
    entries: usize,
    reported: Option<i64>,
    /// When `reported` is stored without waiting for company: the log takes repeated reports, but
    /// may list them twice.
    flush_at: Option<Instant>,
}

/// What happens after the commit, and which tenants to settle before it.
#[derive(Default)]
struct Follow {
    dirty: BTreeSet<TenantId>,
    looks: Vec<(TenantId, Look)>,
    replies: Vec<Box<dyn FnOnce() + Send>>,
}

impl Hub {
    pub(crate) fn new(
        config: &Config,
        (clock, life): (&Clock, &Lifecycle),
        store: Store,
        orders: Orders,
        reports: watch::Sender<i64>,
        stored: Stored,
    ) -> Self {
        let tenants = stored
            .tenants
            .into_iter()
            .map(|(id, rows)| (id.clone(), Tenant::new(id, rows)))
            .collect();
        Self {
            tenants,
            store,
            clock: clock.clone(),
            life: life.clone(),
            orders,
            reports,
            grace: config.grace,
            caught_up: false,
            last_offer: stored.last_offer,
            last_outgoing: stored.last_outgoing,
            unstored: Unstored::default(),
        }
    }

    /// Takes orders until everything stops.
    pub(crate) async fn run(mut self, mut arrivals: mpsc::Receiver<Order>) -> anyhow::Result<()> {
        let stopped = self.life.stopped();
        tokio::pin!(stopped);
        self.restart().await?;
        let mut orders = Vec::with_capacity(TOGETHER);
        loop {
            let due = self.next_due();
            let timer = async {
                match due {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let flush = async {
                match self.unstored.flush_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                count = arrivals.recv_many(&mut orders, TOGETHER) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
                () = timer => {}
                () = flush => {
                    self.write_rest().await?;
                    continue;
                }
                () = &mut stopped => return self.write_rest().await,
            }
            self.work(orders.drain(..)).await?;
        }
    }

    fn next_due(&self) -> Option<core_types::Timestamp> {
        let tenants = self.tenants.values();
        tenants
            .filter_map(|tenant| tenant.routing.next_due())
            .min()
            .filter(|_| self.caught_up)
    }

    fn batch(&self) -> Batch {
        Batch {
            now: self.clock.now(),
            writes: Vec::new(),
            events: Vec::new(),
            last_offer: self.last_offer,
            offer_step: self.store.part().step(),
            last_outgoing: self.last_outgoing,
        }
    }

    /// Nobody's desk outlives a process; who was ready may come back within the grace period.
    async fn restart(&mut self) -> anyhow::Result<()> {
        let mut batch = self.batch();
        let mut away = Vec::new();
        let mut follow = Follow::default();
        for (id, tenant) in &mut self.tenants {
            let ready = tenant.restart(&mut batch);
            away.extend(ready.into_iter().map(|agent| (id.clone(), agent)));
            follow.dirty.insert(id.clone());
        }
        for (tenant, agent) in away {
            self.start_grace(tenant, agent, 0);
        }
        self.finish(batch, follow).await
    }

    async fn work(&mut self, orders: impl Iterator<Item = Order>) -> anyhow::Result<()> {
        let mut batch = self.batch();
        let mut follow = Follow::default();
        for order in orders {
            self.take(order, &mut batch, &mut follow);
        }
        if self.caught_up {
            let due = |tenant: &Tenant| {
                let at = tenant.routing.next_due();
                at.is_some_and(|at| at <= batch.now)
            };
            let waiting: Vec<TenantId> = self
                .tenants
                .iter()
                .filter(|(_, tenant)| due(tenant))
                .map(|(id, _)| id.clone())
                .collect();
            follow.dirty.extend(waiting);
            for id in &follow.dirty {
                if let Some(tenant) = self.tenants.get_mut(id) {
                    tenant.settle(&mut batch);
                }
            }
        }
        self.finish(batch, follow).await
    }

    /// Stores the batch, then lets everybody know.
    async fn finish(&mut self, mut batch: Batch, follow: Follow) -> anyhow::Result<()> {
        for id in &follow.dirty {
            if let Some(tenant) = self.tenants.get_mut(id) {
                tenant.collect_rows(&mut batch)?;
            }
        }
        if !batch.writes.is_empty() || self.unstored.entries >= ENTRIES_UNSTORED {
            self.add_unstored(&mut batch.writes);
            lib_platform::failpoint!("routing.ended", if batch.writes.iter().any(Write::ends_an_offer));
            self.commit(&batch.writes).await?;
        }
        lib_platform::failpoint!("routing.offered", if self.last_offer != batch.last_offer);
        self.last_offer = batch.last_offer;
        if self.last_outgoing != batch.last_outgoing {
            self.last_outgoing = batch.last_outgoing;
            self.reports.send_replace(batch.last_outgoing);
        }
        for post in batch.events {
            self.deliver(post);
        }
        for reply in follow.replies {
            reply();
        }
        let nothing = Routing::default();
        for (tenant, look) in follow.looks {
            let tenant = self.tenants.get(&tenant);
            look(tenant.map_or(&nothing, |tenant| &tenant.routing));
        }
        Ok(())
    }

    /// A desk that is too far behind is cut off; its agent opens it again and gets a snapshot.
    fn deliver(&self, post: DeskPost) {
        let DeskPost {
            tenant,
            agent,
            connection,
            sender,
            event,
        } = post;
        if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(Ok(event)) {
            let orders = self.orders.clone();
            self.life.spawn("routing cut-off", async move {
                let status = Refusal::exhausted(
                    "the desk does not read its events; open it again",
                    Duration::from_secs(1),
                );
                let order = Order::Left {
                    tenant,
                    agent,
                    connection,
                    status: status.into(),
                };
                // The hub may have ended.
                let _ = orders.send(order).await;
            });
        }
    }

    fn add_unstored(&mut self, writes: &mut Vec<Write>) {
        let unstored = std::mem::take(&mut self.unstored);
        writes.extend(unstored.cursor.map(Write::Cursor));
        writes.extend(unstored.reported.map(Write::OutgoingDone));
    }

    async fn write_rest(&mut self) -> anyhow::Result<()> {
        let mut writes = Vec::new();
        self.add_unstored(&mut writes);
        if writes.is_empty() {
            return Ok(());
        }
        Ok(self.commit(&writes).await?)
    }

    /// What is in memory is ahead of what is stored until this has worked; so it must, or the hub
    /// ends and is begun again from what is stored.
    async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            match self.store.commit(writes).await {
                Ok(()) => return Ok(()),
                Err(error) if attempt < COMMIT_ATTEMPTS && !error.is_fenced() => {
                    tracing::warn!(%error, attempt, "routing state could not be stored");
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn tenant(&mut self, id: &TenantId) -> &mut Tenant {
        self.tenants
            .entry(id.clone())
            .or_insert_with(|| Tenant::new(id.clone(), StoredTenant::default()))
    }

    fn take(&mut self, order: Order, batch: &mut Batch, follow: &mut Follow) {
        let tenant = match &order {
            Order::Look { .. }
            | Order::Census { .. }
            | Order::Log { .. }
            | Order::CaughtUp
            | Order::Reported { .. } => None,
            Order::SetQueue { tenant, .. }
            | Order::DeleteQueue { tenant, .. }
            | Order::Open { tenant, .. }
            | Order::Command { tenant, .. }
            | Order::Left { tenant, .. }
            | Order::Absent { tenant, .. } => Some(tenant.clone()),
        };
        follow.dirty.extend(tenant);
        match order {
            Order::Look { tenant, look } => follow.looks.push((tenant, look)),
            Order::Census { now, reply } => {
                let mut census = Census::default();
                for tenant in self.tenants.values() {
                    census.count(&tenant.routing, now);
                }
                // Who asked may have gone.
                let _ = reply.send(census);
            }
            Order::Log {
                facts,
                cursor,
                entries,
            } => {
                for (tenant, fact) in facts {
                    self.tenant(&tenant).handle(Input::Log(fact), batch);
                    follow.dirty.insert(tenant);
                }
                self.unstored.cursor = Some(cursor);
                self.unstored.entries += entries;
            }
            Order::Reported { answers, up_to } => {
                for (tenant, answer) in answers {
                    self.tenant(&tenant).handle(answer, batch);
                    follow.dirty.insert(tenant);
                }
                self.unstored.reported = Some(up_to);
                self.unstored.flush_at.get_or_insert(Instant::now() + FLUSH);
            }
            Order::CaughtUp => {
                self.caught_up = true;
                for (id, tenant) in &mut self.tenants {
                    tenant.handle(Input::CaughtUp, batch);
                    follow.dirty.insert(id.clone());
                }
            }
            order @ (Order::SetQueue { .. } | Order::DeleteQueue { .. }) => {
                self.take_queue_order(order, batch, follow);
            }
            order => self.take_desk_order(order, batch),
        }
    }

    fn take_queue_order(&mut self, order: Order, batch: &mut Batch, follow: &mut Follow) {
        match order {
            Order::SetQueue {
                tenant,
                queue,
                change,
                reply,
            } => {
                let tenant = self.tenant(&tenant);
                let known = tenant.routing.queue(&queue.id);
                let answer = match (change, known) {
                    (Change::Update, None) => Err(Refusal::not_found("queue", queue.id.as_str())),
                    (Change::Create, Some(known)) if *known != queue => {
                        Err(Refusal::already_exists("queue", queue.id.as_str()))
                    }
                    (Change::Create, Some(_)) => Ok(queue),
                    _ => {
                        tenant.handle(Input::QueueSet(queue.clone()), batch);
                        Ok(queue)
                    }
                };
                follow.replies.push(Box::new(move || {
                    // Who asked may have gone.
                    let _ = reply.send(answer);
                }));
            }
            Order::DeleteQueue { tenant, id, reply } => {
                let tenant = self.tenant(&tenant);
                let known = tenant.routing.queue(&id).is_some();
                let answer = match tenant.handle(Input::QueueDeleted(id.clone()), batch) {
                    Answer::Rejected(rejection @ Rejection::QueueNotEmpty(_)) => Err(
                        Refusal::precondition("QUEUE_NOT_EMPTY", rejection.message()),
                    ),
                    _ if !known => Err(Refusal::not_found("queue", id.as_str())),
                    _ => Ok(()),
                };
                follow.replies.push(Box::new(move || {
                    let _ = reply.send(answer);
                }));
            }
            _ => {}
        }
    }

    fn take_desk_order(&mut self, order: Order, batch: &mut Batch) {
        match order {
            Order::Open {
                tenant,
                agent,
                connection,
                command_id,
                capacity,
                line,
            } => {
                let (seat, wish) = ((connection, line), (command_id, capacity));
                self.tenant(&tenant).open(agent, seat, wish, batch);
            }
            Order::Command {
                tenant,
                agent,
                connection,
                command,
            } => {
                let tenant = self.tenant(&tenant);
                tenant.command(&agent, connection, command, batch);
            }
            Order::Left {
                tenant,
                agent,
                connection,
                status,
            } => {
                let gone = self.tenant(&tenant).left(&agent, connection, status, batch);
                if gone {
                    self.start_grace(tenant, agent, connection);
                }
            }
            Order::Absent {
                tenant,
                agent,
                connection,
            } => self.tenant(&tenant).absent(agent, connection, batch),
            _ => {}
        }
    }

    fn start_grace(&self, tenant: TenantId, agent: AgentId, connection: u64) {
        let (orders, stopped, grace) = (self.orders.clone(), self.life.stopped(), self.grace);
        self.life.spawn("routing grace", async move {
            tokio::select! {
                () = tokio::time::sleep(grace) => {
                    let order = Order::Absent { tenant, agent, connection };
                    // The hub may have ended.
                    let _ = orders.send(order).await;
                }
                () = stopped => {}
            }
        });
    }
}
