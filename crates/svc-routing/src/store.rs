//! `routing.db`: the state as it was last committed, the place in the conversation log, the
//! reports still to be sent, and the history of offers. Only the hub writes.

use std::collections::BTreeMap;
use std::path::Path;

use core_routing::{Agent, Engagement, Offer, Queue};
use core_types::{AgentId, EngagementId, TenantId};
use lib_storage::{Migration, SqliteFile, StorageError};
use serde::de::DeserializeOwned;

use crate::seat::{Done, Memory};
use crate::write::{FOLLOWER, Write};

const MIGRATIONS: &[Migration] = &[Migration {
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
pub(crate) struct Stored {
    pub(crate) tenants: BTreeMap<TenantId, StoredTenant>,
    pub(crate) cursor: String,
    pub(crate) last_offer: i64,
    pub(crate) last_outgoing: i64,
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store(SqliteFile);

impl Store {
    pub(crate) async fn open(path: &Path) -> Result<Self, StorageError> {
        Ok(Self(SqliteFile::open(path, MIGRATIONS).await?))
    }

    /// Forgets what the conversation log can tell again.
    pub(crate) async fn forget_log(&self) -> Result<(), StorageError> {
        let mut tx = self.0.begin().await?;
        for sql in [
            "DELETE FROM engagement",
            "DELETE FROM outgoing",
            "DELETE FROM follower",
        ] {
            sqlx::query(sql).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub(crate) async fn load(&self) -> Result<Stored, StorageError> {
        let mut tenants: BTreeMap<TenantId, StoredTenant> = BTreeMap::new();
        for (tenant, queue) in self
            .states("queue", "SELECT tenant, id, state FROM queue")
            .await?
        {
            tenants.entry(tenant).or_default().queues.push(queue);
        }
        for (tenant, agent) in self
            .states("agent", "SELECT tenant, id, state FROM agent")
            .await?
        {
            tenants.entry(tenant).or_default().agents.push(agent);
        }
        let engagements = "SELECT tenant, id, state FROM engagement";
        for (tenant, engagement) in self.states("engagement", engagements).await? {
            let engagements = &mut tenants.entry(tenant).or_default().engagements;
            engagements.push(engagement);
        }
        self.load_memories(&mut tenants).await?;
        let readers = self.0.readers();
        let cursor = sqlx::query_scalar("SELECT cursor FROM follower WHERE name = $1")
            .bind(FOLLOWER)
            .fetch_optional(readers)
            .await?;
        let last_offer = sqlx::query_scalar("SELECT COALESCE(MAX(number), 0) FROM offer")
            .fetch_one(readers)
            .await?;
        let last_outgoing = sqlx::query_scalar("SELECT COALESCE(MAX(number), 0) FROM outgoing")
            .fetch_one(readers)
            .await?;
        Ok(Stored {
            tenants,
            cursor: cursor.unwrap_or_default(),
            last_offer,
            last_outgoing,
        })
    }

    async fn load_memories(
        &self,
        tenants: &mut BTreeMap<TenantId, StoredTenant>,
    ) -> Result<(), StorageError> {
        let desks: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT tenant, agent, reserved FROM desk")
                .fetch_all(self.0.readers())
                .await?;
        for (tenant, agent, reserved) in desks {
            let (tenant, agent) = (tenant_id("desk", tenant)?, agent_id("desk", agent)?);
            let memory = Memory::load(reserved.cast_unsigned());
            let memories = &mut tenants.entry(tenant).or_default().memories;
            memories.insert(agent, memory);
        }
        let commands: Vec<(String, String, i64, String, bool, String, String)> = sqlx::query_as(
            "SELECT tenant, agent, number, id, accepted, reason, message FROM command \
             ORDER BY tenant, agent, number",
        )
        .fetch_all(self.0.readers())
        .await?;
        for (tenant, agent, number, command_id, accepted, reason, message) in commands {
            let (tenant, agent) = (tenant_id("command", tenant)?, agent_id("command", agent)?);
            let memories = &mut tenants.entry(tenant).or_default().memories;
            let done = Done {
                command_id,
                accepted,
                reason,
                message,
            };
            memories.entry(agent).or_default().restore(number, done);
        }
        Ok(())
    }

    async fn states<T: DeserializeOwned>(
        &self,
        table: &'static str,
        select: &'static str,
    ) -> Result<Vec<(TenantId, T)>, StorageError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(select).fetch_all(self.0.readers()).await?;
        rows.into_iter()
            .map(|(tenant, id, state)| {
                let row = serde_json::from_str(&state)
                    .map_err(|error| StorageError::corrupt(table, id, error))?;
                Ok((tenant_id(table, tenant)?, row))
            })
            .collect()
    }

    /// Stores all of `writes` or nothing.
    pub(crate) async fn commit(&self, writes: &[Write]) -> Result<(), StorageError> {
        let mut tx = self.0.begin().await?;
        for write in writes {
            write.apply(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Reports after `number`, in order, at most `most`.
    pub(crate) async fn outgoing_after(
        &self,
        number: i64,
        most: i64,
    ) -> Result<Vec<OutgoingRow>, StorageError> {
        let rows: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
            "SELECT number, tenant, record FROM outgoing WHERE number > $1 \
             ORDER BY number LIMIT $2",
        )
        .bind(number)
        .bind(most)
        .fetch_all(self.0.readers())
        .await?;
        rows.into_iter()
            .map(|(number, tenant, record)| {
                Ok(OutgoingRow {
                    number,
                    tenant: tenant_id("outgoing", tenant)?,
                    record,
                })
            })
            .collect()
    }

    /// Past and open offers of a tenant before `number`, newest first, at most `most`; of one
    /// engagement and of one agent, if named.
    pub(crate) async fn offers(
        &self,
        tenant: &TenantId,
        engagement: Option<&EngagementId>,
        agent: Option<&AgentId>,
        (before, most): (i64, i64),
    ) -> Result<Vec<(i64, OfferRow)>, StorageError> {
        let rows: Vec<(i64, String, i64, String, String, String)> = sqlx::query_as(
            "SELECT number, conversation, queued_at, state, outcome, ended_because FROM offer \
             WHERE tenant = $1 AND ($2 IS NULL OR engagement = $2) AND ($3 IS NULL OR agent = $3) \
             AND number < $4 ORDER BY number DESC LIMIT $5",
        )
        .bind(tenant.as_str())
        .bind(engagement.map(EngagementId::as_str))
        .bind(agent.map(AgentId::as_str))
        .bind(before)
        .bind(most)
        .fetch_all(self.0.readers())
        .await?;
        rows.into_iter()
            .map(
                |(number, conversation, queued_at, state, outcome, ended_because)| {
                    let offer = serde_json::from_str(&state).map_err(|error| {
                        StorageError::corrupt("offer", number.to_string(), error)
                    })?;
                    let row = OfferRow {
                        offer,
                        conversation,
                        queued_at,
                        outcome,
                        ended_because,
                    };
                    Ok((number, row))
                },
            )
            .collect()
    }
}

fn tenant_id(table: &'static str, text: String) -> Result<TenantId, StorageError> {
    TenantId::new(&text).map_err(|error| StorageError::corrupt(table, text, error))
}

fn agent_id(table: &'static str, text: String) -> Result<AgentId, StorageError> {
    AgentId::new(&text).map_err(|error| StorageError::corrupt(table, text, error))
}
