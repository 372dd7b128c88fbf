//! Rows of the accounts tables as the contracts' messages.

use core_types::Timestamp;
use lib_proto::accounts::{Connector, Number, Plan, Role, Tenant, User};
use lib_proto::timestamp_to_proto;
use lib_storage::StorageError;

/// A row of `tenant`.
#[derive(sqlx::FromRow)]
pub(crate) struct TenantRow {
    id: String,
    name: String,
    plan: String,
    created_at: i64,
}

/// A row of `member`.
#[derive(sqlx::FromRow)]
pub(crate) struct MemberRow {
    id: String,
    display_name: String,
    roles: String,
    created_at: i64,
}

/// A row of `connector`.
#[derive(sqlx::FromRow)]
pub(crate) struct ConnectorRow {
    tenant_id: String,
    id: String,
    name: String,
    waba_id: String,
    portfolio_id: String,
    currency_code: String,
    time_zone: String,
    graph_token: String,
    created_at: i64,
}

/// A row of `number`.
#[derive(sqlx::FromRow)]
pub(crate) struct NumberRow {
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) connector_id: String,
    phone: String,
    verified_name: String,
    flow_id: String,
    created_at: i64,
}

/// A connector, whose it is, and its Graph API token. Not `Debug`: it must not reach a log.
#[derive(Clone)]
pub(crate) struct OwnedConnector {
    /// The tenant.
    pub(crate) tenant_id: String,
    /// What callers may see.
    pub(crate) connector: Connector,
    /// The secret; only the directory gives it out.
    pub(crate) graph_token: String,
}

fn proto_time(micros: i64) -> prost_types::Timestamp {
    timestamp_to_proto(Timestamp::from_micros(micros))
}

impl TryFrom<TenantRow> for Tenant {
    type Error = StorageError;
    fn try_from(row: TenantRow) -> Result<Self, StorageError> {
        let plan = Plan::from_str_name(&row.plan)
            .ok_or_else(|| StorageError::corrupt("tenant", &row.id, "unknown plan"))?;
        Ok(Self {
            id: row.id,
            name: row.name,
            plan: plan.into(),
            created_at: Some(proto_time(row.created_at)),
        })
    }
}

impl TryFrom<MemberRow> for User {
    type Error = StorageError;
    fn try_from(row: MemberRow) -> Result<Self, StorageError> {
        let roles = row
            .roles
            .split(' ')
            .map(|name| Role::from_str_name(name).map(i32::from))
            .collect::<Option<Vec<i32>>>()
            .ok_or_else(|| StorageError::corrupt("member", &row.id, "unknown role"))?;
        Ok(Self {
            id: row.id,
            display_name: row.display_name,
            roles,
            created_at: Some(proto_time(row.created_at)),
        })
    }
}

impl From<ConnectorRow> for OwnedConnector {
    fn from(row: ConnectorRow) -> Self {
        Self {
            tenant_id: row.tenant_id,
            graph_token: row.graph_token,
            connector: Connector {
                id: row.id,
                name: row.name,
                waba_id: row.waba_id,
                portfolio_id: row.portfolio_id,
                currency_code: row.currency_code,
                time_zone: row.time_zone,
                created_at: Some(proto_time(row.created_at)),
            },
        }
    }
}

impl From<NumberRow> for Number {
    fn from(row: NumberRow) -> Self {
        Self {
            id: row.id,
            connector_id: row.connector_id,
            phone: row.phone,
            verified_name: row.verified_name,
            flow_id: row.flow_id,
            created_at: Some(proto_time(row.created_at)),
        }
    }
}
