//! Offers that are declined, taken back, or ended by the log; and who is asked then.

use std::time::Duration;

use lib_proto::routing::desk_command::Command;
use lib_proto::routing::desk_event::Event;
use lib_proto::routing::{self as pb};

use crate::world::World;

#[tokio::test]
async fn a_declined_offer_keeps_its_place_and_holds_nobody_up() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    let mut ben = world.ready("ben", 1).await;
    world.queue("c1.e1");
    world.queue("c2.e1");
    world.queue("c3.e1");
    let first = ana.offered().await;
    let second = ben.offered().await;
    assert_eq!(
        (first.engagement_id.as_str(), second.engagement_id.as_str()),
        ("c1.e1", "c2.e1")
    );
    assert!(ben.decline(&second).await.accepted);
    let third = ben.offered().await;
    assert_eq!(third.engagement_id, "c3.e1", "the next in line meanwhile");
    assert!(ben.decline(&third).await.accepted);
    let state = world.state("sales").await;
    assert_eq!(state.waiting[1].engagement_id, "c2.e1");
    assert_eq!(
        state.waiting[1].explanation,
        "every free agent of Sales has let it pass; asked again at 2027-01-15T08:00:10.000Z"
    );
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(ben.offered().await.engagement_id, "c2.e1", "before c3");
}

#[tokio::test]
async fn a_transfer_takes_the_engagement_from_its_owner() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert!(ana.accept(&offer).await.accepted);
    world.queue_into("c1.e1", "support", 0);
    assert!(matches!(ana.next().await, Event::Released(_)));
    let state = world.state("support").await;
    assert_eq!(
        state.waiting[0].explanation,
        "queue `support` does not exist; create it or transfer the engagement"
    );
    let mut support = crate::world::sales();
    support.id = "support".to_owned();
    let request = pb::CreateQueueRequest {
        queue: Some(support),
    };
    world.routing("boss").create_queue(request).await.unwrap();
    // Nobody else serves it now; but it does not come straight back.
    let state = world
        .state_when("support", |state| state.free_capacity == 1)
        .await;
    let explanation = &state.waiting[0].explanation;
    assert!(explanation.starts_with("every free agent of Sales has let it pass; asked again at"));
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(ana.offered().await.id, "c1.e1.o2.1");
}

#[tokio::test]
async fn a_lower_capacity_takes_open_offers_back() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 3).await;
    world.queue("c1.e1");
    let first = ana.offered().await;
    world.queue("c2.e1");
    let second = ana.offered().await;
    world.queue("c3.e1");
    ana.offered().await;
    ana.send(Command::Open(pb::OpenDesk { capacity: 2 })).await;
    let ended = ana.ended().await;
    assert_eq!(
        (ended.engagement_id.as_str(), ended.outcome.as_str()),
        ("c3.e1", "withdrawn")
    );
    assert_eq!(ended.ended_because, "you serve no more than 2 at once now");
    assert!(ana.done().await.accepted);

    let (mut newer, snapshot) = world.desk("ana", 1).await;
    let open: Vec<&str> = snapshot.offers.iter().map(|o| o.id.as_str()).collect();
    assert_eq!(open, [first.id.as_str()]);
    assert!(newer.accept(&first).await.accepted);
    assert_eq!(newer.accept(&second).await.reason, "OFFER_GONE");
    assert_eq!(world.agent("ana").await.load, 1);
}

#[tokio::test]
async fn an_offer_the_log_ends_is_gone_from_the_desk_and_closed_in_history() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    world.peer.story_of("c1.e1", 2).await;
    world.peer.end_offer("c1.e1", &offer.id);
    let ended = ana.ended().await;
    assert_eq!(
        (ended.id.as_str(), ended.outcome.as_str()),
        (offer.id.as_str(), "withdrawn")
    );
    let again = ana.offered().await;
    assert_eq!(again.id, "c1.e1.o1.2");
    let story = world.peer.story_of("c1.e1", 4).await;
    assert_eq!(
        story,
        ["queued 1", "offered ana", "withdrawn", "offered ana"],
        "the log is not told what it said"
    );
    let outcomes: Vec<String> = world
        .offers("c1.e1")
        .await
        .into_iter()
        .map(|offer| offer.outcome)
        .collect();
    assert_eq!(outcomes, ["open", "withdrawn"]);
}

#[tokio::test]
async fn changed_queues_lose_nobody() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    for engagement in ["c1.e1", "c2.e1", "c3.e1"] {
        world.queue(engagement);
    }
    ana.offered().await;
    let mut sales = crate::world::sales();
    sales.agent_ids = vec!["ben".to_owned()];
    let request = pb::UpdateQueueRequest { queue: Some(sales) };
    world.routing("boss").update_queue(request).await.unwrap();
    assert_eq!(ana.ended().await.outcome, "withdrawn");
    let state = world.state("sales").await;
    let line: Vec<&str> = state
        .waiting
        .iter()
        .map(|waiting| waiting.engagement_id.as_str())
        .collect();
    assert_eq!(line, ["c1.e1", "c2.e1", "c3.e1"]);
    let mut ben = world.ready("ben", 1).await;
    assert_eq!(ben.offered().await.engagement_id, "c1.e1");
}
