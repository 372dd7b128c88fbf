//! Statuses, windows and prices.

use std::time::Duration;

use futures_util::future::join_all;
use lib_proto::common;
use lib_proto::sandbox::{self as pb};
use serde_json::{Value, json};

use crate::harness::{CUSTOMER, NUMBER, Receiver, Stand, customer, from_customer, text};

const SECOND: Duration = Duration::from_secs(1);

async fn open_chat(stand: &mut Stand) -> u32 {
    let request = pb::OpenChatRequest {
        customer: Some(customer()),
        number_id: NUMBER.into(),
    };
    stand
        .phones
        .open_chat(request)
        .await
        .unwrap()
        .into_inner()
        .messages_read
}

fn pricing(kind: &str, category: &str) -> Value {
    json!({"billable": kind == "regular", "pricing_model": "PMP", "type": kind,
        "category": category})
}

#[tokio::test]
async fn statuses_come_in_order_with_prices_on_sent_and_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2025-08-01T12:00:00Z", &receiver).await;
    stand.write("Hi").await;
    let id = stand.text("hello").await;
    stand.advance(Duration::from_millis(100)).await;
    receiver.statuses(&id, 1).await;
    assert_eq!(open_chat(&mut stand).await, 0, "it has not arrived yet");
    stand.advance(Duration::from_millis(200)).await;
    receiver.statuses(&id, 2).await;
    stand.advance(SECOND).await;
    assert_eq!(open_chat(&mut stand).await, 1);
    let statuses = receiver.statuses(&id, 3).await;
    let words: Vec<&str> = statuses
        .iter()
        .map(|status| status["status"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["sent", "delivered", "read"]);
    for status in &statuses {
        assert_eq!(status["recipient_id"], CUSTOMER);
        assert_eq!(status["biz_opaque_callback_data"], "v1.hello");
        assert!(status.get("conversation").is_none(), "none since v24");
        assert!(
            status.get("recipient_user_id").is_none(),
            "none before 2026-03-31"
        );
    }
    let free = pricing("free_customer_service", "service");
    assert_eq!(
        (&statuses[0]["pricing"], &statuses[1]["pricing"]),
        (&free, &free)
    );
    assert!(statuses[2].get("pricing").is_none());
    assert_eq!(statuses[2]["timestamp"], "1754049601");
    assert_eq!(open_chat(&mut stand).await, 0);
    stand.stop().await;
}

#[tokio::test]
async fn a_closed_window_fails_later_without_our_data() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00.700Z", &receiver).await;
    stand.create_template("UTILITY", "order_ready").await;
    stand.write("Hi").await;
    // The window counts from the second the webhook told.
    stand
        .advance(Duration::from_millis(24 * 3_600_000 - 701))
        .await;
    let inside = stand.text("inside").await;
    stand.advance(Duration::from_millis(1)).await;
    let outside = stand.text("outside").await;
    let template = stand.template("order_ready").await;
    stand.advance(SECOND).await;
    assert_eq!(
        receiver.statuses(&inside, 2).await[1]["status"],
        "delivered"
    );
    let failed = receiver.statuses(&outside, 1).await.remove(0);
    assert_eq!(
        (&failed["status"], &failed["errors"][0]["code"]),
        (&json!("failed"), &json!(131_047))
    );
    assert!(failed.get("biz_opaque_callback_data").is_none() && failed.get("pricing").is_none());
    assert_eq!(
        receiver.statuses(&template, 2).await[1]["status"],
        "delivered"
    );
    stand.stop().await;
}

/// The `pricing` of `delivered` for a text and a template of each category, in an open window.
async fn prices_at(start: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), start, &receiver).await;
    stand.write("Hi").await;
    let mut messages = vec![stand.text("hello").await];
    for category in ["UTILITY", "MARKETING"] {
        stand
            .create_template(category, &category.to_lowercase())
            .await;
        messages.push(stand.template(&category.to_lowercase()).await);
    }
    stand.advance(SECOND).await;
    let mut prices = Vec::new();
    for message in messages {
        prices.push(receiver.statuses(&message, 2).await[1]["pricing"].clone());
    }
    stand.stop().await;
    prices
}

#[tokio::test]
async fn prices_follow_the_era() {
    let conversation = |billable: bool, category: &str| json!({"billable": billable, "pricing_model": "CBP", "category": category});
    assert_eq!(
        prices_at("2025-06-30T12:00:00Z").await,
        [
            conversation(false, "service"),
            conversation(true, "utility"),
            conversation(true, "marketing")
        ]
    );
    assert_eq!(
        prices_at("2025-07-02T12:00:00Z").await,
        [
            pricing("free_customer_service", "service"),
            pricing("free_customer_service", "utility"),
            pricing("regular", "marketing")
        ]
    );
    assert_eq!(
        prices_at("2026-10-02T12:00:00Z").await,
        [
            pricing("free_customer_service", "service"),
            pricing("regular", "utility"),
            pricing("regular", "marketing")
        ]
    );
}

#[tokio::test]
async fn the_thousand_and_first_service_message_of_a_month_is_charged() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-10-31T12:00:00Z", &receiver).await;
    stand
        .delivery_mode(pb::DeliveryMode {
            batch: 1_000,
            ..Default::default()
        })
        .await;
    stand.write("Hi").await;
    for part in 0..10 {
        let texts: Vec<String> = (0..100).map(|number| format!("{part}.{number}")).collect();
        join_all(texts.iter().map(|body| stand.text(body))).await;
    }
    let last = stand.text("one too many").await;
    stand.advance(SECOND).await;
    let kinds = receiver
        .changes(1_001, |_, value| {
            let status = &value["statuses"][0];
            (status["status"] == "delivered").then(|| {
                (
                    status["id"] == last.as_str(),
                    status["pricing"]["type"].clone(),
                )
            })
        })
        .await;
    let charged: Vec<_> = kinds.iter().filter(|(_, kind)| kind == "regular").collect();
    assert_eq!(charged, [&(true, json!("regular"))]);
    // A new month of the account's calendar begins with a new allowance.
    stand.advance(Duration::from_secs(17 * 3_600)).await;
    let next_month = stand.text("november").await;
    stand.advance(SECOND).await;
    let statuses = receiver.statuses(&next_month, 2).await;
    assert_eq!(statuses[1]["pricing"]["type"], "free_customer_service");
    stand.stop().await;
}

#[tokio::test]
async fn an_advertisement_opens_a_free_entry_point() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    stand.create_template("MARKETING", "spring").await;
    let referral = common::Referral {
        source_type: "ad".into(),
        source_id: "120".into(),
        click_id: "click".into(),
        ..Default::default()
    };
    let content = common::Text {
        body: "I saw your ad".into(),
        preview_url: false,
    };
    let request = pb::SendFromPhoneRequest {
        content: Some(common::Content {
            content: Some(common::content::Content::Text(content)),
        }),
        referral: Some(referral),
        ..from_customer()
    };
    stand.write_request(request).await;
    let text = stand.text("welcome").await;
    stand.advance(SECOND).await;
    stand.advance(Duration::from_secs(70 * 3_600)).await;
    let late = stand.template("spring").await;
    stand.advance(SECOND).await;
    let first = receiver.statuses(&text, 2).await;
    let second = receiver.statuses(&late, 2).await;
    assert_eq!(
        first[0]["pricing"],
        pricing("free_entry_point", "referral_conversion")
    );
    assert_eq!(
        second[1]["pricing"],
        pricing("free_entry_point", "referral_conversion")
    );
    let conversation = &first[0]["conversation"];
    assert_eq!(conversation["origin"]["type"], "referral_conversion");
    assert!(conversation["expiration_timestamp"].is_string());
    assert_eq!(second[0]["conversation"]["id"], conversation["id"]);
    assert!(
        second[1]["conversation"]
            .get("expiration_timestamp")
            .is_none()
    );
    stand.advance(Duration::from_secs(3 * 3_600)).await;
    let charged = stand.template("spring").await;
    stand.advance(SECOND).await;
    let third = receiver.statuses(&charged, 2).await;
    assert_eq!(third[1]["pricing"], pricing("regular", "marketing"));
    let seen = receiver
        .changes(1, |_, value| value["messages"][0].get("referral").cloned())
        .await;
    assert_eq!(seen[0]["ctwa_clid"], "click");
    stand.stop().await;
}

#[tokio::test]
async fn conversations_were_shared_by_messages_of_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2024-03-01T12:00:00Z", &receiver).await;
    stand.create_template("MARKETING", "spring").await;
    stand.write("Hi").await;
    let (one, two) = (stand.text("one").await, stand.text("two").await);
    stand.advance(SECOND).await;
    let marketing = stand.template("spring").await;
    stand.advance(SECOND).await;
    let sent = |statuses: Vec<Value>| statuses[0]["conversation"].clone();
    let one = sent(receiver.statuses(&one, 2).await);
    let two = sent(receiver.statuses(&two, 2).await);
    let marketing = sent(receiver.statuses(&marketing, 2).await);
    assert_eq!(one, two);
    assert_eq!(one["origin"]["type"], "service");
    assert_ne!(one["id"], marketing["id"]);
    assert_eq!(marketing["origin"]["type"], "marketing");
    stand.stop().await;
}

#[tokio::test]
async fn customers_may_be_known_by_user_id_only() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    let content = common::Text {
        body: "Hi".into(),
        preview_url: false,
    };
    let request = pb::SendFromPhoneRequest {
        content: Some(common::Content {
            content: Some(common::content::Content::Text(content)),
        }),
        hide_phone: true,
        ..from_customer()
    };
    stand.write_request(request).await;
    let webhook = receiver.webhooks(1).await.remove(0);
    assert!(!String::from_utf8_lossy(&webhook.bytes).contains(CUSTOMER));
    let (_, value) = webhook.changes().remove(0);
    let message = &value["messages"][0];
    assert!(message.get("from").is_none() && value["contacts"][0].get("wa_id").is_none());
    let user_id = message["from_user_id"].as_str().unwrap().to_owned();
    assert!(user_id.starts_with("US."), "{user_id}");
    let mut body = text("hello");
    body.as_object_mut().unwrap().remove("to");
    body["recipient"] = json!(user_id);
    let (status, answer) = stand.post(&body).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["contacts"],
        json!([{"input": user_id, "user_id": user_id}])
    );
    let id = answer["messages"][0]["id"].as_str().unwrap();
    stand.advance(SECOND).await;
    for status in receiver.statuses(id, 2).await {
        assert!(status.get("recipient_id").is_none());
        assert_eq!(status["recipient_user_id"], user_id.as_str());
    }
    body["recipient"] = json!("US.00000000000000000");
    assert_eq!(stand.post(&body).await.unwrap().1["error"]["code"], 131_009);
    stand.stop().await;
}
