//! Offers, acceptances and presence, as agents see them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lib_proto::routing::desk_command::Command;
use lib_proto::routing::desk_event::Event;
use lib_proto::routing::{self as pb, AgentPresence};
use svc_routing::Config;
use tonic::Code;

use crate::world::{World, accept};

#[tokio::test]
async fn an_offer_is_accepted_served_wrapped_up_and_closed() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert_eq!(offer.id, "c1.e1.o1.1");
    assert_eq!(offer.reason, "the only ready agent (idle 0 s)");
    assert_eq!(offer.queue_name, "Sales");
    assert_eq!(offer.last_message_summary, "hello");
    let state = world.state("sales").await;
    assert_eq!(state.waiting[0].offered_to, "ana");
    assert_eq!((state.ready_agents, state.free_capacity), (1, 0));

    ana.send(accept(&offer)).await;
    let Event::Assigned(engagement) = ana.next().await else {
        panic!("assigned comes first");
    };
    assert_eq!(engagement.dispositions, ["Sold"]);
    assert!(ana.done().await.accepted);
    assert_eq!(
        world.peer.story("c1.e1"),
        ["queued 1", "offered ana", "assigned ana"]
    );

    world.peer.wrap_up("c1.e1");
    assert!(matches!(ana.next().await, Event::WrapUp(_)));
    assert_eq!(world.agent("ana").await.load, 1);
    world.queue("c2.e1");
    world.peer.close("c1.e1");
    assert!(matches!(ana.next().await, Event::Released(_)));
    assert_eq!(ana.offered().await.engagement_id, "c2.e1");

    let request = pb::ListOffersRequest {
        engagement_id: "c1.e1".to_owned(),
        ..pb::ListOffersRequest::default()
    };
    let offers = world.routing("boss").list_offers(request).await.unwrap();
    let offers = offers.into_inner().offers;
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].outcome, "accepted");
}

#[tokio::test]
async fn an_unanswered_offer_goes_to_the_next_agent() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    world.clock.advance(Duration::from_secs(60));
    let mut ben = world.ready("ben", 1).await;
    world.queue("c1.e1");
    let first = ana.offered().await;
    world.clock.advance(Duration::from_secs(30));
    let ended = ana.ended().await;
    assert_eq!(ended.outcome, "expired");
    assert_eq!(
        ended.ended_because,
        "not answered within 30 s; you are not ready now"
    );
    let not_ready = i32::from(AgentPresence::NotReady);
    assert_eq!(ana.next().await, Event::Presence(not_ready));
    let second = ben.offered().await;
    assert_eq!(second.id, "c1.e1.o1.2");
    let late = ana.accept(&first).await;
    assert_eq!((late.accepted, late.reason.as_str()), (false, "OFFER_GONE"));
    assert!(ben.accept(&second).await.accepted);
    assert_eq!(
        world.peer.story("c1.e1"),
        [
            "queued 1",
            "offered ana",
            "expired",
            "offered ben",
            "assigned ben"
        ]
    );
}

#[tokio::test]
async fn two_agents_cannot_have_the_same_engagement() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    let (mut ben, _) = world.desk("ben", 1).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert_eq!(ben.accept(&offer).await.reason, "NOT_YOURS");
    let mut stale = offer.clone();
    stale.epoch = 9;
    assert_eq!(ana.accept(&stale).await.reason, "STALE_EPOCH");
    // The same command twice, and another command for the same offer.
    ana.send_as("once", accept(&offer)).await;
    ana.send_as("once", accept(&offer)).await;
    ana.send_as("twice", accept(&offer)).await;
    let mut answers = vec![ana.done().await];
    while !answers.iter().any(|done| done.command_id == "twice") {
        answers.push(ana.done().await);
    }
    assert!(answers.iter().all(|done| done.accepted), "{answers:?}");
    assert_eq!(
        world.peer.assignments(),
        [("c1.e1".to_owned(), "ana".to_owned())]
    );
    // A remembered answer does not change with the world.
    world.peer.close("c1.e1");
    ana.send_as("once", accept(&offer)).await;
    assert!(ana.done().await.accepted);
    assert_eq!(ana.decline(&offer).await.reason, "OFFER_GONE");
}

#[tokio::test]
async fn a_lost_answer_of_the_log_is_asked_for_again() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    world.peer.story_of("c1.e1", 2).await;
    world.peer.lost_answers.store(3, Ordering::SeqCst);
    assert!(ana.accept(&offer).await.accepted);
    assert_eq!(world.peer.assignments().len(), 1);
    world.peer.wrap_up("c1.e1");
    world.peer.close("c1.e1");
    world.queue("c2.e1");
    assert_eq!(ana.offered().await.engagement_id, "c2.e1");
}

#[tokio::test]
async fn capacity_order_and_priority_hold() {
    let world = World::new().await;
    for (engagement, priority) in [("c1.e1", 0), ("c2.e1", 0), ("c3.e1", 5), ("c4.e1", 0)] {
        world.queue_into(engagement, "sales", priority);
    }
    let state = world
        .state_when("sales", |state| state.waiting.len() == 4)
        .await;
    let line: Vec<&str> = state
        .waiting
        .iter()
        .map(|waiting| waiting.engagement_id.as_str())
        .collect();
    assert_eq!(line, ["c3.e1", "c1.e1", "c2.e1", "c4.e1"]);
    assert_eq!(state.waiting[0].explanation, "no agent of Sales is ready");

    let mut ana = world.ready("ana", 2).await;
    let first = ana.offered().await;
    let second = ana.offered().await;
    assert_eq!(first.engagement_id, "c3.e1");
    assert_eq!(second.engagement_id, "c1.e1");
    assert!(ana.accept(&first).await.accepted);
    assert!(ana.accept(&second).await.accepted);
    assert_eq!(world.agent("ana").await.load, 2);
    let state = world.state("sales").await;
    assert_eq!(
        state.waiting[0].explanation,
        "the only ready agent of Sales is at capacity"
    );
    world.peer.close("c3.e1");
    assert_eq!(ana.offered().await.engagement_id, "c2.e1");
    assert_eq!(world.agent("ana").await.load, 2);
}

#[tokio::test]
async fn becoming_unready_gives_the_offer_back() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    world.queue("c1.e1");
    ana.offered().await;
    ana.send(Command::SetPresence(pb::SetPresence {
        presence: AgentPresence::NotReady.into(),
    }))
    .await;
    let ended = ana.ended().await;
    assert_eq!(ended.outcome, "withdrawn");
    assert!(ana.done().await.accepted);
    assert!(ana.presence(AgentPresence::Ready).await.accepted);
    assert_eq!(ana.offered().await.id, "c1.e1.o1.2");
}

#[tokio::test]
async fn a_newer_desk_takes_over_and_shows_everything() {
    let world = World::new().await;
    let mut first = world.ready("ana", 2).await;
    world.queue("c1.e1");
    let offer = first.offered().await;
    assert!(first.accept(&offer).await.accepted);
    world.queue("c2.e1");
    let open = first.offered().await;
    let (mut second, snapshot) = world.desk("ana", 0).await;
    let status = first.end().await;
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("opened elsewhere"));
    assert!(second.last_sequence > first.last_sequence);
    let agent = snapshot.agent.unwrap();
    assert_eq!((agent.capacity, agent.load), (2, 2));
    assert_eq!(agent.presence(), AgentPresence::Ready);
    assert_eq!(snapshot.engagements[0].engagement_id, "c1.e1");
    assert_eq!(snapshot.engagements[0].state, "assigned");
    assert_eq!(snapshot.offers[0].id, open.id);
    assert!(second.accept(&open).await.accepted);
}

#[tokio::test]
async fn a_lost_desk_passes_its_offer_on_and_its_agent_is_unready_after_the_grace() {
    let config = Config {
        grace: Duration::from_millis(10),
        ..Config::default()
    };
    let world = World::empty(config).await;
    world.create_sales().await;
    let mut ana = world.ready("ana", 1).await;
    world.clock.advance(Duration::from_secs(1));
    let mut ben = world.ready("ben", 1).await;
    world.queue("c1.e1");
    ana.offered().await;
    drop(ana);
    let offer = ben.offered().await;
    assert_eq!(offer.id, "c1.e1.o1.2");
    world
        .state_when("sales", |state| state.ready_agents == 1)
        .await;
    while world.agent("ana").await.presence() != AgentPresence::NotReady {
        tokio::task::yield_now().await;
    }
    let (_desk, snapshot) = world.desk("ana", 0).await;
    assert_eq!(snapshot.agent.unwrap().presence(), AgentPresence::NotReady);
}

#[tokio::test]
async fn a_silent_desk_is_closed() {
    let config = Config {
        heartbeat: Duration::from_millis(300),
        ..Config::default()
    };
    let world = World::empty(config).await;
    let (mut ana, _) = world.desk("ana", 1).await;
    ana.send(Command::Heartbeat(pb::Heartbeat {})).await;
    assert!(ana.done().await.accepted);
    let status = ana.end().await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("heartbeat"), "{status}");
}
