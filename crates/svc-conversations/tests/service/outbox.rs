//! From intent to message: order, attempts, what nobody knows, statuses that come first.

use std::time::Duration;

use core_types::DeliveryStatus;
use lib_proto::common::PlatformError;
use lib_proto::{conversations as pb, timestamp_to_proto};
use lib_testkit::SERVICE;
use pb::attempt_result::Outcome as Ended;
use pb::log_entry::Event;
use pb::receive_result::Outcome;

use crate::world::{World, accepted};

const PHONE: &str = "16505551111";

fn ambiguous() -> Ended {
    Ended::Ambiguous(pb::AttemptAmbiguous {
        cause: "the connection broke".to_owned(),
    })
}

async fn state_of(world: &World, message: &str) -> pb::Message {
    let conversation = world.conversation(PHONE).await;
    let messages = world.messages(&conversation.id).await;
    messages.into_iter().find(|it| it.id == message).unwrap()
}

#[tokio::test]
async fn messages_leave_one_at_a_time_in_order() {
    let world = World::start().await;
    let mut outbox = world.outbox().await;
    world.says("w1", PHONE, "hi").await;
    let first = outbox.next().await;
    assert_eq!(first.attempt, 1);
    assert_eq!(first.tenant_id, "acme");
    assert_eq!(first.contact.clone().unwrap().phone, PHONE);
    assert!(first.traceparent.starts_with("00-4bf92f35"));
    let second = first.message_id.replace(".m2", ".m3");
    assert!(!world.grant(&second, 1).await, "the second must wait");
    assert!(!world.grant(&first.message_id, 2).await, "not that attempt");
    assert!(world.grant(&first.message_id, 1).await);
    assert!(!world.grant(&first.message_id, 1).await, "granted once");
    world
        .finish(&first.message_id, 1, accepted("wamid.1"))
        .await;
    // A repeated report changes nothing.
    world
        .finish(&first.message_id, 1, accepted("wamid.1"))
        .await;
    let next = outbox.next().await;
    assert_eq!(next.message_id, second);
    let message = state_of(&world, &first.message_id).await;
    assert_eq!(message.send_state(), pb::SendState::Accepted);
    assert_eq!(message.whatsapp_message_id, "wamid.1");
    world.verify().await;
}

#[tokio::test]
async fn what_was_not_sent_is_announced_again_when_its_time_comes() {
    let world = World::start().await;
    let mut outbox = world.outbox().await;
    world.says("w1", PHONE, "hi").await;
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    let retry_at = world.clock.now().plus(Duration::from_secs(5));
    let not_sent = Ended::NotSent(pb::AttemptNotSent {
        retry_at: Some(timestamp_to_proto(retry_at)),
        cause: "throughput".to_owned(),
    });
    world.finish(&intent.message_id, 1, not_sent).await;
    assert!(!world.grant(&intent.message_id, 2).await, "too early");
    world.clock.advance(Duration::from_secs(5));
    let again = outbox.next().await;
    assert_eq!((again.message_id, again.attempt), (intent.message_id, 2));
    world.verify().await;
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_by_a_status() {
    let world = World::start().await;
    let mut outbox = world.outbox().await;
    world.says("w1", PHONE, "hi").await;
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    world.finish(&intent.message_id, 1, ambiguous()).await;
    let message = state_of(&world, &intent.message_id).await;
    assert_eq!(message.send_state(), pb::SendState::Ambiguous);
    let status = world.status("wamid.7", DeliveryStatus::Delivered, &intent.message_id);
    assert_eq!(world.receive(vec![status]).await, [Outcome::Taken]);
    let message = state_of(&world, &intent.message_id).await;
    assert_eq!(message.send_state(), pb::SendState::Accepted);
    assert_eq!(message.whatsapp_message_id, "wamid.7");
    assert_eq!(
        message.status,
        i32::from(lib_proto::common::DeliveryStatus::Delivered)
    );
    assert_ne!(
        outbox.next().await.message_id,
        intent.message_id,
        "the next may go"
    );
    world.verify().await;
}

#[tokio::test]
async fn a_session_message_is_sent_once_more_and_then_never_again() {
    let world = World::start().await;
    let mut log = world.watch(SERVICE, "").await;
    let mut outbox = world.outbox().await;
    world.says("w1", PHONE, "hi").await;
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    // Nobody reports: the deadline passes, then the quiet window.
    world.clock.advance(Duration::from_secs(60));
    log.ended(&intent.message_id, pb::SendState::Ambiguous)
        .await;
    world.clock.advance(Duration::from_secs(120));
    let again = outbox.next().await;
    assert_eq!(
        (again.message_id.as_str(), again.attempt),
        (intent.message_id.as_str(), 2)
    );
    assert!(world.grant(&intent.message_id, 2).await);
    // A late report about the first attempt is not about the second.
    world.finish(&intent.message_id, 1, ambiguous()).await;
    world.finish(&intent.message_id, 2, ambiguous()).await;
    world.clock.advance(Duration::from_secs(120));
    log.ended(&intent.message_id, pb::SendState::Unknown).await;
    assert!(!world.grant(&intent.message_id, 3).await);
    assert_ne!(
        outbox.next().await.message_id,
        intent.message_id,
        "the next may go"
    );
    world.verify().await;
}

#[tokio::test]
async fn a_template_is_never_sent_twice() {
    let world = World::start().await;
    let mut log = world.watch(SERVICE, "").await;
    let mut outbox = world.outbox().await;
    let sent = crate::desk::send_template(&world, "sue", "k1")
        .await
        .unwrap();
    let intent = outbox.next().await;
    assert_eq!(intent.message_id, sent.id);
    assert!(world.grant(&intent.message_id, 1).await);
    world.finish(&intent.message_id, 1, ambiguous()).await;
    world.clock.advance(Duration::from_secs(120));
    log.ended(&intent.message_id, pb::SendState::Unknown).await;
    world.verify().await;
}

#[tokio::test]
async fn a_status_may_come_before_the_answer_or_before_the_id_is_known() {
    let world = World::start().await;
    let mut outbox = world.outbox().await;
    world.says("w1", PHONE, "hi").await;
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    let early = world.status("wamid.1", DeliveryStatus::Sent, &intent.message_id);
    assert_eq!(world.receive(vec![early]).await, [Outcome::Taken]);
    world
        .finish(&intent.message_id, 1, accepted("wamid.1"))
        .await;
    let message = state_of(&world, &intent.message_id).await;
    assert_eq!(message.send_state(), pb::SendState::Accepted);
    let second = outbox.next().await;
    assert!(world.grant(&second.message_id, 1).await);
    // Without our id on it, the status waits until Meta's id is known.
    let orphan = world.status("wamid.2", DeliveryStatus::Read, "");
    assert_eq!(world.receive(vec![orphan.clone()]).await, [Outcome::Taken]);
    assert_eq!(world.receive(vec![orphan]).await, [Outcome::Duplicate]);
    world
        .finish(&second.message_id, 1, accepted("wamid.2"))
        .await;
    let message = state_of(&world, &second.message_id).await;
    assert_eq!(
        message.status,
        i32::from(lib_proto::common::DeliveryStatus::Read)
    );
    // A late lower status is told, but the message stays read.
    let late = world.status("wamid.2", DeliveryStatus::Delivered, &second.message_id);
    assert_eq!(world.receive(vec![late]).await, [Outcome::Taken]);
    let message = state_of(&world, &second.message_id).await;
    assert_eq!(
        message.status,
        i32::from(lib_proto::common::DeliveryStatus::Read)
    );
    world.verify().await;
}

#[tokio::test]
async fn the_flow_hears_of_a_message_meta_refused() {
    let world = World::start().await;
    let mut log = world.watch(SERVICE, "").await;
    let mut outbox = world.outbox().await;
    world.says("w1", PHONE, "hi").await;
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    let rejected = Ended::Rejected(pb::AttemptRejected {
        error: Some(PlatformError {
            code: 131_026,
            ..PlatformError::default()
        }),
    });
    world.finish(&intent.message_id, 1, rejected).await;
    let queued = log
        .until(|event| match event {
            Event::EngagementQueued(queued) => Some(queued.queue_id.clone()),
            _ => None,
        })
        .await;
    assert_eq!(queued, "support");
    world.verify().await;
}

#[tokio::test]
async fn what_still_waits_when_the_window_closes_is_withdrawn() {
    let world = World::start().await;
    let mut log = world.watch(SERVICE, "").await;
    let mut outbox = world.outbox().await;
    world.says("w1", PHONE, "hi").await;
    let intent = outbox.next().await;
    world.clock.advance(Duration::from_secs(24 * 3_600));
    let ended = log
        .ended(&intent.message_id, pb::SendState::Cancelled)
        .await;
    assert_eq!(ended.errors[0].title, "WINDOW_CLOSED");
    assert!(!world.grant(&intent.message_id, 1).await);
    world.verify().await;
}

#[tokio::test]
async fn everything_ready_is_announced_again_after_a_restart() {
    let mut world = World::start().await;
    world.says("w1", PHONE, "hi").await;
    let first = world.outbox().await.next().await;
    world.restart().await;
    let mut outbox = world.outbox().await;
    assert_eq!(outbox.next().await.message_id, first.message_id);
    assert_eq!(world.send_all(&mut world.outbox().await, 2).await.len(), 2);
    world.restart().await;
    world.verify().await;
}

#[tokio::test]
async fn late_certainty_about_the_first_copy_counts_and_both_copies_have_statuses() {
    let world = World::start().await;
    let mut outbox = world.outbox().await;
    let mut log = world.watch(SERVICE, "").await;
    world.says("w1", PHONE, "hi").await;
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    world.finish(&intent.message_id, 1, ambiguous()).await;
    world.clock.advance(Duration::from_secs(120));
    log.ended(&intent.message_id, pb::SendState::Queued).await;
    assert!(world.grant(&intent.message_id, 2).await);
    world
        .finish(&intent.message_id, 1, accepted("wamid.1"))
        .await;
    world
        .finish(&intent.message_id, 2, accepted("wamid.2"))
        .await;
    let message = state_of(&world, &intent.message_id).await;
    assert_eq!(message.send_state(), pb::SendState::Accepted);
    assert_eq!(message.whatsapp_message_id, "wamid.1");
    let second = world.status("wamid.2", DeliveryStatus::Delivered, &intent.message_id);
    let first = world.status("wamid.1", DeliveryStatus::Read, "");
    let results = world.receive(vec![second, first]).await;
    assert_eq!(results, [Outcome::Taken, Outcome::Taken]);
    let message = state_of(&world, &intent.message_id).await;
    assert_eq!(
        message.status,
        i32::from(lib_proto::common::DeliveryStatus::Read)
    );
    world.verify().await;
}

#[tokio::test]
async fn what_cannot_be_sent_for_a_day_does_not_block_its_conversation() {
    let world = World::start().await;
    let mut log = world.watch(SERVICE, "").await;
    let mut outbox = world.outbox().await;
    let sent = crate::desk::send_template(&world, "sue", "k1")
        .await
        .unwrap();
    let next = crate::desk::send_template(&world, "sue", "k2")
        .await
        .unwrap();
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    let far = world.clock.now().plus(Duration::from_secs(1_000 * 3_600));
    let not_sent = Ended::NotSent(pb::AttemptNotSent {
        retry_at: Some(timestamp_to_proto(far)),
        cause: "the number is stopped".to_owned(),
    });
    world.finish(&intent.message_id, 1, not_sent).await;
    world.clock.advance(Duration::from_secs(3_600));
    // What waits may be announced more than once.
    while outbox.next().await.attempt == 1 {}
    world.clock.advance(Duration::from_secs(23 * 3_600));
    let ended = log.ended(&sent.id, pb::SendState::Cancelled).await;
    assert_eq!(ended.errors[0].title, "SEND_EXPIRED");
    while outbox.next().await.message_id != next.id {}
    world.verify().await;
}
