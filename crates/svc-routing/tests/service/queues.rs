//! Settings of queues and who may change them.

use lib_platform::refusal::reason_of;
use lib_proto::routing as pb;
use lib_testkit::SERVICE;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::world::{World, sales};

#[tokio::test]
async fn queues_are_created_once_changed_listed_and_deleted() {
    let world = World::new().await;
    let mut boss = world.routing("boss");
    let create = |queue: pb::Queue| pb::CreateQueueRequest { queue: Some(queue) };
    let again = boss.create_queue(create(sales())).await.unwrap();
    assert_eq!(again.into_inner(), sales());
    let mut other = sales();
    other.name = "Sales EMEA".to_owned();
    let refused = boss.create_queue(create(other.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    let request = pb::UpdateQueueRequest {
        queue: Some(other.clone()),
    };
    boss.update_queue(request).await.unwrap();
    other.id = "support".to_owned();
    other.offer_seconds = 0;
    let created = boss.create_queue(create(other)).await.unwrap();
    assert_eq!(created.get_ref().offer_seconds, 30);

    let mut request = pb::ListQueuesRequest {
        page_size: 1,
        page_token: String::new(),
    };
    let first = boss
        .list_queues(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.queues[0].name, "Sales EMEA");
    request.page_token = first.next_page_token;
    let second = boss.list_queues(request).await.unwrap().into_inner();
    assert_eq!(second.queues[0].id, "support");
    assert_eq!(second.next_page_token, "");

    world.queue("c1.e1");
    world
        .state_when("sales", |state| state.waiting.len() == 1)
        .await;
    let delete = |id: &str| pb::DeleteQueueRequest { id: id.to_owned() };
    let refused = boss.delete_queue(delete("sales")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason_of(&refused).unwrap(), "QUEUE_NOT_EMPTY");
    boss.delete_queue(delete("support")).await.unwrap();
    let gone = boss.delete_queue(delete("support")).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let request = pb::GetQueueRequest {
        id: "support".to_owned(),
    };
    let gone = boss.get_queue(request).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn every_bad_field_is_named() {
    let world = World::new().await;
    let bad = pb::Queue {
        id: "x".to_owned(),
        name: String::new(),
        agent_ids: vec![String::new(), "ana".to_owned(), "ana".to_owned()],
        offer_seconds: 4,
        wrap_up_seconds: 100_000,
        dispositions: vec!["a".to_owned(), "A".to_owned()],
    };
    let request = pb::CreateQueueRequest { queue: Some(bad) };
    let refused = world.routing("boss").create_queue(request).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_details_bad_request().unwrap();
    let fields: Vec<&str> = details
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "queue.agent_ids[0]",
            "queue.id",
            "queue.name",
            "queue.agent_ids[1]",
            "queue.offer_seconds",
            "queue.wrap_up_seconds",
            "queue.dispositions[1]"
        ]
    );
    let nothing = pb::CreateQueueRequest { queue: None };
    let refused = world.routing("boss").create_queue(nothing).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let mut request = pb::ListOffersRequest {
        page_token: "zz".to_owned(),
        ..pb::ListOffersRequest::default()
    };
    let refused = world.routing("boss").list_offers(request.clone()).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    request.page_token = String::new();
    request.page_size = -1;
    let refused = world.routing("boss").list_offers(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn roles_and_tenants_are_kept_apart() {
    let world = World::new().await;
    let request = pb::UpdateQueueRequest {
        queue: Some(sales()),
    };
    let refused = world.routing("ana").update_queue(request.clone()).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let list = pb::ListQueuesRequest::default();
    let seen = world.routing("ana").list_queues(list.clone()).await;
    assert_eq!(seen.unwrap().get_ref().queues.len(), 1);

    let seen = world.routing("eve").list_queues(list).await.unwrap();
    assert_eq!(seen.get_ref().queues, []);
    let refused = world.routing("eve").update_queue(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    let nobody = world
        .routing("stranger")
        .get_queue(pb::GetQueueRequest {
            id: "sales".to_owned(),
        })
        .await;
    assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
    for token in ["boss", SERVICE] {
        let refused = world.try_desk(token).await.err().unwrap();
        assert_eq!(refused.code(), Code::PermissionDenied, "{token}");
    }
    let agents = world
        .routing("eve")
        .list_agents(pb::ListAgentsRequest::default())
        .await
        .unwrap();
    assert_eq!(agents.get_ref().agents, []);
}
