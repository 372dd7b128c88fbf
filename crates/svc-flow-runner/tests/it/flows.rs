//! `FlowService` over real gRPC: drafts, publication, versions that never change, who may do what.

use crate::support::{GUIDE, Server, create, publish, step, taken, update};
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
    versions_are_compared_and_gone_back_to,
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

async fn versions_are_compared_and_gone_back_to(place: &Place) {
    let server = Server::start(place).await;
    let mut flows = server.flows("red-author");
    server.publish("f", GUIDE).await;
    let compare = |from, to| pb::CompareFlowVersionsRequest {
        flow_id: "f".into(),
        from,
        to,
    };
    let same = flows.compare_flow_versions(compare(0, 0)).await.unwrap();
    assert_eq!(same.into_inner().changes, []);
    let draft = GUIDE.replace("\"timeout_seconds\": 600", "\"timeout_seconds\": 900");
    assert_ne!(draft, GUIDE);
    flows.update_flow(update("f", &draft, "")).await.unwrap();
    let changed = flows.compare_flow_versions(compare(1, 0)).await.unwrap();
    let change = pb::FlowChange {
        place: "Collect_Input.settings.timeout_seconds".into(),
        from: Some("600".into()),
        to: Some("900".into()),
    };
    assert_eq!(changed.into_inner().changes, std::slice::from_ref(&change));
    let second = flows.publish_flow(publish("f")).await.unwrap().into_inner();
    assert_eq!(second.version, 2);

    let back = |version| pb::RollBackFlowRequest {
        id: "f".into(),
        version,
        note: "900 is too long".into(),
    };
    let third = flows.roll_back_flow(back(1)).await.unwrap().into_inner();
    assert_eq!(
        (
            third.version,
            third.definition.as_str(),
            third.author.as_str()
        ),
        (3, GUIDE, "flora")
    );
    // A retry, and going back to what is current, make nothing new.
    let again = flows.roll_back_flow(back(1)).await.unwrap().into_inner();
    assert_eq!(again.version, 3);
    let again = flows.roll_back_flow(back(3)).await.unwrap().into_inner();
    assert_eq!(again.version, 3);
    // New sessions take it, and the draft is still there to be published.
    let begun = server.advance(vec![step("f", b"", "Hi")]).await.remove(0);
    assert_eq!(taken(begun).flow_version, 3);
    let fourth = flows.publish_flow(publish("f")).await.unwrap().into_inner();
    assert_eq!((fourth.version, fourth.definition), (4, draft));
    let differs = flows.compare_flow_versions(compare(3, 4)).await.unwrap();
    assert_eq!(differs.into_inner().changes, [change]);

    let unknown = flows.roll_back_flow(back(9)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut agent = server.flows("red-agent");
    let forbidden = agent.roll_back_flow(back(1)).await.unwrap_err();
    assert_eq!(forbidden.code(), Code::PermissionDenied);
    let mut blue = server.flows("blue");
    let hidden = blue.compare_flow_versions(compare(1, 2)).await.unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
    flows.update_flow(update("f", "{", "")).await.unwrap();
    let broken = flows
        .compare_flow_versions(compare(0, 0))
        .await
        .unwrap_err();
    assert_eq!(broken.code(), Code::InvalidArgument);
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
    let database = place.database("flow-runner", 2).await;
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
