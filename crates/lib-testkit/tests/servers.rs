//! The servers of the test kit: they come up, keep their data over a kill, and go.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lib_testkit::servers::{PostgresServer, Process, RedisCluster, RedisOptions, RedisServer};
use sqlx::{Connection as _, PgConnection};

#[tokio::test]
async fn redis_and_valkey_keep_their_data_over_a_kill() {
    for options in [RedisOptions::default(), RedisOptions::valkey()] {
        let mut server = RedisServer::start(options).await;
        let set = redis::cmd("SET").arg("a").arg(7).to_owned();
        set.exec_async(&mut server.connect().await).await.unwrap();
        server.restart().await;
        let mut get = redis::cmd("GET");
        let found: i64 = get
            .arg("a")
            .query_async(&mut server.connect().await)
            .await
            .unwrap();
        assert_eq!(found, 7);
    }
}

#[tokio::test]
async fn a_password_does_not_keep_a_server_from_starting() {
    let options = RedisOptions::default().with(&["--requirepass", "secret"]);
    let server = RedisServer::start(options).await;
    assert!(server.process().id() > 0);
}

#[tokio::test]
async fn a_cluster_of_three_is_complete() {
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    assert_eq!(cluster.nodes.len(), 3);
    assert!(cluster.url().starts_with("redis+cluster://127.0.0.1:"));
}

#[tokio::test]
async fn a_replica_takes_over_in_a_cluster() {
    let mut cluster = RedisCluster::start_with_replicas(RedisOptions::default(), 1).await;
    assert_eq!(cluster.nodes.len(), 6);
    let dead = cluster.primary_of("t1").await;
    cluster.nodes[dead].kill();
    cluster.taken_over(dead).await;
    let heir = cluster.primary_of("t1").await;
    assert!(heir != dead && cluster.nodes[heir].runs());
    cluster.nodes[dead].restart().await;
    cluster.complete().await;
    assert_eq!(cluster.primary_of("t1").await, heir);
}

#[tokio::test]
async fn postgres_keeps_its_data_over_a_kill() {
    let mut server = PostgresServer::start().await;
    let url = server.create_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let make = "CREATE TABLE t (a int); INSERT INTO t VALUES (7)";
    sqlx::raw_sql(make).execute(&mut connection).await.unwrap();
    server.restart().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let found: i32 = sqlx::query_scalar("SELECT a FROM t")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(found, 7);
    let other = server.create_database().await;
    assert_ne!(url, other);
    server.stop().await;
}

/// The same program, started by itself, is the owner that is killed.
#[test]
fn a_process_ends_when_its_owner_is_killed() {
    const OWNER: &str = "FRONTDESK_TEST_OWNER";
    let runs = |id: &str| Path::new("/proc").join(id).exists();
    if let Some(log) = std::env::var_os(OWNER) {
        let mut command = Command::new("sleep");
        command.arg("1000");
        let process = Process::start(command, Path::new(&log));
        eprintln!("id {}", process.id());
        std::thread::park();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_ends_when_its_owner_is_killed"])
        .arg("--nocapture")
        .env(OWNER, folder.path().join("log"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stderr.take().unwrap()).lines();
    let line = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("id "));
    let id = line.unwrap()[3..].to_owned();
    assert!(runs(&id));
    owner.kill().unwrap();
    owner.wait().unwrap();
    let since = Instant::now();
    while runs(&id) {
        assert!(since.elapsed() < Duration::from_secs(20), "it lives on");
        std::thread::yield_now();
    }
}
