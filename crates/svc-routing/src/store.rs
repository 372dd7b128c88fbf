//! What a hub keeps: records that outlive everything (queues, past offers) in SQL, and the live
//! state (who waits, who is ready, what is to be reported, the place in the log) in the same
//! transaction when embedded, in Redis on servers. The live state can be had again from the log.
//!
//! On servers records are committed first, then the live state with the place in the log. A crash
//! in between leaves a record of an offer that is then made again: its row is overwritten as long as
//! it is open.

mod live;
mod redis;
mod sql;

use std::collections::BTreeMap;

use core_routing::{Agent, Engagement, Offer, Queue};
use core_types::{AgentId, EngagementId, TenantId};
use lib_platform::partition::part_of;
use lib_proto::conversations::{Shard, shard};
use lib_storage::{Database, Migration, StorageError};

use crate::seat::Memory;
use crate::write::Write;

pub(crate) use live::StoreError;
pub(crate) use redis::{LiveKeys, LiveState};

/// The shared work whose parts the hubs are: a tenant belongs to one part.
pub(crate) const WORK: &str = "desks";

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "queues, agents, engagements, offers, reports",
    sql: "
        CREATE TABLE queue (
            tenant TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL,
            PRIMARY KEY (tenant, id));
        CREATE TABLE agent (
            tenant TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL,
            PRIMARY KEY (tenant, id));
        CREATE TABLE engagement (
            tenant TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL,
            PRIMARY KEY (tenant, id));
        CREATE TABLE offer (
            number BIGINT PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL,
            engagement TEXT NOT NULL, agent TEXT NOT NULL, conversation TEXT NOT NULL,
            queued_at BIGINT NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL,
            ended_because TEXT NOT NULL);
        CREATE UNIQUE INDEX offer_by_id ON offer (tenant, id);
        CREATE INDEX offer_by_engagement ON offer (tenant, engagement, number);
        CREATE INDEX offer_by_agent ON offer (tenant, agent, number);
        CREATE TABLE outgoing (
            number BIGINT PRIMARY KEY, tenant TEXT NOT NULL, record BLOB NOT NULL);
        CREATE TABLE desk (
            tenant TEXT NOT NULL, agent TEXT NOT NULL, reserved BIGINT NOT NULL,
            PRIMARY KEY (tenant, agent));
        CREATE TABLE command (
            tenant TEXT NOT NULL, agent TEXT NOT NULL, number BIGINT NOT NULL, id TEXT NOT NULL,
            accepted INTEGER NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,
            PRIMARY KEY (tenant, agent, number));
        CREATE TABLE follower (
            name TEXT PRIMARY KEY, cursor TEXT NOT NULL);
    ",
}];

/// An offer as history keeps it. Customers' identities are not in it.
#[derive(Clone, Debug)]
pub(crate) struct OfferRow {
    pub(crate) offer: Offer,
    pub(crate) conversation: String,
    pub(crate) queued_at: i64,
    pub(crate) outcome: String,
    pub(crate) ended_because: String,
}

/// A report still to be sent.
pub(crate) struct OutgoingRow {
    pub(crate) number: i64,
    pub(crate) tenant: TenantId,
    pub(crate) record: Vec<u8>,
}

/// One tenant's rows.
#[derive(Default)]
pub(crate) struct StoredTenant {
    pub(crate) queues: Vec<Queue>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) engagements: Vec<Engagement>,
    pub(crate) memories: BTreeMap<AgentId, Memory>,
}

/// Everything the hub starts with.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) tenants: BTreeMap<TenantId, StoredTenant>,
    pub(crate) cursor: String,
    pub(crate) last_offer: i64,
    pub(crate) last_outgoing: i64,
}

/// The place of one hub's rows. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    records: Database,
    live: Option<LiveKeys>,
    part: Part,
}

/// Which part of the tenants, of how many, under which fence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) index: u16,
    pub(crate) of: u16,
    pub(crate) fence: i64,
}

impl Part {
    /// Whether a tenant is in this part.
    pub(crate) fn has(self, tenant: &TenantId) -> bool {
        part_of(tenant.as_str(), self.of) == self.index
    }

    /// The part as a share of the log; all of it where there is one part only.
    pub(crate) fn shard(self) -> Option<Shard> {
        (self.of > 1).then(|| Shard {
            kind: shard::Kind::Tenant.into(),
            count: self.of.into(),
            index: self.index.into(),
        })
    }

    /// Offers are numbered by part, so that two hubs never give out the same number: each counts
    /// in steps of the number of parts.
    pub(crate) fn step(self) -> i64 {
        i64::from(self.of)
    }
}

impl Store {
    /// The rows of `part`; `live` on servers.
    pub(crate) fn new(records: Database, live: Option<LiveKeys>, part: Part) -> Self {
        Self {
            records,
            live,
            part,
        }
    }

    /// The part.
    pub(crate) fn part(&self) -> Part {
        self.part
    }

    /// Forgets what the conversation log can tell again.
    pub(crate) async fn forget_log(&self) -> Result<(), StoreError> {
        match &self.live {
            None => Ok(sql::forget_log(&self.records).await?),
            Some(live) => live.forget_log(self.part.fence).await,
        }
    }

    /// Everything of this part.
    pub(crate) async fn load(&self) -> Result<Stored, StoreError> {
        let mut stored = match &self.live {
            None => sql::load_live(&self.records).await?,
            Some(live) => live.load(self.part.fence).await?,
        };
        for (tenant, queue) in sql::queues(&self.records).await? {
            if self.part.has(&tenant) {
                stored.tenants.entry(tenant).or_default().queues.push(queue);
            }
        }
        stored.last_offer = sql::last_offer(&self.records, self.part).await?;
        Ok(stored)
    }

    /// Stores all of `writes` or, as far as the live state goes, nothing.
    pub(crate) async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let Some(live) = &self.live else {
            let mut tx = self.records.begin().await?;
            for write in writes {
                sql::apply(write, &mut tx).await?;
            }
            return Ok(tx.commit().await?);
        };
        if writes.iter().any(Write::is_record) {
            let mut tx = self.records.begin_concurrent().await?;
            let part = (self.part.index, self.part.fence);
            tx.require_fence(WORK, &[part]).await?;
            for write in writes.iter().filter(|write| write.is_record()) {
                sql::apply(write, &mut tx).await?;
            }
            tx.commit().await?;
        }
        live.commit(self.part.fence, writes).await
    }

    /// Reports after `number`, in order, at most `most`.
    pub(crate) async fn outgoing_after(
        &self,
        number: i64,
        most: i64,
    ) -> Result<Vec<OutgoingRow>, StoreError> {
        match &self.live {
            None => Ok(sql::outgoing_after(&self.records, number, most).await?),
            Some(live) => live.outgoing_after(number, most).await,
        }
    }

    /// Past and open offers of a tenant before `number`, newest first, at most `most`; of one
    /// engagement and of one agent, if named.
    pub(crate) async fn offers(
        &self,
        tenant: &TenantId,
        engagement: Option<&EngagementId>,
        agent: Option<&AgentId>,
        page: (i64, i64),
    ) -> Result<Vec<(i64, OfferRow)>, StorageError> {
        sql::offers(&self.records, tenant, engagement, agent, page).await
    }
}
