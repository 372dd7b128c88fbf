//! What every kind of lease promises. A new implementation adds one test that calls [`conforms`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lib_storage::lease::{Leases, Member};
use lib_storage::redis::Redis;
use lib_storage::{Database, RedisSettings};
use lib_testkit::servers::{PostgresServer, RedisCluster, RedisOptions, RedisServer};
use lib_testkit::{Place, eventually};
use redis::cmd;

/// The work that is shared.
const WORK: &str = "inbox";
/// Nothing here takes this long.
const LONG: Duration = Duration::from_secs(60);
/// Over at once.
const SHORT: Duration = Duration::from_millis(1);

#[tokio::test]
async fn leases_in_postgresql_conform() {
    let server = PostgresServer::start().await;
    let place = Place::on(&server).await;
    let database = place.database("leases", 0).await;
    let write = async |part, fence| in_table(&database, part, fence).await;
    conforms(&*database.leases(), write).await;
}

#[tokio::test]
async fn leases_in_redis_conform() {
    let server = RedisServer::start(RedisOptions::default()).await;
    in_redis(&server.url()).await;
}

#[tokio::test]
async fn leases_in_valkey_conform() {
    let server = RedisServer::start(RedisOptions::valkey()).await;
    in_redis(&server.url()).await;
}

#[tokio::test]
async fn leases_in_a_cluster_conform() {
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    in_redis(&cluster.url()).await;
}

/// The one process of an SQLite file has everything, and nobody it could lose it to.
#[tokio::test]
async fn on_sqlite_the_one_process_has_everything() {
    let place = Place::folder();
    let database = place.database("leases", 0).await;
    let leases = database.leases();
    assert!(!leases.shared());
    let a = member("a");
    let claimed = leases.claim(WORK, &a, LONG, &[0, 1]).await.unwrap();
    assert_eq!(claimed, [(0, 1), (1, 1)]);
    assert!(in_table(&database, 0, 1).await);
    let roster = leases.beat(WORK, &a, LONG).await.unwrap();
    assert_eq!(roster.members, [member("a")]);
    leases.release(WORK, &a, &[0], true).await.unwrap();
    assert_eq!(leases.bear(WORK, &a, "one", LONG).await.unwrap(), None);
    assert_eq!(leases.bear(WORK, &a, "two", LONG).await.unwrap(), None);
}

/// Whether a transaction that shows `fence` is kept.
async fn in_table(database: &Database, part: u16, fence: i64) -> bool {
    let mut tx = database.begin_concurrent().await.unwrap();
    match tx.require_fence(WORK, &[(part, fence)]).await {
        Ok(()) => tx.commit().await.is_ok(),
        Err(error) if error.is_fenced() => false,
        Err(error) => panic!("{error}"),
    }
}

async fn in_redis(url: &str) {
    let url = url.to_owned();
    let redis = Redis::open(&RedisSettings { url }).unwrap();
    // Two tags, so that in a Cluster two servers keep leases.
    for tag in ["i0", "r1"] {
        let leases = redis.leases(tag);
        // As scripts on other keys of the tag do.
        let write = async |part: u16, fence: i64| {
            let mut ask = cmd("HGET");
            ask.arg(leases.fences(WORK)).arg(part);
            let newest: Option<i64> = ask.query_async(&mut redis.link(tag)).await.unwrap();
            newest == Some(fence)
        };
        conforms(&leases, write).await;
    }
}

/// `leases` hold nothing yet; `write` tells whether a writer that shows this fence is let through.
async fn conforms(leases: &dyn Leases, write: impl AsyncFn(u16, i64) -> bool) {
    assert!(leases.shared());
    knows_who_is_there(leases).await;
    tells_processes_of_one_name_apart(leases).await;
    is_one_members(leases, &write).await;
    is_given_up(leases, &write).await;
    is_over_after_its_time(leases, &write).await;
    keeps_works_apart(leases).await;
}

fn member(name: &str) -> Member {
    Member {
        name: name.to_owned(),
        address: format!("http://{name}:1"),
    }
}

/// Claims `parts` for `who`; what was had, by part.
async fn claim(leases: &dyn Leases, who: &str, live: Duration, parts: &[u16]) -> Vec<(u16, i64)> {
    let claimed = leases.claim(WORK, &member(who), live, parts).await;
    let mut claimed = claimed.unwrap();
    claimed.sort_unstable();
    claimed
}

async fn knows_who_is_there(leases: &dyn Leases) {
    let (a, b) = (member("a"), member("b"));
    let roster = leases.beat(WORK, &a, LONG).await.unwrap();
    assert_eq!(roster.members, [member("a")]);
    let roster = leases.beat(WORK, &b, LONG).await.unwrap();
    let mut members = roster.members;
    members.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(members, [a.clone(), b.clone()]);
    assert!(roster.leases.is_empty());
    // Who moves is found where it is now.
    let moved = Member {
        address: "http://elsewhere:1".to_owned(),
        ..a.clone()
    };
    let roster = leases.beat(WORK, &moved, LONG).await.unwrap();
    assert!(roster.members.contains(&moved) && !roster.members.contains(&a));
    leases.beat(WORK, &a, LONG).await.unwrap();
}

async fn tells_processes_of_one_name_apart(leases: &dyn Leases) {
    let a = member("a");
    let bear = async |run: &str, live| leases.bear(WORK, &a, run, live).await.unwrap();
    assert_eq!(bear("one", LONG).await, None);
    assert_eq!(bear("one", LONG).await, None);
    assert_eq!(bear("two", LONG).await.as_deref(), Some("one"));
    assert_eq!(bear("one", Duration::ZERO).await, None, "too long ago");
}

async fn is_one_members(leases: &dyn Leases, write: &impl AsyncFn(u16, i64) -> bool) {
    let first = claim(leases, "a", LONG, &[0, 1]).await;
    let parts: Vec<u16> = first.iter().map(|(part, _)| *part).collect();
    assert_eq!(parts, [0, 1]);
    let other = claim(leases, "b", LONG, &[1, 2]).await;
    assert_eq!(other.len(), 1, "what another holds is not had");
    assert_eq!(other[0].0, 2);
    assert!(write(0, first[0].1).await && write(2, other[0].1).await);
    let again = claim(leases, "a", LONG, &[0]).await;
    assert!(again[0].1 > first[0].1, "a new process of the same name");
    assert!(write(0, again[0].1).await);
    assert!(
        !write(0, first[0].1).await,
        "the earlier process is stopped"
    );
    let roster = leases.beat(WORK, &member("b"), LONG).await.unwrap();
    assert_eq!(roster.leases.len(), 3);
    let lease = roster.leases.iter().find(|lease| lease.part == 0).unwrap();
    assert_eq!(
        (&lease.owner, lease.fence, lease.expired),
        (&member("a"), again[0].1, false)
    );
}

async fn is_given_up(leases: &dyn Leases, write: &impl AsyncFn(u16, i64) -> bool) {
    let held = claim(leases, "a", LONG, &[0]).await[0].1;
    // Only its owner gives it up.
    leases
        .release(WORK, &member("b"), &[0], false)
        .await
        .unwrap();
    assert!(claim(leases, "b", LONG, &[0]).await.is_empty());
    leases
        .release(WORK, &member("a"), &[0, 1], true)
        .await
        .unwrap();
    let roster = leases.beat(WORK, &member("b"), LONG).await.unwrap();
    assert_eq!(roster.members, [member("b")]);
    let lease = roster.leases.iter().find(|lease| lease.part == 0).unwrap();
    assert!(lease.expired);
    let next = claim(leases, "b", LONG, &[0]).await[0].1;
    assert!(next > held && write(0, next).await && !write(0, held).await);
}

async fn is_over_after_its_time(leases: &dyn Leases, write: &impl AsyncFn(u16, i64) -> bool) {
    // Somebody else looks: a beat of its owner that came in time would prolong the lease.
    let over = async || {
        eventually(async || {
            let roster = leases.beat(WORK, &member("watcher"), LONG).await.unwrap();
            let lease = roster.leases.into_iter().find(|lease| lease.part == 0)?;
            lease.expired.then_some(lease)
        })
        .await
    };
    let taken = claim(leases, "b", SHORT, &[0]).await[0].1;
    assert_eq!(over().await.owner, member("b"));
    leases.beat(WORK, &member("b"), LONG).await.unwrap();
    assert_eq!(over().await.owner, member("b"), "what is over stays over");
    let back = claim(leases, "a", LONG, &[0]).await[0].1;
    assert!(back > taken && write(0, back).await && !write(0, taken).await);
    // A beat sets the time of all that is held anew.
    leases.beat(WORK, &member("a"), SHORT).await.unwrap();
    assert_eq!(over().await.owner, member("a"));
    let next = claim(leases, "b", LONG, &[0]).await[0].1;
    assert!(next > back);
}

async fn keeps_works_apart(leases: &dyn Leases) {
    let roster = leases.beat("other", &member("a"), LONG).await.unwrap();
    assert_eq!(roster.members, [member("a")]);
    assert!(roster.leases.is_empty());
    let claimed = leases.claim("other", &member("a"), LONG, &[0]).await;
    assert_eq!(
        claimed.unwrap().len(),
        1,
        "held by another, in another work"
    );
}
