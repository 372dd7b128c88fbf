//! A replica goes away, or does not know yet that it lost its part: what it did goes on elsewhere.

use std::time::Duration;

use lib_proto::conversations as pb;
use lib_storage::Engine;
use lib_testkit::{SERVICE, eventually};
use pb::receive_result::Outcome;

use crate::sharing::{holder, owners};
use crate::world::{Intents, World};

const PHONE: &str = "16505551111";

async fn outbox_of(world: &World, replica: usize) -> Intents {
    let request = pb::WatchOutboxRequest {
        sender: "test".to_owned(),
        ..pb::WatchOutboxRequest::default()
    };
    let stream = world.log_at(replica).watch_outbox(request).await.unwrap();
    Intents::of(stream.into_inner())
}

#[tokio::test]
async fn the_other_replica_goes_on_with_deadlines_and_messages() {
    let mut world = World::start_on(Engine::Postgres, 2).await;
    eventually(async || (owners(&world).await.len() == 2).then_some(())).await;
    let first = holder(&world).await;
    let second = 1 - first;
    let request = world.items(&[world.text("w1", PHONE, "hi")]);
    world.log_at(first).receive(request).await.unwrap();
    let mut outbox = outbox_of(&world, second).await;
    let intent = outbox.next().await;
    world.replicas[first].take().unwrap().stop().await;
    let owner = format!("replica-{second}");
    eventually(async || owners(&world).await.contains(&owner).then_some(())).await;
    // What waited is announced again when its part has moved.
    assert_eq!(outbox.next().await, intent);
    eventually(async || world.grant_now(&intent.message_id, 1).await).await;
    let mut log = world.watch(SERVICE, "now").await;
    // Nobody reports: the deadline of the attempt passes at the new holder.
    world.clock.advance(Duration::from_secs(60));
    log.ended(&intent.message_id, pb::SendState::Ambiguous)
        .await;
    // The first comes back and takes its share.
    world.run(first).await;
    eventually(async || (owners(&world).await.len() == 2).then_some(())).await;
    let request = world.items(&[world.text("w2", PHONE, "hello?")]);
    let answer = world.log_at(first).receive(request).await.unwrap();
    assert_eq!(answer.into_inner().results[0].outcome(), Outcome::Taken);
    world.verify().await;
}

#[tokio::test]
async fn a_writer_that_lost_its_part_commits_nothing() {
    let world = World::start_on(Engine::Postgres, 1).await;
    eventually(async || (owners(&world).await.len() == 1).then_some(())).await;
    world.says("w1", PHONE, "hi").await;
    let before = world.conversation(PHONE).await.sequence;
    // Somebody takes every lease, and the writer has not heard of it.
    world
        .tamper(
            "UPDATE conversations.lease SET owner = 'thief', fence = fence + 1, \
             until = clock_timestamp() + interval '3 seconds'",
        )
        .await;
    let request = world.items(&[world.text("w2", PHONE, "again")]);
    let answer = world.log_at(0).receive(request).await.unwrap();
    assert_eq!(answer.into_inner().results[0].outcome(), Outcome::Retry);
    assert_eq!(world.conversation(PHONE).await.sequence, before);
    // The thief never comes back; once its time is over the work goes on.
    eventually(async || (owners(&world).await.contains("replica-0")).then_some(())).await;
    let taken = async || {
        let request = world.items(&[world.text("w2", PHONE, "again")]);
        let answer = world.log_at(0).receive(request).await.unwrap();
        let outcome = answer.into_inner().results[0].outcome();
        (outcome == Outcome::Taken).then_some(())
    };
    eventually(taken).await;
    assert!(world.conversation(PHONE).await.sequence > before);
    world.verify().await;
}
