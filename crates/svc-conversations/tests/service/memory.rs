//! What the writer believes without asking the database, and how it finds out that it is wrong.

use std::time::Duration;

use core_types::DeliveryStatus;
use lib_proto::common;
use lib_proto::conversations as pb;
use pb::receive_result::Outcome;

use crate::world::{World, accepted};

const ANN: &str = "16505551111";
const BOB: &str = "16505552222";
/// After this a part is held for long enough that what memory does not know is taken for new.
const SETTLED: Duration = Duration::from_secs(61);

/// A service that has just been started again, and has settled since.
async fn restarted(world: &mut World) {
    world.restart().await;
    world.says("first", "16505559999", "hello").await;
    world.clock.advance(SETTLED);
}

#[tokio::test]
async fn what_came_before_memory_began_is_known_all_the_same() {
    let mut world = World::start().await;
    world.says("w1", ANN, "hi").await;
    restarted(&mut world).await;
    let before = world.conversation(ANN).await.sequence;
    let again = world.text("w1", ANN, "hi");
    let new = world.text("w2", BOB, "hi");
    let newer = world.text("w3", ANN, "are you there?");
    let outcomes = world.receive(vec![new, again.clone(), newer]).await;
    assert_eq!(
        outcomes,
        [Outcome::Taken, Outcome::Duplicate, Outcome::Taken]
    );
    assert_eq!(world.receive(vec![again]).await, [Outcome::Duplicate]);
    assert!(world.conversation(ANN).await.sequence > before);
    let conversation = world.conversation(ANN).await;
    let texts = world.messages(&conversation.id).await;
    let inbound = |message: &&pb::Message| message.direction() == pb::Direction::Inbound;
    assert_eq!(texts.iter().filter(inbound).count(), 2);
    world.verify().await;
}

/// Meta delivers again for up to seven days.
#[tokio::test]
async fn an_event_is_known_again_for_eight_days() {
    let mut world = World::start().await;
    world.says("w1", ANN, "hi").await;
    let almost = Duration::from_secs(8 * 24 * 3_600 - 600);
    world.clock.advance(almost);
    restarted(&mut world).await;
    let again = world.text("w1", ANN, "hi");
    assert_eq!(world.receive(vec![again]).await, [Outcome::Duplicate]);
    world.verify().await;
}

#[tokio::test]
async fn a_customer_of_before_is_no_new_one() {
    let mut world = World::start().await;
    world.says("w1", ANN, "hi").await;
    let before = world.conversation(ANN).await.id;
    restarted(&mut world).await;
    world.says("w2", ANN, "me again").await;
    world.says("w3", ANN, "and again").await;
    assert_eq!(world.conversation(ANN).await.id, before);
    world.verify().await;
}

#[tokio::test]
async fn statuses_find_their_message_in_memory_and_outside() {
    let mut world = World::start().await;
    let mut outbox = world.outbox().await;
    world.says("w1", ANN, "hi").await;
    let intent = outbox.next().await;
    assert!(world.grant(&intent.message_id, 1).await);
    let id = &intent.message_id;
    world.finish(id, 1, accepted("wamid.1")).await;
    world.clock.advance(SETTLED);
    let sent = world.status("wamid.1", DeliveryStatus::Sent, id);
    assert_eq!(world.receive(vec![sent.clone()]).await, [Outcome::Taken]);
    assert_eq!(world.receive(vec![sent]).await, [Outcome::Duplicate]);
    drop(outbox);
    restarted(&mut world).await;
    // Known by Meta's id only, and by ours only.
    let delivered = world.status("wamid.1", DeliveryStatus::Delivered, "");
    let read = world.status("wamid.1", DeliveryStatus::Read, id);
    assert_eq!(
        world.receive(vec![delivered, read]).await,
        [Outcome::Taken, Outcome::Taken]
    );
    let conversation = world.conversation(ANN).await.id;
    let message = &world.messages(&conversation).await[1];
    assert_eq!(message.status(), common::DeliveryStatus::Read);
    world.verify().await;
}

#[tokio::test]
async fn a_status_that_came_first_waits_also_when_none_had_waited_before() {
    let world = World::start().await;
    let mut outbox = world.outbox().await;
    for (inbound, phone, wamid) in [("w1", ANN, "wamid.1"), ("w2", BOB, "wamid.2")] {
        world.says(inbound, phone, "hi").await;
        let conversation = world.conversation(phone).await.id;
        let intent = world.begin_next(&mut outbox, &conversation).await;
        // Nothing but Meta's id, which is not known yet, tells whose it is; for the first message
        // it comes too late to wait.
        let early = world.status(wamid, DeliveryStatus::Delivered, "");
        if phone == BOB {
            assert_eq!(world.receive(vec![early.clone()]).await, [Outcome::Taken]);
        }
        world.finish(&intent.message_id, 1, accepted(wamid)).await;
        if phone == ANN {
            assert_eq!(world.receive(vec![early]).await, [Outcome::Taken]);
        }
        let message = &world.messages(&conversation).await[1];
        assert_eq!(
            message.status(),
            common::DeliveryStatus::Delivered,
            "{phone}"
        );
    }
    world.verify().await;
}
