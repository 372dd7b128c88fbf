//! Redis as the services meet it: real servers that are killed, stopped, full, or set up wrongly.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lib_storage::lease::{Leases as _, Member};
use lib_storage::redis::{Redis, RedisError};
use lib_storage::{Profile, RedisSettings};
use lib_testkit::servers::{RedisCluster, RedisOptions, RedisServer};
use lib_testkit::{eventually, within};
use redis::{Script, cmd};

fn open(url: &str) -> Redis {
    let url = url.to_owned();
    Redis::open(&RedisSettings { url }).unwrap()
}

async fn count(redis: &Redis, tag: &str) -> Result<i64, RedisError> {
    let key = format!("fd:v1:{{{tag}}}:count");
    let mut count = cmd("INCR");
    Ok(count.arg(key).query_async(&mut redis.link(tag)).await?)
}

async fn problem(server: &RedisServer, profile: Profile) -> String {
    open(&server.url())
        .check_durability(profile)
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn a_link_comes_back_after_a_crash() {
    let mut server = RedisServer::start(RedisOptions::default()).await;
    let redis = open(&server.url());
    assert_eq!(count(&redis, "t1").await.unwrap(), 1);
    server.kill();
    let failed = count(&redis, "t1").await.unwrap_err();
    assert!(matches!(failed, RedisError::Unreachable(_)), "{failed}");
    assert!(failed.is_unknown());
    server.restart().await;
    let found = eventually(async || count(&redis, "t1").await.ok()).await;
    assert_eq!(found, 2, "what was confirmed is there");
}

#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for_and_used_again() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let redis = open(&server.url());
    let mut link = redis.own_link("t1", Duration::from_millis(200));
    let ping = cmd("PING");
    ping.exec_async(&mut link).await.unwrap();
    server.pause();
    let failed: RedisError = within(ping.exec_async(&mut link)).await.unwrap_err().into();
    assert!(matches!(failed, RedisError::Slow), "{failed}");
    server.resume();
    eventually(async || ping.exec_async(&mut link).await.ok()).await;
}

#[tokio::test]
async fn a_cluster_is_reached_wherever_the_keys_are() {
    let mut cluster = RedisCluster::start(RedisOptions::default()).await;
    let redis = open(&cluster.url());
    redis.check_durability(Profile::A).await.unwrap();
    for number in 0..30 {
        assert_eq!(count(&redis, &format!("t{number}")).await.unwrap(), 1);
    }
    let script = Script::new("#!lua\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])");
    for number in 0..30 {
        let tag = format!("t{number}");
        let mut call = script.key(format!("fd:v1:{{{tag}}}:count"));
        let call = call.arg(10);
        let found: i64 = call.invoke_async(&mut redis.link(&tag)).await.unwrap();
        assert_eq!(found, 11, "loaded where it is missing");
    }
    cluster.nodes[1].restart().await;
    cluster.complete().await;
    for number in 0..30 {
        let tag = format!("t{number}");
        let found = eventually(async || count(&redis, &tag).await.ok()).await;
        assert_eq!(found, 12);
    }
}

#[tokio::test]
async fn keys_that_move_are_followed() {
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    let redis = open(&cluster.url());
    let tag = "t1";
    let mut slot = cmd("CLUSTER");
    let slot = slot.arg("KEYSLOT").arg(tag);
    let slot: u16 = slot.query_async(&mut redis.link(tag)).await.unwrap();
    let owner = usize::from(slot / 5_461).min(2);
    assert_eq!(count(&redis, tag).await.unwrap(), 1);
    let mut connections = Vec::new();
    for node in &cluster.nodes {
        connections.push(node.connect().await);
    }
    let target = (owner + 1) % 3;
    let mut id = cmd("CLUSTER");
    let id: String = id
        .arg("MYID")
        .query_async(&mut connections[target])
        .await
        .unwrap();
    // The key goes with the slot: deleted here, so that the count begins anew there.
    let key = format!("fd:v1:{{{tag}}}:count");
    cmd("DEL")
        .arg(key)
        .exec_async(&mut connections[owner])
        .await
        .unwrap();
    for connection in &mut connections {
        let mut set = cmd("CLUSTER");
        set.arg("SETSLOT").arg(slot).arg("NODE").arg(&id);
        set.exec_async(connection).await.unwrap();
    }
    assert_eq!(count(&redis, tag).await.unwrap(), 1, "at the new owner");
}

#[tokio::test]
async fn a_server_below_the_profile_is_refused_with_the_remedy() {
    for mut options in [RedisOptions::default(), RedisOptions::valkey()] {
        let fit = options.clone();
        let mut server = RedisServer::start(options.clone()).await;
        let redis = open(&server.url());
        redis.check_durability(Profile::A).await.unwrap();
        redis.check_durability(Profile::C).await.unwrap();
        let told = problem(&server, Profile::B).await;
        assert!(told.contains("no replica"), "{told}");
        options.appendfsync = "everysec";
        server.restart_with(options.clone()).await;
        let told = problem(&server, Profile::A).await;
        assert!(told.contains("appendfsync everysec") && told.contains("set it to always"));
        open(&server.url())
            .check_durability(Profile::C)
            .await
            .unwrap();
        server
            .restart_with(options.with(&[
                "--maxmemory",
                "20mb",
                "--maxmemory-policy",
                "allkeys-lru",
            ]))
            .await;
        let told = problem(&server, Profile::C).await;
        assert!(told.contains("maxmemory-policy allkeys-lru") && told.contains("noeviction"));
        server
            .restart_with(fit.clone().with(&["--appendonly", "no"]))
            .await;
        let told = problem(&server, Profile::C).await;
        assert!(told.contains("appendonly no"), "{told}");
        server
            .restart_with(fit.with(&["--no-appendfsync-on-rewrite", "yes"]))
            .await;
        let told = problem(&server, Profile::A).await;
        assert!(
            told.contains("no-appendfsync-on-rewrite yes") && told.contains("set it to no"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_replica_in_step_makes_profile_b() {
    let primary = RedisServer::start(RedisOptions::default()).await;
    let of = ["--replicaof", "127.0.0.1", &primary.port().to_string()];
    let replica = RedisServer::start(RedisOptions::default().with(&of)).await;
    let redis = open(&primary.url());
    // A replica alone does not do: cut off from it, the primary would go on.
    let told = eventually(async || {
        let told = problem(&primary, Profile::B).await;
        (!told.contains("no replica")).then_some(told)
    })
    .await;
    assert!(told.contains("min-replicas-to-write 0"), "{told}");
    let mut least = cmd("CONFIG");
    least.arg("SET").arg("min-replicas-to-write").arg(1);
    least.exec_async(&mut redis.link("0")).await.unwrap();
    redis.check_durability(Profile::B).await.unwrap();
    let told = problem(&replica, Profile::A).await;
    assert!(told.contains("read-only replica"), "{told}");
    let failed = count(&open(&replica.url()), "t1").await.unwrap_err();
    assert!(matches!(failed, RedisError::ReadOnly), "{failed}");
}

#[tokio::test]
async fn after_a_failover_the_servers_that_have_the_slots_are_checked() {
    let mut cluster = RedisCluster::start_with_replicas(RedisOptions::default(), 1).await;
    let redis = open(&cluster.url());
    redis.check_durability(Profile::A).await.unwrap();
    // One whose keys nothing here asks for, so that only the check can notice.
    let used = cluster.primary_of("0").await;
    let dead = (used + 1) % 3;
    cluster.nodes[dead].kill();
    let told = redis.check_durability(Profile::A).await.unwrap_err();
    assert!(told.to_string().contains("cannot be reached"), "{told}");
    cluster.taken_over(dead).await;
    redis.check_durability(Profile::A).await.unwrap();
    cluster.nodes[dead].restart().await;
    cluster.complete().await;
    redis.check_durability(Profile::A).await.unwrap();
    // It is only a replica now: where nothing hangs on it, it is no matter that it dies again.
    cluster.nodes[dead].kill();
    redis.check_durability(Profile::A).await.unwrap();
}

#[tokio::test]
async fn slots_without_a_server_are_not_passed_over() {
    // The rest of such a Cluster goes on, and finds itself in order.
    let options = RedisOptions::default().with(&["--cluster-require-full-coverage", "no"]);
    let mut cluster = RedisCluster::start(options).await;
    let redis = open(&cluster.url());
    redis.check_durability(Profile::A).await.unwrap();
    let dead = (cluster.primary_of("0").await + 1) % 3;
    let id: String = {
        let mut connection = cluster.nodes[dead].connect().await;
        let id = cmd("CLUSTER").arg("MYID").to_owned();
        id.query_async(&mut connection).await.unwrap()
    };
    cluster.nodes[dead].kill();
    let told = redis.check_durability(Profile::A).await.unwrap_err();
    assert!(told.to_string().contains("cannot be reached"), "{told}");
    for node in cluster.nodes.iter().filter(|node| node.runs()) {
        let forget = cmd("CLUSTER").arg("FORGET").arg(&id).to_owned();
        forget.exec_async(&mut node.connect().await).await.unwrap();
    }
    // It is unfit all along, and this is why once the rest agree.
    eventually(async || {
        let told = redis.check_durability(Profile::A).await.unwrap_err();
        told.to_string()
            .contains("no server has slot")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn access_is_named() {
    let options = RedisOptions::default().with(&["--requirepass", "secret"]);
    let server = RedisServer::start(options).await;
    let told = problem(&server, Profile::A).await;
    assert!(told.contains("password"), "{told}");
    let with = |access: &str| open(&server.url().replace("://", &format!("://{access}@")));
    let told = with(":wrong")
        .check_durability(Profile::A)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("password") && !told.contains("wrong"),
        "{told}"
    );
    let right = with(":secret");
    right.check_durability(Profile::A).await.unwrap();
    let mut user = cmd("ACL");
    user.arg("SETUSER")
        .arg("app")
        .arg("on")
        .arg(">pw")
        .arg("~*")
        .arg("+@all");
    user.arg("-config")
        .exec_async(&mut right.link("0"))
        .await
        .unwrap();
    let told = with("app:pw")
        .check_durability(Profile::A)
        .await
        .unwrap_err()
        .to_string();
    assert!(told.contains("CONFIG GET is not allowed"), "{told}");
    assert!(told.contains("+config|get"), "{told}");
}

#[tokio::test]
async fn nobody_there_a_full_server_and_newer_data_are_named() {
    let told = open("redis://127.0.0.1:1")
        .check_durability(Profile::A)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("cannot be reached") && told.contains("redis.url"),
        "{told}"
    );
    let server = RedisServer::start(RedisOptions::default()).await;
    let redis = open(&server.url());
    let mut newer = cmd("HSET");
    newer.arg("fd:v1:{0}:installation").arg("schema").arg(99);
    newer.exec_async(&mut redis.link("0")).await.unwrap();
    let newer = redis.check_schema().await.unwrap_err();
    assert!(newer.needs_a_person() && matches!(newer, RedisError::Newer(99, 1)));
    let told = problem(&server, Profile::A).await;
    assert!(
        told.contains("schema 99") && told.contains("newer version"),
        "{told}"
    );
    let mut limit = cmd("CONFIG");
    limit.arg("SET").arg("maxmemory").arg("1mb");
    limit.exec_async(&mut redis.link("0")).await.unwrap();
    let failed = count(&redis, "t1").await.unwrap_err();
    assert!(matches!(failed, RedisError::Full), "{failed}");
    assert!(!failed.is_unknown());
    // Who works off what fills it does so under a lease.
    let (leases, live) = (redis.leases("t1"), Duration::from_secs(60));
    let member = Member {
        name: "a".to_owned(),
        address: "http://a:1".to_owned(),
    };
    leases.beat("inbox", &member, live).await.unwrap();
    leases.bear("inbox", &member, "one", live).await.unwrap();
    let claimed = leases.claim("inbox", &member, live, &[0]).await.unwrap();
    assert_eq!(claimed.len(), 1);
}

#[tokio::test]
async fn looking_at_the_version_writes_nothing() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let redis = open(&server.url());
    redis.check_schema().await.unwrap();
    let kept: i64 = cmd("DBSIZE")
        .query_async(&mut redis.link("0"))
        .await
        .unwrap();
    assert_eq!(kept, 0);
    redis.check_durability(Profile::A).await.unwrap();
    redis.check_schema().await.unwrap();
    let away = open("redis://127.0.0.1:1")
        .check_schema()
        .await
        .unwrap_err();
    assert!(!away.needs_a_person(), "{away}");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_more_is_named() {
    for program in [RedisOptions::default(), RedisOptions::valkey()] {
        // With `always` such a server ends itself; with `everysec` it refuses to write.
        let options = RedisOptions {
            appendfsync: "everysec",
            ..program
        };
        let mut server = RedisServer::start(options).await;
        count(&open(&server.url()), "t1").await.unwrap();
        server.kill();
        let files = server.folder().join("appendonlydir");
        let newest = files.join("appendonly.aof.1.incr.aof");
        std::fs::remove_file(&newest).unwrap();
        std::os::unix::fs::symlink("/dev/full", &newest).unwrap();
        server.restart().await;
        let redis = open(&server.url());
        // What is answered before the first write to the disk is not known to have failed.
        let failed = eventually(async || count(&redis, "t1").await.err()).await;
        assert!(matches!(failed, RedisError::Disk(_)), "{failed}");
        let told = failed.to_string();
        assert!(
            told.contains("No space left on device") && told.contains("free disk space"),
            "{told}"
        );
        let told = problem(&server, Profile::C).await;
        assert!(told.contains("cannot save to its disk"), "{told}");
    }
}
