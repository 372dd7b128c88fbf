//! Rows of the accounts tables as the contracts' messages.

use core_types::Timestamp;
use lib_proto::accounts::{
    AccessTokenInfo, Connector, Number, NumberRecord, Plan, Role, Tenant, User,
};
use lib_proto::timestamp_to_proto;
use lib_storage::{Row, StorageError};

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

fn time(row: &Row, column: &str) -> Result<Option<prost_types::Timestamp>, StorageError> {
    let micros: i64 = row.get(column)?;
    Ok(Some(timestamp_to_proto(Timestamp::from_micros(micros))))
}

/// A row of `tenant`.
pub(crate) fn tenant(row: &Row) -> Result<Tenant, StorageError> {
    let id: String = row.get("id")?;
    let plan = Plan::from_str_name(row.text("plan")?)
        .ok_or_else(|| StorageError::corrupt("tenant", &id, "unknown plan"))?;
    Ok(Tenant {
        id,
        name: row.get("name")?,
        plan: plan.into(),
        created_at: time(row, "created_at")?,
    })
}

/// A row of `person`.
pub(crate) fn user(row: &Row) -> Result<User, StorageError> {
    let id: String = row.get("id")?;
    let roles = row
        .text("roles")?
        .split(' ')
        .map(|name| Role::from_str_name(name).map(i32::from))
        .collect::<Option<Vec<i32>>>()
        .ok_or_else(|| StorageError::corrupt("person", &id, "unknown role"))?;
    Ok(User {
        id,
        display_name: row.get("display_name")?,
        roles,
        created_at: time(row, "created_at")?,
    })
}

/// The id of a token: the first bytes of its digest, in hex. It tells nothing of the token.
pub(crate) fn token_id(sha256: &[u8]) -> String {
    hex::encode(sha256.get(..TOKEN_ID_BYTES).unwrap_or(sha256))
}

/// Bytes of a digest that make a token's id; the queries have the number too.
const TOKEN_ID_BYTES: usize = 8;

/// The first bytes of a digest behind a token's id; `None` when it is no id.
pub(crate) fn token_id_bytes(id: &str) -> Option<Vec<u8>> {
    let bytes = hex::decode(id).ok()?;
    (bytes.len() == TOKEN_ID_BYTES).then_some(bytes)
}

/// A row of `access_token`.
pub(crate) fn access_token(row: &Row) -> Result<AccessTokenInfo, StorageError> {
    let revoked: Option<i64> = row.get("revoked_at")?;
    Ok(AccessTokenInfo {
        id: token_id(row.bytes("sha256")?),
        user_id: row.get("user_id")?,
        note: row.get("note")?,
        created_by: row.get("created_by")?,
        created_at: time(row, "created_at")?,
        revoked_at: revoked.map(|at| timestamp_to_proto(Timestamp::from_micros(at))),
    })
}

/// A row of `connector`.
pub(crate) fn connector(row: &Row) -> Result<OwnedConnector, StorageError> {
    Ok(OwnedConnector {
        tenant_id: row.get("tenant_id")?,
        graph_token: row.get("graph_token")?,
        connector: Connector {
            id: row.get("id")?,
            name: row.get("name")?,
            waba_id: row.get("waba_id")?,
            portfolio_id: row.get("portfolio_id")?,
            currency_code: row.get("currency_code")?,
            time_zone: row.get("time_zone")?,
            created_at: time(row, "created_at")?,
        },
    })
}

/// A row of `number`.
pub(crate) fn number(row: &Row) -> Result<Number, StorageError> {
    Ok(Number {
        id: row.get("id")?,
        connector_id: row.get("connector_id")?,
        phone: row.get("phone")?,
        verified_name: row.get("verified_name")?,
        flow_id: row.get("flow_id")?,
        created_at: time(row, "created_at")?,
    })
}

/// A row of `connector` with the number's columns as `n_…`.
pub(crate) fn number_record(row: &Row) -> Result<NumberRecord, StorageError> {
    let owned = connector(row)?;
    Ok(NumberRecord {
        number: Some(Number {
            id: row.get("n_id")?,
            connector_id: owned.connector.id.clone(),
            phone: row.get("n_phone")?,
            verified_name: row.get("n_verified_name")?,
            flow_id: row.get("n_flow_id")?,
            created_at: time(row, "n_created_at")?,
        }),
        connector: Some(owned.connector),
        tenant_id: owned.tenant_id,
        access_token: owned.graph_token,
    })
}
