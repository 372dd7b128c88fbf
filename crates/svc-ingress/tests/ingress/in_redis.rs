//! Ingress with its inbox in Redis: replicas, and a Redis that is killed, hangs, is full or not set up
//! as it should be.

use std::time::Duration;

use core_types::Timestamp;
use lib_proto::ingress as pb;
use lib_storage::lease::{Leases as _, Member};
use lib_storage::redis::{Redis, RedisLeases};
use lib_storage::{Profile, RedisSettings};
use lib_testkit::servers::{RedisOptions, RedisServer};
use lib_testkit::{NOWHERE, SERVICE, eventually};
use redis::cmd;
use svc_ingress::inbox::{Ending, Group, Inbox as _, InboxError, NewDelivery, Reading as _};
use svc_ingress::redis::{RedisInbox, TAG};

use crate::peer::{Answer, Peer};
use crate::site::{Site, delivery, free_address, message, one};

async fn server() -> RedisServer {
    RedisServer::start(RedisOptions::default()).await
}

fn open(server: &RedisServer, profile: Profile) -> (RedisInbox, RedisLeases) {
    let redis = Redis::open(&RedisSettings { url: server.url() }).unwrap();
    let leases = redis.leases(TAG);
    let inbox = RedisInbox::new(&redis, &leases.fences("inbox"), profile);
    (inbox, leases)
}

async fn claim(leases: &RedisLeases, name: &str, live: Duration) -> i64 {
    let me = Member {
        name: name.to_owned(),
        address: String::new(),
    };
    eventually(async || {
        let claimed = leases.claim("inbox", &me, live, &[0]).await.unwrap();
        claimed.first().map(|(_, fence)| *fence)
    })
    .await
}

fn admission(text: &str) -> Group {
    let new = NewDelivery {
        admitted_at: Timestamp::from_micros(1),
        traceparent: String::new(),
        body: text.to_owned().into(),
    };
    Group {
        admit: vec![new],
        ends: Vec::new(),
    }
}

fn ending(fence: i64, id: u64) -> Group {
    let ending = Ending {
        fence,
        finish: vec![id],
        bytes: 1,
        park: Vec::new(),
    };
    Group {
        admit: Vec::new(),
        ends: vec![ending],
    }
}

fn keys(ids: impl IntoIterator<Item = usize>) -> Vec<String> {
    ids.into_iter().map(|n| format!("m:wamid.{n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_admits_and_one_hands_on_in_order() {
    let server = server().await;
    let (peer, address) = (Peer::new(), free_address());
    let _log = peer.serve(&address).await;
    let a = Site::start_replica("a", &server, Profile::A, &address).await;
    let b = Site::start_replica("b", &server, Profile::A, &address).await;
    for n in 0..40 {
        let site = if n % 2 == 0 { &a } else { &b };
        assert_eq!(site.post(one("491511", &format!("wamid.{n}"))).await, 200);
    }
    assert_eq!(peer.until(|keys| keys.len() == 40).await, keys(0..40));
    assert_eq!(b.emptied().await.admitted_deliveries, 40);
    // Whichever reads, the other takes over, and nothing is handed on twice or out of order.
    a.crash().await;
    for n in 40..60 {
        assert_eq!(b.post(one("491511", &format!("wamid.{n}"))).await, 200);
    }
    assert_eq!(peer.until(|keys| keys.len() == 60).await, keys(0..60));
    let a = Site::start_replica("a", &server, Profile::A, &address).await;
    b.crash().await;
    assert_eq!(a.post(one("491511", "wamid.60")).await, 200);
    peer.until(|keys| keys.len() == 61).await;
    assert_eq!(a.emptied().await.parked_items, 0);
}

#[tokio::test]
async fn a_dead_reader_is_replaced_and_can_end_nothing_any_more() {
    let server = server().await;
    let (inbox, leases) = open(&server, Profile::A);
    let dead = claim(&leases, "dead", Duration::from_millis(300)).await;
    let mut reading = inbox.begin(dead, 512, 2).await.unwrap();
    inbox.commit(&admission("{")).await.all().unwrap();
    let taken = reading.next(1, 1).await.unwrap().remove(0);
    let heir = claim(&leases, "heir", Duration::from_secs(60)).await;
    assert!(heir > dead);
    let late = inbox.commit(&ending(dead, taken.id)).await.all();
    assert!(matches!(late, Err(InboxError::Fenced)), "{late:?}");
    let late = inbox.claim(dead, taken.id).await;
    assert!(matches!(late, Err(InboxError::Fenced)), "{late:?}");
    assert!(matches!(
        inbox.begin(dead, 1, 1).await,
        Err(InboxError::Fenced)
    ));
    assert_eq!(inbox.counts().await.unwrap().waiting, 1);
    let mut reading = inbox.begin(heir, 512, 2).await.unwrap();
    let again = reading.next(1, 1).await.unwrap().remove(0);
    assert_eq!((again.id, again.attempts), (taken.id, 1), "it is suspected");
    inbox.commit(&ending(heir, taken.id)).await.all().unwrap();
    assert_eq!(inbox.counts().await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_reader_that_is_refused_is_counted_and_reads_on_when_it_has_the_inbox_again() {
    let server = server().await;
    let (peer, address) = (Peer::new(), free_address());
    let _log = peer.serve(&address).await;
    let site = Site::start_replica("a", &server, Profile::A, &address).await;
    site.insist(one("491511", "wamid.0")).await;
    peer.until(|keys| keys.len() == 1).await;
    let (_, leases) = open(&server, Profile::A);
    let mut posted = 1;
    // It may hear of the loss from its lease before it is refused; then once more.
    eventually(async || {
        // Under its own name, so that it has the inbox again at its next beat.
        claim(&leases, "a", Duration::from_secs(60)).await;
        site.insist(one("491511", &format!("wamid.{posted}"))).await;
        posted += 1;
        peer.until(|keys| keys.len() == posted).await;
        let metrics = reqwest::get(format!("http://{}/metrics", site.address())).await;
        let text = metrics.unwrap().text().await.unwrap();
        let counter = "frontdesk_fenced_commits_total{service=\"ingress\"} ";
        let (_, count) = text.split_once(counter).unwrap();
        (!count.starts_with('0')).then_some(())
    })
    .await;
    assert_eq!(site.emptied().await.parked_items, 0);
}

#[tokio::test]
async fn who_leaves_in_good_order_casts_no_suspicion() {
    let server = server().await;
    let (inbox, leases) = open(&server, Profile::A);
    inbox.commit(&admission("{")).await.all().unwrap();
    for _ in 0..5 {
        let fence = claim(&leases, "a", Duration::from_secs(60)).await;
        let mut reading = inbox.begin(fence, 512, 2).await.unwrap();
        assert_eq!(reading.next(1, 1).await.unwrap()[0].attempts, 0);
        inbox.leave(fence).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_redis_is_503_and_everything_admitted_is_there_again() {
    let mut server = server().await;
    let (peer, address) = (Peer::new(), free_address());
    let site = Site::start_replica("a", &server, Profile::A, &address).await;
    for n in 0..20 {
        site.insist(one("491511", &format!("wamid.{n}"))).await;
    }
    server.kill();
    assert_eq!(site.post(one("491511", "wamid.20")).await, 503);
    eventually(async || (!site.readiness.is_ready()).then_some(())).await;
    server.restart().await;
    site.insist(one("491511", "wamid.20")).await;
    site.readiness.ready().await;
    let _log = peer.serve(&address).await;
    assert_eq!(peer.until(|keys| keys.len() == 21).await, keys(0..21));
    assert_eq!(site.emptied().await.parked_items, 0);
}

#[tokio::test]
async fn a_redis_that_hangs_is_503_and_used_again() {
    let server = server().await;
    let (peer, address) = (Peer::new(), free_address());
    let _log = peer.serve(&address).await;
    let site = Site::start_replica("a", &server, Profile::A, &address).await;
    site.insist(one("491511", "wamid.0")).await;
    peer.until(|keys| keys.len() == 1).await;
    server.pause();
    assert_eq!(site.post(one("491511", "wamid.1")).await, 503);
    server.resume();
    site.insist(one("491511", "wamid.1")).await;
    assert_eq!(peer.until(|keys| keys.len() == 2).await, keys(0..2));
    site.emptied().await;
}

#[tokio::test]
async fn a_full_redis_is_503_and_what_waits_still_ends() {
    let options = RedisOptions::default().with(&["--maxmemory", "6mb"]);
    let server = RedisServer::start(options).await;
    let (peer, address) = (Peer::new(), free_address());
    let site = Site::start_replica("a", &server, Profile::A, &address).await;
    let large = |id: &str| {
        let mut large = message("491511", id);
        large["padding"] = "x".repeat(100_000).into();
        delivery(&[("100", vec![large])])
    };
    let mut admitted = 0;
    loop {
        match site.post(large(&format!("wamid.{admitted}"))).await {
            200 => admitted += 1,
            status => {
                assert_eq!(status, 503);
                break;
            }
        }
    }
    assert!(admitted > 3, "{admitted}");
    assert_eq!(site.post(large("wamid.x")).await, 503);
    // Full, it is read all the same by who comes then.
    site.crash().await;
    let site = Site::start_replica("a", &server, Profile::A, &address).await;
    peer.answers(|key| {
        if key == "m:wamid.1" {
            Answer::Refuse
        } else {
            Answer::Take
        }
    });
    let _log = peer.serve(&address).await;
    peer.until(|keys| keys.len() == admitted - 1).await;
    // The one that was refused is parked with its bytes, full as Redis was.
    assert_eq!(site.emptied().await.parked_items, 1);
    site.insist(large("wamid.x")).await;
    peer.until(|keys| keys.len() == admitted).await;
    peer.answers(|_| Answer::Take);
    let mut client = site.client(SERVICE);
    let listed = client
        .list_parked_items(pb::ListParkedItemsRequest::default())
        .await;
    let id = listed.unwrap().into_inner().items.remove(0).id;
    for _ in 0..2 {
        let replay = pb::ReplayParkedItemRequest { id: id.clone() };
        let replayed = client
            .replay_parked_item(replay)
            .await
            .unwrap()
            .into_inner();
        assert!(replayed.taken, "{replayed:?}");
    }
    peer.until(|keys| keys.len() == admitted + 1).await;
    assert_eq!(site.inbox().await.parked_items, 0);
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_told_again() {
    let server = server().await;
    let (peer, address) = (Peer::new(), free_address());
    let _log = peer.serve(&address).await;
    let site = Site::start_replica("a", &server, Profile::A, &address).await;
    for n in 0..5 {
        let forget = cmd("SCRIPT").arg("FLUSH").to_owned();
        forget
            .exec_async(&mut server.connect().await)
            .await
            .unwrap();
        site.insist(one("491511", &format!("wamid.{n}"))).await;
        site.emptied().await;
    }
    assert_eq!(peer.taken().len(), 5);
}

#[tokio::test]
async fn profile_b_admits_what_a_replica_has() {
    for options in [RedisOptions::default(), RedisOptions::valkey()] {
        let primary = RedisServer::start(options.clone()).await;
        let (inbox, _) = open(&primary, Profile::B);
        let alone = inbox.commit(&admission("{")).await.all().unwrap_err();
        assert!(alone.to_string().contains("too few replicas"), "{alone}");
        assert!(alone.is_unknown(), "it may be there all the same");
        let of = ["--replicaof", "127.0.0.1", &primary.port().to_string()];
        let replica = RedisServer::start(options.with(&of)).await;
        eventually(async || inbox.commit(&admission("{")).await.all().ok()).await;
        // One after another, as when little comes in: the replica must not need to be told a
        // second time before it confirms. A busy disk may be late now and then.
        let mut confirmed = 0;
        for _ in 0..10 {
            confirmed += usize::from(inbox.commit(&admission("{")).await.all().is_ok());
        }
        assert!(confirmed > 7, "{confirmed} of 10");
        let (copy, _) = open(&replica, Profile::A);
        let counts = copy.counts().await.unwrap();
        assert_eq!(counts, inbox.counts().await.unwrap());
        replica.pause();
        assert!(inbox.commit(&admission("{")).await.all().is_err());
    }
}

#[tokio::test]
async fn a_redis_below_the_profile_is_not_ready() {
    let options = RedisOptions {
        appendfsync: "everysec",
        ..RedisOptions::default()
    };
    let server = RedisServer::start(options).await;
    let site = Site::start_replica("a", &server, Profile::A, NOWHERE).await;
    let told = eventually(async || {
        let text = site.readiness.text();
        text.contains("appendfsync").then_some(text)
    })
    .await;
    assert!(told.contains("set it to always (profile A)"), "{told}");
    let site = Site::start_replica("c", &server, Profile::C, NOWHERE).await;
    lib_testkit::within(site.readiness.ready()).await;
}
