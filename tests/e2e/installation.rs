//! Where a scenario runs: the all-in-one process of a developer, or every role as processes of its
//! own on real PostgreSQL and Redis. A scenario is written once and asks for no more than
//! [`Access`], so that it cannot tell the two apart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lib_platform::AuthorizedChannel;
use lib_platform::channel::connect;
use tempfile::TempDir;
use tests::cluster::{Cluster, ClusterOptions};
use tests::process::{Addresses, Frontdesk, program};
use tests::webhook;
use tonic::{Code, Status};

use crate::flow_replay::every_session_replays;
use crate::terminal::Terminal;

/// Longest wait for something that is bound to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between looks at it.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// Who has a well-known token in development.
const USERS: [&str; 5] = ["admin", "supervisor", "ana", "ben", "operator"];

/// Where the services of an installation are, and what its users show them.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// What `FRONTDESK_SERVER` takes.
    server: String,
    /// Address by service; `*` is every other one.
    services: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
    webhooks: String,
    app_secret: String,
}

impl Access {
    /// To the all-in-one process at these addresses.
    pub(crate) fn dev(at: &Addresses) -> Self {
        let server = format!("http://{}", at.grpc);
        let tokens = USERS.map(|user| (user.to_owned(), format!("dev-{user}")));
        Self {
            services: [("*".to_owned(), server.clone())].into(),
            server,
            tokens: tokens.into(),
            webhooks: at.webhooks(),
            app_secret: webhook::APP_SECRET.to_owned(),
        }
    }

    /// What `FRONTDESK_SERVER` takes.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// What `user` shows.
    pub(crate) fn token(&self, user: &str) -> &str {
        &self.tokens[user]
    }

    /// A terminal program of `user`.
    pub(crate) fn terminal(&self, user: &str, args: &[&str]) -> Terminal {
        Terminal::open(&self.server, Some(&self.tokens[user]), args)
    }

    /// A channel to a service for `user`.
    pub(crate) fn channel(&self, service: &str, user: &str) -> AuthorizedChannel {
        let address = self.services.get(service);
        let address = address.unwrap_or_else(|| &self.services["*"]);
        connect(address, &self.tokens[user]).unwrap()
    }

    /// Where Meta's webhooks go.
    pub(crate) fn webhooks(&self) -> &str {
        &self.webhooks
    }

    /// What Meta signs them with.
    pub(crate) fn app_secret(&self) -> &str {
        &self.app_secret
    }

    /// Posts a webhook as Meta would; the status of the answer.
    pub(crate) async fn post(&self, body: &str) -> u16 {
        let client = lib_platform::outbound::client(Duration::from_secs(5)).unwrap();
        let signature = webhook::sign_with(&self.app_secret, body.as_bytes());
        let request = client
            .post(&self.webhooks)
            .header("x-hub-signature-256", signature)
            .body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    }
}

/// What one process shows on `/metrics`.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// Its role, which Prometheus adds to each of its samples; none of the all-in-one process.
    pub(crate) role: Option<&'static str>,
    /// The content type.
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// A running installation; killed when dropped.
pub(crate) enum Installation {
    /// `frontdesk dev`.
    Dev(Box<Dev>),
    /// Every role as processes of its own.
    Stage(Box<Stage>),
}

/// The all-in-one process with its log in a file.
pub(crate) struct Dev {
    process: Frontdesk,
    access: Access,
    log: PathBuf,
    _folder: TempDir,
}

/// A cluster with tokens for the demo tenant's users.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) access: Access,
}

impl Dev {
    /// Starts it, with everything in its log.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("stderr.log");
        let (at, more) = (Addresses::free(), ["--log", "debug"]);
        let process = Frontdesk::start_logged(folder.path(), &at, &more, &log);
        Self {
            process,
            access: Access::dev(&at),
            log,
            _folder: folder,
        }
    }
}

impl Stage {
    /// Starts it with this many replicas of each role.
    pub(crate) fn start(replicas: usize) -> Self {
        // As quick to see that an attempt is lost as the settings allow: what egress had begun
        // when it was killed is sent again while the customer's terminal is still being watched.
        let options = ClusterOptions::with_replicas(replicas)
            .set(
                "conversations",
                "FRONTDESK_CONVERSATIONS_ATTEMPT_SECONDS",
                "15",
            )
            .set(
                "conversations",
                "FRONTDESK_CONVERSATIONS_QUIET_SECONDS",
                "10",
            )
            .set("egress", "FRONTDESK_CONVERSATIONS_ATTEMPT_SECONDS", "15")
            .set("egress", "FRONTDESK_EGRESS_HTTP_TIMEOUT", "5s")
            .set("*", "FRONTDESK_TELEMETRY_LOG", "debug");
        let cluster = Cluster::start(&options);
        let operator = cluster.secret("operator_token");
        let mut tokens = seed(&cluster, &operator);
        tokens.insert("operator".to_owned(), operator);
        let services = tests::cluster::ROLES.map(|role| (role.to_owned(), cluster.grpc(role)));
        let access = Access {
            server: cluster.server(),
            services: services.into(),
            tokens,
            webhooks: cluster.webhooks(),
            app_secret: cluster.secret("app_secret"),
        };
        Self { cluster, access }
    }

    /// Stops every role; each must end well. Whatever flows did must come out again.
    pub(crate) fn stop(&mut self) {
        every_session_replays(&self.access);
        for (name, end) in self.cluster.stop_all() {
            assert!(end.status.success(), "{name} ended with {}", end.status);
        }
    }
}

/// `frontdesk seed --tokens`: the demo tenant, and a token for each of its users.
fn seed(cluster: &Cluster, operator: &str) -> BTreeMap<String, String> {
    let output = Command::new(program())
        .args(["seed", "--tokens", "--server", &cluster.server()])
        // A variable of the test's own would be a mistake in the settings.
        .env_clear()
        .env("FRONTDESK_OPERATOR_TOKEN", operator)
        .env("FRONTDESK_SANDBOX_APP_SECRET", cluster.secret("app_secret"))
        .env("FRONTDESK_SANDBOX_CALLBACK", cluster.webhooks())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    let words = said.lines().filter_map(|line| line.split_once("  "));
    let tokens = words.map(|(user, token)| (user.to_owned(), token.trim().to_owned()));
    tokens.collect()
}

impl Installation {
    /// The all-in-one process.
    pub(crate) fn dev() -> Self {
        Self::Dev(Box::new(Dev::start()))
    }

    /// Every role as processes of its own.
    pub(crate) fn stage(replicas: usize) -> Self {
        Self::Stage(Box::new(Stage::start(replicas)))
    }

    pub(crate) fn access(&self) -> &Access {
        match self {
            Self::Dev(dev) => &dev.access,
            Self::Stage(stage) => &stage.access,
        }
    }

    /// What each process shows to Prometheus.
    pub(crate) async fn scrape(&self) -> Vec<Scrape> {
        let admins: Vec<(Option<&'static str>, String)> = match self {
            Self::Dev(dev) => vec![(None, format!("http://{}", dev.process.at.admin))],
            Self::Stage(stage) => {
                let nodes = stage.cluster.nodes().iter();
                nodes
                    .map(|node| (Some(node.role()), node.admin()))
                    .collect()
            }
        };
        let client = lib_platform::outbound::client(Duration::from_secs(5)).unwrap();
        let mut scrapes = Vec::new();
        for (role, admin) in admins {
            let answer = client.get(format!("{admin}/metrics")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{admin}");
            let kind = answer.headers()["content-type"].to_str().unwrap();
            let kind = kind.to_owned();
            let text = answer.text().await.unwrap();
            scrapes.push(Scrape { role, kind, text });
        }
        scrapes
    }

    /// Everything its processes have logged.
    pub(crate) fn log(&self) -> String {
        let files = match self {
            Self::Dev(dev) => vec![dev.log.clone()],
            Self::Stage(stage) => stage.cluster.logs(),
        };
        let texts = files
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap());
        texts.collect()
    }

    /// Stops it; every process must end well. Whatever flows did in it must come out again.
    pub(crate) fn stop(self) {
        match self {
            Self::Dev(dev) => {
                every_session_replays(&dev.access);
                let Dev { process, .. } = *dev;
                assert!(process.stop().success());
            }
            Self::Stage(mut stage) => stage.stop(),
        }
    }
}

/// Asks again as long as the answer is that the service cannot answer now, which is what clients are
/// told while work moves from a replica that was killed. What it asks must be harmless to repeat.
pub(crate) async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Status>) -> T {
    let since = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(status) if status.code() == Code::Unavailable && since.elapsed() < PATIENCE => {}
            Err(status) => panic!("{status:?}"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks until there is an answer; `what` is what is waited for.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
