//! Every query on the accounts tables. A user or connector id is unique within its tenant; Meta's
//! ids are unique over the installation, because a webhook names nothing else.
//!
//! Reads run on the database or inside a transaction, which is alone while it lasts: what it has
//! read cannot change before its end, on either engine and with any number of replicas.
//!
//! Every column is named: PostgreSQL refuses a prepared `SELECT *` once a newer version has added a
//! column, and the replicas of this version would fail until they are replaced.

use core_types::Timestamp;
use lib_proto::accounts::{AccessTokenInfo, Connector, Number, NumberRecord, Tenant, User};
use lib_storage::{Row, StorageError, Target, Tx, list, sql};

use crate::rows::{self, OwnedConnector};

type Found<T> = Result<T, StorageError>;

/// Columns, each with the name the query has for its table before it.
macro_rules! columns {
    ($table:ident: $first:ident $(, $other:ident)*) => {
        concat!(
            stringify!($table), ".", stringify!($first)
            $(, ", ", stringify!($table), ".", stringify!($other))*
        )
    };
}

/// What [`rows::user`] reads, and whose it is.
macro_rules! person {
    ($table:ident) => {
        columns!($table: tenant_id, id, display_name, roles, created_at)
    };
}

/// What [`rows::access_token`] reads.
macro_rules! access_token {
    ($table:ident) => {
        columns!($table: sha256, user_id, note, created_by, created_at, revoked_at)
    };
}

/// What [`rows::connector`] reads.
macro_rules! connector {
    ($table:ident) => {
        columns!($table: tenant_id, id, name, waba_id, portfolio_id, currency_code, time_zone,
            graph_token, created_at)
    };
}

/// What [`rows::number`] reads.
macro_rules! number {
    ($table:ident) => {
        columns!($table: id, connector_id, phone, verified_name, flow_id, created_at)
    };
}

/// Everything about numbers; see [`rows::number_record`].
const NUMBER_RECORDS: &str = concat!(
    "SELECT ",
    connector!(c),
    ", n.id AS n_id, n.phone AS n_phone, n.verified_name AS n_verified_name, \
     n.flow_id AS n_flow_id, n.created_at AS n_created_at \
     FROM number n JOIN connector c ON c.tenant_id = n.tenant_id AND c.id = n.connector_id"
);

fn all<T>(rows: &[Row], read: impl Fn(&Row) -> Found<T>) -> Found<Vec<T>> {
    rows.iter().map(read).collect()
}

fn one<T>(row: Option<Row>, read: impl Fn(&Row) -> Found<T>) -> Found<Option<T>> {
    row.as_ref().map(read).transpose()
}

/// A tenant.
pub(crate) async fn tenant<'a>(on: impl Into<Target<'a>>, id: &str) -> Found<Option<Tenant>> {
    let row = sql("SELECT id, name, plan, created_at FROM tenant WHERE id = $1").bind(id);
    one(row.fetch_optional(on).await?, rows::tenant)
}

/// A user of a tenant.
pub(crate) async fn user<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    id: &str,
) -> Found<Option<User>> {
    let row = sql(concat!(
        "SELECT ",
        person!(person),
        " FROM person WHERE tenant_id = $1 AND id = $2"
    ))
    .bind(tenant)
    .bind(id);
    one(row.fetch_optional(on).await?, rows::user)
}

/// At most `most` users of a tenant whose id is after `after`, by id.
pub(crate) async fn users<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    after: &str,
    most: usize,
) -> Found<Vec<User>> {
    let found = sql(concat!(
        "SELECT ",
        person!(person),
        " FROM person WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
    ))
    .bind(tenant)
    .bind(after)
    .bind(most as i64)
    .fetch_all(on)
    .await?;
    all(&found, rows::user)
}

/// The tenant and user behind a token that has not been withdrawn.
pub(crate) async fn token_owner<'a>(
    on: impl Into<Target<'a>>,
    sha256: &[u8],
) -> Found<Option<(String, User)>> {
    let row = sql(concat!(
        "SELECT ",
        person!(p),
        " FROM access_token t JOIN person p ON p.tenant_id = t.tenant_id AND p.id = t.user_id \
         WHERE t.sha256 = $1 AND t.revoked_at IS NULL"
    ))
    .bind(sha256)
    .fetch_optional(on)
    .await?;
    one(row, |row| Ok((row.get("tenant_id")?, rows::user(row)?)))
}

/// Tokens of a tenant, of one user when `user` is not empty; the oldest first, at most `most` after
/// the first `skip`.
pub(crate) async fn access_tokens<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    user: &str,
    (skip, most): (i64, usize),
) -> Found<Vec<AccessTokenInfo>> {
    let found = sql(concat!(
        "SELECT ",
        access_token!(access_token),
        " FROM access_token WHERE tenant_id = $1 AND ($2 = '' OR user_id = $2) \
         ORDER BY created_at, sha256 LIMIT $3 OFFSET $4"
    ))
    .bind(tenant)
    .bind(user)
    .bind(most as i64)
    .bind(skip)
    .fetch_all(on)
    .await?;
    all(&found, rows::access_token)
}

/// The token with an id, if it is the tenant's.
pub(crate) async fn access_token<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    id: &[u8],
) -> Found<Option<AccessTokenInfo>> {
    let row = sql(concat!(
        "SELECT ",
        access_token!(access_token),
        " FROM access_token WHERE tenant_id = $1 AND substr(sha256, 1, 8) = $2"
    ))
    .bind(tenant)
    .bind(id);
    one(row.fetch_optional(on).await?, rows::access_token)
}

/// A connector of a tenant.
pub(crate) async fn connector<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    id: &str,
) -> Found<Option<OwnedConnector>> {
    let row = sql(concat!(
        "SELECT ",
        connector!(connector),
        " FROM connector WHERE tenant_id = $1 AND id = $2"
    ))
    .bind(tenant)
    .bind(id);
    one(row.fetch_optional(on).await?, rows::connector)
}

/// The connector of a WhatsApp Business Account, whosever it is.
pub(crate) async fn connector_of_waba<'a>(
    on: impl Into<Target<'a>>,
    waba_id: &str,
) -> Found<Option<OwnedConnector>> {
    let row = sql(concat!(
        "SELECT ",
        connector!(connector),
        " FROM connector WHERE waba_id = $1"
    ))
    .bind(waba_id);
    one(row.fetch_optional(on).await?, rows::connector)
}

/// At most `most` connectors of a tenant whose id is after `after`, by id.
pub(crate) async fn connectors<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    after: &str,
    most: usize,
) -> Found<Vec<Connector>> {
    let found = sql(concat!(
        "SELECT ",
        connector!(connector),
        " FROM connector WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
    ))
    .bind(tenant)
    .bind(after)
    .bind(most as i64)
    .fetch_all(on)
    .await?;
    all(&found, |row| Ok(rows::connector(row)?.connector))
}

/// A number of a tenant.
pub(crate) async fn number<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    id: &str,
) -> Found<Option<Number>> {
    let row = sql(concat!(
        "SELECT ",
        number!(number),
        " FROM number WHERE tenant_id = $1 AND id = $2"
    ))
    .bind(tenant)
    .bind(id);
    one(row.fetch_optional(on).await?, rows::number)
}

/// At most `most` numbers of a tenant whose id is after `after`, by id; of one connector when
/// `connector` is not empty.
pub(crate) async fn numbers<'a>(
    on: impl Into<Target<'a>>,
    tenant: &str,
    connector: &str,
    after: &str,
    most: usize,
) -> Found<Vec<Number>> {
    let found = sql(concat!(
        "SELECT ",
        number!(number),
        " FROM number WHERE tenant_id = $1 AND ($2 = '' OR connector_id = $2) \
         AND id > $3 ORDER BY id LIMIT $4"
    ))
    .bind(tenant)
    .bind(connector)
    .bind(after)
    .bind(most as i64)
    .fetch_all(on)
    .await?;
    all(&found, rows::number)
}

/// Everything about the numbers named, or about all when none is; by id.
pub(crate) async fn number_records<'a>(
    on: impl Into<Target<'a>>,
    ids: &[String],
) -> Found<Vec<NumberRecord>> {
    let found = if ids.is_empty() {
        sql(format!("{NUMBER_RECORDS} ORDER BY n.id"))
    } else {
        let wanted = format!("{NUMBER_RECORDS} JOIN each($1) w ON w.c0 = n.id ORDER BY n.id");
        sql(wanted).bind(list(ids))
    };
    let mut records = all(&found.fetch_all(on).await?, rows::number_record)?;
    // A number asked for twice is answered once.
    records.dedup();
    Ok(records)
}

/// Stores a new tenant.
pub(crate) async fn insert_tenant(tx: &mut Tx, tenant: &Tenant, now: Timestamp) -> Found<()> {
    sql("INSERT INTO tenant (id, name, plan, created_at) VALUES ($1, $2, $3, $4)")
        .bind(&tenant.id)
        .bind(&tenant.name)
        .bind(tenant.plan().as_str_name())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(())
}

/// Changes a tenant's name and plan.
pub(crate) async fn update_tenant(tx: &mut Tx, tenant: &Tenant) -> Found<()> {
    sql("UPDATE tenant SET name = $2, plan = $3 WHERE id = $1")
        .bind(&tenant.id)
        .bind(&tenant.name)
        .bind(tenant.plan().as_str_name())
        .execute(tx)
        .await?;
    Ok(())
}

/// Stores a new user.
pub(crate) async fn insert_user(
    tx: &mut Tx,
    tenant: &str,
    user: &User,
    now: Timestamp,
) -> Found<()> {
    let roles: Vec<&str> = user.roles().map(|role| role.as_str_name()).collect();
    sql(
        "INSERT INTO person (tenant_id, id, display_name, roles, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant)
    .bind(&user.id)
    .bind(&user.display_name)
    .bind(roles.join(" "))
    .bind(now.as_micros())
    .execute(tx)
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
) -> Found<()> {
    sql(
        "INSERT INTO access_token (sha256, tenant_id, user_id, note, created_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(sha256)
    .bind(tenant)
    .bind(user)
    .bind(note)
    .bind(created_by)
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}

/// Withdraws a token; one that was withdrawn keeps its time.
pub(crate) async fn revoke_token(
    tx: &mut Tx,
    tenant: &str,
    id: &[u8],
    now: Timestamp,
) -> Found<()> {
    sql(
        "UPDATE access_token SET revoked_at = COALESCE(revoked_at, $3) \
         WHERE tenant_id = $1 AND substr(sha256, 1, 8) = $2",
    )
    .bind(tenant)
    .bind(id)
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores a new connector.
pub(crate) async fn insert_connector(
    tx: &mut Tx,
    owned: &OwnedConnector,
    now: Timestamp,
) -> Found<()> {
    let connector = &owned.connector;
    sql(
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
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives a tenant's connector another Graph API token.
pub(crate) async fn replace_graph_token(
    tx: &mut Tx,
    tenant: &str,
    id: &str,
    graph_token: &str,
) -> Found<()> {
    sql("UPDATE connector SET graph_token = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .bind(graph_token)
        .execute(tx)
        .await?;
    Ok(())
}

/// Stores a new number.
pub(crate) async fn insert_number(
    tx: &mut Tx,
    tenant: &str,
    number: &Number,
    now: Timestamp,
) -> Found<()> {
    sql(
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
    .execute(tx)
    .await?;
    Ok(())
}

/// Binds a number of a tenant to a flow.
pub(crate) async fn bind_flow(tx: &mut Tx, tenant: &str, number: &str, flow: &str) -> Found<()> {
    sql("UPDATE number SET flow_id = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(number)
        .bind(flow)
        .execute(tx)
        .await?;
    Ok(())
}
