//! The template registry over real gRPC against a scripted Graph API, directory and log.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod peers;

use lib_platform::refusal::reason_of;
use lib_proto::common::{TemplateSend, TemplateText};
use lib_proto::templates::{
    GetTemplateRequest, ListTemplatesRequest, PrepareTemplateRequest, SyncTemplatesRequest,
    SyncTemplatesResponse, Template,
};
use lib_testkit::{Place, SERVICE, eventually};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::peers::{World, entry, listed};

fn order(language: &str, parameters: &[&str]) -> PrepareTemplateRequest {
    let text = |text: &&str| TemplateText {
        name: String::new(),
        text: (*text).to_owned(),
    };
    PrepareTemplateRequest {
        number_id: "2001".into(),
        template: Some(TemplateSend {
            name: "order_update".into(),
            language: language.into(),
            body: parameters.iter().map(text).collect(),
            ..TemplateSend::default()
        }),
    }
}

async fn sync(world: &World<'_>) -> Result<SyncTemplatesResponse, Status> {
    let request = SyncTemplatesRequest {
        connector_id: "main".into(),
    };
    let answer = world.client("red").sync_templates(request).await?;
    Ok(answer.into_inner())
}

async fn list(world: &World<'_>, statuses: &[&str]) -> Vec<Template> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTemplatesRequest {
            connector_id: "main".into(),
            statuses: statuses.iter().map(ToString::to_string).collect(),
            page_size: 300,
            page_token,
        };
        let page = world.client("red").list_templates(request).await.unwrap();
        let page = page.into_inner();
        all.extend(page.templates);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// Waits until the template is what `wanted` says. The follower takes a moment.
async fn becomes(world: &World<'_>, name: &str, wanted: impl Fn(Option<&Template>) -> bool) {
    eventually(async || {
        let templates = list(world, &[]).await;
        wanted(templates.iter().find(|template| template.name == name)).then_some(())
    })
    .await;
}

lib_testkit::on_both_engines! {
    every_page_is_read_and_what_is_gone_goes,
    a_template_is_prepared_with_its_text_and_category,
    wrong_parameters_are_named,
    only_approved_templates_in_languages_there_are,
    one_tenant_sees_nothing_of_another,
    what_the_log_tells_of_is_taken_in,
    a_refusal_of_metas_is_passed_on_and_an_outage_can_be_retried,
}

async fn every_page_is_read_and_what_is_gone_goes(place: &Place) {
    let world = World::start(place).await;
    let many: Vec<_> = (0..1_234)
        .map(|n| listed(&format!("t{n:04}"), "en_US", "APPROVED"))
        .collect();
    world.graph.set(many);
    // The first use reads them.
    assert_eq!(list(&world, &[]).await.len(), 1_234);
    assert_eq!(world.graph.requests(), 13);

    let mut fewer: Vec<_> = (0..1_230)
        .map(|n| listed(&format!("t{n:04}"), "en_US", "APPROVED"))
        .collect();
    fewer[7] = listed("t0007", "en_US", "PAUSED");
    fewer.push(listed("new", "de", "PENDING"));
    world.graph.set(fewer);
    let difference = sync(&world).await.unwrap();
    let expected = SyncTemplatesResponse {
        added: 1,
        changed: 1,
        removed: 4,
        total: 1_231,
    };
    assert_eq!(difference, expected);
    let paused = list(&world, &["paused", "PENDING"]).await;
    let names: Vec<_> = paused.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["new", "t0007"]);
    let again = sync(&world).await.unwrap();
    assert_eq!((again.added, again.changed, again.removed), (0, 0, 0));
}

async fn a_template_is_prepared_with_its_text_and_category(place: &Place) {
    let world = World::start(place).await;
    world
        .graph
        .set(vec![listed("order_update", "en_US", "APPROVED")]);
    for (caller, language) in [(SERVICE, "en_US"), ("red", "en-US")] {
        let request = order(language, &["Ana", "17"]);
        let prepared = world
            .client(caller)
            .prepare_template(request)
            .await
            .unwrap();
        let prepared = prepared.into_inner().template.unwrap();
        assert_eq!(prepared.rendered, "Hello Ana, order 17 has left.");
        assert_eq!(
            (prepared.category.as_str(), prepared.language.as_str()),
            ("utility", "en_US")
        );
    }
    let template = list(&world, &[]).await.remove(0);
    assert_eq!(template.body, "Hello {{1}}, order {{2}} has left.");
    assert_eq!(template.parameters.len(), 2);
    assert_eq!(template.meta_id, "777");
}

async fn wrong_parameters_are_named(place: &Place) {
    let world = World::start(place).await;
    world
        .graph
        .set(vec![listed("order_update", "en_US", "APPROVED")]);
    let refusal = world
        .client(SERVICE)
        .prepare_template(order("en_US", &["Ana"]))
        .await;
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let details = refusal.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "template.body");
}

async fn only_approved_templates_in_languages_there_are(place: &Place) {
    let world = World::start(place).await;
    world.graph.set(vec![
        listed("order_update", "de", "PAUSED"),
        listed("order_update", "es", "APPROVED"),
    ]);
    let mut svc = world.client(SERVICE);
    let paused = svc
        .prepare_template(order("de", &["Ana", "1"]))
        .await
        .unwrap_err();
    assert_eq!(paused.code(), Code::FailedPrecondition);
    assert_eq!(reason_of(&paused).as_deref(), Some("TEMPLATE_NOT_APPROVED"));
    assert!(paused.message().contains("PAUSED"));
    let missing = svc
        .prepare_template(order("fr", &["Ana", "1"]))
        .await
        .unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(missing.message().contains("de, es"), "{missing}");
    // The first use read Meta a moment ago: a miss does not read it again so soon.
    assert_eq!(world.graph.requests(), 1);
}

async fn one_tenant_sees_nothing_of_another(place: &Place) {
    let world = World::start(place).await;
    world
        .graph
        .set(vec![listed("order_update", "en_US", "APPROVED")]);
    let mut blue = world.client("blue");
    let prepared = blue.prepare_template(order("en_US", &["Ana", "1"])).await;
    assert_eq!(prepared.unwrap_err().code(), Code::NotFound);
    let request = ListTemplatesRequest {
        connector_id: "main".into(),
        ..ListTemplatesRequest::default()
    };
    let listed = blue.list_templates(request.clone()).await;
    assert_eq!(listed.unwrap_err().code(), Code::NotFound);
    let get = GetTemplateRequest {
        connector_id: "main".into(),
        name: "order_update".into(),
        language: "en_US".into(),
    };
    assert_eq!(
        blue.get_template(get.clone()).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(
        world
            .client("red")
            .get_template(get)
            .await
            .unwrap()
            .into_inner()
            .status,
        "APPROVED"
    );
    let service = world.client(SERVICE).list_templates(request).await;
    assert_eq!(service.unwrap_err().code(), Code::PermissionDenied);
}

async fn what_the_log_tells_of_is_taken_in(place: &Place) {
    let mut world = World::start(place).await;
    world
        .graph
        .set(vec![listed("order_update", "en_US", "APPROVED")]);
    assert_eq!(sync(&world).await.unwrap().total, 1);
    let status = "message_template_status_update";
    let about = |name: &str, event: &str| {
        json!({
            "event": event, "message_template_id": 777, "message_template_name": name,
            "message_template_language": "en-US", "message_template_category": "UTILITY",
            "reason": "NONE"
        })
    };
    let paused = about("order_update", "PAUSED");
    world.log.append([entry(status, paused)]);
    let is_paused = |one: Option<&Template>| one.unwrap().status == "PAUSED";
    becomes(&world, "order_update", is_paused).await;
    let changed = json!({
        "message_template_id": 777, "message_template_name": "order_update",
        "message_template_language": "en-US", "previous_category": "UTILITY",
        "new_category": "MARKETING"
    });
    world
        .log
        .append([entry("template_category_update", changed)]);
    let is_marketing = |one: Option<&Template>| one.unwrap().category == "MARKETING";
    becomes(&world, "order_update", is_marketing).await;
    let quality = json!({
        "message_template_id": 777, "message_template_name": "order_update",
        "message_template_language": "en-US", "previous_quality_score": "GREEN",
        "new_quality_score": "YELLOW"
    });
    world
        .log
        .append([entry("message_template_quality_update", quality)]);
    let is_yellow = |one: Option<&Template>| one.unwrap().quality == "YELLOW";
    becomes(&world, "order_update", is_yellow).await;
    assert_eq!(world.graph.requests(), 1);

    // A template nobody knows, and new components, are read from Meta.
    world.graph.set(vec![
        listed("order_update", "en_US", "APPROVED"),
        listed("other", "en_US", "APPROVED"),
    ]);
    world
        .log
        .append([entry(status, about("other", "APPROVED"))]);
    becomes(&world, "other", |one| one.is_some()).await;
    assert_eq!(world.graph.requests(), 2);

    // After a restart it goes on where it stopped.
    world.restart().await;
    world.log.append([entry(status, about("other", "DELETED"))]);
    becomes(&world, "other", |one| one.is_none()).await;
    assert_eq!(world.log.asked().last().unwrap(), "4");
}

async fn a_refusal_of_metas_is_passed_on_and_an_outage_can_be_retried(place: &Place) {
    let world = World::start(place).await;
    world
        .graph
        .fail(401, r#"{"error":{"message":"token expired","code":190}}"#);
    let refused = sync(&world).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("META_REFUSED"));
    assert!(refused.message().contains("190"));
    world.graph.fail(503, "<html>");
    assert_eq!(sync(&world).await.unwrap_err().code(), Code::Unavailable);
}
