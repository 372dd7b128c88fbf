//! The topology of `docker-compose.yml` as plain processes: every role as `frontdesk <role>` with its
//! settings from `deploy/env`, a real PostgreSQL and Redis, and a balancer before each service that
//! stands in for a Kubernetes Service. Parts can be killed, stopped, suspended and started again.
//!
//! Everything here blocks and brings its own threads, so that it can be used from synchronous and
//! from asynchronous code alike; it panics with a sentence when it fails, because it is for tests.

mod balancer;
mod node;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lib_platform::AuthorizedChannel;
use lib_platform::channel::connect;
use lib_testkit::servers::{PostgresOptions, PostgresServer, RedisOptions, RedisServer};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::balancer::Balancer;
pub use self::node::{Node, Stopped};
pub use self::settings::{ROLES, Settings, make_secrets};
use crate::process::program;

/// Longest wait for a start or an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where records and fast state are.
#[derive(Clone, Debug)]
pub enum Stores {
    /// Servers of the cluster's own; they end with it.
    Own {
        /// How PostgreSQL is started.
        postgres: PostgresOptions,
        /// How Redis is started.
        redis: RedisOptions,
    },
    /// Servers of somebody else's.
    At {
        /// URL of the database.
        postgres: String,
        /// URL of Redis.
        redis: String,
    },
}

/// What makes one cluster differ from another.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Replicas of each role; the sandbox always has one. Default 1.
    pub replicas: usize,
    /// Other numbers of replicas, by role.
    pub replicas_of: BTreeMap<String, usize>,
    /// Whether a balancer stands before each service (default). Without them callers know the first
    /// replica of each service only, and nothing costs CPU that is not Frontdesk's.
    pub balanced: bool,
    /// Whether the demo tenant is there once the cluster is up. Default true.
    pub seed: bool,
    /// Settings over those of the environment files: role (or `*`), name, value.
    pub settings: Vec<(String, String, String)>,
    /// For secrets and logs; a temporary one when none is given.
    pub folder: Option<PathBuf>,
    /// The program.
    pub program: PathBuf,
    /// The stores.
    pub stores: Stores,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            replicas: 1,
            replicas_of: BTreeMap::new(),
            balanced: true,
            seed: true,
            settings: Vec::new(),
            folder: None,
            program: program(),
            stores: Stores::Own {
                postgres: PostgresOptions {
                    settings: vec!["max_connections=300".to_owned()],
                    ..PostgresOptions::default()
                },
                redis: RedisOptions::default(),
            },
        }
    }
}

impl ClusterOptions {
    /// The defaults with this many replicas of each role.
    pub fn with_replicas(replicas: usize) -> Self {
        Self {
            replicas,
            ..Self::default()
        }
    }

    /// The same with a setting over those of the files; `*` is every role.
    pub fn set(mut self, role: &str, name: &str, value: &str) -> Self {
        let setting = (role.to_owned(), name.to_owned(), value.to_owned());
        self.settings.push(setting);
        self
    }

    fn replicas_of(&self, role: &str) -> usize {
        match role {
            // It keeps a file of its own.
            "sandbox" => 1,
            _ => *self.replicas_of.get(role).unwrap_or(&self.replicas),
        }
    }
}

/// A running cluster. Dropped, all of it is killed.
pub struct Cluster {
    nodes: Vec<Node>,
    balancers: BTreeMap<String, Balancer>,
    settings: Settings,
    postgres: Option<PostgresServer>,
    redis: Option<RedisServer>,
    program: PathBuf,
    folder: PathBuf,
    runtime: Option<Runtime>,
    // Last, so that it goes when nothing writes to it any more.
    _temporary: Option<TempDir>,
}

impl Cluster {
    /// Starts stores, balancers and every role, waits until all are ready, and seeds the demo
    /// tenant if the options say so.
    ///
    /// # Panics
    /// When a part cannot start; with the end of its log.
    pub fn start(options: &ClusterOptions) -> Self {
        let temporary = options.folder.is_none().then(|| {
            let folder = tempfile::Builder::new().prefix("fd-cluster-").tempdir();
            folder.expect("a temporary folder")
        });
        let folder = match (&options.folder, &temporary) {
            (Some(folder), _) => folder.clone(),
            (None, Some(folder)) => folder.path().to_owned(),
            (None, None) => unreachable!("one of them is there"),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cluster")
            .enable_all()
            .build()
            .expect("threads can be started");
        let mut cluster = Self {
            nodes: Vec::new(),
            balancers: BTreeMap::new(),
            settings: Settings::new(&folder),
            postgres: None,
            redis: None,
            program: options.program.clone(),
            folder,
            runtime: Some(runtime),
            _temporary: temporary,
        };
        cluster.start_stores(&options.stores);
        cluster.lay_out(options);
        for index in 0..cluster.nodes.len() {
            cluster.nodes[index].start(&cluster.program, &[]);
        }
        for index in 0..cluster.nodes.len() {
            cluster.wait_ready(index);
        }
        if options.seed {
            cluster.seed(&[]);
        }
        cluster
    }

    fn start_stores(&mut self, stores: &Stores) {
        let (postgres, redis) = match stores.clone() {
            Stores::At { postgres, redis } => (postgres, redis),
            Stores::Own { postgres, redis } => {
                let (user, login) = settings::redis_user();
                let user: Vec<&str> = user.split_whitespace().collect();
                let redis = redis.with(&["--user"]).with(&user);
                let (postgres, redis, url) = self.run(async move || {
                    let (postgres, redis) = tokio::join!(
                        PostgresServer::start_with(postgres),
                        RedisServer::start(redis)
                    );
                    let url = postgres.create_database().await;
                    (postgres, redis, url)
                });
                let redis_url = format!("redis://{login}@127.0.0.1:{}", redis.port());
                self.postgres = Some(postgres);
                self.redis = Some(redis);
                (url, redis_url)
            }
        };
        self.settings.set_secret("postgres_url", &postgres);
        self.settings.set_secret("redis_url", &redis);
    }

    /// Gives every replica its ports and every service its address.
    fn lay_out(&mut self, options: &ClusterOptions) {
        for role in ROLES {
            for replica in 0..options.replicas_of(role) {
                self.nodes.push(Node::new(role, replica, &self.folder));
            }
            let nodes: Vec<&Node> = self.nodes.iter().filter(|n| n.role() == role).collect();
            let Some(first) = nodes.first() else { continue };
            let (mut grpc, mut http) = (first.grpc(), first.http());
            if options.balanced {
                let runtime = self.runtime.as_ref().expect("it runs").handle();
                let balancer = Balancer::start(runtime, &nodes);
                (grpc, http) = (balancer.grpc(), balancer.http());
                self.balancers.insert(role.to_owned(), balancer);
            }
            self.settings.place(role, &grpc, http.as_deref());
        }
        for node in &mut self.nodes {
            let mut own = self.settings.of(node.role());
            for (role, name, value) in &options.settings {
                if role == "*" || role == node.role() {
                    own.insert(name.clone(), value.clone());
                }
            }
            node.configure(own);
        }
    }

    /// Runs something asynchronous on the cluster's own threads and waits for it.
    fn run<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        let runtime = self.runtime.as_ref().expect("it runs");
        // A thread of its own: the caller's may belong to another runtime.
        std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work())).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Creates the demo tenant, as `frontdesk seed`, with further arguments; what it printed.
    ///
    /// # Panics
    /// When that fails; with what it said.
    pub fn seed(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.program)
            .arg("seed")
            .args(arguments)
            .env_clear()
            .envs(self.settings.of("seed"))
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "frontdesk seed: {said}{told}");
        told
    }

    /// All replicas of all roles.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many replicas a role has, running or not.
    pub fn replicas(&self, role: &str) -> usize {
        self.nodes.iter().filter(|node| node.role() == role).count()
    }

    /// A replica; they count from 0.
    ///
    /// # Panics
    /// When there is none.
    pub fn node(&self, role: &str, replica: usize) -> &Node {
        let node = self.nodes.iter().find(|node| node.is(role, replica));
        node.unwrap_or_else(|| panic!("there is no {role}-{replica}"))
    }

    fn node_mut(&mut self, role: &str, replica: usize) -> &mut Node {
        let node = self.nodes.iter_mut().find(|node| node.is(role, replica));
        node.unwrap_or_else(|| panic!("there is no {role}-{replica}"))
    }

    /// `http://host:port` of a service's gRPC, whichever replica answers.
    pub fn grpc(&self, service: &str) -> String {
        self.settings.grpc(service)
    }

    /// `http://host:port` of ingress's webhooks or the sandbox's Graph API.
    pub fn http(&self, service: &str) -> String {
        self.settings.http(service)
    }

    /// Where Meta's webhooks go.
    pub fn webhooks(&self) -> String {
        format!("{}/webhooks/whatsapp", self.http("ingress"))
    }

    /// A channel to a service with a credential.
    ///
    /// # Panics
    /// When the credential is not plain text.
    pub fn channel(&self, service: &str, token: &str) -> AuthorizedChannel {
        connect(&self.grpc(service), token).expect("address and token are plain")
    }

    /// The value of `FRONTDESK_SERVER` for the commands of people.
    pub fn server(&self) -> String {
        let services = ROLES
            .iter()
            .map(|role| format!("{role}={}", self.grpc(role)));
        services.collect::<Vec<_>>().join(",")
    }

    /// A secret of `deploy/make-secrets`, such as `operator_token`.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn secret(&self, name: &str) -> String {
        self.settings.secret(name)
    }

    /// Changes a secret's file, as an operator does; a replica reads it when it starts.
    pub fn set_secret(&self, name: &str, value: &str) {
        self.settings.set_secret(name, value);
    }

    /// Where secrets and logs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The logs of all replicas.
    pub fn logs(&self) -> Vec<PathBuf> {
        self.nodes
            .iter()
            .map(|node| node.log().to_owned())
            .collect()
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill(&mut self, role: &str, replica: usize) {
        self.node_mut(role, replica).kill();
    }

    /// `SIGTERM`; returns when the process is gone.
    ///
    /// # Panics
    /// When it does not stop within a minute.
    pub fn stop(&mut self, role: &str, replica: usize) -> Stopped {
        self.node_mut(role, replica).stop()
    }

    /// `SIGSTOP`; returns when the process is seen to be suspended.
    pub fn pause(&mut self, role: &str, replica: usize) {
        self.node_mut(role, replica).pause();
    }

    /// `SIGCONT`.
    pub fn resume(&mut self, role: &str, replica: usize) {
        self.node_mut(role, replica).resume();
    }

    /// Starts a replica that does not run, on its old ports, and waits until it is ready.
    pub fn restart(&mut self, role: &str, replica: usize) {
        self.restart_with(role, replica, &[]);
    }

    /// The same with more settings for this start only, such as `FRONTDESK_FAILPOINTS`.
    ///
    /// # Panics
    /// When it is not ready within a minute; with the end of its log.
    pub fn restart_with(&mut self, role: &str, replica: usize, more: &[(&str, &str)]) {
        let index = self.nodes.iter().position(|node| node.is(role, replica));
        let index = index.unwrap_or_else(|| panic!("there is no {role}-{replica}"));
        self.nodes[index].start(&self.program, more);
        self.wait_ready(index);
    }

    /// The same without waiting until it is ready, which it may never be.
    ///
    /// # Panics
    /// When there is no such replica, or it runs.
    pub fn launch_with(&mut self, role: &str, replica: usize, more: &[(&str, &str)]) {
        let index = self.nodes.iter().position(|node| node.is(role, replica));
        let index = index.unwrap_or_else(|| panic!("there is no {role}-{replica}"));
        self.nodes[index].start(&self.program, more);
    }

    /// Waits until a replica says that it is ready, and its balancer knows.
    fn wait_ready(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.wait_ready();
        if let Some(balancer) = self.balancers.get(node.role()) {
            balancer.wait_for(node.replica());
        }
    }

    /// Whether a replica has ended by itself; then it counts as stopped.
    pub fn has_ended(&mut self, role: &str, replica: usize) -> bool {
        self.node_mut(role, replica).has_ended()
    }

    /// URL of the database.
    pub fn postgres_url(&self) -> String {
        self.secret("postgres_url")
    }

    /// URL of Redis.
    pub fn redis_url(&self) -> String {
        self.secret("redis_url")
    }

    /// PostgreSQL.
    ///
    /// # Panics
    /// When it is not the cluster's own.
    pub fn postgres(&self) -> &PostgresServer {
        self.postgres.as_ref().expect("the stores are its own")
    }

    /// Redis.
    ///
    /// # Panics
    /// When it is not the cluster's own.
    pub fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("the stores are its own")
    }

    /// `kill -9` of PostgreSQL.
    ///
    /// # Panics
    /// When it is not the cluster's own.
    pub fn kill_postgres(&mut self) {
        let server = self.postgres.as_mut().expect("the stores are its own");
        server.kill();
    }

    /// Starts PostgreSQL again on the same data and port; kills it before if it runs.
    ///
    /// # Panics
    /// When it is not the cluster's own, or does not start.
    pub fn restart_postgres(&mut self) {
        let mut server = self.postgres.take().expect("the stores are its own");
        self.postgres = Some(self.run(async move || {
            server.restart().await;
            server
        }));
    }

    /// `kill -9` of Redis.
    ///
    /// # Panics
    /// When it is not the cluster's own.
    pub fn kill_redis(&mut self) {
        let server = self.redis.as_mut().expect("the stores are its own");
        server.kill();
    }

    /// Starts Redis again on the same data and port; kills it before if it runs.
    ///
    /// # Panics
    /// When it is not the cluster's own, or does not start.
    pub fn restart_redis(&mut self) {
        let mut server = self.redis.take().expect("the stores are its own");
        self.redis = Some(self.run(async move || {
            server.restart().await;
            server
        }));
    }

    /// Stops every role as a rolling restart would, callers before those they call. Says how each
    /// ended.
    pub fn stop_all(&mut self) -> Vec<(String, Stopped)> {
        let since = Instant::now();
        let mut ends = Vec::new();
        // All at once: what one waits for while it drains must not be stopped a minute before.
        for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
            node.ask_to_stop();
        }
        for node in self.nodes.iter_mut().filter(|node| node.pid().is_some()) {
            let name = node.name();
            ends.push((name, node.wait_stopped(since)));
        }
        ends
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        self.postgres = None;
        self.redis = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
