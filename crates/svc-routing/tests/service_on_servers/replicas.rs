//! Two replicas on the same stores: a desk is served wherever it is opened, nobody has two owners,
//! and what one replica began the other goes on with.

use std::time::Duration;

use lib_platform::AuthorizedChannel;
use lib_proto::routing as pb;
use lib_proto::routing::desk_command::Command;
use lib_proto::routing::desk_event::Event;
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_testkit::eventually;
use lib_testkit::servers::RedisServer;

use crate::place::Live;
use crate::world::{Desk, World};

impl Live {
    fn servers(&mut self) -> &mut [RedisServer] {
        match self {
            Self::One(server) => std::slice::from_mut(server),
            Self::Cluster(cluster) => &mut cluster.nodes,
        }
    }

    /// Loses everything.
    async fn empty(&self) {
        let servers = match self {
            Self::One(server) => std::slice::from_ref(server),
            Self::Cluster(cluster) => &cluster.nodes,
        };
        for server in servers {
            let mut connection = server.connect().await;
            let emptied = redis::cmd("FLUSHALL").exec_async(&mut connection).await;
            emptied.unwrap();
        }
    }

    /// Every server crashes.
    fn kill(&mut self) {
        for server in self.servers() {
            server.kill();
        }
    }

    /// Every server comes back on its data.
    async fn restart(&mut self) {
        for server in self.servers() {
            server.restart().await;
        }
        if let Self::Cluster(cluster) = self {
            cluster.complete().await;
        }
    }
}

/// Ana's desk as soon as routing opens it again with a snapshot that is `meant`. Until then a desk
/// may be refused, or end with its old hub before its first command goes out.
async fn reopened(
    world: &World,
    meant: impl Fn(&pb::DeskSnapshot) -> bool,
) -> (Desk, pb::DeskSnapshot) {
    eventually(async || {
        let mut desk = world.try_desk("ana").await.ok()?;
        let open = pb::DeskCommand {
            command_id: "reopened".to_owned(),
            command: Some(Command::Open(pb::OpenDesk { capacity: 0 })),
        };
        desk.commands.send(open).await.ok()?;
        match desk.message().await.ok()??.event? {
            Event::Snapshot(snapshot) => meant(&snapshot).then_some((desk, snapshot)),
            _ => None,
        }
    })
    .await
}

/// A desk opened at `channel`, ready for work.
async fn ready_at(world: &World, channel: AuthorizedChannel, agent: &str) -> Desk {
    let mut desk = world.desk_at(channel, agent).await.unwrap();
    desk.send(Command::Open(pb::OpenDesk { capacity: 2 })).await;
    assert!(matches!(desk.next().await, Event::Snapshot(_)));
    assert!(desk.done().await.accepted);
    let done = desk.presence(pb::AgentPresence::Ready).await;
    assert!(done.accepted, "{}", done.message);
    desk
}

async fn sales_at(channel: AuthorizedChannel) -> Result<pb::Queue, tonic::Status> {
    let id = "sales".to_owned();
    let request = pb::GetQueueRequest { id };
    let answer = RoutingServiceClient::new(channel).get_queue(request).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_desk_is_served_by_whichever_replica_it_reaches() {
    let mut world = World::new().await;
    let other = world.replica("two").await;
    assert_eq!(sales_at(other.channel("boss")).await.unwrap().name, "Sales");
    let mut ana = ready_at(&world, other.channel("ana"), "ana").await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert!(ana.accept(&offer).await.accepted);
    world.peer.story_of("c1.e1", 3).await;
    world.queue("c2.e1");
    let open = ana.offered().await;
    assert_eq!(open.engagement_id, "c2.e1");

    // The first replica ends; the second takes its tenants over with all they have.
    world.stop().await;
    let again = eventually(async || {
        let mut desk = world.desk_at(other.channel("ana"), "ana").await.ok()?;
        desk.send(Command::Open(pb::OpenDesk { capacity: 0 })).await;
        match desk.message().await.ok()??.event? {
            Event::Snapshot(snapshot) => Some((desk, snapshot)),
            _ => None,
        }
    });
    let (mut ana, snapshot) = again.await;
    assert!(ana.done().await.accepted, "the desk is open");
    let owned: Vec<&str> = snapshot
        .engagements
        .iter()
        .map(|engagement| engagement.engagement_id.as_str())
        .collect();
    assert_eq!(owned, ["c1.e1"], "what was accepted is kept");
    // Who is back before the hub has caught up with the log finds the offer as it stood.
    let offer = match snapshot.offers.into_iter().next() {
        Some(standing) => standing,
        None => ana.offered().await,
    };
    assert_eq!(offer.engagement_id, "c2.e1", "what waited is offered again");
    assert!(ana.accept(&offer).await.accepted);
    let owners = |story: &[String]| {
        let owners = story.iter().filter(|line| line.starts_with("assigned"));
        owners.count()
    };
    let told = async || {
        let story = world.peer.story("c2.e1");
        (owners(&story) > 0).then_some(story)
    };
    let story = eventually(told).await;
    assert_eq!(owners(&story), 1, "{story:?}");
    other.stop().await;
}

#[tokio::test]
async fn a_tenant_is_unavailable_while_it_moves_and_then_served_again() {
    let mut world = World::new().await;
    let other = world.replica("two").await;
    world.stop().await;
    let served = async || sales_at(other.channel("boss")).await.ok();
    assert_eq!(eventually(served).await.name, "Sales");
    // A replica that comes back finds everything too.
    world.start().await;
    let served = async || sales_at(world.channel("boss")).await.ok();
    assert_eq!(eventually(served).await.name, "Sales");
    other.stop().await;
    let served = async || {
        let state = tokio::time::timeout(Duration::from_secs(5), sales_at(world.channel("boss")));
        state.await.ok()?.ok()
    };
    assert_eq!(eventually(served).await.name, "Sales");
}

#[tokio::test]
async fn routing_state_lost_with_its_redis_is_read_from_the_log_again() {
    let mut world = World::new().await;
    let mut ana = world.ready("ana", 2).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert!(ana.accept(&offer).await.accepted);
    world.peer.story_of("c1.e1", 3).await;
    world.queue("c2.e1");
    let waiting = ana.offered().await;
    assert_eq!(waiting.engagement_id, "c2.e1");
    world.stop().await;
    let (_, live) = world.store.servers.as_ref().unwrap();
    // As if its disk were gone.
    live.empty().await;
    world.start().await;
    world
        .state_when("sales", |state| state.waiting.len() == 1)
        .await;
    let (_ana, snapshot) = world.desk("ana", 0).await;
    assert_eq!(snapshot.engagements[0].engagement_id, "c1.e1");
    assert_eq!(snapshot.engagements.len(), 1);
}

#[tokio::test]
async fn a_running_service_whose_redis_was_emptied_reads_the_log_again() {
    let world = World::new().await;
    let mut ana = world.ready("ana", 2).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert!(ana.accept(&offer).await.accepted);
    world.peer.story_of("c1.e1", 3).await;
    let (_, live) = world.store.servers.as_ref().unwrap();
    live.empty().await;
    // The next commit finds its fence gone.
    world.queue("c2.e1");
    let (_ana, back) = reopened(&world, |it| !it.engagements.is_empty()).await;
    assert_eq!(back.engagements[0].engagement_id, "c1.e1");
    world
        .state_when("sales", |state| state.waiting.len() == 1)
        .await;
}

#[tokio::test]
async fn an_operator_rebuilds_all_replicas_with_one_call() {
    let world = World::new().await;
    let other = world.replica("two").await;
    let mut ana = world.ready("ana", 2).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert!(ana.accept(&offer).await.accepted);
    world.peer.story_of("c1.e1", 3).await;
    let rebuild = async |token: &str| {
        let mut client = RoutingServiceClient::new(other.channel(token));
        let answer = client.rebuild_routing(pb::RebuildRoutingRequest {}).await;
        answer.map(tonic::Response::into_inner)
    };
    let refused = rebuild("boss").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert_eq!(rebuild(lib_testkit::SERVICE).await.unwrap().parts, 8);
    let (_ana, back) = reopened(&world, |it| !it.engagements.is_empty()).await;
    assert_eq!(back.engagements[0].engagement_id, "c1.e1");
    assert_eq!(sales_at(other.channel("boss")).await.unwrap().name, "Sales");
}

#[tokio::test]
async fn routing_outlives_a_redis_that_is_away_for_longer_than_a_commit_is_tried() {
    let mut world = World::new().await;
    let mut ana = world.ready("ana", 2).await;
    world.queue("c1.e1");
    let offer = ana.offered().await;
    assert!(ana.accept(&offer).await.accepted);
    world.peer.story_of("c1.e1", 3).await;
    let (_, live) = world.store.servers.as_mut().unwrap();
    live.kill();
    // The hub cannot keep what it learns; it ends, its desks with it, and it reads its state again
    // when it can.
    world.queue("c2.e1");
    while ana.message().await.is_ok_and(|event| event.is_some()) {}
    let (_, live) = world.store.servers.as_mut().unwrap();
    live.restart().await;
    let (mut ana, snapshot) = reopened(&world, |_| true).await;
    assert!(ana.done().await.accepted);
    let owned = snapshot.engagements.iter();
    let owned: Vec<&str> = owned.map(|it| it.engagement_id.as_str()).collect();
    assert_eq!(owned, ["c1.e1"], "what was accepted is kept");
    let offer = match snapshot.offers.into_iter().next() {
        Some(standing) => standing,
        None => ana.offered().await,
    };
    assert_eq!(
        offer.engagement_id, "c2.e1",
        "what came meanwhile is offered"
    );
    assert!(ana.accept(&offer).await.accepted);
}
