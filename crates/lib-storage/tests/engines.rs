//! The same statements on both engines, and work shared between replicas.
#![expect(clippy::unwrap_used, reason = "a test whose set-up fails must fail")]

use std::time::Duration;

use lib_platform::Lifecycle;
use lib_platform::partition::{Held, Holder, Shares, Work, share};

use lib_storage::lease::Member;
use lib_storage::{
    Database, Insert, Migration, PostgresSettings, Profile, Servers, Storage, StorageError, list,
    sql,
};
use lib_testkit::servers::{PostgresOptions, PostgresServer};
use lib_testkit::{eventually, within};

const NOTES: &[Migration] = &[Migration {
    version: 1,
    name: "notes",
    sql: "CREATE TABLE note (id TEXT PRIMARY KEY, number BIGINT NOT NULL, body BLOB, kept INTEGER \
          NOT NULL);
--only sqlite
CREATE TABLE engine (name TEXT NOT NULL);
--only postgres
CREATE TABLE engine (name VARCHAR NOT NULL);
--both
",
}];

fn servers(url: &str) -> Storage {
    Storage::Servers(Servers {
        postgres: Some(PostgresSettings {
            url: url.to_owned(),
            connections: 4,
        }),
        redis: None,
        profile: Profile::A,
    })
}

async fn writes_and_reads(database: &Database) {
    let mut tx = database.begin().await.unwrap();
    let mut notes = Insert::into("note (id, number, body, kept)").on_conflict(
        "ON CONFLICT (id) DO UPDATE SET number = excluded.number, body = excluded.body",
    );
    for n in 0..7_i64 {
        let body = (n % 2 == 0).then(|| vec![0_u8, 255]);
        notes.row([
            format!("n{n}").into(),
            n.into(),
            body.into(),
            (n > 3).into(),
        ]);
    }
    assert_eq!(notes.execute(&mut tx).await.unwrap(), 7);
    tx.commit().await.unwrap();
    let rows = sql(
        "SELECT n.id, n.number, n.body, n.kept FROM each($1) j JOIN note n ON n.id = j.c0 \
         WHERE n.number >= $2 ORDER BY n.id",
    )
    .bind(list(&["n1", "n4", "n5", "\0"]))
    .bind(2_i64)
    .fetch_all(database)
    .await
    .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].text(0).unwrap(), "n4");
    assert_eq!(
        rows[0].get::<Option<Vec<u8>>>(2).unwrap(),
        Some(vec![0, 255])
    );
    assert_eq!(rows[1].get::<Option<Vec<u8>>>("body").unwrap(), None);
    assert!(rows[1].get::<bool>(3).unwrap());
    let pairs = sql(
        "SELECT n.number FROM each($1, 2) j JOIN note n ON n.id = j.c0 \
         AND n.number = CAST(j.c1 AS BIGINT)",
    )
    .bind(list(&[("n1", 1), ("n2", 9)]))
    .fetch_all(database)
    .await
    .unwrap();
    assert_eq!(pairs.len(), 1);
    let mut tx = database.begin().await.unwrap();
    let again = sql("INSERT INTO note (id, number, kept) VALUES ($1, $2, $3)")
        .bind("n1")
        .bind(1_i64)
        .bind(true)
        .execute(&mut tx)
        .await
        .unwrap_err();
    assert!(again.is_duplicate(), "{again}");
    drop(tx);
    let mut tx = database.begin().await.unwrap();
    sql("DELETE FROM note").execute(&mut tx).await.unwrap();
    drop(tx);
    let count: i64 = sql("SELECT COUNT(*) FROM note")
        .fetch_one(database)
        .await
        .unwrap()
        .get(0)
        .unwrap();
    assert_eq!(count, 7, "dropped without commit, nothing is kept");
}

#[tokio::test]
async fn sqlite_and_postgres_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    let file = Storage::Embedded {
        folder: folder.path().to_owned(),
    };
    writes_and_reads(&file.database("notes", NOTES).await.unwrap()).await;
    let server = PostgresServer::start().await;
    let storage = servers(&server.create_database().await);
    let (one, two) = tokio::join!(
        storage.database("notes", NOTES),
        storage.database("notes", NOTES)
    );
    two.unwrap();
    writes_and_reads(&one.unwrap()).await;
}

#[tokio::test]
async fn the_second_process_of_a_name_ends_and_says_which_setting_is_wrong() {
    let server = PostgresServer::start().await;
    let url = server.create_database().await;
    let database = servers(&url).database("names", &[]).await.unwrap();
    let work = Work {
        name: "w",
        parts: 4,
    };
    let me = Member {
        name: "ana".to_owned(),
        address: "http://ana:1".to_owned(),
    };
    let begin = async || {
        let life = Lifecycle::new();
        let run = |held: Held| async move {
            held.lost().await;
            Ok(())
        };
        let shares = share(work, database.leases(), &me, &life, run).await;
        (life, shares)
    };
    // One that died without a word is followed at once, and nothing is wrong with that.
    let leases = database.leases();
    let live = Duration::from_secs(6);
    let dead = leases.bear("w", &me, "dead", live).await.unwrap();
    assert_eq!(dead, None);
    let (first_life, first) = begin().await;
    assert_eq!(first.here().len(), 4);
    let (second_life, _second) = begin().await;
    within(second_life.stopped()).await;
    let problem = second_life.failure().unwrap();
    assert!(problem.contains("FRONTDESK_INSTANCE"), "{problem}");
    assert!(first_life.failure().is_none());
    let whole = eventually(async || (first.here().len() == 4).then_some(()));
    whole.await;
    first_life.stop();
    assert!(first_life.drained(live).await);
}

fn member(name: &str) -> Member {
    Member {
        name: name.to_owned(),
        address: format!("http://{name}:1"),
    }
}

/// A replica called `name` takes part in `work`.
async fn join(database: &Database, work: Work, name: &str) -> (Lifecycle, Shares) {
    let life = Lifecycle::new();
    let run = |held: Held| async move {
        held.lost().await;
        Ok(())
    };
    let shares = share(work, database.leases(), &member(name), &life, run).await;
    (life, shares)
}

/// A second replica with the same data, and what each of the two is told about the other.
#[tokio::test]
async fn parts_move_when_a_replica_comes_and_goes() {
    let server = PostgresServer::start().await;
    let database = servers(&server.create_database().await)
        .database("moving", &[])
        .await
        .unwrap();
    let work = Work {
        name: "w",
        parts: 16,
    };
    let (ana_life, ana) = join(&database, work, "ana").await;
    assert_eq!(ana.here().len(), 16, "alone it has everything at once");
    let (ben_life, mut ben) = join(&database, work, "ben").await;
    let settled = async {
        while ana.here().len() + ben.here().len() != 16 || ben.here().is_empty() {
            ben.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled)
        .await
        .unwrap();
    let part = ben.here()[0].0;
    let holder = || match ana.holder(part) {
        Holder::There(member) => member.address,
        other => format!("{other:?}"),
    };
    let mut told = ana.clone();
    while holder() != "http://ben:1" {
        tokio::time::timeout(Duration::from_secs(10), told.changed())
            .await
            .unwrap();
    }
    // Ana leaves in order: Ben has everything without waiting for a lease to expire.
    ana_life.stop();
    assert!(ana_life.drained(Duration::from_secs(5)).await);
    while ben.here().len() < 16 {
        tokio::time::timeout(Duration::from_secs(4), ben.changed())
            .await
            .unwrap();
    }
    let raised = ben.here().iter().filter(|(_, fence)| *fence > 1).count();
    assert!(raised > 0, "fences rise when parts move");
    ben_life.stop();
    assert!(ben_life.drained(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn what_a_killed_process_held_is_nobodys_for_a_moment_only() {
    let server = PostgresServer::start().await;
    let database = servers(&server.create_database().await)
        .database("killed", &[])
        .await
        .unwrap();
    let work = Work {
        name: "w",
        parts: 16,
    };
    // Ana held everything when she was killed; Ben had just come.
    let (ana, live, leases) = (member("ana"), Duration::from_secs(6), database.leases());
    let all: Vec<u16> = (0..work.parts).collect();
    leases.beat(work.name, &ana, live).await.unwrap();
    let held = leases.claim(work.name, &ana, live, &all).await.unwrap();
    assert_eq!(held.len(), 16);
    let (ben_life, ben) = join(&database, work, "ben").await;
    // She is back under her name before her leases expire, and prolongs them.
    let (ana_life, ana) = join(&database, work, "ana").await;
    eventually(async || (ana.here().len() + ben.here().len() == 16).then_some(())).await;
    assert!(!ben.here().is_empty() && !ana.here().is_empty());
    for life in [ana_life, ben_life] {
        life.stop();
        assert!(life.drained(Duration::from_secs(5)).await);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(folder);
    let refused = async |url: &str| {
        let opened = servers(url).database("notes", NOTES).await;
        opened.unwrap_err().to_string()
    };
    let error = refused("mysql://root:hunter22@db/x").await;
    assert!(
        error.contains("postgres://") && !error.contains("hunter22"),
        "{error}"
    );
    let error = refused("postgres://fd:hunter22@127.0.0.1:9/x").await;
    assert!(
        error.contains("127.0.0.1:9/x") && !error.contains("hunter22"),
        "{error}"
    );
    let server = PostgresServer::start().await;
    let error = refused(&server.url("nowhere")).await;
    assert!(error.contains("create the database"), "{error}");
    let url = server.create_database().await;
    servers(&url).database("notes", NOTES).await.unwrap();
    let older = servers(&url).database("notes", &[]).await.unwrap_err();
    assert!(
        matches!(
            older,
            StorageError::Newer {
                found: 1,
                known: 0,
                ..
            }
        ),
        "{older}"
    );
}

#[tokio::test]
async fn a_server_that_would_lose_records_is_refused_with_the_remedy() {
    let mut server = PostgresServer::start().await;
    let url = server.create_database().await;
    let database = servers(&url).database("notes", NOTES).await.unwrap();
    database.check().await.unwrap();
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        server
            .restart_with(PostgresOptions {
                settings: vec![format!("{setting}=off")],
                ..PostgresOptions::default()
            })
            .await;
        let opened = servers(&url).database("notes", NOTES).await;
        let error = opened.unwrap_err().to_string();
        assert!(
            error.contains(&format!("runs with {setting}=off")),
            "{error}"
        );
        assert!(error.contains(&format!("set {setting} = on")), "{error}");
        // So is one that was changed under a service that runs.
        let checked = eventually(async || match database.check().await {
            Err(error) if error.is_passing() => None,
            checked => Some(checked),
        });
        let error = checked.await.unwrap_err().to_string();
        assert!(error.contains(&format!("set {setting} = on")), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_named() {
    let mut server = PostgresServer::start().await;
    let url = server.create_database().await;
    servers(&url).database("notes", NOTES).await.unwrap();
    let reads = PostgresOptions {
        settings: vec!["default_transaction_read_only=on".to_owned()],
        ..PostgresOptions::default()
    };
    server.restart_with(reads).await;
    let error = servers(&url).database("notes", NOTES).await.unwrap_err();
    assert!(matches!(error, StorageError::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("takes no writes"), "{error}");
}

#[tokio::test]
async fn a_read_only_replica_is_named_at_the_start_and_after() {
    let mut server = PostgresServer::start().await;
    let url = server.create_database().await;
    let database = servers(&url).database("notes", NOTES).await.unwrap();
    // It comes back as a replica, as an old primary does after a failover.
    server.stop().await;
    std::fs::write(server.folder().join("data/standby.signal"), "").unwrap();
    server.restart().await;
    let error = servers(&url).database("notes", NOTES).await.unwrap_err();
    assert!(matches!(error, StorageError::Unfit { .. }), "{error}");
    let told = error.to_string();
    assert!(
        told.contains("read-only replica; point postgres.url at the primary"),
        "{told}"
    );
    assert!(!error.needs_a_person(), "a failover ends by itself");
    let write = async || {
        let mut tx = database.begin_concurrent().await?;
        sql("DELETE FROM note").execute(&mut tx).await
    };
    // Connections from before are lost first.
    let refused = eventually(async || {
        let refused = write().await.err()?;
        let told = refused.to_string();
        told.contains("point postgres.url at the primary")
            .then_some(refused)
    })
    .await;
    assert!(refused.is_passing(), "{refused}");
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_right_are_named() {
    let mut server = PostgresServer::start().await;
    let url = server.create_database().await;
    let owner = servers(&url).database("owner", &[]).await.unwrap();
    let mut tx = owner.begin().await.unwrap();
    for statement in [
        "SET LOCAL password_encryption = 'scram-sha-256'",
        "CREATE ROLE app LOGIN PASSWORD 'right'",
    ] {
        sql(statement).execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let rules = "local all all trust\n\
                 host all frontdesk 127.0.0.1/32 trust\n\
                 host all app 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(server.folder().join("data/pg_hba.conf"), rules).unwrap();
    server.restart().await;
    let app = |password: &str| url.replace("frontdesk@", &format!("app:{password}@"));
    let error = servers(&app("hunter22")).database("notes", NOTES).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("check user and password in postgres.url"),
        "{error}"
    );
    assert!(!error.contains("hunter22"), "{error}");
    let error = servers(&app("right")).database("notes", NOTES).await;
    let error = format!("{:#}", anyhow::Error::from(error.unwrap_err()));
    assert!(
        error.contains("grant the role CREATE on the database"),
        "{error}"
    );
    assert_eq!(error.matches("permission denied").count(), 1, "{error}");
    assert!(!error.contains("at line"), "{error}");
}

#[tokio::test]
async fn a_migration_may_take_as_long_as_it_needs_and_nothing_else_may() {
    let server = PostgresServer::start().await;
    let storage = servers(&server.create_database().await);
    let step = Migration {
        version: 1,
        name: "limits",
        sql: "CREATE TABLE seen AS SELECT current_setting('statement_timeout') AS timeout",
    };
    let database = storage.database("notes", &[step]).await.unwrap();
    let seen = async |text| -> String {
        let mut tx = database.begin_concurrent().await.unwrap();
        let row = sql(text).fetch_one(&mut tx).await.unwrap();
        row.get(0).unwrap()
    };
    assert_eq!(seen("SELECT timeout FROM seen").await, "0");
    let after = "SELECT current_setting('statement_timeout') AS timeout";
    assert_eq!(seen(after).await, "1min");
}

#[tokio::test]
async fn a_connection_lost_during_a_migration_is_no_wrong_migration() {
    let server = PostgresServer::start().await;
    let storage = servers(&server.create_database().await);
    let step = |sql| Migration {
        version: 1,
        name: "one",
        sql,
    };
    let lost = "CREATE TABLE one (id TEXT);\nSELECT pg_terminate_backend(pg_backend_pid());";
    let error = storage.database("notes", &[step(lost)]).await.unwrap_err();
    assert!(matches!(error, StorageError::Migrate { .. }), "{error}");
    assert!(error.is_passing() && !error.needs_a_person(), "{error}");
    let error = storage
        .database("notes", &[step("CREATE TABEL one (id TEXT)")])
        .await;
    let error = error.unwrap_err();
    assert!(matches!(error, StorageError::Migrate { .. }), "{error}");
    assert!(!error.is_passing() && error.needs_a_person(), "{error}");
    // Nothing of either was kept.
    let right = step("CREATE TABLE one (id TEXT)");
    storage.database("notes", &[right]).await.unwrap();
}
