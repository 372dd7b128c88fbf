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

use crate::conversation::{Customer, desk, talk};
use crate::installation::{Access, Stage};
use crate::terminal::Terminal;

/// Runs a program of PostgreSQL and expects it to do as told.
fn postgres(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is missing: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
}

/// Names of the customers who wait in a queue, and how many engagements are closed.
async fn engagements(access: &Access) -> (Vec<String>, usize) {
    let mut log = ConversationServiceClient::new(access.channel("conversations", "admin"));
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
async fn queued_are(access: &Access, customers: &[&str]) {
    let since = std::time::Instant::now();
    loop {
        let (open, _) = engagements(access).await;
        if open == customers {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{open:?} wait");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A customer who asks for sales and waits.
fn ask_for_sales(access: &Access, name: &str, phone: &str) -> Terminal {
    let customer = Customer {
        name: name.to_owned(),
        phone: phone.to_owned(),
    };
    let mut phone = customer.phone(access);
    phone.types("Hi");
    phone.shows("< • For Sales");
    phone.types("1️⃣");
    phone
}

#[test]
fn a_backup_is_restored_and_work_goes_on_from_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut stage = Stage::start(1);
    let access = stage.access.clone();
    let mut agent = desk(&access, "ana");
    talk(&access, &mut agent, &Customer::number(0), |_| {});
    agent.types("/away");
    let _before = ask_for_sales(&access, "Before", "16505550301");
    runtime.block_on(queued_are(&access, &["Before"]));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frontdesk.dump");
    let file = file.to_str().unwrap();
    let url = stage.cluster.postgres_url();
    postgres("pg_dump", &["--format=custom", "--file", file, &url]);
    let after = ask_for_sales(&access, "After", "16505550302");
    runtime.block_on(queued_are(&access, &["After", "Before"]));
    drop((agent, after));
    // Each start claims every part anew: what Redis knows of the fences is ahead of the backup.
    for _ in 0..3 {
        stage.cluster.kill("routing", 0);
        stage.cluster.restart("routing", 0);
    }

    stage.stop();
    let restore = ["--clean", "--if-exists", "--exit-on-error", "--dbname"];
    postgres("pg_restore", &[&restore[..], &[&url, file]].concat());
    for role in ROLES {
        stage.cluster.restart(role, 0);
    }
    runtime.block_on(async {
        // What came after the backup is not in it.
        queued_are(&access, &["Before"]).await;
        // Routing's place in the log lies behind the end of the restored log.
        let rebuilt = RoutingServiceClient::new(access.channel("routing", "operator"))
            .rebuild_routing(RebuildRoutingRequest {})
            .await
            .unwrap();
        assert_eq!(rebuilt.into_inner().parts, 8);
    });
    let mut agent = desk(&access, "ana");
    agent.shows("offer: Before in Sales");
    agent.types("/accept");
    agent.shows("assigned: Before");
    agent.types("/done solved");
    agent.shows("released");
    talk(&access, &mut agent, &Customer::number(9), |_| {});
    runtime.block_on(async {
        assert_eq!(engagements(&access).await, (Vec::new(), 3));
        parked_is_seen(&access).await;
    });
}

/// What names no number is the operator's to see.
async fn parked_is_seen(access: &Access) {
    assert_eq!(access.post("{\"object\":\"page\"}").await, 200);
    let mut ingress = IngressServiceClient::new(access.channel("ingress", "operator"));
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
