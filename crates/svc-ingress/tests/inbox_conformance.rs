//! What every inbox promises. A new implementation adds one test that calls [`conforms`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use core_types::Timestamp;
use svc_ingress::embedded::EmbeddedInbox;
use svc_ingress::inbox::{Group, Inbox, NewDelivery, NewParked};

#[tokio::test]
async fn the_embedded_inbox_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ingress.db");
    // Opening again is what a restart does: each step sees only what was kept.
    conforms(async || EmbeddedInbox::open(&path).await.unwrap()).await;
}

/// `open` gives the same, at first empty, inbox each time, as a restarted process would see it.
async fn conforms<I: Inbox>(open: impl AsyncFn() -> I) {
    admits_in_order(&open().await).await;
    reads_within_bounds(&open().await).await;
    counts_what_waits(&open().await).await;
    claims_before_work(&open().await).await;
    finishes_and_parks_together(&open().await).await;
    never_gives_an_id_twice(&open().await).await;
    keeps_walls_between_numbers(&open().await).await;
    replays_once(&open().await).await;
    takes_any_size(&open().await).await;
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

async fn bodies(inbox: &impl Inbox) -> Vec<Bytes> {
    let all = inbox.read(0, 1_000, usize::MAX).await.unwrap();
    all.into_iter().map(|delivery| delivery.body).collect()
}

async fn admits_in_order(inbox: &impl Inbox) {
    assert_eq!(inbox.commit(&Group::default()).await.unwrap(), None);
    let last = inbox.commit(&admit(&["a", "b"])).await.unwrap().unwrap();
    let later = inbox.commit(&admit(&["c"])).await.unwrap().unwrap();
    assert_eq!((last, later), (2, 3));
    assert_eq!(bodies(inbox).await, ["a", "b", "c"]);
    let first = inbox.read(0, 1, usize::MAX).await.unwrap().remove(0);
    assert_eq!((first.id, first.attempts), (1, 0));
    assert_eq!(first.traceparent, "00-a");
    assert_eq!(first.admitted_at, Timestamp::from_micros(1_000_000));
}

async fn reads_within_bounds(inbox: &impl Inbox) {
    let ids = async |after, most, bytes| -> Vec<u64> {
        let found = inbox.read(after, most, bytes).await.unwrap();
        found.iter().map(|delivery| delivery.id).collect()
    };
    assert_eq!(ids(1, 10, usize::MAX).await, [2, 3]);
    assert_eq!(ids(0, 2, usize::MAX).await, [1, 2]);
    assert_eq!(ids(0, 10, 1).await, [1], "one at least");
    assert!(ids(3, 10, usize::MAX).await.is_empty());
}

async fn counts_what_waits(inbox: &impl Inbox) {
    let counts = inbox.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.waiting_bytes), (3, 3));
    assert_eq!(counts.admitted, 3);
}

async fn claims_before_work(inbox: &impl Inbox) {
    let attempts = async || -> Vec<u32> {
        let all = inbox.read(0, 10, usize::MAX).await.unwrap();
        all.iter().map(|delivery| delivery.attempts).collect()
    };
    inbox.suspect(2, 2).await.unwrap();
    assert_eq!(attempts().await, [1, 1, 0], "only the window");
    inbox.suspect(2, 2).await.unwrap();
    inbox.suspect(2, 2).await.unwrap();
    assert_eq!(attempts().await, [2, 2, 0], "not above the ceiling");
    assert_eq!(inbox.claim(1).await.unwrap(), 3);
    assert_eq!(inbox.claim(1).await.unwrap(), 4);
    inbox.release(1).await.unwrap();
    assert_eq!(attempts().await, [3, 2, 0]);
    assert_eq!(inbox.claim(999).await.unwrap(), 0, "unknown");
}

async fn finishes_and_parks_together(inbox: &impl Inbox) {
    let group = Group {
        admit: vec![delivery("d")],
        finish: vec![1, 3, 999],
        park: vec![parked(1, 0, "n1"), parked(1, 1, "n2")],
    };
    assert_eq!(inbox.commit(&group).await.unwrap(), Some(4));
    assert_eq!(bodies(inbox).await, ["b", "d"]);
    let again = Group {
        park: vec![NewParked {
            cause: "another".into(),
            ..parked(1, 0, "n1")
        }],
        ..Group::default()
    };
    inbox.commit(&again).await.unwrap();
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

async fn never_gives_an_id_twice(inbox: &impl Inbox) {
    let finish = Group {
        finish: vec![2, 4],
        ..Group::default()
    };
    inbox.commit(&finish).await.unwrap();
    assert!(bodies(inbox).await.is_empty());
    assert_eq!(inbox.commit(&admit(&["e"])).await.unwrap(), Some(5));
}

async fn keeps_walls_between_numbers(inbox: &impl Inbox) {
    let group = Group {
        park: vec![parked(5, 0, "n1"), parked(5, 1, "")],
        ..Group::default()
    };
    inbox.commit(&group).await.unwrap();
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
    let last = inbox.commit(&group).await.unwrap().unwrap();
    let found = inbox.read(last - 151, 1_000, usize::MAX).await.unwrap();
    let sizes: Vec<usize> = found.iter().map(|delivery| delivery.body.len()).collect();
    assert_eq!(sizes, (0..150).chain([4 << 20]).collect::<Vec<_>>());
    let grown = inbox.counts().await.unwrap().waiting_bytes - before;
    assert_eq!(grown, (0..150).sum::<u64>() + (4 << 20));
}
