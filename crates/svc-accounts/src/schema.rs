//! The tables of the accounts service. People are in `person`: on PostgreSQL `member` is one of the
//! tables by which replicas share work (`lib_storage::lease`), in the same schema.

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
--only sqlite
CREATE TABLE member (
--only postgres
CREATE TABLE person (
--both
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
--only sqlite
    FOREIGN KEY (tenant_id, user_id) REFERENCES member (tenant_id, id)
--only postgres
    FOREIGN KEY (tenant_id, user_id) REFERENCES person (tenant_id, id)
--both
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
        name: "tokens can be withdrawn; people have a table name of their own",
        sql: r#"
ALTER TABLE access_token ADD COLUMN revoked_at BIGINT;
CREATE INDEX access_token_by_user ON access_token (tenant_id, user_id, created_at);
--only sqlite
ALTER TABLE member RENAME TO person;
--only postgres
ALTER TABLE person ALTER COLUMN id TYPE TEXT COLLATE "C";
ALTER TABLE connector ALTER COLUMN id TYPE TEXT COLLATE "C";
ALTER TABLE number ALTER COLUMN id TYPE TEXT COLLATE "C";
--both
"#,
    },
];

#[cfg(test)]
mod tests {
    use lib_storage::{Database, sql};

    use super::*;

    #[tokio::test]
    async fn people_of_the_first_version_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.db");
        let first = Database::open_file(&path, &MIGRATIONS[..1]).await.unwrap();
        let mut tx = first.begin().await.unwrap();
        for row in [
            "INSERT INTO tenant VALUES ('red', 'Red', 'PLAN_PREMIUM', 0)",
            "INSERT INTO member VALUES ('red', 'ana', 'Ana', 'ROLE_AGENT', 0)",
            "INSERT INTO access_token VALUES (x'0102', 'red', 'ana', 'desk', 'root', 0)",
        ] {
            sql(row).execute(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        drop(first);
        let now = Database::open_file(&path, MIGRATIONS).await.unwrap();
        let owner = crate::store::token_owner(&now, &[1, 2]).await.unwrap();
        let (tenant, user) = owner.unwrap();
        assert_eq!((tenant.as_str(), user.id.as_str()), ("red", "ana"));
        let mut tx = now.begin().await.unwrap();
        let orphan = "INSERT INTO access_token VALUES (x'03', 'red', 'bob', '', '', 0, NULL)";
        assert!(sql(orphan).execute(&mut tx).await.is_err());
    }
}
