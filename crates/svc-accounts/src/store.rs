//! The tables of the accounts service and every query on them. A user or connector id is unique
//! within its tenant; Meta's ids are unique over the installation, because a webhook names nothing
//! else.

use std::path::Path;

use core_types::Timestamp;
use lib_proto::accounts::{Connector, Number, NumberRecord, Tenant, User};
use lib_storage::{Migration, SqliteFile, StorageError};
use sqlx::{Sqlite, Transaction};

use crate::rows::{ConnectorRow, MemberRow, NumberRow, OwnedConnector, TenantRow};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "accounts",
    sql: "
CREATE TABLE tenant (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    plan TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE member (
    tenant_id TEXT NOT NULL REFERENCES tenant (id),
    id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    roles TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE access_token (
    sha256 BLOB PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    note TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES member (tenant_id, id)
);
CREATE TABLE connector (
    tenant_id TEXT NOT NULL REFERENCES tenant (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    waba_id TEXT NOT NULL UNIQUE,
    portfolio_id TEXT NOT NULL,
    currency_code TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    graph_token TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE number (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    phone TEXT NOT NULL,
    verified_name TEXT NOT NULL,
    flow_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id, connector_id) REFERENCES connector (tenant_id, id)
);
CREATE INDEX number_by_connector ON number (tenant_id, connector_id, id);
",
}];

/// A writing transaction.
pub(crate) type Tx = Transaction<'static, Sqlite>;

/// The accounts database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: SqliteFile,
}

impl Store {
    /// Opens or creates the database.
    pub(crate) async fn open(path: &Path) -> Result<Self, StorageError> {
        let database = SqliteFile::open(path, MIGRATIONS).await?;
        Ok(Self { database })
    }

    /// Starts the one writing transaction. What it has read cannot change before its end.
    pub(crate) async fn begin(&self) -> Result<Tx, StorageError> {
        self.database.begin().await
    }

    /// A tenant.
    pub(crate) async fn tenant(&self, id: &str) -> Result<Option<Tenant>, StorageError> {
        let row: Option<TenantRow> = sqlx::query_as("SELECT * FROM tenant WHERE id = $1")
            .bind(id)
            .fetch_optional(self.database.readers())
            .await?;
        row.map(Tenant::try_from).transpose()
    }

    /// A user of a tenant.
    pub(crate) async fn user(&self, tenant: &str, id: &str) -> Result<Option<User>, StorageError> {
        let row: Option<MemberRow> =
            sqlx::query_as("SELECT * FROM member WHERE tenant_id = $1 AND id = $2")
                .bind(tenant)
                .bind(id)
                .fetch_optional(self.database.readers())
                .await?;
        row.map(User::try_from).transpose()
    }

    /// At most `most` users of a tenant whose id is after `after`, by id.
    pub(crate) async fn users(
        &self,
        tenant: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<User>, StorageError> {
        let rows: Vec<MemberRow> = sqlx::query_as(
            "SELECT * FROM member WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(tenant)
        .bind(after)
        .bind(most as i64)
        .fetch_all(self.database.readers())
        .await?;
        rows.into_iter().map(User::try_from).collect()
    }

    /// The tenant and user behind a token.
    pub(crate) async fn token_owner(
        &self,
        sha256: &[u8],
    ) -> Result<Option<(String, User)>, StorageError> {
        let owner: Option<(String, String)> =
            sqlx::query_as("SELECT tenant_id, user_id FROM access_token WHERE sha256 = $1")
                .bind(sha256)
                .fetch_optional(self.database.readers())
                .await?;
        let Some((tenant, user)) = owner else {
            return Ok(None);
        };
        let user = self.user(&tenant, &user).await?;
        Ok(user.map(|user| (tenant, user)))
    }

    /// A connector of a tenant.
    pub(crate) async fn connector(
        &self,
        tenant: &str,
        id: &str,
    ) -> Result<Option<OwnedConnector>, StorageError> {
        let row: Option<ConnectorRow> =
            sqlx::query_as("SELECT * FROM connector WHERE tenant_id = $1 AND id = $2")
                .bind(tenant)
                .bind(id)
                .fetch_optional(self.database.readers())
                .await?;
        Ok(row.map(OwnedConnector::from))
    }

    /// The connector of a WhatsApp Business Account, whosever it is.
    pub(crate) async fn connector_of_waba(
        &self,
        waba_id: &str,
    ) -> Result<Option<OwnedConnector>, StorageError> {
        let row: Option<ConnectorRow> =
            sqlx::query_as("SELECT * FROM connector WHERE waba_id = $1")
                .bind(waba_id)
                .fetch_optional(self.database.readers())
                .await?;
        Ok(row.map(OwnedConnector::from))
    }

    /// At most `most` connectors of a tenant whose id is after `after`, by id.
    pub(crate) async fn connectors(
        &self,
        tenant: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Connector>, StorageError> {
        let rows: Vec<ConnectorRow> = sqlx::query_as(
            "SELECT * FROM connector WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(tenant)
        .bind(after)
        .bind(most as i64)
        .fetch_all(self.database.readers())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| OwnedConnector::from(row).connector)
            .collect())
    }

    /// A number of a tenant.
    pub(crate) async fn number(
        &self,
        tenant: &str,
        id: &str,
    ) -> Result<Option<Number>, StorageError> {
        let row: Option<NumberRow> =
            sqlx::query_as("SELECT * FROM number WHERE tenant_id = $1 AND id = $2")
                .bind(tenant)
                .bind(id)
                .fetch_optional(self.database.readers())
                .await?;
        Ok(row.map(Number::from))
    }

    /// At most `most` numbers of a tenant whose id is after `after`, by id; of one connector when
    /// `connector` is not empty.
    pub(crate) async fn numbers(
        &self,
        tenant: &str,
        connector: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Number>, StorageError> {
        let rows: Vec<NumberRow> = sqlx::query_as(
            "SELECT * FROM number WHERE tenant_id = $1 AND ($2 = '' OR connector_id = $2) \
             AND id > $3 ORDER BY id LIMIT $4",
        )
        .bind(tenant)
        .bind(connector)
        .bind(after)
        .bind(most as i64)
        .fetch_all(self.database.readers())
        .await?;
        Ok(rows.into_iter().map(Number::from).collect())
    }

    /// Everything about the numbers named, or about all when none is.
    pub(crate) async fn number_records(
        &self,
        ids: &[String],
    ) -> Result<Vec<NumberRecord>, StorageError> {
        let readers = self.database.readers();
        let rows: Vec<NumberRow> = if ids.is_empty() {
            sqlx::query_as("SELECT * FROM number ORDER BY id")
                .fetch_all(readers)
                .await?
        } else {
            let mut rows = Vec::with_capacity(ids.len());
            for id in ids {
                let row = sqlx::query_as("SELECT * FROM number WHERE id = $1")
                    .bind(id)
                    .fetch_optional(readers)
                    .await?;
                rows.extend(row);
            }
            rows
        };
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let owned = self
                .connector(&row.tenant_id, &row.connector_id)
                .await?
                .ok_or_else(|| StorageError::corrupt("number", &row.id, "has no connector"))?;
            records.push(NumberRecord {
                number: Some(row.into()),
                connector: Some(owned.connector),
                tenant_id: owned.tenant_id,
                access_token: owned.graph_token,
            });
        }
        Ok(records)
    }
}

/// Stores a new tenant.
pub(crate) async fn insert_tenant(
    tx: &mut Tx,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<(), StorageError> {
    sqlx::query("INSERT INTO tenant (id, name, plan, created_at) VALUES ($1, $2, $3, $4)")
        .bind(&tenant.id)
        .bind(&tenant.name)
        .bind(tenant.plan().as_str_name())
        .bind(now.as_micros())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Changes a tenant's name and plan.
pub(crate) async fn update_tenant(tx: &mut Tx, tenant: &Tenant) -> Result<(), StorageError> {
    sqlx::query("UPDATE tenant SET name = $2, plan = $3 WHERE id = $1")
        .bind(&tenant.id)
        .bind(&tenant.name)
        .bind(tenant.plan().as_str_name())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Stores a new user.
pub(crate) async fn insert_user(
    tx: &mut Tx,
    tenant: &str,
    user: &User,
    now: Timestamp,
) -> Result<(), StorageError> {
    let roles: Vec<&str> = user.roles().map(|role| role.as_str_name()).collect();
    sqlx::query(
        "INSERT INTO member (tenant_id, id, display_name, roles, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant)
    .bind(&user.id)
    .bind(&user.display_name)
    .bind(roles.join(" "))
    .bind(now.as_micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores the digest of a new access token, never the token.
pub(crate) async fn insert_token(
    tx: &mut Tx,
    sha256: &[u8],
    (tenant, user): (&str, &str),
    (note, created_by): (&str, &str),
    now: Timestamp,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO access_token (sha256, tenant_id, user_id, note, created_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(sha256)
    .bind(tenant)
    .bind(user)
    .bind(note)
    .bind(created_by)
    .bind(now.as_micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores a new connector.
pub(crate) async fn insert_connector(
    tx: &mut Tx,
    owned: &OwnedConnector,
    now: Timestamp,
) -> Result<(), StorageError> {
    let connector = &owned.connector;
    sqlx::query(
        "INSERT INTO connector (tenant_id, id, name, waba_id, portfolio_id, currency_code, \
         time_zone, graph_token, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&owned.tenant_id)
    .bind(&connector.id)
    .bind(&connector.name)
    .bind(&connector.waba_id)
    .bind(&connector.portfolio_id)
    .bind(&connector.currency_code)
    .bind(&connector.time_zone)
    .bind(&owned.graph_token)
    .bind(now.as_micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores a new number.
pub(crate) async fn insert_number(
    tx: &mut Tx,
    tenant: &str,
    number: &Number,
    now: Timestamp,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO number (id, tenant_id, connector_id, phone, verified_name, flow_id, \
         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&number.id)
    .bind(tenant)
    .bind(&number.connector_id)
    .bind(&number.phone)
    .bind(&number.verified_name)
    .bind(&number.flow_id)
    .bind(now.as_micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Binds a number of a tenant to a flow; returns whether there is such a number.
pub(crate) async fn bind_flow(
    tx: &mut Tx,
    tenant: &str,
    number: &str,
    flow: &str,
) -> Result<bool, StorageError> {
    let done = sqlx::query("UPDATE number SET flow_id = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(number)
        .bind(flow)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}
