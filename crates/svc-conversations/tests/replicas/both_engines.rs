//! What both engines answer to the same questions is the same.

use core_types::{ContactIdentity, Content, FactBody};
use lib_proto::conversations as pb;
use lib_storage::Engine;

use crate::world::World;

/// A world in which four customers said something.
async fn told(engine: Engine) -> World {
    let world = World::start_on(engine, 1).await;
    let said = [
        ("16505550001", "Zoë Müller", "Where is my Grüne order?"),
        ("16505550002", "100%_Bob\\", "my order-again, ORDER 12"),
        (
            "4915112345678",
            "ZOE",
            "naïve café: 50% off? 'or' \"and\" NOT",
        ),
        ("4915112345679", "", "한국어 주문 \u{1f600} привет Мир"),
    ];
    for (n, (phone, name, body)) in said.into_iter().enumerate() {
        world.clock.advance(std::time::Duration::from_secs(1));
        let content = Content::Text {
            body: body.to_owned(),
            preview_url: false,
        };
        let mut fact = world.message("n1", &format!("w{n}"), phone, content);
        if let FactBody::Message(message) = &mut fact.body {
            message.from = ContactIdentity {
                display_name: Some(name.to_owned()).filter(|name| !name.is_empty()),
                username: Some(format!("User_{n}")),
                ..message.from.clone()
            };
        }
        world.receive(vec![fact]).await;
    }
    world
}

/// What is answered to the same questions.
async fn answers(engine: Engine) -> Vec<String> {
    let world = told(engine).await;
    let mut answers = Vec::new();
    for contact in [
        "", "zoe", "MÜLLER", "%", "_", "\\", "user_2", "USER_1", "650555", "49 151", "12", "nobody",
    ] {
        let request = pb::ListConversationsRequest {
            contact: contact.to_owned(),
            ..pb::ListConversationsRequest::default()
        };
        let found = world
            .people("sue")
            .list_conversations(request)
            .await
            .unwrap();
        let found = found.into_inner().conversations.into_iter();
        let phones: Vec<String> = found.map(|it| it.contact.unwrap().phone).collect();
        answers.push(format!("contact {contact:?}: {phones:?}"));
    }
    for query in [
        "order my",
        "GRUNE",
        "grüne",
        "order-again",
        "again order 12",
        "cafe",
        "50%",
        "or and not",
        "주문",
        "привет мир",
        "\" XOR (",
        "ord",
        "!order",
        "a & b",
        "off naive",
    ] {
        let request = pb::SearchMessagesRequest {
            query: query.to_owned(),
            ..pb::SearchMessagesRequest::default()
        };
        let found = world.people("ada").search_messages(request).await.unwrap();
        let found = found.into_inner().messages.into_iter();
        let ids: Vec<String> = found.map(|it| it.whatsapp_message_id).collect();
        answers.push(format!("words {query:?}: {ids:?}"));
    }
    world.verify().await;
    answers
}

#[tokio::test]
async fn lists_and_search_are_the_same_on_both_engines() {
    let embedded = answers(Engine::Sqlite).await;
    assert_eq!(embedded, answers(Engine::Postgres).await);
    let found = |question: &str| {
        let line = embedded.iter().find(|line| line.starts_with(question));
        line.unwrap().trim_start_matches(question).to_owned()
    };
    assert_eq!(
        found("contact \"zoe\": "),
        "[\"4915112345678\", \"16505550001\"]"
    );
    assert_eq!(found("contact \"%\": "), "[\"16505550002\"]");
    assert_eq!(found("words \"order my\": "), "[\"w1\", \"w0\"]");
    assert_eq!(found("words \"GRUNE\": "), "[\"w0\"]");
    assert_eq!(found("words \"or and not\": "), "[\"w2\"]");
    assert_eq!(found("words \"ord\": "), "[]");
}
