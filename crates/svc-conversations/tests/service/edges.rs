//! What goes wrong alone, what comes together, and customers who come through advertisements.

use std::time::Duration;

use core_types::{Content, DeliveryStatus, Echo, FactBody, Referral, WhatsAppMessageId};
use lib_proto::conversations as pb;
use lib_testkit::SERVICE;
use pb::receive_result::Outcome;

use crate::peers::FLOW_WAIT;
use crate::world::{World, accepted, fact};

#[tokio::test]
async fn a_unit_the_database_refuses_fails_alone() {
    let world = World::start().await;
    let mut outbox = world.outbox().await;
    world.says("w1", "16505551111", "hi").await;
    world.says("w2", "16505552222", "hi").await;
    let (one, two) = (outbox.next().await, outbox.next().await);
    for intent in [&one, &two] {
        assert!(world.grant(&intent.message_id, 1).await);
    }
    // Meta never gives one id to two messages; if it did, only the second would suffer.
    let result = |message: &str, wamid: &str| pb::AttemptResult {
        attempt: Some(pb::AttemptKey {
            message_id: message.to_owned(),
            attempt: 1,
        }),
        outcome: Some(accepted(wamid)),
    };
    let request = pb::FinishAttemptsRequest {
        results: vec![
            result(&one.message_id, "wamid.same"),
            result(&two.message_id, "wamid.same"),
        ],
    };
    world.log().finish_attempts(request).await.unwrap();
    let state = async |phone: &str| {
        let conversation = world.conversation(phone).await;
        world.messages(&conversation.id).await[1].send_state()
    };
    assert_eq!(state("16505551111").await, pb::SendState::Accepted);
    assert_eq!(state("16505552222").await, pb::SendState::InFlight);
    world.says("w3", "16505552222", "still here").await;
    world.verify().await;
}

#[tokio::test]
async fn many_callers_at_once_lose_nothing_and_double_nothing() {
    let world = World::start().await;
    let calls = (0..40).map(|n| {
        let phone = format!("1650555{:04}", n % 8);
        let item = world.text(&format!("w{}", n / 2), &phone, "hello");
        // Every item comes twice, by two callers.
        let again = world.text(&format!("v{n}"), &phone, "and more");
        world.receive(vec![item, again])
    });
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(
        outcomes
            .iter()
            .flatten()
            .all(|outcome| *outcome != Outcome::Refused)
    );
    let mut entries = world.watch(SERVICE, "").await;
    let mut last = std::collections::BTreeMap::new();
    let total: u64 = {
        let mut total = 0;
        for n in 0..8 {
            total += world.conversation(&format!("1650555{n:04}")).await.sequence;
        }
        total
    };
    for _ in 0..total {
        let entry = entries.next().await;
        let before = last.insert(entry.conversation_id.clone(), entry.sequence);
        assert_eq!(entry.sequence, before.unwrap_or(0) + 1, "no gap, no repeat");
    }
    world.verify().await;
}

#[tokio::test]
async fn the_first_answer_to_an_advertisement_opens_three_free_days() {
    let world = World::start().await;
    let mut item = world.text("w1", "16505551111", "I saw your ad");
    if let FactBody::Message(message) = &mut item.body {
        message.referral = Some(Referral {
            source_type: "ad".to_owned(),
            source_id: "1".to_owned(),
            ..Referral::default()
        });
    }
    assert_eq!(world.receive(vec![item]).await, [Outcome::Taken]);
    let free = || async {
        let window = world.conversation("16505551111").await.window.unwrap();
        window.free_entry_point_until.map(|at| at.seconds)
    };
    assert_eq!(free().await, None, "nothing is free before the answer");
    world.clock.advance(Duration::from_secs(3_600));
    // The flow's wait is over by now; its first messages still go out.
    assert!(Duration::from_secs(3_600) > Duration::from_secs(FLOW_WAIT));
    let mut outbox = world.outbox().await;
    let answered = world.clock.now();
    world.send_all(&mut outbox, 1).await;
    let until = answered.plus(Duration::from_secs(72 * 3_600)).as_seconds();
    assert_eq!(free().await, Some(until));
    world.clock.advance(Duration::from_secs(60));
    world.send_all(&mut outbox, 1).await;
    assert_eq!(free().await, Some(until), "later answers change nothing");
    world.verify().await;
}

#[tokio::test]
async fn an_echo_is_a_message_of_the_business_and_opens_nothing() {
    let world = World::start().await;
    let early = world.status("wamid.e", DeliveryStatus::Read, "");
    assert_eq!(world.receive(vec![early]).await, [Outcome::Taken]);
    let echo = fact(
        "n1",
        "m:wamid.e",
        FactBody::Echo(Box::new(Echo {
            id: WhatsAppMessageId::new("wamid.e").unwrap(),
            to: core_types::ContactIdentity::from_phone("16505551111").unwrap(),
            sent_at: world.clock.now(),
            content: Content::Text {
                body: "from the phone".to_owned(),
                preview_url: false,
            },
        })),
    );
    assert_eq!(world.receive(vec![echo]).await, [Outcome::Taken]);
    let conversation = world.conversation("16505551111").await;
    assert_eq!(conversation.engagement_id, "");
    assert!(!conversation.window.unwrap().open);
    let message = world.messages(&conversation.id).await.remove(0);
    assert_eq!(message.direction(), pb::Direction::Echo);
    assert_eq!(
        message.status,
        i32::from(lib_proto::common::DeliveryStatus::Read)
    );
    world.verify().await;
}

#[tokio::test]
async fn a_deadline_waits_for_the_flow_to_come_back() {
    let world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    let mut log = world.watch(SERVICE, "now").await;
    world.flows.set_down(true);
    world.clock.advance(Duration::from_secs(FLOW_WAIT));
    // Other deadlines and customers are not held up.
    let content = Content::Text {
        body: "hi".to_owned(),
        preview_url: false,
    };
    let other = world.message("n3", "w2", "16505552222", content);
    assert_eq!(world.receive(vec![other]).await, [Outcome::Taken]);
    world.flows.set_down(false);
    let first = world.conversation("16505551111").await.id;
    loop {
        let entry = log.next().await;
        let queued = matches!(entry.event, Some(pb::log_entry::Event::EngagementQueued(_)));
        if queued && entry.conversation_id == first {
            break;
        }
    }
    world.verify().await;
}

#[tokio::test]
async fn the_replay_check_sees_what_does_not_follow_from_the_log() {
    let world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    assert!(world.differences().await.is_empty());
    for tampering in [
        "UPDATE conversation SET state = replace(state, 'in_flow', 'queued')",
        "UPDATE message SET record = replace(record, 'hi', 'ho')",
        "DELETE FROM engagement",
        "DELETE FROM event WHERE seq = 3",
    ] {
        let before = world.differences().await;
        world.tamper(tampering).await;
        let after = world.differences().await;
        assert_ne!(after, before, "{tampering}");
    }
}

#[tokio::test]
async fn while_the_flow_is_away_attempts_still_end() {
    let world = World::start().await;
    let mut outbox = world.outbox().await;
    let mut log = world.watch(SERVICE, "").await;
    world.says("w1", "16505551111", "hi").await;
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    world.flows.set_down(true);
    world.clock.advance(Duration::from_secs(FLOW_WAIT));
    log.ended(&intent.message_id, pb::SendState::Ambiguous)
        .await;
    world.clock.advance(Duration::from_secs(120));
    log.ended(&intent.message_id, pb::SendState::Queued).await;
    world.flows.set_down(false);
    world.verify().await;
}
