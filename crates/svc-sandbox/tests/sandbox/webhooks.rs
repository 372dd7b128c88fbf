//! Deliveries: signature, retries, batches, order, duplicates, survival.

use std::time::Duration;

use lib_platform::Clock;
use lib_proto::sandbox::{self as pb};
use lib_testkit::{at, within};
use svc_sandbox::Config;

use crate::harness::{Receiver, SECRET, Stand, WABA, from_customer};

async fn deliveries(stand: &mut Stand) -> Vec<pb::Delivery> {
    let all = pb::ListDeliveriesRequest {
        offset: 0,
        limit: 0,
    };
    stand
        .sandbox
        .list_deliveries(all)
        .await
        .unwrap()
        .into_inner()
        .deliveries
}

/// Waits, without sleeping, until the sandbox has taken in the receiver's answers.
async fn attempts(stand: &mut Stand, delivery: usize, count: u32) {
    within(async {
        while deliveries(stand).await[delivery].attempts < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_exact_bytes_are_signed_and_only_ascii() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    receiver.verified().await;
    let id = stand.write("Olá 1️⃣ 👋").await;
    let webhook = receiver.webhooks(1).await.remove(0);
    assert!(webhook.signed_by(SECRET) && !webhook.signed_by("other"));
    assert!(webhook.bytes.is_ascii());
    let json = webhook.json();
    assert_eq!(json["entry"][0]["id"], WABA);
    assert!(json["entry"][0].get("time").is_none());
    let value = &json["entry"][0]["changes"][0]["value"];
    assert_eq!(value["contacts"][0]["profile"]["name"], "Pablo M.");
    assert_eq!(value["messages"][0]["id"], id.as_str());
    assert_eq!(value["messages"][0]["from"], "16505551234");
    assert_eq!(value["messages"][0]["timestamp"], "1795348800");
    assert_eq!(value["messages"][0]["text"]["body"], "Olá 1️⃣ 👋");
    stand.stop().await;
}

#[tokio::test]
async fn a_delivery_is_tried_with_growing_waits_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    receiver.answer(&[500, 503]);
    stand.write("Hi").await;
    receiver.webhooks(1).await;
    attempts(&mut stand, 0, 1).await;
    stand.advance(Duration::from_millis(999)).await;
    receiver.webhooks(1).await;
    stand.advance(Duration::from_millis(1)).await;
    receiver.webhooks(2).await;
    attempts(&mut stand, 0, 2).await;
    stand.advance(Duration::from_secs(2)).await;
    let webhooks = receiver.webhooks(3).await;
    assert!(
        webhooks
            .iter()
            .all(|webhook| webhook.bytes == webhooks[0].bytes)
    );
    attempts(&mut stand, 0, 3).await;
    let delivery = deliveries(&mut stand).await.remove(0);
    assert!(delivery.done && delivery.last_status == 200);
    stand.stop().await;
}

#[tokio::test]
async fn a_delivery_is_given_up_after_seven_days() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    receiver.answer(&[500, 500]);
    stand.write("Hi").await;
    attempts(&mut stand, 0, 1).await;
    stand.advance(Duration::from_secs(7 * 24 * 3_600 + 1)).await;
    attempts(&mut stand, 0, 2).await;
    let delivery = deliveries(&mut stand).await.remove(0);
    assert!(delivery.done && delivery.last_status == 500);
    stand.stop().await;
}

#[tokio::test]
async fn what_is_pending_goes_into_one_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    let batches = pb::DeliveryMode {
        batch: 4,
        shuffle: true,
        ..Default::default()
    };
    stand.delivery_mode(batches).await;
    receiver.close();
    for number in 0..6 {
        stand.write(&number.to_string()).await;
    }
    receiver.webhooks(1).await;
    receiver.open();
    let webhooks = receiver.webhooks(3).await;
    let sizes: Vec<usize> = webhooks
        .iter()
        .map(|webhook| webhook.changes().len())
        .collect();
    assert_eq!(sizes, [1, 4, 1]);
    stand.stop().await;
}

#[tokio::test]
async fn one_thread_leaves_in_order_and_duplicates_come_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    for number in 0..50 {
        stand.write(&number.to_string()).await;
    }
    let bodies = receiver
        .changes(50, |_, value| {
            Some(value["messages"][0]["text"]["body"].as_str()?.to_owned())
        })
        .await;
    let expected: Vec<String> = (0..50).map(|number: u32| number.to_string()).collect();
    assert_eq!(bodies, expected);
    let twice = pb::DeliveryMode {
        duplicate_per_thousand: 1_000,
        ..Default::default()
    };
    stand.delivery_mode(twice).await;
    stand.write("again").await;
    let webhooks = receiver.webhooks(52).await;
    assert_eq!(webhooks[50].bytes, webhooks[51].bytes);
    stand.stop().await;
}

#[tokio::test]
async fn nothing_that_was_promised_is_lost_when_the_sandbox_stops() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    let template = stand.create_template("UTILITY", "order_ready").await;
    receiver.webhooks(1).await;
    receiver.answer(&[500]);
    let written = stand.write("Hi").await;
    let sent = stand.text("hello").await;
    receiver.webhooks(2).await;
    // A batch that had to wait is kept too.
    stand
        .delivery_mode(pb::DeliveryMode {
            batch: 2,
            ..Default::default()
        })
        .await;
    attempts(&mut stand, 1, 1).await;
    receiver.close();
    stand.write("under way").await;
    stand.write("waiting").await;
    receiver.webhooks(3).await;
    stand.stop().await;
    receiver.open();

    let clock = Clock::virtual_at(at("2026-11-22T12:01:00Z"));
    let mut stand = Stand::start(folder.path(), clock, Config::default()).await;
    let statuses = receiver.statuses(&sent, 2).await;
    assert_eq!(
        (&statuses[0]["status"], &statuses[1]["status"]),
        (&"sent".into(), &"delivered".into())
    );
    // The time is when it happened, not when it was told.
    assert_eq!(statuses[1]["timestamp"], "1795348800");
    let again = |_: &str, value: &serde_json::Value| {
        let message = &value["messages"][0];
        message["id"]
            .as_str()
            .map(|id| (id.to_owned(), message["text"]["body"].clone()))
    };
    let messages = receiver.changes(5, again).await;
    assert_eq!(messages.iter().filter(|(id, _)| *id == written).count(), 2);
    for body in ["under way", "waiting"] {
        assert!(
            messages.iter().any(|(_, text)| text == body),
            "{messages:?}"
        );
    }
    let next = stand.write("next").await;
    assert!(
        messages.iter().all(|(id, _)| *id != next),
        "ids are never used twice"
    );
    assert_eq!(stand.sends().await.len(), 1);
    let (status, node) = stand
        .call("GET", &format!("v24.0/{template}"), &().into())
        .await
        .unwrap();
    assert_eq!((status, &node["status"]), (200, &"APPROVED".into()));
    stand.stop().await;
}

#[tokio::test]
async fn an_unreachable_business_gets_its_webhooks_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", lib_testkit::servers::free_port());
    let config = Config {
        first_backoff: Duration::from_millis(20),
        ..Config::default()
    };
    let mut stand = Stand::start(folder.path(), Clock::system(), config).await;
    stand
        .create_account(&format!("http://{address}/webhooks/whatsapp"))
        .await;
    stand.write("Hi").await;
    attempts(&mut stand, 0, 2).await;
    let receiver = Receiver::start().await;
    stand.create_account(&receiver.url).await;
    receiver.webhooks(1).await;
    receiver.verified().await;
    stand.stop().await;
}

#[tokio::test]
async fn a_body_of_the_callers_making_is_signed_and_sent_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    receiver.answer(&[401]);
    let body = b"{\"not\": \"a webhook\"".to_vec();
    let request = pb::DeliverRawRequest { body: body.clone() };
    let answer = stand
        .sandbox
        .deliver_raw(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.status, 401);
    let webhook = receiver.webhooks(1).await.remove(0);
    assert!(webhook.signed_by(SECRET) && webhook.bytes == body);
    let refused = stand.as_agent.deliver_raw(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(stand.phones.send_from_phone(from_customer()).await.is_err());
    stand.stop().await;
}
