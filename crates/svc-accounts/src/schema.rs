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
    use lib_storage::{Database, PostgresSettings, Profile, Servers, Storage, sql};
    use lib_testkit::servers::PostgresServer;

    use super::*;
    use crate::store;

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
        let owner = store::token_owner(&now, &[1, 2]).await.unwrap();
        let (tenant, user) = owner.unwrap();
        assert_eq!((tenant.as_str(), user.id.as_str()), ("red", "ana"));
        let mut tx = now.begin().await.unwrap();
        let orphan = "INSERT INTO access_token VALUES (x'03', 'red', 'bob', '', '', 0, NULL)";
        assert!(sql(orphan).execute(&mut tx).await.is_err());
    }

    /// Every read there is. Whether it finds anything does not matter to the statement it prepares.
    async fn read_everything(on: &Database) {
        assert!(store::tenant(on, "red").await.unwrap().is_some());
        assert!(store::user(on, "red", "ana").await.unwrap().is_some());
        assert_eq!(store::users(on, "red", "", 9).await.unwrap().len(), 1);
        store::token_owner(on, &[1, 2]).await.unwrap();
        store::access_tokens(on, "red", "", (0, 9)).await.unwrap();
        store::access_token(on, "red", &[1]).await.unwrap();
        store::connector(on, "red", "c").await.unwrap();
        store::connector_of_waba(on, "w").await.unwrap();
        store::connectors(on, "red", "", 9).await.unwrap();
        store::number(on, "red", "n").await.unwrap();
        store::numbers(on, "red", "", "", 9).await.unwrap();
        store::number_records(on, &[]).await.unwrap();
        let named = ["n".to_owned()];
        store::number_records(on, &named).await.unwrap();
    }

    #[tokio::test]
    async fn a_running_replica_reads_on_when_a_newer_version_adds_columns() {
        let server = PostgresServer::start().await;
        let storage = Storage::Servers(Servers {
            postgres: Some(PostgresSettings {
                url: server.create_database().await,
                connections: 2,
            }),
            redis: None,
            profile: Profile::A,
        });
        let running = storage.database("accounts", MIGRATIONS).await.unwrap();
        let mut tx = running.begin().await.unwrap();
        for row in [
            "INSERT INTO tenant VALUES ('red', 'Red', 'PLAN_PREMIUM', 0)",
            "INSERT INTO person VALUES ('red', 'ana', 'Ana', 'ROLE_AGENT', 0)",
        ] {
            sql(row).execute(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        // Twice, since its two connections take turns.
        read_everything(&running).await;
        read_everything(&running).await;
        let mut newer = MIGRATIONS.to_vec();
        newer.push(Migration {
            version: newer.len() as i64 + 1,
            name: "later",
            sql: "
ALTER TABLE tenant ADD COLUMN later TEXT;
ALTER TABLE person ADD COLUMN later TEXT;
ALTER TABLE access_token ADD COLUMN later TEXT;
ALTER TABLE connector ADD COLUMN later TEXT;
ALTER TABLE number ADD COLUMN later TEXT;
",
        });
        storage.database("accounts", &newer).await.unwrap();
        read_everything(&running).await;
        read_everything(&running).await;
    }
}
