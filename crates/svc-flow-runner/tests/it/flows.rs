//! `FlowService` over real gRPC: drafts, publication, versions that never change, who may do what.

use crate::support::{GUIDE, Server, create, publish, update};
use lib_platform::refusal::reason_of;
use lib_proto::flow_runner as pb;
use lib_storage::sql;
use lib_testkit::Place;
use lib_testkit::SERVICE;
use tonic::Code;
use tonic_types::StatusExt as _;

fn get(id: &str) -> pb::GetFlowRequest {
    pb::GetFlowRequest { id: id.into() }
}

fn version(flow: &str, version: u32) -> pb::GetFlowVersionRequest {
    pb::GetFlowVersionRequest {
        flow_id: flow.into(),
        version,
    }
}

lib_testkit::on_both_engines! {
    creating_twice_is_creating_once,
    two_editors_do_not_overwrite_each_other,
    a_draft_with_errors_is_not_published_and_says_where,
    published_versions_are_numbered_and_survive_a_restart,
    the_database_itself_refuses_to_change_a_version,
    flows_are_listed_page_by_page_and_tenants_see_their_own,
    only_authors_write_and_only_services_step,
}

async fn creating_twice_is_creating_once(place: &Place) {
    let server = Server::start(place).await;
    let mut flows = server.flows("red-author");
    let first = flows
        .create_flow(create("f", "{}"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((first.published_version, first.draft.as_str()), (0, "{}"));
    let changed = flows
        .update_flow(update("f", GUIDE, &first.etag))
        .await
        .unwrap()
        .into_inner();
    assert_ne!(changed.etag, first.etag);
    // A late repetition of the creation changes nothing and shows what is there now.
    let again = flows
        .create_flow(create("f", "{}"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, changed);
    let other = flows.create_flow(create("f", "[]")).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists);
    let bad = flows.create_flow(create("a b", "{}")).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    let huge = flows
        .create_flow(create("g", &" ".repeat(10 << 20)))
        .await
        .unwrap_err();
    assert_eq!(
        huge.get_details_bad_request().unwrap().field_violations[0].field,
        "draft"
    );
    server.stop().await;
}

async fn two_editors_do_not_overwrite_each_other(place: &Place) {
    let server = Server::start(place).await;
    let mut flows = server.flows("red");
    let flow = flows
        .create_flow(create("f", "1"))
        .await
        .unwrap()
        .into_inner();
    let mine = flows
        .update_flow(update("f", "2", &flow.etag))
        .await
        .unwrap()
        .into_inner();
    let theirs = flows
        .update_flow(update("f", "3", &flow.etag))
        .await
        .unwrap_err();
    assert_eq!(theirs.code(), Code::Aborted);
    assert_eq!(reason_of(&theirs).as_deref(), Some("CONFLICT"));
    // A repetition of what is there already is no conflict, and no change.
    let again = flows
        .update_flow(update("f", "2", &flow.etag))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, mine);
    let stale = pb::PublishFlowRequest {
        etag: flow.etag,
        ..publish("f")
    };
    assert_eq!(
        flows.publish_flow(stale).await.unwrap_err().code(),
        Code::Aborted
    );
    assert_eq!(
        flows
            .update_flow(update("g", "2", ""))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    server.stop().await;
}

async fn a_draft_with_errors_is_not_published_and_says_where(place: &Place) {
    let server = Server::start(place).await;
    let mut flows = server.flows("red");
    let draft = GUIDE
        .replace("\"next\": \"Send_Media\"", "\"next\": \"Send_Medai\"")
        .replace("\"timeout_seconds\": 600", "\"timeout_seconds\": 0");
    flows.create_flow(create("f", &draft)).await.unwrap();
    let refused = flows.publish_flow(publish("f")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<&str> = violations.iter().map(|each| each.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "draft.Start.exits.next",
            "draft.Collect_Input.settings.timeout_seconds"
        ]
    );
    assert!(
        violations[0]
            .description
            .contains("did you mean `Send_Media`?")
    );
    let missing = flows.get_flow_version(version("f", 0)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);

    // Many errors at once still fit into the answer's headers.
    let widgets = vec![r#"{"name":"x","type":"nothing_at_all"}"#; 1_500].join(",");
    let many = format!(r#"{{"format":1,"name":"x","start":"S","widgets":[{widgets}]}}"#);
    flows.update_flow(update("f", &many, "")).await.unwrap();
    let refused = flows.publish_flow(publish("f")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    assert!(violations.last().unwrap().description.contains("CheckFlow"));
    let check = pb::CheckFlowRequest { definition: many };
    let checked = flows.check_flow(check).await.unwrap().into_inner();
    assert_eq!(checked.problems.len(), 501);
    assert_eq!(
        checked.problems[0].severity(),
        pb::flow_problem::Severity::Error
    );
    server.stop().await;
}

async fn published_versions_are_numbered_and_survive_a_restart(place: &Place) {
    let server = Server::start(place).await;
    let first = server.publish("f", GUIDE).await;
    assert_eq!(
        (first.version, first.author.as_str(), first.note.as_str()),
        (1, "root", "because")
    );
    let mut flows = server.flows("red-author");
    let again = flows.publish_flow(publish("f")).await.unwrap().into_inner();
    assert_eq!(again, first, "an unchanged draft is not published twice");
    let second_text = GUIDE.replace("Sorry, ", "");
    flows
        .update_flow(update("f", &second_text, ""))
        .await
        .unwrap();
    let second = flows.publish_flow(publish("f")).await.unwrap().into_inner();
    assert_eq!((second.version, second.author.as_str()), (2, "flora"));
    server.stop().await;

    let server = Server::start(place).await;
    let mut flows = server.flows("red-agent");
    let old = flows
        .get_flow_version(version("f", 1))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((old.definition.as_str(), &old), (GUIDE, &first));
    let newest = flows
        .get_flow_version(version("f", 0))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((newest.definition, newest.version), (second_text, 2));
    let list = |page_token: &str| pb::ListFlowVersionsRequest {
        flow_id: "f".into(),
        page_size: 1,
        page_token: page_token.into(),
    };
    let page = flows
        .list_flow_versions(list(""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            page.versions[0].version,
            page.versions[0].definition.as_str()
        ),
        (2, "")
    );
    let rest = flows
        .list_flow_versions(list(&page.next_page_token))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((rest.versions.len(), rest.versions[0].version), (1, 1));
    assert_eq!(rest.next_page_token, "");
    server.stop().await;
}

async fn the_database_itself_refuses_to_change_a_version(place: &Place) {
    let server = Server::start(place).await;
    server.publish("f", GUIDE).await;
    server.stop().await;
    let database = place.database("flow-runner", 1).await;
    let mut forbidden = vec![
        "UPDATE flow_version SET note = 'x'",
        "DELETE FROM flow_version",
    ];
    if !place.is_folder() {
        forbidden.push("TRUNCATE flow_version");
    }
    for statement in forbidden {
        let mut tx = database.begin().await.unwrap();
        let refused = sql(statement).execute(&mut tx).await.unwrap_err();
        assert!(
            refused.to_string().contains("a published version is never"),
            "{refused}"
        );
    }
}

async fn flows_are_listed_page_by_page_and_tenants_see_their_own(place: &Place) {
    let server = Server::start(place).await;
    for id in ["c", "a", "b"] {
        server
            .flows("red")
            .create_flow(create(id, GUIDE))
            .await
            .unwrap();
    }
    server
        .flows("blue")
        .create_flow(create("a", "{}"))
        .await
        .unwrap();
    let list = |page_token: &str| pb::ListFlowsRequest {
        page_size: 2,
        page_token: page_token.into(),
    };
    let mut red = server.flows("red-agent");
    let page = red.list_flows(list("")).await.unwrap().into_inner();
    let rest = red
        .list_flows(list(&page.next_page_token))
        .await
        .unwrap()
        .into_inner();
    let ids: Vec<&str> = page
        .flows
        .iter()
        .chain(&rest.flows)
        .map(|flow| flow.id.as_str())
        .collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert!(
        page.flows
            .iter()
            .all(|flow| flow.draft.is_empty() && !flow.etag.is_empty())
    );
    let blue = server
        .flows("blue")
        .get_flow(get("a"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(blue.draft, "{}");
    assert_eq!(
        server
            .flows("blue")
            .get_flow(get("b"))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    server.stop().await;
}

async fn only_authors_write_and_only_services_step(place: &Place) {
    let server = Server::start(place).await;
    let mut agent = server.flows("red-agent");
    let denied = [
        agent.create_flow(create("f", GUIDE)).await.unwrap_err(),
        agent.update_flow(update("f", GUIDE, "")).await.unwrap_err(),
        agent.publish_flow(publish("f")).await.unwrap_err(),
        server
            .flows(SERVICE)
            .create_flow(create("f", GUIDE))
            .await
            .unwrap_err(),
        server
            .runner("red")
            .advance(pb::AdvanceRequest::default())
            .await
            .unwrap_err(),
    ];
    for status in denied {
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
    let unknown = server.flows("nobody").get_flow(get("f")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unauthenticated);
    server.stop().await;
}
