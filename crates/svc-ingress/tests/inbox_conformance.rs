//! What every inbox promises. A new implementation adds one test that calls [`conforms`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use core_types::Timestamp;
use lib_storage::lease::{Leases as _, Member};
use lib_storage::redis::Redis;
use lib_storage::{Profile, RedisSettings};
use lib_testkit::servers::{RedisCluster, RedisOptions, RedisServer};
use svc_ingress::embedded::EmbeddedInbox;
use svc_ingress::inbox::{Ending, Group, Inbox, NewDelivery, NewParked, Reading as _};
use svc_ingress::redis::{RedisInbox, TAG};

#[tokio::test]
async fn the_embedded_inbox_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ingress.db");
    // Opening again is what a restart does: each step sees only what was kept.
    conforms(async || (EmbeddedInbox::open(&path).await.unwrap(), 1)).await;
}

#[tokio::test]
async fn the_inbox_in_redis_conforms() {
    let server = RedisServer::start(RedisOptions::default()).await;
    conforms(async || in_redis(&server.url()).await).await;
}

#[tokio::test]
async fn the_inbox_in_valkey_conforms() {
    let server = RedisServer::start(RedisOptions::valkey()).await;
    conforms(async || in_redis(&server.url()).await).await;
}

#[tokio::test]
async fn the_inbox_in_a_cluster_conforms() {
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    conforms(async || in_redis(&cluster.url()).await).await;
}

/// As a process that starts: a lease of its own, with the fence to show.
async fn in_redis(url: &str) -> (RedisInbox, i64) {
    let url = url.to_owned();
    let redis = Redis::open(&RedisSettings { url }).unwrap();
    let leases = redis.leases(TAG);
    let me = Member {
        name: "test".into(),
        address: String::new(),
    };
    let minute = Duration::from_secs(60);
    let claimed = leases.claim("inbox", &me, minute, &[0]).await.unwrap();
    let inbox = RedisInbox::new(&redis, &leases.fences("inbox"), Profile::A);
    (inbox, claimed[0].1)
}

/// `open` gives the same, at first empty, inbox each time, as a restarted process would see it, and
/// the fence under which that process reads it.
async fn conforms<I: Inbox>(open: impl AsyncFn() -> (I, i64)) {
    let (inbox, fence) = open().await;
    let ids = admits_in_order(&inbox).await;
    is_read_from_the_beginning(&inbox, fence, &ids).await;
    reads_within_bounds(&open().await.0, &ids).await;
    counts_what_waits(&open().await.0).await;
    suspects_what_a_dead_reader_had(&open, &ids).await;
    let (inbox, fence) = open().await;
    claims_before_work(&inbox, fence, ids[0]).await;
    finishes_and_parks_together(&inbox, fence, &ids).await;
    let (inbox, fence) = open().await;
    never_gives_an_id_twice(&inbox, fence, ids[2]).await;
    keeps_walls_between_numbers(&open().await).await;
    replays_once(&open().await.0).await;
    takes_any_size(&open().await.0).await;
}

fn delivery(text: &str) -> NewDelivery {
    NewDelivery {
        admitted_at: Timestamp::from_micros(1_000_000),
        traceparent: format!("00-{text}"),
        body: Bytes::from(text.to_owned()),
    }
}

fn parked(delivery: u64, index: u32, number: &str) -> NewParked {
    NewParked {
        delivery,
        index,
        position: format!("entry[0].changes[{index}]"),
        cause: "a cause".into(),
        number_id: number.into(),
        admitted_at: Timestamp::from_micros(1),
        parked_at: Timestamp::from_micros(2),
        attempts: 1,
        traceparent: "00-t".into(),
        payload: Bytes::from_static(b"{\"a\":\"\xff\x00\"}"),
    }
}

fn admit(texts: &[&str]) -> Group {
    Group {
        admit: texts.iter().map(|text| delivery(text)).collect(),
        ..Group::default()
    }
}

fn end(fence: i64, finish: &[u64], park: Vec<NewParked>) -> Group {
    let ending = Ending {
        fence,
        finish: finish.to_vec(),
        bytes: finish.len() as u64,
        park,
    };
    Group {
        ends: vec![ending],
        ..Group::default()
    }
}

async fn all(inbox: &impl Inbox) -> (Vec<u64>, Vec<Bytes>) {
    let all = inbox.read(0, 1_000, usize::MAX).await.unwrap();
    let all = all.into_iter().map(|delivery| (delivery.id, delivery.body));
    all.unzip()
}

async fn bodies(inbox: &impl Inbox) -> Vec<Bytes> {
    all(inbox).await.1
}

async fn admits_in_order(inbox: &impl Inbox) -> Vec<u64> {
    inbox.commit(&Group::default()).await.all().unwrap();
    inbox.commit(&admit(&["a", "b"])).await.all().unwrap();
    let counts = inbox.commit(&admit(&["c"])).await.counts;
    assert_eq!(counts.unwrap().admitted, 3);
    let (ids, found) = all(inbox).await;
    assert_eq!(found, ["a", "b", "c"]);
    assert!(ids.is_sorted() && ids[0] > 0, "{ids:?}");
    let first = inbox.read(0, 1, usize::MAX).await.unwrap().remove(0);
    assert_eq!((first.id, first.attempts), (ids[0], 0));
    assert_eq!(first.traceparent, "00-a");
    assert_eq!(first.admitted_at, Timestamp::from_micros(1_000_000));
    ids
}

async fn is_read_from_the_beginning<I: Inbox>(inbox: &I, fence: i64, ids: &[u64]) {
    let mut reading = inbox.begin(fence, 0, 0).await.unwrap();
    let mut found = Vec::new();
    while found.len() < 3 {
        found.extend(reading.next(2, usize::MAX).await.unwrap());
    }
    let seen: Vec<u64> = found.iter().map(|delivery| delivery.id).collect();
    assert_eq!(seen, ids);
    let mut waiting = Box::pin(reading.next(2, usize::MAX));
    let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err(), "there is nothing more");
    inbox.commit(&admit(&["x"])).await.all().unwrap();
    let woken = lib_testkit::within(waiting).await.unwrap();
    assert_eq!(woken[0].body, "x");
    let ended = inbox.commit(&end(fence, &[woken[0].id], Vec::new())).await;
    ended.all().unwrap();
    inbox.leave(fence).await.unwrap();
}

async fn reads_within_bounds(inbox: &impl Inbox, all: &[u64]) {
    let ids = async |after, most, bytes| -> Vec<u64> {
        let found = inbox.read(after, most, bytes).await.unwrap();
        found.iter().map(|delivery| delivery.id).collect()
    };
    assert_eq!(ids(all[0], 10, usize::MAX).await, all[1..]);
    assert_eq!(ids(0, 2, usize::MAX).await, all[..2]);
    assert_eq!(ids(0, 10, 1).await, all[..1], "one at least");
    assert!(ids(all[2], 10, usize::MAX).await.is_empty());
}

async fn counts_what_waits(inbox: &impl Inbox) {
    let counts = inbox.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.waiting_bytes), (3, 3));
    assert_eq!(counts.admitted, 4);
}

async fn suspects_what_a_dead_reader_had<I: Inbox>(open: &impl AsyncFn() -> (I, i64), ids: &[u64]) {
    // Each dies while it reads. A store that knows that nobody died before suspects nothing at
    // first.
    for _ in 0..4 {
        let (inbox, fence) = open().await;
        let _reading = inbox.begin(fence, 2, 2).await.unwrap();
    }
    let (inbox, fence) = open().await;
    let found = inbox.read(0, 10, usize::MAX).await.unwrap();
    let attempts: Vec<u32> = found.iter().map(|delivery| delivery.attempts).collect();
    assert_eq!(attempts, [2, 2, 0], "the window, and not above the ceiling");
    let mut reading = inbox.begin(fence, 0, 0).await.unwrap();
    let first = reading.next(1, 1).await.unwrap().remove(0);
    assert_eq!((first.id, first.attempts), (ids[0], 2));
}

async fn claims_before_work(inbox: &impl Inbox, fence: i64, id: u64) {
    assert_eq!(inbox.claim(fence, id).await.unwrap(), 3);
    assert_eq!(inbox.claim(fence, id).await.unwrap(), 4);
    inbox.release(fence, id).await.unwrap();
    let first = inbox.read(0, 1, usize::MAX).await.unwrap().remove(0);
    assert_eq!(first.attempts, 3);
    assert_eq!(inbox.claim(fence, 999).await.unwrap(), 0, "unknown");
}

async fn finishes_and_parks_together(inbox: &impl Inbox, fence: i64, ids: &[u64]) {
    let park = vec![parked(1, 0, "n1"), parked(1, 1, "n2")];
    let mut group = end(fence, &[ids[0], ids[2], 999], park);
    group.admit = vec![delivery("d")];
    let outcome = inbox.commit(&group).await;
    let counts = outcome.counts.unwrap();
    assert_eq!((counts.waiting, counts.admitted), (2, 5));
    outcome.all().unwrap();
    assert_eq!(bodies(inbox).await, ["b", "d"]);
    let other = NewParked {
        cause: "another".into(),
        ..parked(1, 0, "n1")
    };
    inbox
        .commit(&end(fence, &[], vec![other]))
        .await
        .all()
        .unwrap();
    let all = inbox.parked(None, 0, 10).await.unwrap();
    let seen: Vec<_> = all
        .iter()
        .map(|parked| (parked.id.as_str(), parked.item.cause.as_str()))
        .collect();
    assert_eq!(seen, [("1.0", "a cause"), ("1.1", "a cause")]);
    assert!(all.iter().all(|parked| parked.item.payload.is_empty()));
    let one = inbox.find_parked("1.1").await.unwrap().unwrap();
    assert_eq!(one.item, parked(1, 1, "n2"));
    assert!(inbox.find_parked("1.2").await.unwrap().is_none());
}

async fn never_gives_an_id_twice(inbox: &impl Inbox, fence: i64, last: u64) {
    let (left, _) = all(inbox).await;
    inbox
        .commit(&end(fence, &left, Vec::new()))
        .await
        .all()
        .unwrap();
    assert!(bodies(inbox).await.is_empty());
    let counts = inbox.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.waiting_bytes), (0, 0));
    inbox.commit(&admit(&["e"])).await.all().unwrap();
    let (ids, _) = all(inbox).await;
    assert!(ids[0] > last && ids[0] > left[1]);
}

async fn keeps_walls_between_numbers<I: Inbox>((inbox, fence): &(I, i64)) {
    let park = vec![parked(5, 0, "n1"), parked(5, 1, "")];
    inbox.commit(&end(*fence, &[], park)).await.all().unwrap();
    let of = async |numbers: &[&str], after, most| -> Vec<String> {
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let found = inbox.parked(Some(&numbers), after, most).await.unwrap();
        found.into_iter().map(|parked| parked.id).collect()
    };
    assert_eq!(of(&["n1"], 0, 10).await, ["1.0", "5.0"]);
    assert_eq!(of(&["n1", "n2"], 1, 10).await, ["1.1", "5.0"]);
    assert_eq!(of(&["n1", "n2"], 0, 1).await, ["1.0"]);
    assert!(of(&[], 0, 10).await.is_empty());
    let mut counts = inbox.parked_by_number().await.unwrap();
    counts.sort();
    assert_eq!(
        counts,
        [(String::new(), 1), ("n1".into(), 2), ("n2".into(), 1)]
    );
}

async fn replays_once(inbox: &impl Inbox) {
    inbox
        .replay_failed("1.0", "still no such number")
        .await
        .unwrap();
    let still = inbox.find_parked("1.0").await.unwrap().unwrap();
    assert_eq!((still.item.attempts, still.replayed), (2, false));
    assert_eq!(still.item.cause, "still no such number");
    inbox.replayed("1.0", &[parked(1, 7, "n9")]).await.unwrap();
    let done = inbox.find_parked("1.0").await.unwrap().unwrap();
    assert!(done.replayed && done.item.payload.is_empty());
    inbox.replay_failed("1.0", "too late").await.unwrap();
    let ids: Vec<String> = inbox
        .parked(None, 0, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|parked| parked.id)
        .collect();
    assert_eq!(ids, ["1.1", "5.0", "5.1", "1.7"]);
}

async fn takes_any_size(inbox: &impl Inbox) {
    let before = inbox.counts().await.unwrap().waiting_bytes;
    let mut group = Group::default();
    for size in (0..150).chain([4 << 20]) {
        group.admit.push(NewDelivery {
            body: Bytes::from(vec![b'x'; size]),
            ..delivery("")
        });
    }
    let (ids, _) = all(inbox).await;
    inbox.commit(&group).await.all().unwrap();
    let last = ids.last().copied().unwrap();
    let found = inbox.read(last, 1_000, usize::MAX).await.unwrap();
    let sizes: Vec<usize> = found.iter().map(|delivery| delivery.body.len()).collect();
    assert_eq!(sizes, (0..150).chain([4 << 20]).collect::<Vec<_>>());
    let grown = inbox.counts().await.unwrap().waiting_bytes - before;
    assert_eq!(grown, (0..150).sum::<u64>() + (4 << 20));
}
