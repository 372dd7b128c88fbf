//! One run of one scenario: an installation, the outside world around it, the load, and at the end
//! the checker.

mod load;
mod settle;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::accounts::{
    self, BindFlowRequest, CreateAccessTokenRequest, CreateNumberRequest, CreateUserRequest,
};
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::{GetQueueRequest, UpdateQueueRequest};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::agents::{Board, Bot, Mode};
use super::checker::{Counts, Facts, Violation};
use super::graph::Graph;
use super::history::History;
use super::meta::{Line, Meta};
use super::powerloss::Disk;
use super::proxy::Proxy;
use super::replicated::Replicated;
use super::subject::{AllInOne, Subject};

/// Queues the flow routes to.
pub const QUEUES: [&str; 2] = ["sales", "support"];
/// Texts that lead a customer into a queue: greeting, a wrong answer, an answer.
pub const PATH: [&str; 3] = ["Hi", "7", "2"];

/// Which installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// One process, embedded storage.
    AllInOne,
    /// Two replicas of each role, PostgreSQL, Redis.
    Replicated,
}

impl Topology {
    /// Its name in the report.
    pub fn title(self) -> &'static str {
        match self {
            Self::AllInOne => "all-in-one, embedded storage",
            Self::Replicated => "2 replicas of each role, PostgreSQL, Redis (profile A)",
        }
    }
}

/// What became of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The scenario.
    pub scenario: String,
    /// The fault-matrix row it stands for.
    pub row: String,
    /// Which installation.
    pub topology: String,
    /// `quick` or `full`: how long the scenario's form was.
    #[serde(default)]
    pub size: String,
    /// Its seed.
    pub seed: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What happened.
    pub counts: Counts,
    /// Broken promises, as `I4: …`.
    pub violations: Vec<String>,
    /// Why the run proves nothing, if it does not: a fault did not happen.
    pub void: Option<String>,
    /// What else is worth a line in the report.
    pub notes: Vec<String>,
    /// Resident memory after the load and at its peak, in KiB: the sum over Frontdesk's processes
    /// that ran at the end, each with its own peak.
    pub memory: (u64, u64),
    /// File descriptors before the load, after it, and the most that count as returned.
    #[serde(default)]
    pub descriptors: (usize, usize, usize),
    /// How many things each invariant was asked about.
    #[serde(default)]
    pub exercised: BTreeMap<String, usize>,
}

/// The installation, shared with what strikes it.
pub type Shared = Arc<Mutex<Box<dyn Subject>>>;

/// A run under way.
pub struct Run {
    /// Where its files lie.
    pub folder: PathBuf,
    /// What is tested.
    pub subject: Shared,
    /// What happened.
    pub history: History,
    /// Meta's sending side.
    pub meta: Meta,
    /// Meta's receiving side.
    pub graph: Graph,
    /// Decides everything.
    pub random: StdRng,
    /// The seed.
    pub seed: u64,
    /// The numbers.
    pub lines: Vec<Line>,
    /// Between us and the installation, where a scenario wants one.
    pub proxies: Vec<Proxy>,
    /// What the checker is told.
    pub facts: Facts,
    /// Broken promises found by measuring.
    pub measured: Vec<Violation>,
    /// How many things a measured promise was held against.
    asked: BTreeMap<String, usize>,
    /// For the report.
    pub notes: Vec<String>,
    /// Why it proves nothing.
    pub void: Option<String>,
    /// The disk its files lie on, where a scenario wants one that forgets.
    pub disk: Option<Disk>,
    /// Agents' commands under way.
    pub open: Arc<AtomicUsize>,
    /// What agents are offered, for those who snatch.
    board: Board,
    /// Processes that were asked to stop (I36).
    pub stops: usize,
    /// Longest wait for customers, and then for everything to settle.
    patience: Duration,
    modes: watch::Sender<Mode>,
    bots: Vec<JoinHandle<()>>,
    customers: Vec<JoinHandle<()>>,
    /// Who has written or will, and to which number.
    known: Vec<(Line, String)>,
    /// Customers there are.
    met: u64,
    agents: bool,
    began: Instant,
    idle_descriptors: usize,
}

/// How an installation is set up for a scenario.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How long an attempt may take, in seconds.
    pub attempt_seconds: u64,
    /// How long a status may clear up an unknown outcome, in seconds.
    pub quiet_seconds: u64,
    /// Agents that open a desk.
    pub agents: u64,
    /// A proxy between the installation and Graph, and one before its webhooks.
    pub proxies: bool,
    /// A disk that forgets what was not flushed.
    pub disk: bool,
    /// That disk says it has flushed and has not.
    pub disk_lies: bool,
    /// Longest wait for customers, and then for everything to settle, while there is progress.
    pub patience: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            attempt_seconds: 15,
            quiet_seconds: 2,
            agents: 0,
            proxies: false,
            disk: false,
            disk_lies: false,
            patience: Duration::from_secs(180),
        }
    }
}

impl Run {
    /// Starts an installation and the world around it.
    ///
    /// # Errors
    /// When the installation cannot be set up.
    pub async fn start(
        folder: &Path,
        seed: u64,
        topology: Topology,
        setup: &Setup,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let history = History::new(Some(&folder.join("history.jsonl")));
        let graph_address = crate::process::free_address();
        let mut proxies = Vec::new();
        let mut graph_url = format!("http://{graph_address}");
        if setup.proxies {
            let proxy = Proxy::start(graph_address.clone(), seed).await;
            graph_url = format!("http://{}", proxy.address);
            proxies.push(proxy);
        }
        let disk = setup.disk.then(|| Disk::build(folder, setup.disk_lies));
        let seconds = (setup.attempt_seconds, setup.quiet_seconds);
        let mut subject = tokio::task::block_in_place(|| {
            build(folder, &graph_url, topology, seconds, disk.clone())
        });
        for part in subject.parts() {
            tokio::task::block_in_place(|| subject.start(&part, ""));
        }
        let mut doors = subject.doors();
        if setup.proxies {
            let target = doors[0].trim_start_matches("http://").to_owned();
            let proxy = Proxy::start(target, seed + 1).await;
            doors = vec![format!("http://{}", proxy.address)];
            proxies.push(proxy);
        }
        let meta = Meta::new(doors, history.clone());
        let graph = Graph::start(&graph_address, seed, meta.clone()).await;
        let mut run = Self {
            folder: folder.to_owned(),
            subject: Arc::new(Mutex::new(subject)),
            history,
            meta,
            graph,
            random: StdRng::seed_from_u64(seed),
            seed,
            lines: Vec::new(),
            proxies,
            facts: Facts {
                offer_slack: Duration::from_secs(2),
                ..Facts::default()
            },
            measured: Vec::new(),
            asked: BTreeMap::new(),
            notes: Vec::new(),
            void: None,
            disk,
            open: Arc::default(),
            board: Board::default(),
            stops: 0,
            patience: setup.patience,
            modes: watch::Sender::new(Mode::Wild),
            bots: Vec::new(),
            customers: Vec::new(),
            known: Vec::new(),
            met: 0,
            agents: setup.agents > 0,
            began: Instant::now(),
            idle_descriptors: 0,
        };
        run.set_up(setup.agents).await?;
        run.idle_descriptors = run.descriptors();
        Ok(run)
    }

    /// The installation, for a moment.
    pub fn subject(&self) -> MutexGuard<'_, Box<dyn Subject>> {
        self.subject.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is under way: webhooks, requests to Graph, agents' commands.
    pub fn in_flight(&self) -> usize {
        self.meta.in_flight() + self.graph.in_flight() + self.open.load(Ordering::Relaxed)
    }

    /// A channel to a service as somebody.
    pub fn channel(&self, service: &str, who: &str) -> lib_platform::AuthorizedChannel {
        self.subject().channel(service, who)
    }

    /// A second number, agents with a desk each, short offers.
    async fn set_up(&mut self, agents: u64) -> anyhow::Result<()> {
        let waba = "200000000000001".to_owned();
        self.lines.push(Line {
            number: crate::webhook::NUMBER.to_owned(),
            waba: waba.clone(),
        });
        let mut accounts = AccountServiceClient::new(self.channel("accounts", "admin"));
        let number = accounts::Number {
            id: "100000000000002".to_owned(),
            connector_id: "demo-whatsapp".to_owned(),
            phone: "15550100200".to_owned(),
            verified_name: "Demo Garden Centre".to_owned(),
            flow_id: String::new(),
            created_at: None,
        };
        let id = number.id.clone();
        accounts
            .create_number(CreateNumberRequest {
                number: Some(number),
            })
            .await?;
        let bind = BindFlowRequest {
            number_id: id.clone(),
            flow_id: "whatsapp-for-business".to_owned(),
        };
        accounts.bind_flow(bind).await?;
        self.lines.push(Line { number: id, waba });
        for line in &self.lines {
            self.graph.add_line(line);
        }
        let names: Vec<String> = (0..agents).map(|agent| format!("bot-{agent}")).collect();
        for name in &names {
            let user = accounts::User {
                id: name.clone(),
                display_name: name.clone(),
                roles: vec![accounts::Role::Agent.into()],
                created_at: None,
            };
            accounts
                .create_user(CreateUserRequest { user: Some(user) })
                .await?;
            let wanted = CreateAccessTokenRequest {
                user_id: name.clone(),
                note: "survival".to_owned(),
            };
            let token = accounts
                .create_access_token(wanted)
                .await?
                .into_inner()
                .token;
            self.facts.secrets.push(token.clone());
            self.subject().learn_token(name, token);
        }
        if agents > 0 {
            self.shorten_offers(&names).await?;
        }
        for name in names {
            self.seat(name);
        }
        Ok(())
    }

    async fn shorten_offers(&self, names: &[String]) -> anyhow::Result<()> {
        let mut routing = RoutingServiceClient::new(self.channel("routing", "admin"));
        for queue in QUEUES {
            let request = GetQueueRequest {
                id: queue.to_owned(),
            };
            let mut queue = routing.get_queue(request).await?.into_inner();
            queue.agent_ids = names.to_vec();
            queue.offer_seconds = 5;
            routing
                .update_queue(UpdateQueueRequest { queue: Some(queue) })
                .await?;
        }
        Ok(())
    }

    fn seat(&mut self, name: String) {
        let bot = Bot {
            seed: self.random.random(),
            capacity: 3,
            routing: self.channel("routing", &name),
            conversations: self.channel("conversations", &name),
            history: self.history.clone(),
            mode: self.modes.subscribe(),
            open: Arc::clone(&self.open),
            board: Arc::clone(&self.board),
            name,
        };
        self.bots.push(tokio::spawn(bot.run()));
    }

    /// How the bots behave from now on.
    pub fn agents_are(&self, mode: Mode) {
        self.modes.send_replace(mode);
    }
}

fn build(
    folder: &Path,
    graph_url: &str,
    topology: Topology,
    seconds: (u64, u64),
    disk: Option<Disk>,
) -> Box<dyn Subject> {
    if topology == Topology::Replicated {
        // A role takes no shorter quiet window than this.
        let seconds = (seconds.0, seconds.1.max(10));
        return Box::new(Replicated::new(folder, graph_url, seconds, disk));
    }
    let (attempt, quiet) = (seconds.0.to_string(), seconds.1.to_string());
    let options = ["--attempt-seconds", &attempt, "--quiet-seconds", &quiet];
    let mut subject = AllInOne::new(folder, graph_url, &options);
    if let Some(disk) = disk {
        subject.on_disk(disk);
    }
    Box::new(subject)
}
