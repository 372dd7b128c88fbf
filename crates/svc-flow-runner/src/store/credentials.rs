//! Queries on credentials. Their secrets are read by nobody but who signs a call.

use lib_storage::{Row, StorageError, Target, Tx, sql};

use crate::credential::Secret;

/// A credential as stored.
#[derive(Clone)]
pub(crate) struct CredentialRow {
    pub(crate) name: String,
    /// Hosts it may be shown to.
    pub(crate) hosts: Vec<String>,
    pub(crate) secret: Secret,
    pub(crate) updated_at: i64,
}

fn row(row: &Row) -> Result<CredentialRow, StorageError> {
    let name: String = row.get("name")?;
    let hosts: String = row.get("hosts")?;
    let secret: String = row.get("secret")?;
    let damaged = |error: serde_json::Error| {
        // The error names a place, and no part of the secret.
        StorageError::corrupt("credential", &name, error.to_string())
    };
    Ok(CredentialRow {
        hosts: serde_json::from_str(&hosts).map_err(damaged)?,
        secret: serde_json::from_str(&secret).map_err(damaged)?,
        updated_at: row.get("updated_at")?,
        name,
    })
}

/// The credential called `name`.
pub(crate) async fn credential<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    name: &str,
) -> Result<Option<CredentialRow>, StorageError> {
    let found = sql("SELECT name, hosts, secret, updated_at FROM credential \
         WHERE tenant_id = $1 AND name = $2")
    .bind(tenant)
    .bind(name)
    .fetch_optional(on)
    .await?;
    found.as_ref().map(row).transpose()
}

/// At most `most` credentials of a tenant, by name.
pub(crate) async fn credentials<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    most: usize,
) -> Result<Vec<CredentialRow>, StorageError> {
    let rows = sql("SELECT name, hosts, secret, updated_at FROM credential \
         WHERE tenant_id = $1 ORDER BY name LIMIT $2")
    .bind(tenant)
    .bind(most as i64)
    .fetch_all(on)
    .await?;
    rows.iter().map(row).collect()
}

/// Stores a credential in place of one of the same name.
pub(crate) async fn put_credential(
    tx: &mut Tx,
    tenant: &str,
    credential: &CredentialRow,
) -> Result<(), StorageError> {
    let text = |json: serde_json::Result<String>| {
        json.map_err(|error| {
            StorageError::corrupt("credential", &credential.name, error.to_string())
        })
    };
    sql(
        "INSERT INTO credential (tenant_id, name, hosts, secret, updated_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, name) DO UPDATE SET \
         hosts = excluded.hosts, secret = excluded.secret, updated_at = excluded.updated_at",
    )
    .bind(tenant)
    .bind(&credential.name)
    .bind(text(serde_json::to_string(&credential.hosts))?)
    .bind(text(serde_json::to_string(&credential.secret))?)
    .bind(credential.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes a credential; whether there was one.
pub(crate) async fn remove_credential(
    tx: &mut Tx,
    tenant: &str,
    name: &str,
) -> Result<bool, StorageError> {
    let gone = sql("DELETE FROM credential WHERE tenant_id = $1 AND name = $2 RETURNING name")
        .bind(tenant)
        .bind(name)
        .fetch_optional(tx)
        .await?;
    Ok(gone.is_some())
}
