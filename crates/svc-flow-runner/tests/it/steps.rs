//! `FlowRunnerService` over real gRPC: steps, versions, failures of one step among others, and a
//! road that needs no database.

use crate::support::{GUIDE, Server, create, now, publish, refused, step, taken, text, update};
use lib_proto::common::content::Content as Said;
use lib_proto::flow_runner as pb;
use lib_storage::sql;
use lib_testkit::servers::PostgresServer;
use lib_testkit::{Place, SERVICE, eventually};
use pb::flow_effect::Effect;
use pb::step_failure::Kind;
use serde_json::json;
use tonic::Code;

lib_testkit::on_both_engines! {
    the_guide_is_played_over_the_wire,
    sessions_stay_on_their_version_and_new_ones_take_the_newest,
    a_step_that_fails_fails_alone,
    known_flows_need_no_database_and_unknown_ones_wait_for_it,
    scripts_run_only_where_they_are_allowed,
}

async fn the_guide_is_played_over_the_wire(place: &Place) {
    let server = Server::start(place).await;
    server.publish("f", GUIDE).await;
    let first = taken(
        server
            .advance(vec![step("f", b"", "Hello")])
            .await
            .remove(0),
    );
    assert_eq!((first.flow_version, first.finished), (1, false));
    assert_eq!(first.path, ["Start/next", "Send_Media/next"]);
    let keys: Vec<&str> = first
        .effects
        .iter()
        .map(|effect| effect.key.as_str())
        .collect();
    assert_eq!(keys, ["1.0", "1.1"]);
    let Some(Effect::Send(content)) = &first.effects[0].effect else {
        panic!("{first:?}");
    };
    let Some(Said::Text(greeting)) = &content.content else {
        panic!("{content:?}");
    };
    assert!(greeting.body.starts_with("Hey there!👋\n\nI'm here"));
    let wait = first.wait.unwrap();
    assert_eq!(wait.until.unwrap().seconds, now().as_seconds() + 600);

    // The same step again, after a restart: the same bytes.
    server.stop().await;
    let server = Server::start(place).await;
    let again = taken(
        server
            .advance(vec![step("f", b"", "Hello")])
            .await
            .remove(0),
    );
    assert_eq!(again, first);

    let timed_out = pb::Advance {
        input: Some(pb::FlowInput {
            input: Some(pb::flow_input::Input::TimedOut(pb::TimedOut {
                wait: wait.wait,
            })),
        }),
        ..step("f", &first.session, "")
    };
    let steps = vec![step("f", &first.session, "1️⃣"), timed_out];
    let mut results = server.advance(steps).await.into_iter().map(taken);
    let route = |step: pb::Step| match step.effects.into_iter().last().unwrap().effect {
        Some(Effect::RouteTo(route)) => route.queue_id,
        other => panic!("{other:?}"),
    };
    assert_eq!(route(results.next().unwrap()), "sales");
    assert_eq!(route(results.next().unwrap()), "support");
    server.stop().await;
}

async fn sessions_stay_on_their_version_and_new_ones_take_the_newest(place: &Place) {
    let server = Server::start(place).await;
    server.publish("f", GUIDE).await;
    let old = taken(
        server
            .advance(vec![step("f", b"", "Hello")])
            .await
            .remove(0),
    );
    let mut flows = server.flows("red");
    let swapped = GUIDE
        .replace(
            "\"sales\": \"Route_to_Sales\"",
            "\"sales\": \"Route_to_Support\"",
        )
        .replace(
            "\"support\": \"Route_to_Support\"",
            "\"support\": \"Route_to_Sales\"",
        );
    flows.update_flow(update("f", &swapped, "")).await.unwrap();
    flows.publish_flow(publish("f")).await.unwrap();
    let new = taken(
        server
            .advance(vec![step("f", b"", "Hello")])
            .await
            .remove(0),
    );
    assert_eq!((old.flow_version, new.flow_version), (1, 2));
    let steps = vec![step("f", &old.session, "1"), step("f", &new.session, "1")];
    let paths: Vec<Vec<String>> = server
        .advance(steps)
        .await
        .into_iter()
        .map(|result| taken(result).path)
        .collect();
    assert_eq!(paths[0].last().unwrap(), "Route_to_Sales/routed");
    assert_eq!(paths[1].last().unwrap(), "Route_to_Support/routed");
    server.stop().await;
}

async fn a_step_that_fails_fails_alone(place: &Place) {
    let server = Server::start(place).await;
    server.publish("f", GUIDE).await;
    server
        .flows("red")
        .create_flow(crate::support::create("draft", GUIDE))
        .await
        .unwrap();
    let good = step("f", b"", "Hello");
    let bad_key = pb::flow_input::Input::SendFailed(pb::SendFailed {
        key: "one".into(),
        reason: String::new(),
    });
    let steps = vec![
        good.clone(),
        step("nowhere", b"", "Hello"),
        step("draft", b"", "Hello"),
        pb::Advance {
            tenant_id: "blue".into(),
            ..good.clone()
        },
        step("f", &[1, 9, 1, 0], "Hello"),
        step("f", b"rubbish", "Hello"),
        step("f", &[1, 1, 1, 1, 3, 0, 0, 0, 0], "Hello"),
        pb::Advance {
            input: None,
            ..good.clone()
        },
        pb::Advance {
            now: None,
            ..good.clone()
        },
        pb::Advance {
            input: Some(pb::FlowInput {
                input: Some(bad_key),
            }),
            ..good.clone()
        },
        pb::Advance {
            input: Some(pb::FlowInput {
                input: Some(pb::flow_input::Input::Message(text("Hello"))),
            }),
            ..good.clone()
        },
        good,
    ];
    let mut results = server.advance(steps).await;
    let last = taken(results.pop().unwrap());
    assert_eq!(taken(results.remove(0)), last);
    let kinds: Vec<Kind> = results
        .iter()
        .cloned()
        .map(|result| refused(result).0)
        .collect();
    let mut expected = vec![Kind::NotFound; 4];
    expected.extend([Kind::Invalid; 6]);
    assert_eq!(kinds, expected, "{results:#?}");
    assert!(
        results
            .into_iter()
            .all(|result| !refused(result).1.is_empty())
    );
    server.stop().await;
}

async fn known_flows_need_no_database_and_unknown_ones_wait_for_it(place: &Place) {
    let server = Server::start(place).await;
    server.publish("f", GUIDE).await;
    let first = taken(
        server
            .advance(vec![step("f", b"", "Hello")])
            .await
            .remove(0),
    );
    // The tables go away under the running service.
    let database = place.database("flow-runner", 2).await;
    let mut tx = database.begin().await.unwrap();
    for away in [
        "ALTER TABLE flow RENAME TO gone",
        "ALTER TABLE flow_version RENAME TO gone_too",
    ] {
        sql(away).execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let steps = vec![step("f", b"", "Hello"), step("f", &first.session, "2")];
    let results = server.advance(steps).await;
    assert_eq!(results.len(), 2);
    for result in results {
        taken(result);
    }
    let steps = pb::AdvanceRequest {
        steps: vec![step("g", b"", "Hello")],
    };
    let status = server.runner(SERVICE).advance(steps).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "the caller can try again");
    server.stop().await;
}

#[tokio::test]
async fn what_one_replica_publishes_the_other_starts() {
    let server = PostgresServer::start().await;
    let place = Place::on(&server).await;
    let (one, other) = (Server::start(&place).await, Server::start(&place).await);
    one.publish("f", GUIDE).await;
    let version = async |server: &Server| {
        let steps = vec![step("f", b"", "Hello")];
        taken(server.advance(steps).await.remove(0)).flow_version
    };
    assert_eq!(version(&other).await, 1);
    let again = GUIDE.replacen("\"name\"", " \"name\"", 1);
    one.flows("red")
        .update_flow(update("f", &again, ""))
        .await
        .unwrap();
    one.flows("red").publish_flow(publish("f")).await.unwrap();
    eventually(async || (version(&other).await == 2).then_some(())).await;
    one.stop().await;
    other.stop().await;
}

async fn scripts_run_only_where_they_are_allowed(place: &Place) {
    let flow = |code: &str| {
        json!({
            "format": 1, "name": "f", "start": "Start",
            "widgets": [
                {"name": "Start", "type": "start", "exits": {"next": "Twice"}},
                {"name": "Twice", "type": "script", "settings": {"code": code},
                    "exits": {"next": "End", "failed": "End"}},
                {"name": "End", "type": "end"}
            ]
        })
        .to_string()
    };
    let path = async |server: &Server, id: &str| {
        let result = server.advance(vec![step(id, b"", "Hello")]).await.remove(0);
        taken(result).path
    };
    let server = Server::start(place).await;
    server
        .publish("f", &flow("function main() { return 2 }"))
        .await;
    let mut flows = server.flows("red");
    let changed = update("f", &flow("function main() { return 3 }"), "");
    flows.update_flow(changed).await.unwrap();
    flows.publish_flow(publish("f")).await.unwrap();
    // Without an end: stopped by its limits, and its session goes on.
    server
        .publish("g", &flow("function main() { for (;;); }"))
        .await;
    assert_eq!(path(&server, "f").await[1], "Twice/next");
    assert_eq!(path(&server, "g").await[1], "Twice/failed");
    server.stop().await;

    let server = Server::start_with(place, false).await;
    assert_eq!(path(&server, "f").await[1], "Twice/failed");
    let mut flows = server.flows("red");
    let draft = flow("function main() {}");
    flows.create_flow(create("h", &draft)).await.unwrap();
    let refusals = [
        flows.publish_flow(publish("h")).await.unwrap_err(),
        flows
            .roll_back_flow(pb::RollBackFlowRequest {
                id: "f".into(),
                version: 1,
                note: String::new(),
            })
            .await
            .unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        assert!(
            refusal.message().contains("flow_runner.scripts"),
            "{refusal:?}"
        );
    }
    server.stop().await;
}
