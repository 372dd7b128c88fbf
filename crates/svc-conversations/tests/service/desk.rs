//! Agents and programs: sending, owning, wrapping up, handing over.

use std::time::Duration;

use lib_proto::common::content::Content as Said;
use lib_proto::common::{ContactIdentity, Content, TemplateSend, Text};
use lib_proto::conversations as pb;
use lib_testkit::SERVICE;
use pb::log_entry::Event;
use pb::routing_record::Record;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::{World, assign};

const PHONE: &str = "16505551111";

fn text(body: &str) -> Content {
    Content {
        content: Some(Said::Text(Text {
            body: body.to_owned(),
            preview_url: false,
        })),
    }
}

async fn send(
    world: &World,
    token: &str,
    request: pb::SendMessageRequest,
) -> Result<pb::Message, Status> {
    let answer = world.people(token).send_message(request).await;
    answer.map(tonic::Response::into_inner)
}

pub(crate) async fn send_template(
    world: &World,
    token: &str,
    key: &str,
) -> Result<pb::Message, Status> {
    let template = TemplateSend {
        name: "offer".to_owned(),
        language: "en_US".to_owned(),
        ..TemplateSend::default()
    };
    let request = pb::SendMessageRequest {
        number_id: "n1".to_owned(),
        contact: Some(ContactIdentity {
            phone: PHONE.to_owned(),
            ..ContactIdentity::default()
        }),
        content: Some(Content {
            content: Some(Said::Template(template)),
        }),
        idempotency_key: key.to_owned(),
        ..pb::SendMessageRequest::default()
    };
    send(world, token, request).await
}

fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

fn agent_message(engagement: &str, epoch: u32, key: &str) -> pb::SendMessageRequest {
    let conversation = engagement.rsplit_once(".e").unwrap().0;
    pb::SendMessageRequest {
        conversation_id: conversation.to_owned(),
        content: Some(text("How can I help?")),
        idempotency_key: key.to_owned(),
        engagement_id: engagement.to_owned(),
        epoch,
        ..pb::SendMessageRequest::default()
    }
}

#[tokio::test]
async fn the_owner_writes_and_nobody_else() {
    let world = World::start().await;
    let engagement = world.assigned(PHONE, "ada").await;
    let sent = send(&world, "ada", agent_message(&engagement, 1, "k1"))
        .await
        .unwrap();
    assert_eq!(
        (sent.author.as_str(), sent.engagement_id.as_str()),
        ("ada", engagement.as_str())
    );
    let again = send(&world, "ada", agent_message(&engagement, 1, "k1"))
        .await
        .unwrap();
    assert_eq!(again.id, sent.id, "a double click is one message");
    let mut other = agent_message(&engagement, 1, "k1");
    other.content = Some(text("Something else"));
    let refused = send(&world, "ada", other).await.unwrap_err();
    assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
    let refused = send(&world, "bob", agent_message(&engagement, 1, "k2"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "NOT_ASSIGNED");
    let refused = send(&world, "ada", agent_message(&engagement, 7, "k3"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "STALE_EPOCH");
    let refused = send(&world, "eve", agent_message(&engagement, 1, "k4"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "another tenant's");
    let mut long = agent_message(&engagement, 1, "k5");
    long.content = Some(text(&"x".repeat(4_097)));
    let refused = send(&world, "ada", long).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    world.verify().await;
}

#[tokio::test]
async fn outside_the_window_only_a_template_goes() {
    let world = World::start().await;
    let engagement = world.assigned(PHONE, "ada").await;
    let closes = world.clock.now().plus(Duration::from_secs(24 * 3_600));
    world.clock.advance(Duration::from_secs(24 * 3_600));
    let refused = send(&world, "ada", agent_message(&engagement, 1, "k1"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "WINDOW_CLOSED");
    assert_eq!(info.metadata["closed_at"], closes.to_string());
    let sent = send_template(&world, "sue", "k2").await.unwrap();
    assert_eq!(sent.author, "api:sue");
    let Some(Said::Template(template)) = sent.content.unwrap().content else {
        panic!("not a template");
    };
    assert_eq!(
        (template.rendered.as_str(), template.category.as_str()),
        ("An offer for you", "marketing")
    );
    world.verify().await;
}

#[tokio::test]
async fn a_template_opens_a_conversation_but_no_engagement() {
    let world = World::start().await;
    let sent = send_template(&world, "sue", "k1").await.unwrap();
    assert_eq!(sent.engagement_id, "");
    let again = send_template(&world, "sue", "k1").await.unwrap();
    assert_eq!(again.id, sent.id);
    let conversation = world.conversation(PHONE).await;
    assert_eq!(conversation.engagement_id, "");
    let mut free = agent_message("x.e1", 0, "k2");
    free.engagement_id = String::new();
    free.conversation_id = conversation.id;
    let refused = send(&world, "sue", free).await.unwrap_err();
    assert_eq!(reason(&refused), "WINDOW_CLOSED");
    let refused = send_template(&world, "eve", "k3").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "another tenant's number");
    world.verify().await;
}

#[tokio::test]
async fn an_engagement_has_one_owner_whatever_races() {
    let world = World::start().await;
    world.says("w1", PHONE, "hi").await;
    world.says("w2", PHONE, "1").await;
    let id = world.conversation(PHONE).await.engagement_id;
    let offered = |offer: &str, agent: &str| {
        Record::Offered(pb::EngagementOffered {
            offer_id: offer.to_owned(),
            agent_id: agent.to_owned(),
            epoch: 1,
            expires_at: None,
            reason: "longest idle".to_owned(),
        })
    };
    assert!(world.route(&id, 1, offered("o1", "ada")).await.accepted);
    assert!(
        world.route(&id, 1, offered("o1", "ada")).await.accepted,
        "repeated"
    );
    let wrong = world.route(&id, 1, assign("o9", "bob")).await;
    assert_eq!(wrong.reason, "STALE_EPOCH");
    assert!(world.route(&id, 1, assign("o1", "ada")).await.accepted);
    let again = world.route(&id, 1, assign("o1", "ada")).await;
    assert!(again.accepted, "an accept is idempotent");
    assert_eq!(again.engagement.unwrap().agent_id, "ada");
    let late = world.route(&id, 1, assign("o2", "bob")).await;
    assert_eq!(late.reason, "ALREADY_ASSIGNED");
    let stale = world.route(&id, 2, assign("o2", "bob")).await;
    assert_eq!(stale.reason, "STALE_EPOCH");
    let unknown = world.route("cnv-999999.e1", 1, assign("o2", "bob")).await;
    assert_eq!(unknown.reason, "NOT_FOUND");
    world.verify().await;
}

#[tokio::test]
async fn wrap_up_ends_by_the_agent_by_the_clock_or_by_the_customer() {
    let world = World::start().await;
    let id = world.assigned(PHONE, "ada").await;
    let start = pb::StartWrapUpRequest {
        engagement_id: id.clone(),
        epoch: 1,
    };
    for _ in 0..2 {
        let wrap_up = world
            .people("ada")
            .start_wrap_up(start.clone())
            .await
            .unwrap();
        assert_eq!(wrap_up.into_inner().state(), pb::EngagementState::WrapUp);
    }
    // The customer has more to say.
    world.says("w9", PHONE, "one more thing").await;
    let engagement = world.engagement(&id).await;
    assert_eq!(engagement.state(), pb::EngagementState::Assigned);
    assert_eq!((engagement.agent_id.as_str(), engagement.epoch), ("ada", 2));
    let refused = world.people("ada").start_wrap_up(start).await.unwrap_err();
    assert_eq!(reason(&refused), "STALE_EPOCH");
    let complete = pb::CompleteWrapUpRequest {
        engagement_id: id.clone(),
        epoch: 2,
        disposition: "sold".to_owned(),
        note: String::new(),
    };
    for _ in 0..2 {
        let closed = world
            .people("ada")
            .complete_wrap_up(complete.clone())
            .await
            .unwrap();
        let closed = closed.into_inner();
        assert_eq!(closed.state(), pb::EngagementState::Closed);
        assert_eq!(
            (closed.disposition.as_str(), closed.close_reason.as_str()),
            ("sold", "wrapped_up")
        );
    }
    let other = world.assigned("16505552222", "bob").await;
    let start = pb::StartWrapUpRequest {
        engagement_id: other.clone(),
        epoch: 1,
    };
    world.people("bob").start_wrap_up(start).await.unwrap();
    let mut log = world.watch(SERVICE, "now").await;
    world.clock.advance(Duration::from_secs(30));
    let closed = log
        .until(|event| match event {
            Event::EngagementClosed(closed) => Some(closed.reason.clone()),
            _ => None,
        })
        .await;
    assert_eq!(closed, "wrap_up_expired");
    world.verify().await;
}

#[tokio::test]
async fn a_transfer_waits_in_line_again() {
    let world = World::start().await;
    let id = world.assigned(PHONE, "ada").await;
    let transfer = pb::TransferToQueueRequest {
        engagement_id: id.clone(),
        epoch: 1,
        queue_id: "support".to_owned(),
    };
    let refused = world
        .people("bob")
        .transfer_to_queue(transfer.clone())
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "NOT_ASSIGNED");
    for _ in 0..2 {
        let queued = world
            .people("ada")
            .transfer_to_queue(transfer.clone())
            .await
            .unwrap();
        let queued = queued.into_inner();
        assert_eq!(queued.state(), pb::EngagementState::Queued);
        assert_eq!((queued.queue_id.as_str(), queued.epoch), ("support", 2));
    }
    world.verify().await;
}

#[tokio::test]
async fn a_supervisor_moves_what_waits() {
    let world = World::start().await;
    world.says("w1", PHONE, "hi").await;
    world.says("w2", PHONE, "1").await;
    let id = world.conversation(PHONE).await.engagement_id;
    let offered = Record::Offered(pb::EngagementOffered {
        offer_id: format!("{id}.o1.1"),
        agent_id: "ada".to_owned(),
        epoch: 1,
        ..pb::EngagementOffered::default()
    });
    assert!(world.route(&id, 1, offered).await.accepted);
    let transfer = pb::TransferToQueueRequest {
        engagement_id: id.clone(),
        epoch: 1,
        queue_id: "support".to_owned(),
    };
    let by = async |who: &str| {
        let answer = world.people(who).transfer_to_queue(transfer.clone()).await;
        answer.map(tonic::Response::into_inner)
    };
    assert_eq!(reason(&by("ada").await.unwrap_err()), "NOT_ASSIGNED");
    for _ in 0..2 {
        let queued = by("sue").await.unwrap();
        assert_eq!(queued.state(), pb::EngagementState::Queued);
        assert_eq!((queued.queue_id.as_str(), queued.epoch), ("support", 2));
    }
    let late = world.route(&id, 1, assign("o1", "ada")).await;
    assert_eq!(late.reason, "STALE_EPOCH");
    world.verify().await;
}

#[tokio::test]
async fn a_full_outbox_takes_no_more_and_says_so() {
    let world = World::start().await;
    let id = world.assigned(PHONE, "ada").await;
    let mut refused = None;
    for n in 0..=200 {
        let sent = send(&world, "ada", agent_message(&id, 1, &format!("k{n}"))).await;
        if let Err(status) = sent {
            refused = Some((n, status));
            break;
        }
    }
    let (n, refused) = refused.unwrap();
    assert!((190..=200).contains(&n), "the flow's messages wait too");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "OUTBOX_FULL");
    assert!(refused.message().contains("wait"), "{}", refused.message());
    // One leaves, one may come.
    let mut outbox = world.outbox().await;
    world.send_all(&mut outbox, 1).await;
    send(&world, "ada", agent_message(&id, 1, "again"))
        .await
        .unwrap();
    world.verify().await;
}

#[tokio::test]
async fn what_closed_by_itself_is_filed_later_once() {
    let world = World::start().await;
    let id = world.assigned(PHONE, "ada").await;
    let start = pb::StartWrapUpRequest {
        engagement_id: id.clone(),
        epoch: 1,
    };
    world.people("ada").start_wrap_up(start).await.unwrap();
    let mut log = world.watch(SERVICE, "now").await;
    world.clock.advance(Duration::from_secs(30));
    let closed = |event: &Event| matches!(event, Event::EngagementClosed(_)).then_some(());
    log.until(closed).await;
    // The customer is back before the agent files.
    world.says("w9", PHONE, "hi again").await;
    let next = world.conversation(PHONE).await.engagement_id;
    assert_ne!(next, id);
    let file = async |who: &str, disposition: &str| {
        let request = pb::CompleteWrapUpRequest {
            engagement_id: id.clone(),
            epoch: 1,
            disposition: disposition.to_owned(),
            note: "called back".to_owned(),
        };
        let answer = world.people(who).complete_wrap_up(request).await;
        answer.map(tonic::Response::into_inner)
    };
    assert_eq!(reason(&file("bob", "sold").await.unwrap_err()), "CLOSED");
    for _ in 0..2 {
        let filed = file("ada", "sold").await.unwrap();
        assert_eq!(filed.id, id);
        assert_eq!(filed.disposition, "sold");
        assert_eq!(filed.close_reason, "wrap_up_expired");
    }
    assert_eq!(reason(&file("ada", "lost").await.unwrap_err()), "CLOSED");
    let entry = loop {
        let entry = log.next().await;
        if matches!(entry.event, Some(Event::EngagementFiled(_))) {
            break entry;
        }
    };
    assert_eq!(entry.engagement_id, id);
    assert_eq!(world.engagement(&id).await.disposition, "sold");
    assert_eq!(world.engagement(&next).await.disposition, "");
    world.verify().await;
}
