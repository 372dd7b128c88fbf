//! Roles as processes of their own: patient starts, honest readiness, clean ends, seeding, and who
//! may call.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lib_platform::Peers;
use lib_platform::channel::Credential;
use lib_proto::accounts::WhoAmIRequest;
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::routing::ListQueuesRequest;
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_testkit::servers::{PostgresOptions, PostgresServer, Process, RedisOptions, RedisServer};
use rustix::process::Signal;
use tonic::Code;

use tests::process::{free_address, program};

const SERVICE_TOKEN: &str = "a-service-token";
const OPERATOR_TOKEN: &str = "an-operator-token";
/// Nothing here takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(40);

/// A role on addresses of its own.
struct RoleProcess {
    grpc: String,
    admin: String,
    process: Process,
}

impl RoleProcess {
    fn start(role: &str, folder: &Path, more: &[(&str, &str)]) -> Self {
        let (grpc, admin, http) = (free_address(), free_address(), free_address());
        let mut command = Command::new(program());
        command.env_clear();
        command
            .arg(role)
            .envs([
                ("FRONTDESK_ENVIRONMENT", "development"),
                ("FRONTDESK_INSTANCE", "test-0"),
                ("FRONTDESK_SERVICE_TOKEN", SERVICE_TOKEN),
                ("FRONTDESK_OPERATOR_TOKEN", OPERATOR_TOKEN),
                ("FRONTDESK_DEVELOPMENT_TOKENS", "true"),
                ("FRONTDESK_GRPC_LISTEN", &grpc),
                ("FRONTDESK_ADMIN_LISTEN", &admin),
            ])
            .envs(more.iter().copied());
        if ["ingress", "sandbox"].contains(&role) {
            command.env("FRONTDESK_HTTP_LISTEN", http);
        }
        let process = Process::start(command, &folder.join(format!("{role}.log")));
        Self {
            grpc,
            admin,
            process,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    fn health(&self) -> Output {
        let admin = format!("http://{}", self.admin);
        let mut command = Command::new(program());
        command.env_clear();
        command
            .args(["health", "--admin", &admin])
            .output()
            .unwrap()
    }

    /// Waits until the role is ready, or is not and says this.
    fn wait(&self, ready: bool, said: &str) {
        let since = Instant::now();
        loop {
            let output = self.health();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8(text).unwrap();
            if output.status.success() == ready && text.contains(said) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{text}\n{}", self.process.log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let client = lib_platform::outbound::client(Duration::from_secs(5)).unwrap();
        let answer = client
            .get(format!("http://{}/{path}", self.admin))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// SIGTERM, and a good end in time.
    async fn stop(mut self) {
        let since = Instant::now();
        self.process.end(Signal::TERM).await;
        let ended = self.process.ended().unwrap();
        assert!(ended.success(), "{ended}: {}", self.process.log());
        assert!(
            since.elapsed() < Duration::from_secs(25),
            "{:?}",
            since.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_waits_for_its_database_says_why_and_lives() {
    let folder = tempfile::tempdir().unwrap();
    let mut postgres = PostgresServer::start().await;
    let url = postgres.create_database().await;
    postgres.stop().await;
    let role = RoleProcess::start(
        "accounts",
        folder.path(),
        &[("FRONTDESK_POSTGRES_URL", &url)],
    );
    role.wait(false, "check that the server runs");
    assert_eq!(role.get("healthz").await.0, 200, "it lives");
    // Nothing is half-started: calls are refused, not kept waiting.
    assert!(std::net::TcpStream::connect(&role.grpc).is_err());

    // A server that would lose what it confirms is refused, by name.
    postgres
        .restart_with(PostgresOptions {
            fsync: false,
            ..Default::default()
        })
        .await;
    role.wait(false, "fsync");
    postgres.restart_with(PostgresOptions::default()).await;
    role.wait(true, "ready");
    assert!(std::net::TcpStream::connect(&role.grpc).is_ok());

    // It goes away and comes back.
    postgres.kill();
    role.wait(false, "postgres: not ready");
    assert_eq!(role.get("healthz").await.0, 200, "it lives");
    postgres.restart().await;
    role.wait(true, "ready");
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = PostgresServer::start().await;
    let url = postgres.create_database().await;
    let role = RoleProcess::start(
        "accounts",
        folder.path(),
        &[("FRONTDESK_POSTGRES_URL", &url)],
    );
    role.wait(true, "ready");
    role.stop().await;
    sql(
        &url,
        "INSERT INTO accounts.schema_version (version) VALUES (999)",
    )
    .await;
    let mut role = RoleProcess::start(
        "accounts",
        folder.path(),
        &[("FRONTDESK_POSTGRES_URL", &url)],
    );
    let ended = role.process.wait_until(async || false).await;
    assert!(!ended);
    assert_eq!(role.process.ended().unwrap().code(), Some(69));
    let log = role.process.log();
    assert!(
        log.contains("999") && log.contains("newer version"),
        "{log}"
    );
}

/// What each role that uses Redis needs beside its stores.
const ON_REDIS: [(&str, &[(&str, &str)]); 3] = [
    (
        "ingress",
        &[
            ("FRONTDESK_INGRESS_APP_SECRETS", "dev-app-secret"),
            ("FRONTDESK_INGRESS_VERIFY_TOKEN", "dev-verify-token"),
        ],
    ),
    ("routing", &[]),
    ("egress", &[]),
];

/// Says in Redis that a newer version of Frontdesk was here.
async fn write_newer_schema(redis: &RedisServer) {
    let mut mark = redis::cmd("HSET");
    mark.arg("fd:v1:{0}:installation").arg("schema").arg(999);
    mark.exec_async(&mut redis.connect().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_of_a_newer_version_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = PostgresServer::start().await;
    let redis = RedisServer::start(RedisOptions::default()).await;
    let (url, redis_url) = (postgres.create_database().await, redis.url());
    write_newer_schema(&redis).await;
    for (name, own) in ON_REDIS {
        let mut settings = own.to_vec();
        settings.push(("FRONTDESK_REDIS_URL", &redis_url));
        if name != "ingress" {
            settings.push(("FRONTDESK_POSTGRES_URL", &url));
        }
        let mut role = RoleProcess::start(name, folder.path(), &settings);
        assert!(!role.process.wait_until(async || false).await);
        let log = role.process.log();
        assert_eq!(role.process.ended().unwrap().code(), Some(69), "{log}");
        assert!(
            log.contains("schema 999") && log.contains("run the newer version"),
            "{log}"
        );
    }
    // Nothing was begun: no lease claimed, nothing written.
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut redis.connect().await)
        .await
        .unwrap();
    assert_eq!(keys, ["fd:v1:{0}:installation"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_waited_for_and_ends_the_role_when_it_comes_back_newer() {
    let folder = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(RedisOptions::default()).await;
    let redis_url = redis.url();
    redis.kill();
    let (name, own) = ON_REDIS[0];
    let mut settings = own.to_vec();
    settings.push(("FRONTDESK_REDIS_URL", &redis_url));
    let mut role = RoleProcess::start(name, folder.path(), &settings);
    role.wait(false, "Redis cannot be reached");
    assert_eq!(role.get("healthz").await.0, 200, "it lives");
    redis.restart().await;
    role.wait(true, "ready");
    write_newer_schema(&redis).await;
    assert!(!role.process.wait_until(async || false).await);
    let log = role.process.log();
    assert!(!role.process.ended().unwrap().success());
    assert!(
        log.contains("schema 999") && log.contains("run the newer version"),
        "{log}"
    );
}

/// Runs a statement on the database at `url`.
async fn sql(url: &str, statement: &'static str) {
    let settings = lib_storage::PostgresSettings {
        url: url.to_owned(),
        connections: 2,
    };
    let storage = lib_storage::Storage::Servers(lib_storage::Servers {
        postgres: Some(settings),
        redis: None,
        profile: lib_storage::Profile::A,
    });
    let database = storage.database("test", &[]).await.unwrap();
    let mut tx = database.begin().await.unwrap();
    lib_storage::sql(statement).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// `frontdesk seed` against these servers.
fn seed(servers: &str) -> String {
    let mut command = Command::new(program());
    command.env_clear();
    let output = command
        .args(["seed", "--server", servers, "--tokens"])
        .envs([
            ("FRONTDESK_ENVIRONMENT", "development"),
            ("FRONTDESK_OPERATOR_TOKEN", OPERATOR_TOKEN),
            ("FRONTDESK_SANDBOX_APP_SECRET", "dev-app-secret"),
            (
                "FRONTDESK_SANDBOX_CALLBACK",
                "http://127.0.0.1:1/webhooks/whatsapp",
            ),
        ])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn the_operator_makes_a_tenant_and_its_tokens_and_may_do_so_again() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = PostgresServer::start().await;
    let redis = RedisServer::start(RedisOptions::default()).await;
    let (url, redis_url) = (postgres.create_database().await, redis.url());
    let data = folder.path().join("sandbox");
    let database = ("FRONTDESK_POSTGRES_URL", url.as_str());
    // No well-known tokens here.
    let strict = ("FRONTDESK_DEVELOPMENT_TOKENS", "false");
    let accounts = RoleProcess::start("accounts", folder.path(), &[database, strict]);
    let there = accounts.url();
    let known = ("FRONTDESK_PEERS_ACCOUNTS", there.as_str());
    let flows = RoleProcess::start("flow-runner", folder.path(), &[database, known, strict]);
    let cache = ("FRONTDESK_REDIS_URL", redis_url.as_str());
    let routing = RoleProcess::start("routing", folder.path(), &[database, cache, known, strict]);
    let own = [
        known,
        strict,
        ("FRONTDESK_SANDBOX_DATA_DIR", data.to_str().unwrap()),
        ("FRONTDESK_SANDBOX_VERIFY_TOKEN", "dev-verify-token"),
    ];
    let sandbox = RoleProcess::start("sandbox", folder.path(), &own);
    for role in [&accounts, &flows, &routing, &sandbox] {
        role.wait(true, "ready");
    }
    let servers = format!(
        "flow-runner={},routing={},sandbox={},*={there}",
        flows.url(),
        routing.url(),
        sandbox.url()
    );
    seed(&servers);
    let told = seed(&servers);
    let token = told
        .lines()
        .find_map(|line| line.strip_prefix("ana  "))
        .unwrap();

    // A token made by one role is known to another.
    let ana = lib_platform::channel::connect(&there, token).unwrap();
    let me = AccountServiceClient::new(ana)
        .who_am_i(WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (me.tenant_id.as_str(), me.user_id.as_str()),
        ("demo", "ana")
    );
    let queues = lib_platform::channel::connect(&routing.url(), token).unwrap();
    let queues = RoutingServiceClient::new(queues)
        .list_queues(ListQueuesRequest::default())
        .await;
    assert_eq!(queues.unwrap().into_inner().queues.len(), 2);
    let well_known = lib_platform::channel::connect(&there, "dev-ana").unwrap();
    let refused = AccountServiceClient::new(well_known)
        .who_am_i(WhoAmIRequest {})
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);

    // Only the operator may act for a tenant.
    let act = async |token: &str, tenant: &str| {
        let credential = Credential::bearer(token)
            .unwrap()
            .for_tenant(tenant)
            .unwrap();
        let peers = Peers::with([("*".to_owned(), there.clone())], &credential).unwrap();
        let mut accounts = AccountServiceClient::new(peers.channel("accounts").unwrap());
        accounts
            .who_am_i(WhoAmIRequest {})
            .await
            .map(tonic::Response::into_inner)
    };
    assert_eq!(
        act(token, "demo").await.unwrap_err().code(),
        Code::PermissionDenied
    );
    assert_eq!(
        act(SERVICE_TOKEN, "demo").await.unwrap_err().code(),
        Code::PermissionDenied
    );
    assert_eq!(
        act(OPERATOR_TOKEN, "no tenant!").await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let me = act(OPERATOR_TOKEN, "demo").await.unwrap();
    assert_eq!(
        (me.tenant_id.as_str(), me.user_id.as_str(), me.service),
        ("demo", "operator", false)
    );

    for role in [accounts, flows, routing, sandbox] {
        role.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_a_patient_start_is_a_good_end() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = ("FRONTDESK_POSTGRES_URL", "postgres://u:p@127.0.0.1:1/x");
    let role = RoleProcess::start("billing", folder.path(), &[nowhere]);
    role.wait(false, "not ready");
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_told_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("sandbox");
    for reflection in ["false", "true"] {
        let role = RoleProcess::start(
            "sandbox",
            folder.path(),
            &[
                ("FRONTDESK_SANDBOX_DATA_DIR", data.to_str().unwrap()),
                ("FRONTDESK_SANDBOX_VERIFY_TOKEN", "dev-verify-token"),
                ("FRONTDESK_GRPC_REFLECTION", reflection),
            ],
        );
        role.wait(true, "ready");
        // Installs the TLS library every client needs.
        lib_platform::outbound::client(std::time::Duration::from_secs(5)).unwrap();
        let client = reqwest::Client::builder()
            .http2_prior_knowledge()
            .build()
            .unwrap();
        let method = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        let request = client.post(format!("{}/{method}", role.url()));
        let answer = request
            .header("content-type", "application/grpc")
            .send()
            .await
            .unwrap();
        // gRPC status 12: there is no such method.
        let unknown = answer
            .headers()
            .get("grpc-status")
            .is_some_and(|status| status == "12");
        assert_eq!(unknown, reflection == "false");
        role.stop().await;
    }
}
