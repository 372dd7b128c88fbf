//! Routing's tables: records on both engines, and the live state where there is no Redis.

use core_routing::Queue;
use core_types::{AgentId, EngagementId, TenantId};
use lib_storage::{Database, Row, StorageError, Tx, sql};
use serde::de::DeserializeOwned;

use super::{OfferRow, OutgoingRow, Part, Stored};
use crate::seat::{Done, Memory, REMEMBERED};
use crate::write::{FOLLOWER, Table, Write};

pub(super) async fn forget_log(database: &Database) -> Result<(), StorageError> {
    let mut tx = database.begin().await?;
    for text in [
        "DELETE FROM engagement",
        "DELETE FROM outgoing",
        "DELETE FROM follower",
    ] {
        sql(text).execute(&mut tx).await?;
    }
    tx.commit().await
}

/// Every tenant's queues.
pub(super) async fn queues(database: &Database) -> Result<Vec<(TenantId, Queue)>, StorageError> {
    states(database, "queue", "SELECT tenant, id, state FROM queue").await
}

/// The number of the part's last offer, or the one before its first.
pub(super) async fn last_offer(database: &Database, part: Part) -> Result<i64, StorageError> {
    let row = sql("SELECT MAX(number) FROM offer WHERE number % $1 = $2")
        .bind(part.step())
        .bind(i64::from(part.index))
        .fetch_one(database)
        .await?;
    let last: Option<i64> = row.get(0)?;
    Ok(last.unwrap_or(i64::from(part.index)))
}

/// The live state, where it is kept here.
pub(super) async fn load_live(database: &Database) -> Result<Stored, StorageError> {
    let mut stored = Stored::default();
    let agents = "SELECT tenant, id, state FROM agent";
    for (tenant, agent) in states(database, "agent", agents).await? {
        stored.tenants.entry(tenant).or_default().agents.push(agent);
    }
    let engagements = "SELECT tenant, id, state FROM engagement";
    for (tenant, engagement) in states(database, "engagement", engagements).await? {
        let engagements = &mut stored.tenants.entry(tenant).or_default().engagements;
        engagements.push(engagement);
    }
    load_memories(database, &mut stored).await?;
    let cursor = sql("SELECT cursor FROM follower WHERE name = $1")
        .bind(FOLLOWER)
        .fetch_optional(database)
        .await?;
    stored.cursor = cursor.map_or(Ok(String::new()), |row| row.get(0))?;
    let last = sql("SELECT COALESCE(MAX(number), 0) FROM outgoing")
        .fetch_one(database)
        .await?;
    stored.last_outgoing = last.get(0)?;
    Ok(stored)
}

async fn load_memories(database: &Database, stored: &mut Stored) -> Result<(), StorageError> {
    let desks = sql("SELECT tenant, agent, reserved FROM desk")
        .fetch_all(database)
        .await?;
    for row in desks {
        let (tenant, agent) = owner("desk", &row)?;
        let reserved: i64 = row.get(2)?;
        let memories = &mut stored.tenants.entry(tenant).or_default().memories;
        memories.insert(agent, Memory::load(reserved.cast_unsigned()));
    }
    let commands = sql(
        "SELECT tenant, agent, number, id, accepted, reason, message FROM command \
         ORDER BY tenant, agent, number",
    )
    .fetch_all(database)
    .await?;
    for row in commands {
        let (tenant, agent) = owner("command", &row)?;
        let done = Done {
            command_id: row.get(3)?,
            accepted: row.get(4)?,
            reason: row.get(5)?,
            message: row.get(6)?,
        };
        let memories = &mut stored.tenants.entry(tenant).or_default().memories;
        memories
            .entry(agent)
            .or_default()
            .restore(row.get(2)?, done);
    }
    Ok(())
}

async fn states<T: DeserializeOwned>(
    database: &Database,
    table: &'static str,
    select: &'static str,
) -> Result<Vec<(TenantId, T)>, StorageError> {
    let rows = sql(select).fetch_all(database).await?;
    rows.iter()
        .map(|row| {
            let state = serde_json::from_str(row.text(2)?)
                .map_err(|error| StorageError::corrupt(table, row.text(1).unwrap_or("?"), error))?;
            Ok((tenant_id(table, row.get(0)?)?, state))
        })
        .collect()
}

/// Reports after `number`, in order, at most `most`.
pub(super) async fn outgoing_after(
    database: &Database,
    number: i64,
    most: i64,
) -> Result<Vec<OutgoingRow>, StorageError> {
    let rows = sql(
        "SELECT number, tenant, record FROM outgoing WHERE number > $1 ORDER BY number LIMIT $2",
    )
    .bind(number)
    .bind(most)
    .fetch_all(database)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(OutgoingRow {
                number: row.get(0)?,
                tenant: tenant_id("outgoing", row.get(1)?)?,
                record: row.get(2)?,
            })
        })
        .collect()
}

/// See [`super::Store::offers`].
pub(super) async fn offers(
    database: &Database,
    tenant: &TenantId,
    engagement: Option<&EngagementId>,
    agent: Option<&AgentId>,
    (before, most): (i64, i64),
) -> Result<Vec<(i64, OfferRow)>, StorageError> {
    let rows = sql(
        "SELECT number, conversation, queued_at, state, outcome, ended_because FROM offer \
         WHERE tenant = $1 AND ($2 = '' OR engagement = $2) AND ($3 = '' OR agent = $3) \
         AND number < $4 ORDER BY number DESC LIMIT $5",
    )
    .bind(tenant.as_str())
    .bind(engagement.map_or("", EngagementId::as_str))
    .bind(agent.map_or("", AgentId::as_str))
    .bind(before)
    .bind(most)
    .fetch_all(database)
    .await?;
    rows.iter().map(offer_row).collect()
}

fn offer_row(row: &Row) -> Result<(i64, OfferRow), StorageError> {
    let number: i64 = row.get(0)?;
    let offer = serde_json::from_str(row.text(3)?)
        .map_err(|error| StorageError::corrupt("offer", number.to_string(), error))?;
    let stored = OfferRow {
        offer,
        conversation: row.get(1)?,
        queued_at: row.get(2)?,
        outcome: row.get(4)?,
        ended_because: row.get(5)?,
    };
    Ok((number, stored))
}

fn owner(table: &'static str, row: &Row) -> Result<(TenantId, AgentId), StorageError> {
    let agent: String = row.get(1)?;
    let agent = AgentId::new(&agent).map_err(|error| StorageError::corrupt(table, agent, error))?;
    Ok((tenant_id(table, row.get(0)?)?, agent))
}

pub(super) fn tenant_id(table: &'static str, text: String) -> Result<TenantId, StorageError> {
    TenantId::new(&text).map_err(|error| StorageError::corrupt(table, text, error))
}

/// Adds a change to a transaction.
pub(super) async fn apply(write: &Write, tx: &mut Tx) -> Result<(), StorageError> {
    let query = match write {
        Write::State {
            table,
            tenant,
            id,
            state,
        } => return put_state(tx, *table, tenant, id, state.as_deref()).await,
        Write::Offer {
            number,
            tenant,
            row,
        } => return put_offer(tx, *number, tenant, row).await,
        Write::Command {
            tenant,
            agent,
            number,
            done,
        } => return put_command(tx, tenant, agent, *number, done).await,
        Write::OfferEnded {
            tenant,
            id,
            outcome,
            because,
        } => sql(
            // A rebuild hears of ends that are history already; only the owner is news.
            "UPDATE offer SET outcome = $1, ended_because = $2 \
             WHERE tenant = $3 AND id = $4 AND (outcome = 'open' OR $1 = 'accepted')",
        )
        .bind(*outcome)
        .bind(because)
        .bind(tenant.as_str())
        .bind(id.as_str()),
        Write::Outgoing {
            number,
            tenant,
            record,
        } => sql("INSERT INTO outgoing (number, tenant, record) VALUES ($1, $2, $3)")
            .bind(*number)
            .bind(tenant.as_str())
            .bind(record),
        Write::OutgoingDone(number) => sql("DELETE FROM outgoing WHERE number <= $1").bind(*number),
        Write::Reserved {
            tenant,
            agent,
            up_to,
        } => sql(
            "INSERT INTO desk (tenant, agent, reserved) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, agent) DO UPDATE SET reserved = excluded.reserved",
        )
        .bind(tenant.as_str())
        .bind(agent.as_str())
        .bind(up_to.cast_signed()),
        Write::Cursor(cursor) => sql("INSERT INTO follower (name, cursor) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor")
        .bind(FOLLOWER)
        .bind(cursor),
    };
    query.execute(tx).await?;
    Ok(())
}

async fn put_state(
    tx: &mut Tx,
    table: Table,
    tenant: &TenantId,
    id: &str,
    state: Option<&str>,
) -> Result<(), StorageError> {
    let (put, delete) = match table {
        Table::Queue => (
            "INSERT INTO queue (tenant, id, state) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state",
            "DELETE FROM queue WHERE tenant = $1 AND id = $2",
        ),
        Table::Agent => (
            "INSERT INTO agent (tenant, id, state) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state",
            "DELETE FROM agent WHERE tenant = $1 AND id = $2",
        ),
        Table::Engagement => (
            "INSERT INTO engagement (tenant, id, state) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state",
            "DELETE FROM engagement WHERE tenant = $1 AND id = $2",
        ),
    };
    let query = match state {
        Some(state) => sql(put).bind(tenant.as_str()).bind(id).bind(state),
        None => sql(delete).bind(tenant.as_str()).bind(id),
    };
    query.execute(tx).await?;
    Ok(())
}

async fn put_offer(
    tx: &mut Tx,
    number: i64,
    tenant: &TenantId,
    row: &OfferRow,
) -> Result<(), StorageError> {
    let state = serde_json::to_string(&row.offer)
        .map_err(|error| StorageError::corrupt("offer", row.offer.id.as_str(), error))?;
    sql(
        // An open offer under this id was never made known: see the module's text.
        "INSERT INTO offer (number, tenant, id, engagement, agent, conversation, queued_at, \
         state, outcome, ended_because) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (tenant, id) DO UPDATE SET agent = excluded.agent, state = excluded.state, \
         queued_at = excluded.queued_at WHERE offer.outcome = 'open'",
    )
    .bind(number)
    .bind(tenant.as_str())
    .bind(row.offer.id.as_str())
    .bind(row.offer.engagement.as_str())
    .bind(row.offer.agent.as_str())
    .bind(&row.conversation)
    .bind(row.queued_at)
    .bind(state)
    .bind(&row.outcome)
    .bind(&row.ended_because)
    .execute(tx)
    .await?;
    Ok(())
}

async fn put_command(
    tx: &mut Tx,
    tenant: &TenantId,
    agent: &AgentId,
    number: i64,
    done: &Done,
) -> Result<(), StorageError> {
    sql(
        "INSERT INTO command (tenant, agent, number, id, accepted, reason, message) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, agent, number) DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(agent.as_str())
    .bind(number)
    .bind(&done.command_id)
    .bind(done.accepted)
    .bind(&done.reason)
    .bind(&done.message)
    .execute(tx)
    .await?;
    sql("DELETE FROM command WHERE tenant = $1 AND agent = $2 AND number <= $3")
        .bind(tenant.as_str())
        .bind(agent.as_str())
        .bind(number - i64::try_from(REMEMBERED).unwrap_or(i64::MAX))
        .execute(tx)
        .await?;
    Ok(())
}
