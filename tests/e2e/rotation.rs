//! Secrets are changed as `docs/OPERATIONS.md` says, one replica at a time, while a customer is being
//! served: nobody is refused, and in the end the old ones are worth nothing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lib_platform::channel::connect;
use lib_proto::accounts::WhoAmIRequest;
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::sandbox::CreateAccountRequest;
use lib_proto::sandbox::sandbox_service_client::SandboxServiceClient;
use tests::cluster::{Node, ROLES};
use tests::webhook::{self, NUMBER, WABA};
use tokio::runtime::Runtime;
use tonic::Code;

use crate::conversation::{Customer, desk, finish, reach, says};
use crate::installation::{Access, Stage, patiently};
use crate::series;
use crate::terminal::Terminal;

/// Longest wait for a customer to be served while replicas are started anew.
const PATIENCE: Duration = Duration::from_secs(120);
const NEW_TOKEN: &str = "a-new-service-token-of-more-than-32-characters";
const NEW_APP_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Ends the work of others when dropped, however that comes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A customer and an agent, each at a terminal that stays open.
struct Couple {
    customer: Customer,
    phone: Terminal,
    desk: Terminal,
    served: usize,
}

impl Couple {
    fn sit_down(access: &Access) -> Self {
        let customer = Customer::number(0);
        let mut couple = Self {
            phone: customer.phone(access),
            desk: desk(access, "ana"),
            customer,
            served: 0,
        };
        couple.talk();
        couple
    }

    /// From the greeting to the wrap-up.
    fn talk(&mut self) {
        let Self { phone, desk, .. } = self;
        reach(phone, desk, &self.customer.name, &mut |_| {});
        let line = format!("Hello, this is talk {}.", self.served);
        says(desk, phone, &line, &format!("< {line}"));
        finish(desk);
        self.served += 1;
    }
}

/// Calls that a replica has refused for what the caller showed.
fn refusals(node: &Node) -> f64 {
    let answer = node.get("/metrics").unwrap();
    let calls = answer
        .lines()
        .filter(|line| line.starts_with("frontdesk_rpc_requests_total{"))
        .flat_map(series::read);
    let refused = calls.filter(|calls| {
        let code = calls.labels["code"].as_str();
        ["UNAUTHENTICATED", "PERMISSION_DENIED"].contains(&code)
    });
    refused.map(|calls| calls.value).sum()
}

/// Whether a replica has refused nobody since it was started.
fn nobody_was_refused(node: &Node) {
    let refused = refusals(node);
    assert!(refused == 0.0, "{} refused {refused} calls", node.name());
}

/// Starts every replica anew, one after the other, while a customer is being served.
fn roll(stage: &mut Stage, couple: &mut Couple) {
    let (over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let talks = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                couple.talk();
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        let over = Over(&over);
        let roles = ROLES.into_iter().filter(|role| *role != "sandbox");
        for (position, role) in roles.enumerate() {
            if position % 3 == 2 {
                // However slow the talks are, some end between the restarts.
                one_more(&done, &talks);
            }
            for replica in 0..2 {
                nobody_was_refused(stage.cluster.node(role, replica));
                let end = stage.cluster.stop(role, replica);
                assert!(end.status.success(), "{role} ended with {}", end.status);
                stage.cluster.restart(role, replica);
            }
        }
        drop(over);
        talks.join().unwrap();
    });
    // It stands in for Meta and is alone: nobody is being served now.
    let end = stage.cluster.stop("sandbox", 0);
    assert!(end.status.success(), "{}", end.status);
    stage.cluster.restart("sandbox", 0);
    for node in stage.cluster.nodes() {
        nobody_was_refused(node);
    }
}

/// Waits until another talk has ended.
fn one_more(done: &AtomicUsize, talks: &std::thread::ScopedJoinHandle<'_, ()>) {
    let (before, since) = (done.load(Ordering::Relaxed), Instant::now());
    while done.load(Ordering::Relaxed) == before && !talks.is_finished() {
        assert!(since.elapsed() < PATIENCE, "nobody is served any more");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether the replicas at these addresses, of accounts, take a service token: all or none.
async fn is_taken(replicas: &[String], token: &str) -> bool {
    let mut answers = Vec::new();
    for replica in replicas {
        let mut accounts = AccountServiceClient::new(connect(replica, token).unwrap());
        let me = accounts.who_am_i(WhoAmIRequest {}).await;
        if let Err(status) = &me {
            assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        }
        answers.push(me.is_ok());
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    answers[0]
}

/// The status of ingress's answer to a webhook with this signature.
async fn signed_with(access: &Access, secret: &str) -> u16 {
    // Nobody's: it is taken and set aside.
    let body = "{\"object\":\"page\"}";
    let client = lib_platform::outbound::client(std::time::Duration::from_secs(5)).unwrap();
    let request = client
        .post(access.webhooks())
        .header(
            "x-hub-signature-256",
            webhook::sign_with(secret, body.as_bytes()),
        )
        .body(body);
    request.send().await.unwrap().status().as_u16()
}

/// Changes the secret in Meta's dashboard.
async fn change_the_secret_at_meta(access: &Access) {
    let sandbox = SandboxServiceClient::new(access.channel("sandbox", "operator"));
    let account = CreateAccountRequest {
        waba_id: WABA.to_owned(),
        number_id: NUMBER.to_owned(),
        phone: "15550100100".to_owned(),
        verified_name: "Demo Garden Centre".to_owned(),
        access_token: "dev-graph-token".to_owned(),
        callback_url: access.webhooks().to_owned(),
        app_secret: NEW_APP_SECRET.to_owned(),
        currency_code: "USD".to_owned(),
        time_zone: "America/New_York".to_owned(),
    };
    patiently(async || sandbox.clone().create_account(account.clone()).await).await;
}

#[test]
fn secrets_are_rotated_while_a_customer_is_served() {
    let runtime = Runtime::new().unwrap();
    let mut stage = Stage::start(2);
    let access = stage.access.clone();
    let mut couple = Couple::sit_down(&access);
    let old_token = stage.cluster.secret("service_token").trim().to_owned();
    let old_secret = access.app_secret().trim().to_owned();
    let both = |one: &str, other: &str| format!("{one},{other}");
    let accounts = [0, 1].map(|replica| stage.cluster.node("accounts", replica).grpc());
    let taken = |token: &str| runtime.block_on(is_taken(&accounts, token));
    let status = |secret: &str| runtime.block_on(signed_with(&access, secret));

    // All accept both, all show the old one.
    stage
        .cluster
        .set_secret("service_token", &both(&old_token, NEW_TOKEN));
    stage
        .cluster
        .set_secret("app_secret", &both(NEW_APP_SECRET, &old_secret));
    roll(&mut stage, &mut couple);
    assert!(taken(&old_token) && taken(NEW_TOKEN));
    assert_eq!((status(&old_secret), status(NEW_APP_SECRET)), (200, 200));

    // All show the new one.
    runtime.block_on(change_the_secret_at_meta(&access));
    stage
        .cluster
        .set_secret("service_token", &both(NEW_TOKEN, &old_token));
    roll(&mut stage, &mut couple);
    assert!(taken(&old_token) && taken(NEW_TOKEN));

    // The old ones are worth nothing any more.
    stage.cluster.set_secret("service_token", NEW_TOKEN);
    stage.cluster.set_secret("app_secret", NEW_APP_SECRET);
    roll(&mut stage, &mut couple);
    assert!(!taken(&old_token) && taken(NEW_TOKEN));
    assert_eq!((status(&old_secret), status(NEW_APP_SECRET)), (401, 200));
    // Had anybody been refused before, it would have been seen.
    let accounts = [0, 1].map(|replica| refusals(stage.cluster.node("accounts", replica)));
    assert!(
        accounts.iter().all(|refused| *refused > 0.0),
        "{accounts:?}"
    );
    drop(couple);
    stage.stop();
}
