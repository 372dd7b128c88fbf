//! The tables of the accounts service.

use lib_storage::Migration;

/// Every step of the schema.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
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
    },
    Migration {
        version: 2,
        name: "tokens can be withdrawn",
        sql: r#"
ALTER TABLE access_token ADD COLUMN revoked_at BIGINT;
CREATE INDEX access_token_by_user ON access_token (tenant_id, user_id, created_at);
--only postgres
ALTER TABLE member ALTER COLUMN id TYPE TEXT COLLATE "C";
ALTER TABLE connector ALTER COLUMN id TYPE TEXT COLLATE "C";
ALTER TABLE number ALTER COLUMN id TYPE TEXT COLLATE "C";
--both
"#,
    },
];
