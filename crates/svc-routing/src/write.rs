//! Changes of what `routing.db` holds: the hub gathers them and stores them together.

use core_types::{AgentId, OfferId, TenantId};
use lib_storage::StorageError;
use sqlx::{Sqlite, Transaction};

use crate::seat::{Done, REMEMBERED};
use crate::store::OfferRow;

/// The only log followed.
pub(crate) const FOLLOWER: &str = "conversations";

/// Which of the three tables of state rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Table {
    Queue,
    Agent,
    Engagement,
}

/// One change of what is stored.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// A state row; `None` deletes it.
    State {
        table: Table,
        tenant: TenantId,
        id: String,
        state: Option<String>,
    },
    /// An offer was made.
    Offer {
        number: i64,
        tenant: TenantId,
        row: Box<OfferRow>,
    },
    /// An offer ended.
    OfferEnded {
        tenant: TenantId,
        id: OfferId,
        outcome: &'static str,
        because: String,
    },
    /// A report for the conversation log, as protobuf.
    Outgoing {
        number: i64,
        tenant: TenantId,
        record: Vec<u8>,
    },
    /// The log has answered all reports up to this one.
    OutgoingDone(i64),
    /// Sequence numbers were set aside.
    Reserved {
        tenant: TenantId,
        agent: AgentId,
        up_to: u64,
    },
    /// A command was carried out or refused.
    Command {
        tenant: TenantId,
        agent: AgentId,
        number: i64,
        done: Done,
    },
    /// Everything up to here has been read.
    Cursor(String),
}

impl Write {
    /// Whether it ends an offer, for the place in the code where tests of survival strike.
    #[cfg(debug_assertions)]
    pub(crate) fn ends_an_offer(&self) -> bool {
        matches!(self, Self::OfferEnded { .. })
    }

    /// Adds this change to a transaction.
    pub(crate) async fn apply(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
    ) -> Result<(), StorageError> {
        let query = match self {
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
            } => sqlx::query(
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
            } => sqlx::query("INSERT INTO outgoing (number, tenant, record) VALUES ($1, $2, $3)")
                .bind(number)
                .bind(tenant.as_str())
                .bind(record),
            Write::OutgoingDone(number) => {
                sqlx::query("DELETE FROM outgoing WHERE number <= $1").bind(number)
            }
            Write::Reserved {
                tenant,
                agent,
                up_to,
            } => sqlx::query(
                "INSERT INTO desk (tenant, agent, reserved) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, agent) DO UPDATE SET reserved = excluded.reserved",
            )
            .bind(tenant.as_str())
            .bind(agent.as_str())
            .bind(up_to.cast_signed()),
            Write::Cursor(cursor) => sqlx::query(
                "INSERT INTO follower (name, cursor) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor",
            )
            .bind(FOLLOWER)
            .bind(cursor),
        };
        query.execute(&mut **tx).await?;
        Ok(())
    }
}

async fn put_state(
    tx: &mut Transaction<'static, Sqlite>,
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
        Some(state) => sqlx::query(put).bind(tenant.as_str()).bind(id).bind(state),
        None => sqlx::query(delete).bind(tenant.as_str()).bind(id),
    };
    query.execute(&mut **tx).await?;
    Ok(())
}

async fn put_offer(
    tx: &mut Transaction<'static, Sqlite>,
    number: i64,
    tenant: &TenantId,
    row: &OfferRow,
) -> Result<(), StorageError> {
    let state = serde_json::to_string(&row.offer)
        .map_err(|error| StorageError::corrupt("offer", row.offer.id.as_str(), error))?;
    sqlx::query(
        "INSERT INTO offer (number, tenant, id, engagement, agent, conversation, queued_at, \
         state, outcome, ended_because) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (tenant, id) DO NOTHING",
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
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn put_command(
    tx: &mut Transaction<'static, Sqlite>,
    tenant: &TenantId,
    agent: &AgentId,
    number: i64,
    done: &Done,
) -> Result<(), StorageError> {
    sqlx::query(
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
    .execute(&mut **tx)
    .await?;
    let forgotten = number - i64::try_from(REMEMBERED).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM command WHERE tenant = $1 AND agent = $2 AND number <= $3")
        .bind(tenant.as_str())
        .bind(agent.as_str())
        .bind(forgotten)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
