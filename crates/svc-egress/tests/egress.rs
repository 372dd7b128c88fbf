//! Egress against a scripted Graph API: every class of outcome, grants, pauses, stops, restarts.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod peers;
mod replicas;

use std::time::Duration;

use lib_proto::conversations::attempt_result::Outcome;
use lib_proto::egress::{ListNumberStatesRequest, NumberState, ResumeNumberRequest};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tonic::Code;

use crate::peers::{Graph, NOW, World, text};

async fn state(world: &World) -> NumberState {
    let request = ListNumberStatesRequest {};
    let answer = world
        .client("red")
        .list_number_states(request)
        .await
        .unwrap();
    answer.into_inner().states.remove(0)
}

/// Seconds until the retry the outcome asks for, and its cause.
fn not_sent(outcome: Outcome) -> (i64, String) {
    match outcome {
        Outcome::NotSent(outcome) => (outcome.retry_at.unwrap().seconds - NOW, outcome.cause),
        other => panic!("expected not sent, got {other:?}"),
    }
}

#[tokio::test]
async fn an_accepted_message_carries_its_id_its_trace_and_the_token() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    world.log.want(vec![text("cnv.m1", 1)]);
    let Outcome::Accepted(accepted) = world.outcome().await else {
        panic!("not accepted")
    };
    assert_eq!(accepted.whatsapp_message_id, "wamid.1");
    let seen = graph.seen().remove(0);
    assert_eq!(seen.path, "/v24.0/2001/messages");
    assert_eq!(seen.authorization, "Bearer EAAG1");
    assert!(
        seen.traceparent
            .starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    );
    assert_eq!(seen.body["biz_opaque_callback_data"], "v1.cnv.m1");
    assert_eq!(seen.body["text"]["body"], "Hello");
    assert_eq!(state(&world).await.accepted, 1);
}

#[tokio::test]
async fn a_refusal_for_good_is_rejected_with_metas_words() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    graph.will_fail(400, 131_026);
    world.log.want(vec![text("cnv.m1", 1)]);
    let Outcome::Rejected(rejected) = world.outcome().await else {
        panic!("not rejected")
    };
    assert_eq!(rejected.error.unwrap().code, 131_026);
}

#[tokio::test]
async fn what_cannot_be_sent_at_all_is_rejected_without_a_request() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    let mut empty = text("cnv.m1", 1);
    empty.content = None;
    world.log.want(vec![empty]);
    let Outcome::Rejected(rejected) = world.outcome().await else {
        panic!("not rejected")
    };
    assert!(rejected.error.unwrap().details.contains("content"));
    let mut unknown = text("cnv.m2", 1);
    unknown.number_id = "404".into();
    world.log.want(vec![unknown]);
    let Outcome::Rejected(rejected) = world.outcome().await else {
        panic!("not rejected")
    };
    assert!(rejected.error.unwrap().details.contains("not connected"));
    assert!(graph.seen().is_empty());
}

#[tokio::test]
async fn a_server_error_is_ambiguous() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    graph.will_answer(500, "<html>oops</html>");
    world.log.want(vec![text("cnv.m1", 1)]);
    assert!(matches!(world.outcome().await, Outcome::Ambiguous(_)));
    graph.will_answer(200, "{}");
    world.log.want(vec![text("cnv.m2", 1)]);
    assert!(matches!(world.outcome().await, Outcome::Ambiguous(_)));
    assert_eq!(state(&world).await.ambiguous, 2);
}

#[tokio::test]
async fn a_refused_connection_means_not_sent() {
    let url = format!("http://127.0.0.1:{}", lib_testkit::servers::free_port());
    let mut world = World::started(&url).await;
    world.log.want(vec![text("cnv.m1", 1)]);
    let (wait, cause) = not_sent(world.outcome().await);
    assert_eq!(wait, 1, "{cause}");
    world.log.want(vec![text("cnv.m1", 4)]);
    assert_eq!(not_sent(world.outcome().await).0, 8);
}

#[tokio::test]
async fn a_hang_up_after_the_request_is_ambiguous() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut world = World::started(&url).await;
    world.log.want(vec![text("cnv.m1", 1)]);
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.windows(5).any(|window| window == b"Hello") {
        socket.read_buf(&mut bytes).await.unwrap();
    }
    drop(socket);
    assert!(matches!(world.outcome().await, Outcome::Ambiguous(_)));
}

#[tokio::test]
async fn silence_is_ambiguous() {
    let graph = Graph::start().await;
    let mut world = World::new(&graph.url).await;
    world.config.http_timeout = Duration::from_millis(200);
    world.start().await;
    let held = graph.hold().await;
    world.log.want(vec![text("cnv.m1", 1)]);
    assert!(matches!(world.outcome().await, Outcome::Ambiguous(_)));
    drop(held);
}

#[tokio::test]
async fn without_a_grant_there_is_no_request() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    world.log.deny("cnv.m1");
    world.log.want(vec![text("cnv.m1", 1), text("cnv.m2", 1)]);
    assert!(matches!(world.outcome().await, Outcome::Accepted(_)));
    world.log.want(vec![text("cnv.m3", 1)]);
    assert!(matches!(world.outcome().await, Outcome::Accepted(_)));
    let sent: Vec<_> = graph
        .seen()
        .into_iter()
        .map(|one| one.body["biz_opaque_callback_data"].clone())
        .collect();
    assert_eq!(sent, ["v1.cnv.m2", "v1.cnv.m3"]);
}

#[tokio::test]
async fn a_throttle_pauses_the_number_and_the_pair_limit_only_the_message() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    graph.will_fail(400, 131_056);
    world.log.want(vec![text("cnv.m1", 3)]);
    let (wait, cause) = not_sent(world.outcome().await);
    assert_eq!(wait, 16, "{cause}");
    assert_eq!(state(&world).await.paused_until, None);
    graph.will_fail(400, 130_429);
    world.log.want(vec![text("cnv.m2", 1)]);
    let (wait, cause) = not_sent(world.outcome().await);
    assert_eq!(wait, 1, "{cause}");
    assert_eq!(state(&world).await.paused_until.unwrap().seconds, NOW + 1);
    // It goes on by itself.
    world.log.want(vec![text("cnv.m3", 1)]);
    assert!(matches!(world.outcome().await, Outcome::Accepted(_)));
}

#[tokio::test]
async fn a_refused_token_stops_the_number_until_somebody_resumes_it() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    graph.will_fail(401, 190);
    world.log.want(vec![text("cnv.m1", 1)]);
    assert_eq!(not_sent(world.outcome().await).0, 60);
    world.log.want(vec![text("cnv.m2", 1)]);
    let (wait, cause) = not_sent(world.outcome().await);
    assert!(wait == 60 && cause.contains("190"), "{cause}");
    assert_eq!(graph.seen().len(), 1);
    let stopped = state(&world).await;
    assert!(
        stopped.stopped && stopped.cause.contains("190"),
        "{stopped:?}"
    );

    // Another tenant neither sees nor resumes it.
    let mut blue = world.client("blue");
    let seen = blue
        .list_number_states(ListNumberStatesRequest {})
        .await
        .unwrap();
    assert!(seen.into_inner().states.is_empty());
    let resume = ResumeNumberRequest {
        number_id: "2001".into(),
    };
    let denied = blue.resume_number(resume.clone()).await.unwrap_err();
    assert_eq!(denied.code(), Code::NotFound);

    world.replace_token("EAAG2");
    let resumed = world.client("red").resume_number(resume).await.unwrap();
    assert!(!resumed.into_inner().stopped);
    world.log.want(vec![text("cnv.m2", 2)]);
    assert!(matches!(world.outcome().await, Outcome::Accepted(_)));
    assert_eq!(graph.seen()[1].authorization, "Bearer EAAG2");
}

#[tokio::test]
async fn a_broken_stream_is_taken_up_again_and_nothing_is_sent_twice() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    let held = graph.hold().await;
    world.log.want(vec![text("cnv.m1", 1)]);
    graph.arrival().await;
    world.log.hang_up();
    world.log.want(vec![text("cnv.m2", 1)]);
    // The second message is only heard of on the new stream, which announces the first again.
    graph.arrival().await;
    drop(held);
    for _ in 0..2 {
        assert!(matches!(world.outcome().await, Outcome::Accepted(_)));
    }
    assert_eq!(graph.seen().len(), 2);
    assert_eq!(world.log.started().len(), 2);
}

#[tokio::test]
async fn what_arrives_together_is_asked_for_together() {
    let graph = Graph::start().await;
    let mut world = World::new(&graph.url).await;
    world.config.messages_per_second = 100_000;
    let all: Vec<_> = (0..500).map(|n| text(&format!("cnv{n}.m1"), 1)).collect();
    world.log.want(all);
    world.start().await;
    for _ in 0..500 {
        assert!(matches!(world.outcome().await, Outcome::Accepted(_)));
    }
    let batches = world.log.batches();
    assert!(
        batches.len() <= 250,
        "{} calls for 500 attempts",
        batches.len()
    );
    assert_eq!(graph.seen().len(), 500);
}

#[tokio::test]
async fn an_answer_that_comes_during_the_stop_is_reported_after_the_restart() {
    let graph = Graph::start().await;
    let mut world = World::started(&graph.url).await;
    let held = graph.hold().await;
    world.log.want(vec![text("cnv.m1", 1)]);
    graph.arrival().await;
    let egress = world.stop();
    drop(held);
    egress.stop().await;
    assert!(world.outcomes.is_empty());
    world.start().await;
    let Outcome::Accepted(accepted) = world.outcome().await else {
        panic!("not accepted")
    };
    assert_eq!(accepted.whatsapp_message_id, "wamid.1");
    assert_eq!(graph.seen().len(), 1);
}
