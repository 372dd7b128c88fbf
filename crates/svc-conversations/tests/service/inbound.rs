//! Webhook items: once, in order, each for itself; the flow's steps; customers and windows.

use core_types::{
    AccountFact, ContactIdentity, Content, FactBody, SystemNotice, WhatsAppMessageId,
};
use lib_proto::conversations as pb;
use lib_proto::conversations::log_entry::Event;
use lib_testkit::SERVICE;
use pb::receive_result::Outcome;

use crate::peers::FLOW_WAIT;
use crate::world::{World, fact};

#[tokio::test]
async fn a_message_starts_the_flow_and_a_duplicate_does_nothing() {
    let world = World::start().await;
    let first = world.text("w1", "16505551111", "hello");
    let results = world.receive(vec![first.clone(), first.clone()]).await;
    assert_eq!(results, [Outcome::Taken, Outcome::Duplicate]);
    assert_eq!(world.receive(vec![first]).await, [Outcome::Duplicate]);
    let conversation = world.conversation("16505551111").await;
    let messages = world.messages(&conversation.id).await;
    let authors: Vec<_> = messages.iter().map(|it| it.author.as_str()).collect();
    assert_eq!(authors, ["contact", "flow", "flow"]);
    let engagement = world.engagement(&conversation.engagement_id).await;
    assert_eq!(engagement.state(), pb::EngagementState::InFlow);
    assert_eq!(engagement.flow_version, 3);
    assert!(conversation.window.unwrap().open);
    world.verify().await;
}

#[tokio::test]
async fn one_bad_item_leaves_its_siblings_alone() {
    let world = World::start().await;
    let content = Content::Text {
        body: "who?".to_owned(),
        preview_url: false,
    };
    let unknown = world.message("n9", "w2", "16505552222", content);
    let mut nobody = world.text("w3", "16505553333", "x");
    if let FactBody::Message(message) = &mut nobody.body {
        message.from = ContactIdentity::default();
    }
    let facts = vec![
        world.text("w1", "16505551111", "a"),
        unknown,
        nobody,
        world.text("w4", "16505554444", "d"),
    ];
    let results = world.receive_items(facts).await;
    let outcomes: Vec<_> = results.iter().map(pb::ReceiveResult::outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Taken,
            Outcome::Refused,
            Outcome::Refused,
            Outcome::Taken
        ]
    );
    assert_eq!(results[1].cause, "number n9 is not connected to any tenant");
    // Both flows took their step in one call.
    assert_eq!(world.flows.calls(), [2]);
}

#[tokio::test]
async fn items_of_one_conversation_stay_in_order_while_the_flow_is_away() {
    let world = World::start().await;
    let batch = || {
        vec![
            world.text("w1", "16505551111", "hi"),
            world.text("w2", "16505551111", "1"),
        ]
    };
    world.flows.set_down(true);
    let results = world.receive(batch()).await;
    assert_eq!(results, [Outcome::Retry, Outcome::Retry]);
    world.flows.set_down(false);
    assert_eq!(
        world.receive(batch()).await,
        [Outcome::Taken, Outcome::Taken]
    );
    let conversation = world.conversation("16505551111").await;
    let engagement = world.engagement(&conversation.engagement_id).await;
    assert_eq!(engagement.state(), pb::EngagementState::Queued);
    assert_eq!(engagement.queue_id, "sales");
    assert_eq!(engagement.variables["choice"], "1");
    assert_eq!(engagement.epoch, 1);
    world.verify().await;
}

#[tokio::test]
async fn what_the_flow_cannot_do_people_do() {
    let world = World::start().await;
    world.says("w1", "16505551111", "break").await;
    let content = Content::Text {
        body: "hi".to_owned(),
        preview_url: false,
    };
    let no_flow = world.message("n3", "w2", "16505552222", content);
    assert_eq!(world.receive(vec![no_flow]).await, [Outcome::Taken]);
    for phone in ["16505551111", "16505552222"] {
        let conversation = world.conversation(phone).await;
        let engagement = world.engagement(&conversation.engagement_id).await;
        assert_eq!(engagement.state(), pb::EngagementState::Queued, "{phone}");
        assert_eq!(engagement.queue_id, "support");
    }
    world.verify().await;
}

#[tokio::test]
async fn a_wait_ends_by_the_clock_and_an_end_is_an_end() {
    let mut world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    let mut log = world.watch(SERVICE, "").await;
    world.restart().await;
    drop(log);
    log = world.watch(SERVICE, "").await;
    world
        .clock
        .advance(std::time::Duration::from_secs(FLOW_WAIT));
    let queued = log
        .until(|event| match event {
            Event::EngagementQueued(queued) => Some(queued.clone()),
            _ => None,
        })
        .await;
    assert_eq!(queued.queue_id, "support");
    world.says("w2", "16505552222", "hi").await;
    world.says("w3", "16505552222", "bye").await;
    let conversation = world.conversation("16505552222").await;
    let engagement = world.engagement(&conversation.engagement_id).await;
    assert_eq!(engagement.state(), pb::EngagementState::Closed);
    assert_eq!(engagement.close_reason, "flow_ended");
    world.says("w4", "16505552222", "hi again").await;
    let next = world.conversation("16505552222").await.engagement_id;
    assert_eq!(next, format!("{}.e2", conversation.id));
    world.verify().await;
}

#[tokio::test]
async fn reactions_edits_and_revokes_find_their_message_even_when_they_come_first() {
    let world = World::start().await;
    let phone = "16505551111";
    let target = || WhatsAppMessageId::new("w1").unwrap();
    let reaction = Content::Reaction {
        target: target(),
        emoji: Some("👍".to_owned()),
    };
    let edit = Content::Edit {
        target: target(),
        replacement: Box::new(Content::Text {
            body: "hello there".to_owned(),
            preview_url: false,
        }),
    };
    let revoke = Content::Revoke { target: target() };
    let facts = vec![
        world.message("n1", "w2", phone, reaction),
        world.message("n1", "w3", phone, edit),
        world.text("w1", phone, "helo"),
        world.message("n1", "w4", phone, revoke),
    ];
    assert_eq!(world.receive(facts).await, [Outcome::Taken; 4]);
    let conversation = world.conversation(phone).await;
    let messages = world.messages(&conversation.id).await;
    let original = messages
        .iter()
        .find(|it| it.whatsapp_message_id == "w1")
        .unwrap();
    assert_eq!(original.reactions["contact"], "👍");
    assert_eq!(original.edited_text, "hello there");
    assert!(original.revoked);
    // Only the message itself spoke to the flow.
    assert_eq!(world.flows.calls(), [1]);
    world.verify().await;
}

#[tokio::test]
async fn a_new_number_is_the_same_customer_and_its_old_number_nobody() {
    let world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    let before = world.conversation("16505551111").await;
    let notice = Content::System(SystemNotice::NumberChanged {
        text: "changed".to_owned(),
        new_identity: ContactIdentity::from_phone("16505559999").unwrap(),
    });
    let notice = world.message("n1", "w2", "16505551111", notice);
    assert_eq!(world.receive(vec![notice]).await, [Outcome::Taken]);
    world.says("w3", "16505559999", "it is me").await;
    let after = world.conversation("16505559999").await;
    assert_eq!(after.id, before.id);
    world.says("w4", "16505551111", "a stranger").await;
    assert_ne!(world.conversation("16505551111").await.id, before.id);
    world.verify().await;
}

#[tokio::test]
async fn the_window_follows_metas_clock_and_never_goes_back() {
    let world = World::start().await;
    let now = world.clock.now();
    let day = std::time::Duration::from_secs(24 * 3_600);
    let at = |id: &str, at| {
        let mut item = world.text(id, "16505551111", "x");
        if let FactBody::Message(message) = &mut item.body {
            message.sent_at = at;
        }
        item
    };
    let minute = std::time::Duration::from_secs(60);
    for (id, sent_at, closes) in [
        ("w1", now.minus(minute), now.minus(minute).plus(day)),
        ("w2", now.minus(minute * 9), now.minus(minute).plus(day)),
        ("w3", now.plus(day), now.plus(day)),
    ] {
        assert_eq!(world.receive(vec![at(id, sent_at)]).await, [Outcome::Taken]);
        let window = world.conversation("16505551111").await.window.unwrap();
        let closes = lib_proto::timestamp_to_proto(closes);
        assert_eq!(window.closes_at.unwrap(), closes, "{id}");
    }
}

#[tokio::test]
async fn account_facts_are_in_the_log_of_their_tenant() {
    let world = World::start().await;
    let account = |key: &str, waba: &str| {
        let mut item = fact(
            "",
            key,
            FactBody::Account(AccountFact {
                field: "message_template_status_update".to_owned(),
                event: "APPROVED".to_owned(),
                known: true,
                occurred_at: None,
                attributes: std::collections::BTreeMap::new(),
                raw: "{}".to_owned(),
            }),
        );
        item.waba_id = core_types::WabaId::new(waba).unwrap();
        item
    };
    let results = world
        .receive(vec![account("h1", "w1"), account("h2", "w9")])
        .await;
    assert_eq!(results, [Outcome::Taken, Outcome::Refused]);
    let entry = world.watch("ada", "").await.next().await;
    assert_eq!(
        (entry.tenant_id.as_str(), entry.waba_id.as_str()),
        ("acme", "w1")
    );
    assert!(matches!(entry.event, Some(Event::Account(_))));
}

#[tokio::test]
async fn a_number_that_changed_hands_is_another_customer() {
    let world = World::start().await;
    let phone = "16505551111";
    let by = |id: &str, user: &str, phone: Option<&str>| {
        let mut item = world.text(id, "16505550000", "hi");
        if let FactBody::Message(message) = &mut item.body {
            message.from = ContactIdentity {
                user_id: Some(user.to_owned()).filter(|user| !user.is_empty()),
                phone: phone.map(str::to_owned),
                ..ContactIdentity::default()
            };
        }
        item
    };
    let list = async || {
        let request = pb::ListConversationsRequest::default();
        let found = world.people(SERVICE).list_conversations(request).await;
        let mut found = found.unwrap().into_inner().conversations;
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    };
    // Known by number only at first; then the user id is learnt.
    for item in [by("w1", "", Some(phone)), by("w2", "US.1", Some(phone))] {
        assert_eq!(world.receive(vec![item]).await, [Outcome::Taken]);
    }
    assert_eq!(list().await.len(), 1);
    // In one batch: the new owner of the number, the old one, and the number alone.
    let batch = vec![
        by("w3", "US.2", Some(phone)),
        by("w4", "US.1", None),
        by("w5", "", Some(phone)),
    ];
    assert_eq!(world.receive(batch).await, [Outcome::Taken; 3]);
    let found = list().await;
    let users: Vec<_> = found
        .iter()
        .map(|it| it.contact.clone().unwrap())
        .map(|contact| (contact.user_id, contact.phone))
        .collect();
    let expected = [("US.1", ""), ("US.2", phone)].map(|(u, p)| (u.to_owned(), p.to_owned()));
    assert_eq!(
        users, expected,
        "nothing goes to the number by the old name"
    );
    let heard = async |conversation: &pb::Conversation| {
        let messages = world.messages(&conversation.id).await;
        let heard = messages.into_iter().filter(|it| it.author == "contact");
        heard.map(|it| it.whatsapp_message_id).collect::<Vec<_>>()
    };
    assert_eq!(heard(&found[0]).await, ["w1", "w2", "w4"]);
    assert_eq!(heard(&found[1]).await, ["w3", "w5"]);
    // Later commits of the old conversation do not take the number back.
    for item in [by("w6", "US.1", None), by("w7", "", Some(phone))] {
        assert_eq!(world.receive(vec![item]).await, [Outcome::Taken]);
    }
    assert_eq!(heard(&found[1]).await, ["w3", "w5", "w7"]);
    world.verify().await;
}

#[tokio::test]
async fn a_stranger_with_a_number_given_up_in_the_same_batch_is_a_stranger() {
    let world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    let notice = Content::System(SystemNotice::NumberChanged {
        text: "changed".to_owned(),
        new_identity: ContactIdentity::from_phone("16505559999").unwrap(),
    });
    let batch = vec![
        world.message("n1", "w2", "16505551111", notice),
        world.text("w3", "16505551111", "a stranger"),
        world.text("w4", "16505559999", "it is me"),
    ];
    assert_eq!(world.receive(batch).await, [Outcome::Taken; 3]);
    let (old, new) = (
        world.conversation("16505559999").await,
        world.conversation("16505551111").await,
    );
    assert_ne!(old.id, new.id);
    assert_eq!(new.last_message_summary, "1 or 2?");
    world.verify().await;
}
