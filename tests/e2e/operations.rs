//! What docs/OPERATIONS.md tells an operator to do, done on a running cluster: back up, restore,
//! rebuild routing, look at what is parked.

use std::process::Command;
use std::time::Duration;

use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{EngagementState, ListEngagementsRequest};
use lib_proto::ingress::ListParkedItemsRequest;
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use lib_proto::routing::RebuildRoutingRequest;
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use tests::cluster::ROLES;
use tests::webhook;

use crate::cluster::{Stage, serve};
use crate::terminal::Terminal;

/// Runs a program of PostgreSQL and expects it to do as told.
fn postgres(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is missing: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
}

/// Names of the customers who wait in a queue, and how many engagements are closed.
async fn engagements(stage: &Stage) -> (Vec<String>, usize) {
    let channel = stage
        .cluster
        .channel("conversations", &stage.tokens["admin"]);
    let mut log = ConversationServiceClient::new(channel);
    let request = ListEngagementsRequest {
        page_size: 200,
        ..ListEngagementsRequest::default()
    };
    let all = log.list_engagements(request).await.unwrap().into_inner();
    let (open, closed): (Vec<_>, Vec<_>) = all
        .engagements
        .into_iter()
        .partition(|engagement| engagement.closed_at.is_none());
    let queued = open
        .into_iter()
        .filter(|engagement| engagement.state() == EngagementState::Queued);
    let names = queued.filter_map(|engagement| {
        let contact = engagement.contact?;
        Some(contact.display_name)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    (names, closed.len())
}

/// Asks again until `customers` wait in a queue, and nobody else.
async fn queued_are(stage: &Stage, customers: &[&str]) {
    let since = std::time::Instant::now();
    loop {
        let (open, _) = engagements(stage).await;
        if open == customers {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{open:?} wait");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A customer who asks for sales and waits.
fn ask_for_sales(stage: &Stage, name: &str, phone: &str) -> Terminal {
    let args = ["chat", "--name", name, "--phone", phone];
    let mut customer = stage.terminal("admin", &args);
    customer.types("Hi");
    customer.shows("< • For Sales");
    customer.types("1️⃣");
    customer
}

#[test]
fn a_backup_is_restored_and_work_goes_on_from_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut stage = Stage::build(1);
    let mut agent = stage.terminal("ana", &["agent", "--as", "ana"]);
    agent.shows("desk open");
    agent.types("/ready");
    agent.shows("presence: Ready");
    serve(&mut stage, &mut agent, 0, |_| {});
    agent.types("/away");
    let _before = ask_for_sales(&stage, "Before", "+1 650 555 0301");
    runtime.block_on(queued_are(&stage, &["Before"]));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frontdesk.dump");
    let file = file.to_str().unwrap();
    let url = stage.cluster.postgres_url();
    postgres("pg_dump", &["--format=custom", "--file", file, &url]);
    let after = ask_for_sales(&stage, "After", "+1 650 555 0302");
    runtime.block_on(queued_are(&stage, &["After", "Before"]));
    drop((agent, after));

    for (role, end) in stage.cluster.stop_all() {
        assert!(end.status.success(), "{role} ended with {}", end.status);
    }
    let restore = ["--clean", "--if-exists", "--exit-on-error", "--dbname"];
    postgres("pg_restore", &[&restore[..], &[&url, file]].concat());
    for role in ROLES {
        stage.cluster.restart(role, 0);
    }
    runtime.block_on(async {
        // What came after the backup is not in it.
        queued_are(&stage, &["Before"]).await;
        // Routing's place in the log lies behind the end of the restored log.
        let operator = stage.cluster.secret("operator_token");
        let channel = stage.cluster.channel("routing", &operator);
        let rebuilt = RoutingServiceClient::new(channel)
            .rebuild_routing(RebuildRoutingRequest {})
            .await
            .unwrap();
        assert_eq!(rebuilt.into_inner().parts, 8);
    });
    let mut agent = stage.terminal("ana", &["agent", "--as", "ana"]);
    agent.shows("desk open");
    agent.types("/ready");
    agent.shows("offer: Before in Sales");
    agent.types("/accept");
    agent.shows("assigned: Before");
    agent.types("/done solved");
    agent.shows("released");
    serve(&mut stage, &mut agent, 9, |_| {});
    runtime.block_on(async {
        assert_eq!(engagements(&stage).await, (Vec::new(), 3));
        parked_is_seen(&stage).await;
    });
}

/// What names no number is the operator's to see.
async fn parked_is_seen(stage: &Stage) {
    let body = "{\"object\":\"page\"}";
    let secret = stage.cluster.secret("app_secret");
    let client = lib_platform::outbound::client(Duration::from_secs(5)).unwrap();
    let answer = client
        .post(stage.cluster.webhooks())
        .header(
            "x-hub-signature-256",
            webhook::sign_with(&secret, body.as_bytes()),
        )
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let operator = stage.cluster.secret("operator_token");
    let mut ingress = IngressServiceClient::new(stage.cluster.channel("ingress", &operator));
    let since = std::time::Instant::now();
    loop {
        let request = ListParkedItemsRequest::default();
        let list = ingress.list_parked_items(request).await.unwrap();
        if list.into_inner().items.len() == 1 {
            return;
        }
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "nothing is parked"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
