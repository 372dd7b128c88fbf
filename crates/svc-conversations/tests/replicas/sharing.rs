//! Any replica takes any call; followers of each see everything, once, in one order.

use std::collections::BTreeSet;

use core_types::Fact;
use lib_platform::partition::part_of;
use lib_proto::conversations as pb;
use lib_storage::Engine;
use lib_testkit::{SERVICE, eventually};
use pb::receive_result::Outcome;

use crate::world::{Follower, Intents, World, accepted};

const PHONE: &str = "16505551111";

/// Waits until each of the replicas holds parts, and all parts are held.
async fn shared_out(world: &World, replicas: usize) {
    eventually(async || (owners(world).await.len() == replicas).then_some(())).await;
}

/// Who holds parts, when all parts are held.
pub(crate) async fn owners(world: &World) -> BTreeSet<String> {
    let rows = world
        .rows("SELECT owner FROM conversations.lease WHERE until > clock_timestamp()")
        .await;
    let held = rows.iter().filter(|owner| !owner.is_empty()).count();
    let owners = rows.into_iter().filter(|owner| !owner.is_empty());
    if held == 64 {
        owners.collect()
    } else {
        BTreeSet::new()
    }
}

/// The replica that does not work on the number `n1`.
pub(crate) async fn stranger(world: &World) -> usize {
    usize::from(holder(world).await == 0)
}

/// The replica that works on the number `n1`.
pub(crate) async fn holder(world: &World) -> usize {
    let part = part_of("n1", 64);
    let lease = format!("SELECT owner FROM conversations.lease WHERE part = {part}");
    let owner = world.rows(&lease).await.remove(0);
    owner.trim_start_matches("replica-").parse().unwrap()
}

async fn receive(world: &World, replica: usize, facts: &[Fact]) -> Vec<Outcome> {
    let request = world.items(facts);
    let answer = world.log_at(replica).receive(request).await.unwrap();
    let results = answer.into_inner().results;
    results.iter().map(pb::ReceiveResult::outcome).collect()
}

async fn outbox_of(world: &World, replica: usize) -> Intents {
    let request = pb::WatchOutboxRequest {
        sender: "test".to_owned(),
        ..pb::WatchOutboxRequest::default()
    };
    let stream = world.log_at(replica).watch_outbox(request).await.unwrap();
    Intents::of(stream.into_inner())
}

async fn watch_of(world: &World, replica: usize, request: pb::WatchRequest) -> Follower {
    let mut people = world.people_at(replica, SERVICE);
    Follower::of(people.watch(request).await.unwrap().into_inner())
}

#[tokio::test]
async fn a_call_to_the_wrong_replica_is_handed_on() {
    let world = World::start_on(Engine::Postgres, 2).await;
    shared_out(&world, 2).await;
    let other = stranger(&world).await;
    let mut outbox = outbox_of(&world, other).await;
    let facts = [
        world.text("w1", PHONE, "hi"),
        world.message(
            "n3",
            "w2",
            PHONE,
            core_types::Content::Text {
                body: "hello".to_owned(),
                preview_url: false,
            },
        ),
        world.text("w1", PHONE, "hi"),
        world.text("w3", PHONE, "1"),
    ];
    let outcomes = receive(&world, other, &facts).await;
    let taken = [
        Outcome::Taken,
        Outcome::Taken,
        Outcome::Duplicate,
        Outcome::Taken,
    ];
    assert_eq!(outcomes, taken);
    let intent = outbox.next().await;
    let key = pb::AttemptKey {
        message_id: intent.message_id.clone(),
        attempt: 1,
    };
    let mut log = world.log_at(other);
    let start = pb::StartAttemptsRequest {
        attempts: vec![key.clone()],
        sender: "test".to_owned(),
    };
    let granted = log
        .start_attempts(start.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(granted.granted, [true]);
    let again = log.start_attempts(start).await.unwrap().into_inner();
    assert_eq!(again.granted, [false]);
    let finish = pb::FinishAttemptsRequest {
        results: vec![pb::AttemptResult {
            attempt: Some(key),
            outcome: Some(accepted("wamid.1")),
        }],
    };
    log.finish_attempts(finish).await.unwrap();
    peoples_calls(&world, other).await;
    world.verify().await;
}

/// People's calls are handed on with their own credentials.
async fn peoples_calls(world: &World, other: usize) {
    let engagement = {
        let request = pb::ListEngagementsRequest {
            states: vec![pb::EngagementState::Queued.into()],
            queue_id: "sales".to_owned(),
            ..pb::ListEngagementsRequest::default()
        };
        let found = world
            .people_at(other, "sue")
            .list_engagements(request)
            .await;
        found.unwrap().into_inner().engagements.remove(0)
    };
    let transfer = pb::TransferToQueueRequest {
        engagement_id: engagement.id.clone(),
        epoch: engagement.epoch,
        queue_id: "support".to_owned(),
    };
    let mut eve = world.people_at(other, "eve");
    let foreign = eve.transfer_to_queue(transfer.clone()).await;
    assert_eq!(foreign.unwrap_err().code(), tonic::Code::NotFound);
    let moved = world
        .people_at(other, "sue")
        .transfer_to_queue(transfer)
        .await;
    assert_eq!(moved.unwrap().into_inner().queue_id, "support");
}

#[tokio::test]
async fn followers_of_each_replica_see_one_order_without_gaps() {
    let world = World::start_on(Engine::Postgres, 2).await;
    shared_out(&world, 2).await;
    let mut followers = Vec::new();
    for replica in [0, 1] {
        followers.push(watch_of(&world, replica, pb::WatchRequest::default()).await);
    }
    let text = |n: usize| core_types::Content::Text {
        body: format!("message {n}"),
        preview_url: false,
    };
    // `n1` and `n2` are of both tenants; wherever their parts are, both replicas are asked.
    let calls = (0..40).map(|n| {
        let number = ["n1", "n2", "n3"][n % 3];
        let phone = format!("165055500{:02}", n % 7);
        let fact = world.message(number, &format!("w{n}"), &phone, text(n));
        let world = &world;
        async move { receive(world, n % 2, &[fact]).await }
    });
    for outcomes in futures_util::future::join_all(calls).await {
        assert_eq!(outcomes, [Outcome::Taken]);
    }
    let head: i64 = world
        .rows("SELECT position::text FROM conversations.log_head")
        .await[0]
        .parse()
        .unwrap();
    let mut seen = Vec::new();
    for follower in &mut followers {
        let mut entries = Vec::new();
        while entries.len() < head as usize {
            entries.push(follower.next().await);
        }
        let cursors = entries.iter().map(|it| it.cursor.parse::<i64>().unwrap());
        assert_eq!(cursors.collect::<Vec<_>>(), (1..=head).collect::<Vec<_>>());
        seen.push(entries);
    }
    assert_eq!(seen[0], seen[1]);
    let mut shards = BTreeSet::new();
    for index in 0..2 {
        let shard = pb::Shard {
            kind: pb::shard::Kind::Tenant.into(),
            count: 2,
            index,
        };
        let wanted = seen[0]
            .iter()
            .filter(|it| u32::from(part_of(&it.tenant_id, 2)) == index);
        let wanted: Vec<_> = wanted.collect();
        let request = pb::WatchRequest {
            shard: Some(shard),
            ..pb::WatchRequest::default()
        };
        let mut follower = watch_of(&world, 1, request).await;
        for entry in wanted {
            assert_eq!(follower.next().await, *entry);
            shards.insert(entry.cursor.clone());
        }
    }
    assert_eq!(shards.len(), head as usize);
    world.verify().await;
}
