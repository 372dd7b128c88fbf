//! Phones: what customers write and see.

use std::time::Duration;

use common::content::Content;
use lib_proto::common;
use lib_proto::sandbox::phone_event::Event;
use lib_proto::sandbox::{self as pb};
use lib_testkit::within;
use serde_json::{Value, json};
use tonic::Streaming;

use crate::harness::{NUMBER, Receiver, Stand, customer, from_customer};

async fn watch(stand: &mut Stand, only_new: bool) -> Streaming<pb::PhoneEvent> {
    let request = pb::WatchPhoneRequest {
        customer: Some(customer()),
        number_id: NUMBER.into(),
        only_new,
    };
    stand
        .phones
        .watch_phone(request)
        .await
        .unwrap()
        .into_inner()
}

async fn next(events: &mut Streaming<pb::PhoneEvent>) -> (String, Event) {
    let event = within(events.message()).await.unwrap().unwrap();
    (event.whatsapp_message_id, event.event.unwrap())
}

#[tokio::test]
async fn a_phone_shows_what_was_and_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    stand.create_template("UTILITY", "order_ready").await;
    let mut first = watch(&mut stand, false).await;
    let written = stand.write("Hi").await;
    let (id, event) = next(&mut first).await;
    assert!(id == written && matches!(event, Event::Sent(_)));
    assert_eq!(
        next(&mut first).await,
        (written.clone(), Event::Taken(true))
    );
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": written,
        "typing_indicator": {"type": "text"}});
    assert_eq!(
        stand.post(&read).await.unwrap(),
        (200, json!({"success": true}))
    );
    assert_eq!(
        next(&mut first).await,
        (written.clone(), Event::BusinessRead(true))
    );
    let template = stand.template("order_ready").await;
    stand.advance(Duration::from_secs(1)).await;
    let (id, event) = next(&mut first).await;
    let Event::Arrived(common::Content {
        content: Some(Content::Template(shown)),
    }) = event
    else {
        panic!("{event:?}")
    };
    assert_eq!(id, template);
    assert_eq!(
        shown.rendered,
        "News\n\nHello Pablo, this is about order_ready."
    );
    assert_eq!(
        (
            shown.buttons[0].kind.as_str(),
            shown.buttons[0].value.as_str()
        ),
        ("quick_reply", "Stop")
    );

    let mut again = watch(&mut stand, false).await;
    for _ in 0..3 {
        next(&mut again).await;
    }
    assert_eq!(next(&mut again).await.0, template);
    let mut new = watch(&mut stand, true).await;
    let second = stand.write("Thanks").await;
    assert_eq!(next(&mut new).await.0, second);
    assert_eq!(next(&mut again).await.0, second);
    drop((first, again, new));
    stand.stop().await;
}

fn message_of(_: &str, value: &Value) -> Option<Value> {
    value["messages"].get(0).cloned()
}

/// A content, its type in the webhook, and where to find what there.
type Case = (Content, &'static str, &'static str, Value);

fn media_and_places() -> Vec<Case> {
    let media = |kind: common::MediaKind| {
        Content::Media(common::Media {
            kind: kind.into(),
            ..Default::default()
        })
    };
    let place = common::Location {
        latitude: 40.7,
        longitude: -74.0,
        ..Default::default()
    };
    let card = common::ContactCard {
        name: "Ana".into(),
        phones: vec!["+1".into()],
        ..Default::default()
    };
    let cards = common::Contacts {
        cards: vec![card],
        origin: "other".into(),
    };
    let filename = json!("document.pdf");
    vec![
        (
            media(common::MediaKind::Image),
            "image",
            "/image/mime_type",
            json!("image/jpeg"),
        ),
        (
            media(common::MediaKind::Audio),
            "audio",
            "/audio/voice",
            json!(false),
        ),
        (
            media(common::MediaKind::Document),
            "document",
            "/document/filename",
            filename,
        ),
        (
            media(common::MediaKind::Sticker),
            "sticker",
            "/sticker/animated",
            json!(false),
        ),
        (
            Content::Location(place),
            "location",
            "/location/latitude",
            json!(40.7),
        ),
        (
            Content::Contacts(cards),
            "contacts",
            "/contacts/0/name/formatted_name",
            json!("Ana"),
        ),
    ]
}

fn replies() -> Vec<Case> {
    let reply = |kind: common::ReplyKind| {
        Content::Reply(common::Reply {
            kind: kind.into(),
            id: "sales".into(),
            title: "Sales".into(),
            data: r#"{"flow_token":"t"}"#.into(),
        })
    };
    let (button, list) = (
        reply(common::ReplyKind::Button),
        reply(common::ReplyKind::List),
    );
    let template = reply(common::ReplyKind::TemplateButton);
    let form = reply(common::ReplyKind::Form);
    let answers = json!(r#"{"flow_token":"t"}"#);
    vec![
        (
            button,
            "interactive",
            "/interactive/button_reply/id",
            json!("sales"),
        ),
        (
            list,
            "interactive",
            "/interactive/list_reply/title",
            json!("Sales"),
        ),
        (template, "button", "/button/payload", json!("sales")),
        (
            form,
            "interactive",
            "/interactive/nfm_reply/response_json",
            answers,
        ),
    ]
}

fn others(first: &str) -> Vec<Case> {
    let reaction = common::Reaction {
        target: first.into(),
        emoji: "👍".into(),
    };
    let item = common::OrderItem {
        product_id: "p".into(),
        quantity: "2".into(),
        price: "9.5".into(),
        currency: "USD".into(),
    };
    let order = common::Order {
        catalog_id: "c".into(),
        text: String::new(),
        items: vec![item],
    };
    let revoke = Content::Revoke(common::Revoke {
        target: first.into(),
    });
    let better = common::Text {
        body: "better".into(),
        preview_url: false,
    };
    let better = common::Content {
        content: Some(Content::Text(better)),
    };
    let edit = Content::Edit(Box::new(common::Edit {
        target: first.into(),
        replacement: Some(Box::new(better)),
    }));
    let poll = Content::Unsupported(common::Unsupported {
        kind: "poll_creation".into(),
    });
    let unknown = common::Unknown {
        kind: "hologram".into(),
        raw: "{\"depth\":3}".into(),
    };
    vec![
        (
            Content::Reaction(reaction),
            "reaction",
            "/reaction/emoji",
            json!("👍"),
        ),
        (
            Content::Order(order),
            "order",
            "/order/product_items/0/item_price",
            json!(9.5),
        ),
        (edit, "edit", "/edit/message/text/body", json!("better")),
        (
            revoke,
            "revoke",
            "/revoke/original_message_id",
            json!(first),
        ),
        (poll, "unsupported", "/errors/0/code", json!(131_051)),
        (
            Content::Unknown(unknown),
            "hologram",
            "/hologram/depth",
            json!(3),
        ),
    ]
}

#[tokio::test]
async fn every_kind_of_message_looks_as_meta_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    let first = stand.write("Hi").await;
    let cases = media_and_places()
        .into_iter()
        .chain(replies())
        .chain(others(&first));
    for (index, (content, kind, path, expected)) in cases.enumerate() {
        stand.write_content(content).await;
        let message = receiver
            .changes(index + 2, message_of)
            .await
            .remove(index + 1);
        assert_eq!(message["type"], kind);
        assert_eq!(message.pointer(path), Some(&expected), "{message}");
    }
    stand.stop().await;
}

#[tokio::test]
async fn a_new_number_makes_a_new_customer_of_the_same_person() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    let new = common::ContactIdentity {
        phone: "4917012345678".into(),
        ..Default::default()
    };
    let notice = common::SystemNotice {
        text: "changed".into(),
        kind: Some(common::system_notice::Kind::NumberChanged(new)),
    };
    stand.write_content(Content::System(notice)).await;
    let message = receiver.changes(1, message_of).await.remove(0);
    assert_eq!(message["system"]["wa_id"], "4917012345678");
    assert!(
        message["system"]["user_id"]
            .as_str()
            .unwrap()
            .starts_with("DE.")
    );
    assert_eq!(message["from"], "16505551234");
    stand.stop().await;
}

#[tokio::test]
async fn customers_cannot_send_what_only_businesses_send() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", &receiver).await;
    let template = common::TemplateSend {
        name: "a".into(),
        language: "en".into(),
        ..Default::default()
    };
    let empty = common::Text::default();
    let unknown = common::Unknown {
        kind: "x".into(),
        raw: "{".into(),
    };
    for content in [
        Content::Template(template),
        Content::Text(empty),
        Content::Unknown(unknown),
    ] {
        let request = pb::SendFromPhoneRequest {
            content: Some(common::Content {
                content: Some(content),
            }),
            ..from_customer()
        };
        let refused = stand.phones.send_from_phone(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    }
    let elsewhere = pb::SendFromPhoneRequest {
        number_id: "1".into(),
        content: Some(common::Content {
            content: Some(Content::Text(common::Text {
                body: "x".into(),
                preview_url: false,
            })),
        }),
        ..from_customer()
    };
    let refused = stand.phones.send_from_phone(elsewhere).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    stand.stop().await;
}
