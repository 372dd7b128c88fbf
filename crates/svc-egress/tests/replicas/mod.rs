//! Two replicas of egress on PostgreSQL: they share the numbers, nothing is sent twice, and one
//! takes over from the other, also what it could not report.

use std::collections::{BTreeMap, BTreeSet};

use lib_platform::partition::part_of;
use lib_proto::conversations::OutboxIntent;
use lib_proto::conversations::attempt_result::Outcome;
use lib_proto::egress::egress_service_client::EgressServiceClient;
use lib_proto::egress::{ListNumberStatesRequest, ResumeNumberRequest};
use lib_storage::{Database, sql};
use lib_testkit::servers::PostgresServer;
use lib_testkit::{Place, eventually};
use tokio::runtime::{Builder, Runtime};

use crate::peers::{Graph, NUMBERS, World, replica, text};

/// A text on each number.
fn round(n: usize) -> Vec<OutboxIntent> {
    let intent = |number: usize| OutboxIntent {
        number_id: format!("{}", 2001 + number),
        ..text(&format!("cnv{number}.m{n}"), 1)
    };
    (0..NUMBERS).map(intent).collect()
}

/// Waits until `owners` have all parts between them.
async fn shared_by(database: &Database, owners: &[&str]) {
    eventually(async || {
        let rows = sql(
            "SELECT owner, COUNT(*) FROM lease WHERE until > clock_timestamp() \
             GROUP BY owner ORDER BY owner",
        );
        let rows = rows.fetch_all(database).await.unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row.text(0).unwrap()).collect();
        let parts: i64 = rows.iter().map(|row| row.get::<i64>(1).unwrap()).sum();
        (found == owners && parts == 64).then_some(())
    })
    .await;
}

/// Takes in `count` outcomes, all of them accepted.
async fn accepted(world: &mut World, count: usize) {
    for _ in 0..count {
        assert!(matches!(world.outcome().await, Outcome::Accepted(_)));
    }
}

/// Which messages Graph has seen; each once.
fn sent_once(graph: &Graph) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for seen in graph.seen() {
        let message = seen.body["biz_opaque_callback_data"].to_string();
        *counts.entry(message).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    counts.into_keys().collect()
}

/// Runs a replica that can be killed: it ends where it stands, and its connections break.
async fn mortal(world: &World, name: &'static str) -> Runtime {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let context = world.place.replica(name, &world.clock, &world.peers.url);
    let config = world.config.clone();
    let (started, ready) = tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        let host = replica(config, context).await;
        started.send(()).unwrap();
        std::future::pending::<()>().await;
        drop(host);
    });
    ready.await.unwrap();
    runtime
}

#[tokio::test]
async fn numbers_are_shared_and_taken_over_and_nothing_is_sent_twice() {
    let server = PostgresServer::start().await;
    let graph = Graph::start().await;
    let mut world = World::at(&graph.url, Place::on(&server).await).await;
    let database = {
        world.start().await;
        world.place.database("egress", 2).await
    };
    shared_by(&database, &["egress"]).await;
    let other = mortal(&world, "other").await;
    shared_by(&database, &["egress", "other"]).await;

    world.log.want(round(1));
    accepted(&mut world, NUMBERS).await;
    assert_eq!(sent_once(&graph).len(), NUMBERS);
    let senders: BTreeSet<String> = world.log.senders().into_values().collect();
    assert_eq!(senders.into_iter().collect::<Vec<_>>(), ["egress", "other"]);

    // The other one dies. Its numbers wait until its leases are over; then they are ours.
    other.shutdown_background();
    world.log.want(round(2));
    accepted(&mut world, NUMBERS).await;
    assert_eq!(sent_once(&graph).len(), 2 * NUMBERS);
    shared_by(&database, &["egress"]).await;
    world.stop().stop().await;
}

#[tokio::test]
async fn what_a_stopping_replica_cannot_report_another_does() {
    let server = PostgresServer::start().await;
    let graph = Graph::start().await;
    let mut world = World::at(&graph.url, Place::on(&server).await).await;
    world.start().await;
    let held = graph.hold().await;
    world.log.want(vec![text("cnv.m1", 1)]);
    graph.arrival().await;
    // It comes while the first has a request under way, and waits for its number.
    let heir = world.replica("heir").await;
    let egress = world.stop();
    drop(held);
    egress.stop().await;
    accepted(&mut world, 1).await;
    assert_eq!(world.log.senders()["cnv.m1"], "egress");
    world.log.want(vec![text("cnv.m2", 1)]);
    accepted(&mut world, 1).await;
    assert_eq!(world.log.senders()["cnv.m2"], "heir");
    assert_eq!(sent_once(&graph).len(), 2);
    heir.stop().await;
}

#[tokio::test]
async fn any_replica_shows_and_resumes_every_number() {
    let server = PostgresServer::start().await;
    let graph = Graph::start().await;
    let mut world = World::at(&graph.url, Place::on(&server).await).await;
    let start = async |name: &str| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mut context = world.place.replica(name, &world.clock, &world.peers.url);
        context.me.address = address;
        let parts = svc_egress::start(world.config.clone(), context.clone());
        let users = lib_testkit::tokens(&[(
            "red",
            lib_testkit::user("red", "root", lib_platform::Role::Administrator),
        )]);
        let users = lib_platform::Authenticator::new(world.clock.clone(), users, None);
        let parts = parts.await.unwrap();
        lib_testkit::Host::serve(listener, parts, &context.life, users).await
    };
    let hosts = [start("one").await, start("two").await];
    let database = world.place.database("egress", 2).await;
    shared_by(&database, &["one", "two"]).await;
    world.log.want(round(1));
    accepted(&mut world, NUMBERS).await;
    let owner = "SELECT owner FROM lease WHERE part = $1";
    let owner = sql(owner).bind(part_of("2001", 64));
    let owner = owner.fetch_one(&database).await.unwrap();
    let owner = owner.text(0).unwrap().to_owned();
    for (host, name) in hosts.iter().zip(["one", "two"]) {
        let mut client = EgressServiceClient::new(host.channel("red"));
        // What moved a second ago may not be known everywhere yet.
        let states = eventually(async || {
            let states = client.list_number_states(ListNumberStatesRequest {}).await;
            let states = states.unwrap().into_inner().states;
            (states.len() == NUMBERS).then_some(states)
        })
        .await;
        assert!(
            states.iter().all(|state| state.accepted == 1),
            "{name}, 2001 is at {owner}"
        );
        let resume = ResumeNumberRequest {
            number_id: "2001".into(),
        };
        let resumed = client.resume_number(resume).await.unwrap();
        assert_eq!(resumed.into_inner().accepted, 1);
    }
    for host in hosts {
        host.stop().await;
    }
}
