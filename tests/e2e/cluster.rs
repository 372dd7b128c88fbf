//! The installation as it runs in production: every role a process, two replicas of each, real
//! PostgreSQL and Redis, a balancer before each service. Each replica is killed in turn while a
//! customer is being served, and every conversation is finished all the same.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use lib_proto::billing::GetStatementRequest;
use lib_proto::billing::billing_service_client::BillingServiceClient;
use lib_proto::conversations::ListEngagementsRequest;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use tests::cluster::{Cluster, ClusterOptions, ROLES};
use tests::process::program;

use crate::terminal::Terminal;

/// A cluster with tokens for the demo tenant's users.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) tokens: BTreeMap<String, String>,
}

impl Stage {
    pub(crate) fn build(replicas: usize) -> Self {
        let cluster = Cluster::start(&ClusterOptions::with_replicas(replicas));
        let output = Command::new(program())
            .args(["seed", "--tokens", "--server", &cluster.server()])
            // A variable of the test's own would be a mistake in the settings.
            .env_clear()
            .env("FRONTDESK_OPERATOR_TOKEN", cluster.secret("operator_token"))
            .env("FRONTDESK_SANDBOX_APP_SECRET", cluster.secret("app_secret"))
            .env("FRONTDESK_SANDBOX_CALLBACK", cluster.webhooks())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{complaint}");
        let words = said.lines().filter_map(|line| line.split_once("  "));
        let tokens = words.map(|(user, token)| (user.to_owned(), token.trim().to_owned()));
        Self {
            tokens: tokens.collect(),
            cluster,
        }
    }

    pub(crate) fn terminal(&self, user: &str, args: &[&str]) -> Terminal {
        let token = self.tokens.get(user).map(String::as_str);
        Terminal::open(&self.cluster.server(), token, args)
    }
}

/// One customer from greeting to wrap-up; `strike` is called while the flow is answering.
pub(crate) fn serve(
    stage: &mut Stage,
    agent: &mut Terminal,
    number: usize,
    strike: impl FnOnce(&mut Cluster),
) {
    let (name, phone) = (
        format!("C{number}"),
        format!("+1 650 555 {:04}", 200 + number),
    );
    let args = ["chat", "--name", &name, "--phone", &phone];
    let mut customer = stage.terminal("admin", &args);
    customer.types("Hi");
    strike(&mut stage.cluster);
    customer.shows("< • For Sales");
    customer.types("1️⃣");
    // An offer may expire or its desk may break while routing moves; then it comes again.
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        assert!(Instant::now() < deadline, "{name} was never assigned");
        agent.shows(&format!("offer: {name} in Sales"));
        agent.types("/accept");
        let refused = ["gone", "cannot", "unavailable", "not accepted", "lost"];
        let assigned = format!("assigned: {name}");
        let mut outcomes = vec![assigned.as_str()];
        outcomes.extend(refused);
        if agent.shows_one_of(&outcomes) == 0 {
            break;
        }
    }
    agent.types(&format!("Hello {name}."));
    customer.shows(&format!("< Hello {name}."));
    agent.types("/done solved");
    agent.shows("released");
}

#[test]
fn every_conversation_is_finished_while_each_replica_is_killed_in_turn() {
    let mut stage = Stage::build(2);
    let mut agent = stage.terminal("ana", &["agent", "--as", "ana"]);
    agent.shows("desk open");
    agent.types("/ready");
    agent.shows("presence: Ready");
    serve(&mut stage, &mut agent, 0, |_| {});
    let replicas = ROLES.iter().filter(|role| **role != "sandbox");
    let replicas: Vec<(&str, usize)> = replicas.flat_map(|role| [(*role, 0), (*role, 1)]).collect();
    for (number, (role, replica)) in (1..).zip(&replicas) {
        serve(&mut stage, &mut agent, number, |cluster| {
            cluster.kill(role, *replica);
        });
        stage.cluster.restart(role, *replica);
    }
    finished_and_billed(&stage, replicas.len() + 1);
    for (role, end) in stage.cluster.stop_all() {
        assert!(end.status.success(), "{role} ended with {}", end.status);
    }
}

/// All engagements are closed, and every message that was delivered is on the bill once.
fn finished_and_billed(stage: &Stage, customers: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let channel = |service: &str| stage.cluster.channel(service, &stage.tokens["admin"]);
        let mut log = ConversationServiceClient::new(channel("conversations"));
        let request = ListEngagementsRequest {
            page_size: 200,
            ..ListEngagementsRequest::default()
        };
        let all = log.list_engagements(request).await.unwrap().into_inner();
        assert_eq!(all.engagements.len(), customers);
        let open: Vec<_> = all
            .engagements
            .iter()
            .filter(|engagement| engagement.closed_at.is_none())
            .collect();
        assert!(open.is_empty(), "{open:?}");
        let mut billing = BillingServiceClient::new(channel("billing"));
        let month = lib_platform::Clock::system().now().to_string()[..7].to_owned();
        let request = GetStatementRequest {
            month,
            number_id: String::new(),
        };
        let statement = billing.get_statement(request).await.unwrap().into_inner();
        assert!(statement.unrated.is_empty(), "{:?}", statement.unrated);
    });
}
