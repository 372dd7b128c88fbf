//! Requests and commands that cannot be carried out (`reliability.md` 5.4).

use lib_platform::refusal::reason_of;
use lib_proto::routing as pb;
use lib_proto::routing::desk_command::Command;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::world::{World, accept, sales};

#[tokio::test]
async fn a_desk_that_is_not_opened_well_is_closed() {
    let world = World::new().await;
    let mut desk = world.raw_desk("ana").await;
    desk.send(Command::Heartbeat(pb::Heartbeat {})).await;
    let status = desk.end().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason_of(&status).unwrap(), "DESK_NOT_OPEN");

    let mut desk = world.raw_desk("ana").await;
    desk.send(Command::Open(pb::OpenDesk { capacity: 51 }))
        .await;
    assert_eq!(desk.end().await.code(), Code::InvalidArgument);

    let mut desk = world.raw_desk("ana").await;
    desk.send_as("", Command::Open(pb::OpenDesk { capacity: 1 }))
        .await;
    assert_eq!(desk.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn bad_commands_are_refused_and_the_desk_stays() {
    let world = World::new().await;
    let (mut ana, _) = world.desk("ana", 1).await;
    let long = "x".repeat(101);
    for (command_id, command, reason) in [
        (
            "",
            Command::Heartbeat(pb::Heartbeat {}),
            "INVALID_COMMAND_ID",
        ),
        (
            &long,
            Command::Heartbeat(pb::Heartbeat {}),
            "INVALID_COMMAND_ID",
        ),
        (
            "o",
            Command::Open(pb::OpenDesk { capacity: 10_000 }),
            "INVALID_CAPACITY",
        ),
        (
            "p",
            Command::SetPresence(pb::SetPresence::default()),
            "INVALID_PRESENCE",
        ),
        (
            "a",
            Command::SetPresence(pb::SetPresence { presence: 99 }),
            "INVALID_PRESENCE",
        ),
        (
            "b",
            Command::Accept(pb::AcceptOffer::default()),
            "INVALID_OFFER_ID",
        ),
        (
            "l",
            Command::Accept(pb::AcceptOffer {
                offer_id: "x".repeat(10_000),
                epoch: u32::MAX,
            }),
            "INVALID_OFFER_ID",
        ),
        (
            "n",
            Command::Accept(pb::AcceptOffer {
                offer_id: "c9.e1\0.o1.1".to_owned(),
                epoch: 1,
            }),
            "INVALID_OFFER_ID",
        ),
        (
            "c",
            Command::Decline(pb::DeclineOffer {
                offer_id: "c9.e1.o1.1".to_owned(),
                epoch: 1,
            }),
            "OFFER_GONE",
        ),
    ] {
        ana.send_as(command_id, command).await;
        let done = ana.done().await;
        assert_eq!((done.accepted, done.reason.as_str()), (false, reason));
    }
    let nothing = pb::DeskCommand {
        command_id: "d".to_owned(),
        command: None,
    };
    ana.commands.send(nothing).await.unwrap();
    assert_eq!(ana.done().await.reason, "INVALID_COMMAND");
}

#[tokio::test]
async fn answers_that_come_too_late_or_twice_are_told_so() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 1).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert!(ana.accept(&offer).await.accepted);
    assert!(ana.accept(&offer).await.accepted, "twice is no harm");
    assert_eq!(ana.decline(&offer).await.reason, "ALREADY_ACCEPTED");
    world.peer.close("c1.e1");
    world.queue("c2.e1");
    let offer = ana.offered().await;
    assert!(ana.decline(&offer).await.accepted);
    assert_eq!(ana.decline(&offer).await.reason, "OFFER_GONE");
    ana.send(accept(&offer)).await;
    let done = ana.done().await;
    assert_eq!(done.reason, "OFFER_GONE");
    assert_eq!(
        done.message,
        "the offer is gone: it ended, and the engagement waits in line again"
    );
}

/// Makes one setting of a good queue a bad one.
type Spoil = fn(&mut pb::Queue);

#[tokio::test]
async fn queues_with_bad_settings_are_refused_by_field() {
    let world = World::new().await;
    let change: [(&str, Spoil); 11] = [
        ("queue.name", |queue| queue.name = "x".repeat(10_000)),
        ("queue.name", |queue| queue.name = "Sa\0les".to_owned()),
        ("queue.offer_seconds", |queue| queue.offer_seconds = 86_400),
        ("queue.wrap_up_seconds", |queue| {
            queue.wrap_up_seconds = u32::MAX;
        }),
        ("queue.id", |queue| queue.id = "x".repeat(65)),
        ("queue.id", |queue| queue.id = "../sales".to_owned()),
        ("queue.id", |queue| queue.id = "sa les".to_owned()),
        ("queue.agent_ids[1]", |queue| {
            queue.agent_ids[1] = "b\nen".to_owned();
        }),
        ("queue.agent_ids", |queue| {
            queue.agent_ids = (0..1_001).map(|number| format!("agent-{number}")).collect();
        }),
        ("queue.dispositions", |queue| {
            queue.dispositions = (0..101).map(|number| number.to_string()).collect();
        }),
        ("queue.dispositions[0]", |queue| {
            queue.dispositions[0] = " ".to_owned();
        }),
    ];
    for (field, spoil) in change {
        let mut queue = sales();
        spoil(&mut queue);
        let request = pb::UpdateQueueRequest { queue: Some(queue) };
        let refused = world.routing("boss").update_queue(request).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        let details = refused.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, field);
    }
    let mut html = sales();
    html.name = "<script>alert(1)</script>".to_owned();
    let request = pb::UpdateQueueRequest {
        queue: Some(html.clone()),
    };
    let stored = world.routing("boss").update_queue(request).await.unwrap();
    assert_eq!(stored.into_inner(), html, "text is text");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    let mut boss = world.routing("boss");
    let id = || "nowhere".to_owned();
    let codes = [
        boss.get_queue_state(pb::GetQueueStateRequest { id: id() })
            .await
            .unwrap_err()
            .code(),
        boss.delete_queue(pb::DeleteQueueRequest { id: id() })
            .await
            .unwrap_err()
            .code(),
        boss.list_agents(pb::ListAgentsRequest { queue_id: id() })
            .await
            .unwrap_err()
            .code(),
    ];
    assert_eq!(codes, [Code::NotFound; 3]);
    let codes = [
        boss.get_queue(pb::GetQueueRequest::default())
            .await
            .unwrap_err()
            .code(),
        boss.get_queue_state(pb::GetQueueStateRequest::default())
            .await
            .unwrap_err()
            .code(),
        boss.delete_queue(pb::DeleteQueueRequest::default())
            .await
            .unwrap_err()
            .code(),
        boss.update_queue(pb::UpdateQueueRequest { queue: None })
            .await
            .unwrap_err()
            .code(),
        boss.list_offers(pb::ListOffersRequest {
            agent_id: "a\0".to_owned(),
            ..pb::ListOffersRequest::default()
        })
        .await
        .unwrap_err()
        .code(),
        boss.list_queues(pb::ListQueuesRequest {
            page_size: -1,
            page_token: String::new(),
        })
        .await
        .unwrap_err()
        .code(),
    ];
    assert_eq!(codes, [Code::InvalidArgument; 6]);
}
