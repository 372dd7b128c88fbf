//! The topology of production as processes of this machine: each role with several replicas,
//! PostgreSQL and Redis. Both stores are parts that can be struck too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lib_storage::{PostgresSettings, Profile, Servers, Storage};
use lib_testkit::servers::{PostgresOptions, RedisOptions};

use super::powerloss::Disk;
use super::subject::{self, Stopped, Subject};
use crate::cluster::{Cluster, ClusterOptions, Stores};

/// Replicas of each role.
const REPLICAS: usize = 2;
/// Longest a part may take to get ready.
const START_WITHIN: Duration = Duration::from_secs(60);

/// A cluster under test.
pub struct Replicated {
    cluster: Cluster,
    tokens: BTreeMap<String, String>,
    disk: Option<Disk>,
    /// Started with the first part.
    fresh: Vec<String>,
}

impl Replicated {
    /// Starts all of it. What the stores write goes to `disk`, where there is one.
    ///
    /// # Panics
    /// When a part does not start.
    pub fn new(folder: &Path, graph_url: &str, seconds: (u64, u64), disk: Option<Disk>) -> Self {
        let secrets = folder.join("secrets");
        std::fs::create_dir_all(&secrets).expect("the folder can be made");
        // The secret our bodies are signed with; what is there is kept.
        std::fs::write(secrets.join("app_secret"), "dev-app-secret").expect("it can be written");
        let environment = disk.as_ref().map(Disk::environment).unwrap_or_default();
        if let Some(disk) = &disk {
            disk.open_to_all();
        }
        let options = ClusterOptions {
            folder: Some(folder.to_owned()),
            stores: Stores::Own {
                postgres: PostgresOptions {
                    settings: vec!["max_connections=300".to_owned()],
                    environment: environment.clone(),
                    ..PostgresOptions::default()
                },
                redis: RedisOptions {
                    environment,
                    ..RedisOptions::default()
                },
            },
            ..ClusterOptions::with_replicas(REPLICAS)
        };
        let (attempt, quiet) = (seconds.0.to_string(), seconds.1.to_string());
        let options = options
            .set("*", "FRONTDESK_GRAPH_URL", graph_url)
            .set("*", "FRONTDESK_CONVERSATIONS_ATTEMPT_SECONDS", &attempt)
            .set(
                "conversations",
                "FRONTDESK_CONVERSATIONS_QUIET_SECONDS",
                &quiet,
            )
            .set(
                "egress",
                "FRONTDESK_EGRESS_HTTP_TIMEOUT",
                &format!("{}s", seconds.0 - 10),
            )
            .set("*", "FRONTDESK_POSTGRES_CONNECTIONS", "6");
        let options = only_where_known(options);
        let cluster = Cluster::start(&options);
        let fresh = cluster
            .nodes()
            .iter()
            .map(crate::cluster::Node::name)
            .collect();
        Self {
            cluster,
            tokens: BTreeMap::new(),
            disk,
            fresh,
        }
    }

    fn lose_power(&self, folder: PathBuf) {
        if let Some(disk) = &self.disk {
            disk.lose_power(&[folder]);
        }
    }
}

/// A role that does not know a setting refuses it.
fn only_where_known(mut options: ClusterOptions) -> ClusterOptions {
    let roles = |name: &str| -> &[&str] {
        match name {
            "FRONTDESK_GRAPH_URL" => &["egress", "templates"],
            "FRONTDESK_CONVERSATIONS_ATTEMPT_SECONDS" => &["conversations", "egress"],
            _ => &[
                "accounts",
                "flow-runner",
                "templates",
                "conversations",
                "routing",
                "billing",
                "egress",
            ],
        }
    };
    let settings = std::mem::take(&mut options.settings);
    for (role, name, value) in settings {
        if role == "*" {
            for role in roles(&name) {
                options = options.set(role, &name, &value);
            }
        } else {
            options = options.set(&role, &name, &value);
        }
    }
    options
}

/// `egress-1` is replica 1 of `egress`.
fn split(part: &str) -> (&str, usize) {
    let (role, replica) = part.rsplit_once('-').expect("a part is role and replica");
    (role, replica.parse().expect("a replica is a number"))
}

impl Subject for Replicated {
    fn name(&self) -> &'static str {
        super::run::Topology::Replicated.title()
    }

    fn parts(&self) -> Vec<String> {
        let nodes = self.cluster.nodes().iter();
        nodes
            .filter(|node| node.role() != "sandbox")
            .map(crate::cluster::Node::name)
            .collect()
    }

    fn parts_of(&self, role: &str) -> Vec<String> {
        let nodes = self.cluster.nodes().iter();
        nodes
            .filter(|node| node.role() == role)
            .map(crate::cluster::Node::name)
            .collect()
    }

    fn stores(&self) -> Vec<String> {
        vec!["redis".to_owned(), "postgres".to_owned()]
    }

    fn doors(&self) -> Vec<String> {
        let nodes = self.cluster.nodes().iter();
        nodes
            .filter(|node| node.role() == "ingress")
            .filter_map(crate::cluster::Node::http)
            .collect()
    }

    fn service(&self, service: &str) -> String {
        self.cluster.grpc(service)
    }

    fn metrics(&self) -> Vec<String> {
        let nodes = self.cluster.nodes().iter();
        nodes
            .map(|node| format!("{}/metrics", node.admin()))
            .collect()
    }

    fn token(&self, who: &str) -> String {
        if who == "operator" {
            return self.cluster.secret("operator_token");
        }
        let known = self.tokens.get(who).cloned();
        known.unwrap_or_else(|| format!("dev-{who}"))
    }

    fn start(&mut self, part: &str, failpoints: &str) {
        if let Some(at) = self.fresh.iter().position(|fresh| fresh == part) {
            self.fresh.remove(at);
            return;
        }
        match part {
            "redis" => return self.cluster.restart_redis(),
            "postgres" => return self.cluster.restart_postgres(),
            _ => {}
        }
        let (role, replica) = split(part);
        let more = [(lib_platform::failpoint::VARIABLE, failpoints)];
        if failpoints.is_empty() {
            return self.cluster.restart_with(role, replica, &[]);
        }
        self.cluster.launch_with(role, replica, &more);
        // A failpoint may strike, or suspend it, before it is ready.
        let since = Instant::now();
        while !self.cluster.node(role, replica).is_ready()
            && !self.cluster.has_ended(role, replica)
            && self.pid(part).and_then(subject::state_of) != Some('T')
        {
            assert!(since.elapsed() < START_WITHIN, "{part} did not start");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    fn kill(&mut self, part: &str) {
        self.fresh.retain(|fresh| fresh != part);
        match part {
            "redis" => {
                let folder = self.cluster.redis().folder().to_owned();
                self.cluster.kill_redis();
                self.lose_power(folder);
            }
            "postgres" => {
                let folder = self.cluster.postgres().folder().to_owned();
                self.cluster.kill_postgres();
                self.lose_power(folder);
            }
            _ => {
                let (role, replica) = split(part);
                self.cluster.kill(role, replica);
            }
        }
    }

    fn pause(&mut self, part: &str) {
        subject::pause(self.pid(part).expect("the part runs"));
    }

    fn resume(&mut self, part: &str) {
        subject::signal(self.pid(part).expect("the part runs"), "CONT");
    }

    fn stop(&mut self, part: &str) -> Stopped {
        self.fresh.retain(|fresh| fresh != part);
        let (role, replica) = split(part);
        let stopped = self.cluster.stop(role, replica);
        Stopped {
            clean: stopped.status.success(),
            took: stopped.took,
        }
    }

    fn pid(&self, part: &str) -> Option<u32> {
        match part {
            "redis" => Some(self.cluster.redis().process().id()),
            "postgres" => Some(self.cluster.postgres().process().id()),
            _ => {
                let (role, replica) = split(part);
                self.cluster.node(role, replica).pid()
            }
        }
    }

    fn has_ended(&mut self, part: &str) -> bool {
        let (role, replica) = split(part);
        self.cluster.has_ended(role, replica)
    }

    fn logs(&self) -> Vec<PathBuf> {
        self.cluster.logs()
    }

    fn records(&self) -> Option<Storage> {
        Some(Storage::Servers(Servers {
            postgres: Some(PostgresSettings {
                url: self.cluster.postgres_url(),
                connections: 2,
            }),
            redis: None,
            profile: Profile::A,
        }))
    }

    fn learn_token(&mut self, who: &str, token: String) {
        self.tokens.insert(who.to_owned(), token);
    }

    fn secrets(&self) -> Vec<String> {
        let names = ["operator_token", "service_token", "verify_token"];
        names.map(|name| self.cluster.secret(name)).to_vec()
    }
}
