//! Nothing is lost when the service stops in the middle, and its state can be had from the log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lib_proto::routing::desk_command::Command;
use lib_proto::routing::{AgentPresence, Heartbeat};

use crate::world::{World, accept};

#[tokio::test]
async fn a_restart_in_the_middle_loses_nothing() {
    let mut world = World::new().await;
    let mut ana = world.ready("ana", 2).await;
    world.queue("c1.e1");
    let first = ana.offered().await;
    assert!(ana.accept(&first).await.accepted);
    world.queue("c2.e1");
    let second = ana.offered().await;
    world.queue("c3.e1");
    world.peer.story_of("c2.e1", 2).await;
    let before = ana.last_sequence;
    world.stop().await;
    // While nobody listens: one more customer, and the first is done.
    world.queue("c4.e1");
    world.peer.wrap_up("c1.e1");
    world.start().await;

    let state = world
        .state_when("sales", |state| {
            let offered = |one: &&lib_proto::routing::WaitingEngagement| !one.offered_to.is_empty();
            state.waiting.len() == 3 && !state.waiting.iter().any(|one| offered(&one))
        })
        .await;
    let line: Vec<&str> = state
        .waiting
        .iter()
        .map(|waiting| waiting.engagement_id.as_str())
        .collect();
    assert_eq!(
        line,
        ["c2.e1", "c3.e1", "c4.e1"],
        "the re-offer keeps its place"
    );

    let (mut ana, snapshot) = world.desk("ana", 0).await;
    assert!(ana.last_sequence > before);
    let agent = snapshot.agent.unwrap();
    assert_eq!(agent.presence(), AgentPresence::Ready, "within the grace");
    assert_eq!(snapshot.engagements[0].state, "wrap_up");
    let again = ana.offered().await;
    assert_eq!(again.engagement_id, "c2.e1");
    assert_ne!(again.id, second.id);
    assert_eq!(ana.accept(&second).await.reason, "OFFER_GONE");
    assert!(ana.accept(&again).await.accepted);
    let story = world.peer.story("c2.e1");
    assert_eq!(
        story,
        [
            "queued 1",
            "offered ana",
            "withdrawn",
            "offered ana",
            "assigned ana"
        ]
    );
}

#[tokio::test]
async fn an_acceptance_outlives_a_restart() {
    let mut world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    world.peer.story_of("c1.e1", 2).await;
    // The log takes the assignment, but its answers never arrive.
    world.peer.lost_answers.store(usize::MAX, Ordering::SeqCst);
    ana.send(accept(&offer)).await;
    world.peer.story_of("c1.e1", 3).await;
    world.stop().await;
    world.peer.lost_answers.store(0, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(3_600));
    world.start().await;
    let (mut ana, _) = world.desk("ana", 0).await;
    // The same acceptance again: it was ours all along, and only once.
    assert!(ana.accept(&offer).await.accepted);
    assert_eq!(world.peer.assignments().len(), 1);
    assert_eq!(world.agent("ana").await.load, 1);
}

#[tokio::test]
async fn an_offer_and_its_acceptance_reported_twice_are_no_refusal() {
    let mut world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    // No report gets through until both wait to be sent together.
    world.peer.unreachable.store(true, Ordering::SeqCst);
    world.queue("c1.e1");
    let offer = ana.offered().await;
    ana.send(accept(&offer)).await;
    // Answered only once everything before it is stored.
    ana.send(Command::Heartbeat(Heartbeat {})).await;
    assert!(ana.done().await.accepted);
    world.stop().await;
    world.peer.unreachable.store(false, Ordering::SeqCst);
    // The first call is carried out, but its answer is lost: the second time the offer is refused
    // because of the assignment next to it.
    // Only the answer can tell: the log itself is slow.
    world.peer.lost_answers.store(1, Ordering::SeqCst);
    world.peer.log.hide();
    world.start().await;
    let (mut ana, _) = world.desk("ana", 0).await;
    let done = ana.accept(&offer).await;
    assert!(done.accepted, "{done:?}");
    assert_eq!(world.peer.refusals().await, ["ALREADY_ASSIGNED"]);
    assert_eq!(world.agent("ana").await.load, 1);
    world.peer.log.show();
    assert_eq!(
        world.peer.story("c1.e1"),
        ["queued 1", "offered ana", "assigned ana"]
    );
    let offers = world.offers("c1.e1").await;
    assert_eq!((offers.len(), offers[0].outcome.as_str()), (1, "accepted"));
    world.peer.close("c1.e1");
    world.queue("c2.e1");
    assert_eq!(ana.offered().await.engagement_id, "c2.e1");
}

#[tokio::test]
async fn the_state_can_be_rebuilt_from_the_log() {
    let mut world = World::new().await;
    let mut ana = world.ready("ana", 2).await;
    world.queue("c1.e1");
    let first = ana.offered().await;
    assert!(ana.accept(&first).await.accepted);
    world.queue("c2.e1");
    let second = ana.offered().await;
    world.queue("c3.e1");
    world.peer.story_of("c2.e1", 2).await;
    world.stop().await;
    world.config.rebuild = true;
    world.start().await;

    let state = world
        .state_when("sales", |state| state.waiting.len() == 2)
        .await;
    assert_eq!(state.waiting[0].engagement_id, "c2.e1");
    let (mut ana, snapshot) = world.desk("ana", 0).await;
    let agent = snapshot.agent.unwrap();
    assert_eq!(agent.capacity, 2, "not in the log, so kept");
    assert_eq!(snapshot.engagements[0].engagement_id, "c1.e1");
    // Whether ana was back before the end of the log was reached decides if the offer stands.
    let offer = match snapshot.offers.into_iter().next() {
        Some(offer) => offer,
        None => ana.offered().await,
    };
    assert_eq!(offer.engagement_id, "c2.e1");
    assert!(
        offer.id == second.id || offer.id == "c2.e1.o1.2",
        "{}",
        offer.id
    );
    assert!(ana.accept(&offer).await.accepted);
}
