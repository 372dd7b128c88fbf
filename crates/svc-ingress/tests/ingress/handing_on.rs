//! From the inbox to the conversation log: nothing lost, in order, whatever fails in between.

use core_types::Timestamp;
use lib_proto::common::fact;
use lib_proto::ingress as pb;
use lib_testkit::SERVICE;
use svc_ingress::embedded::EmbeddedInbox;
use svc_ingress::inbox::{Group, Inbox as _, NewDelivery};

use crate::peer::{Answer, Peer};
use crate::site::{Site, delivery, free_address, message, one};

fn keys(ids: impl IntoIterator<Item = usize>) -> Vec<String> {
    ids.into_iter().map(|n| format!("m:wamid.{n}")).collect()
}

#[tokio::test]
async fn an_item_arrives_typed_with_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    let _log = peer.serve(&address).await;
    let site = Site::start(folder.path(), &address).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let post = site.signed(one("491511", "wamid.1"));
    let answer = post.header("traceparent", trace).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    peer.until(|keys| keys == ["m:wamid.1"]).await;
    let item = peer.taken().remove(0);
    assert_eq!(item.traceparent, trace);
    assert!(item.admitted_at.is_some());
    let fact = item.fact.unwrap();
    assert_eq!(
        (fact.number_id.as_str(), fact.waba_id.as_str()),
        ("100", "777")
    );
    let Some(fact::Body::Message(message)) = fact.body else {
        panic!("not a message: {fact:?}");
    };
    assert_eq!(message.from.unwrap().phone, "491511");
    site.emptied().await;
}

#[tokio::test]
async fn w38_a_garbled_time_becomes_the_time_of_admission() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    let _log = peer.serve(&address).await;
    let site = Site::start(folder.path(), &address).await;
    let mut late = message("491511", "wamid.1");
    late["timestamp"] = "99999999999999".into();
    assert_eq!(site.post(delivery(&[("100", vec![late])])).await, 200);
    peer.until(|keys| keys.len() == 1).await;
    let item = peer.taken().remove(0);
    let Some(fact::Body::Message(message)) = item.fact.unwrap().body else {
        panic!("not a message");
    };
    assert_eq!(message.sent_at, item.admitted_at);
}

#[tokio::test]
async fn while_the_log_is_down_admission_goes_on_and_order_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    let site = Site::start(folder.path(), &address).await;
    for n in 0..50 {
        assert_eq!(site.post(one("491511", &format!("wamid.{n}"))).await, 200);
    }
    let log = peer.serve(&address).await;
    assert_eq!(peer.until(|keys| keys.len() == 50).await, keys(0..50));
    assert!(peer.calls.lock().unwrap().len() < 50, "items go in batches");
    log.stop().await;
    for n in 50..60 {
        assert_eq!(site.post(one("491511", &format!("wamid.{n}"))).await, 200);
    }
    let _log = peer.serve(&address).await;
    assert_eq!(peer.until(|keys| keys.len() == 60).await, keys(0..60));
    assert_eq!(site.emptied().await.parked_items, 0);
}

#[tokio::test]
async fn duplicates_end_without_effect() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    let _log = peer.serve(&address).await;
    let site = Site::start(folder.path(), &address).await;
    let posts = (0..20).map(|_| site.post(one("491511", "wamid.1")));
    let statuses = futures_util::future::join_all(posts).await;
    assert_eq!(statuses, [200; 20]);
    let state = site.emptied().await;
    assert_eq!((state.admitted_deliveries, state.parked_items), (20, 0));
    assert_eq!(peer.taken().len(), 1);
}

#[tokio::test]
async fn after_a_crash_it_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    // Each start leaves what it was at work on unfinished, many times over, and nothing is blamed.
    for round in 0..8 {
        let site = Site::start(folder.path(), &address).await;
        for n in 0..5 {
            let id = format!("wamid.{}", round * 5 + n);
            assert_eq!(site.post(one("491511", &id)).await, 200);
        }
        site.crash().await;
    }
    let site = Site::start(folder.path(), &address).await;
    let _log = peer.serve(&address).await;
    assert_eq!(peer.until(|keys| keys.len() == 40).await, keys(0..40));
    assert_eq!(site.emptied().await.parked_items, 0);
}

#[tokio::test]
async fn a_delivery_that_ended_the_process_five_times_is_parked_unread() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    let file = folder.path().join("ingress.db");
    let inbox = EmbeddedInbox::open(&file).await.unwrap();
    let delivery = |n: usize| NewDelivery {
        admitted_at: Timestamp::from_micros(1),
        traceparent: String::new(),
        body: one("491511", &format!("wamid.{n}")).into(),
    };
    let group = Group {
        admit: (0..4).map(delivery).collect(),
        ..Group::default()
    };
    inbox.commit(&group).await.all().unwrap();
    // The process ended twice at work on the first two, then three times on the second alone.
    for _ in 0..2 {
        inbox.begin(1, 2, 2).await.unwrap();
    }
    for _ in 0..3 {
        inbox.claim(1, 2).await.unwrap();
    }
    let _log = peer.serve(&address).await;
    let site = Site::start(folder.path(), &address).await;
    peer.until(|seen| seen == ["m:wamid.0", "m:wamid.2", "m:wamid.3"])
        .await;
    assert_eq!(site.emptied().await.parked_items, 1);
    let parked = site.parked(SERVICE).await.remove(0);
    assert_eq!(
        (parked.delivery_id.as_str(), parked.position.as_str()),
        ("2", "body")
    );
    let request = pb::ReplayParkedItemRequest { id: parked.id };
    let replayed = site.client(SERVICE).replay_parked_item(request).await;
    assert!(replayed.unwrap().into_inner().taken);
    peer.until(|seen| seen.last().is_some_and(|key| key == "m:wamid.1"))
        .await;
    assert!(site.parked(SERVICE).await.is_empty());
}

#[tokio::test]
async fn an_item_that_keeps_failing_is_parked_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    peer.answers(|key| match key {
        "m:wamid.bad" => Answer::Retry,
        _ => Answer::Take,
    });
    let _log = peer.serve(&address).await;
    let site = Site::start(folder.path(), &address).await;
    assert_eq!(site.post(one("491511", "wamid.bad")).await, 200);
    // Alone it is only tried again; beside siblings that are taken it counts.
    let mut n = 0;
    while site.inbox().await.parked_items == 0 {
        assert!(n < 1_000);
        assert_eq!(site.post(one("491522", &format!("wamid.{n}"))).await, 200);
        n += 1;
        peer.until(|keys| keys.len() == n).await;
    }
    site.emptied().await;
    assert_eq!(peer.taken().len(), n);
    let parked = site.parked(SERVICE).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].attempts, 5);
    assert_eq!(parked[0].number_id, "100");
}

#[tokio::test]
async fn an_item_that_fails_whole_calls_is_found_and_parked() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    peer.answers(|key| match key {
        "m:wamid.bad" => Answer::Fail,
        _ => Answer::Take,
    });
    let _log = peer.serve(&address).await;
    let site = Site::start(folder.path(), &address).await;
    let mut n = 0;
    assert_eq!(site.post(one("491511", "wamid.bad")).await, 200);
    while site.inbox().await.parked_items == 0 {
        assert!(n < 1_000);
        assert_eq!(site.post(one("491522", &format!("wamid.{n}"))).await, 200);
        n += 1;
        peer.until(|keys| keys.len() == n).await;
    }
    assert_eq!(site.post(one("491511", "wamid.after")).await, 200);
    peer.until(|keys| keys.last().is_some_and(|key| key == "m:wamid.after"))
        .await;
}

#[tokio::test]
async fn many_items_of_one_delivery_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::new(), free_address());
    let _log = peer.serve(&address).await;
    let site = Site::start(folder.path(), &address).await;
    let messages = (0..1_000).map(|n| message("491511", &format!("wamid.{n}")));
    let body = delivery(&[("100", messages.collect())]);
    assert_eq!(site.post(body).await, 200);
    assert_eq!(peer.until(|keys| keys.len() == 1_000).await, keys(0..1_000));
    assert!(peer.calls.lock().unwrap().iter().all(|items| *items <= 500));
    site.emptied().await;
}
