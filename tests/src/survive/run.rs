//! One run of one scenario: an installation, the outside world around it, the load, and at the end
//! the checker.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lib_platform::channel::connect;
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::accounts::{
    self, BindFlowRequest, CreateAccessTokenRequest, CreateNumberRequest, CreateUserRequest,
};
use lib_proto::common::{ContactIdentity, Content, TemplateSend, TemplateText, content};
use lib_proto::conversations::EngagementState;
use lib_proto::conversations::SendMessageRequest;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::{GetQueueRequest, UpdateQueueRequest};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::agents::{self, Bot, Mode};
use super::checker::{self, Counts, Facts, Violation};
use super::graph::Graph;
use super::history::History;
use super::meta::{Line, Meta};
use super::powerloss::Disk;
use super::proxy::Proxy;
use super::replicated::Replicated;
use super::stores::{Reader, Stores};
use super::subject::{AllInOne, STOP_WITHIN, Subject, descriptors, memory};

/// Queues the flow routes to.
pub const QUEUES: [&str; 2] = ["sales", "support"];
/// Texts that lead a customer into a queue: greeting, a wrong answer, an answer.
pub const PATH: [&str; 3] = ["Hi", "7", "2"];
/// Longest wait for everything to settle.
const SETTLE: Duration = Duration::from_secs(90);
/// How long billing may lag behind entries that cost nothing.
const BILLED: Duration = Duration::from_secs(3);
/// Without any change for this long, it has settled as far as it will.
const STUCK: Duration = Duration::from_secs(30);

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
    /// Resident memory after the load and at its peak, in KiB, over all processes.
    pub memory: (u64, u64),
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
    /// For the report.
    pub notes: Vec<String>,
    /// Why it proves nothing.
    pub void: Option<String>,
    /// The disk its files lie on, where a scenario wants one that forgets.
    pub disk: Option<Disk>,
    /// Agents' commands under way.
    pub open: Arc<AtomicUsize>,
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
        let graph = Graph::start(&graph_address, seed, meta.clone(), history.clone()).await;
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
            notes: Vec::new(),
            void: None,
            disk,
            open: Arc::default(),
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

    fn channel(&self, service: &str, who: &str) -> lib_platform::AuthorizedChannel {
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
            name,
        };
        self.bots.push(tokio::spawn(bot.run()));
    }

    /// How the bots behave from now on.
    pub fn agents_are(&self, mode: Mode) {
        self.modes.send_replace(mode);
    }

    /// Customers who write at the same time, spread over `within`: each `texts`, one after another.
    pub fn customers(&mut self, count: u64, texts: &[&str], within: Duration) {
        for _ in 0..count {
            let (line, customer) = self.new_customer();
            self.known.push((line.clone(), customer.clone()));
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            let (meta, seed) = (self.meta.clone(), self.random.random());
            self.customers.push(tokio::spawn(async move {
                let mut random = StdRng::seed_from_u64(seed);
                let pause = within.as_millis() as u64 / texts.len() as u64;
                for (number, text) in texts.iter().enumerate() {
                    // People type at their own speed; it spreads the load over the faults.
                    let pause = random.random_range(0..pause.max(1));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    let wamid = format!("wamid.IN{customer}.{number}");
                    let body = meta.text_body(&line, &customer, &wamid, text);
                    meta.deliver(&body).await;
                    // 15 % come again: at once, or later while the conversation goes on.
                    let dice = random.random_range(0..100);
                    if dice < 8 {
                        meta.deliver(&body).await;
                    } else if dice < 15 {
                        let (meta, later) = (meta.clone(), random.random_range(200..2_000));
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(later)).await;
                            meta.deliver(&body).await;
                        });
                    }
                }
            }));
        }
    }

    /// A customer nobody has heard of, and the number it writes to.
    pub fn new_customer(&mut self) -> (Line, String) {
        let index = self.met;
        self.met += 1;
        let line = self.lines[index as usize % self.lines.len()].clone();
        let customer = format!(
            "1650{:07}",
            self.random.random_range(0..100_000) * 100 + index % 100
        );
        (line, customer)
    }

    /// Something else that must have ended before the run settles.
    pub fn also(&mut self, task: JoinHandle<()>) {
        self.customers.push(task);
    }

    /// An administrator sends the reminder template to new customers.
    pub fn templates(&mut self, count: u64, within: Duration) {
        let new: Vec<_> = (0..count).map(|_| self.new_customer()).collect();
        self.remind(new, "template", within);
    }

    /// An administrator sends the reminder template to at most `count` customers who have written.
    pub fn reminders(&mut self, count: u64, within: Duration) {
        let known = self.known.iter().take(count as usize).cloned().collect();
        self.remind(known, "reminder", within);
    }

    fn remind(&mut self, whom: Vec<(Line, String)>, key: &'static str, within: Duration) {
        for (line, customer) in whom {
            let channel = self.channel("conversations", "admin");
            let (history, open) = (self.history.clone(), Arc::clone(&self.open));
            let pause = self.random.random_range(0..within.as_millis() as u64 + 1);
            self.customers.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let mut client = ConversationServiceClient::new(channel);
                let template = TemplateSend {
                    name: "reminder".to_owned(),
                    language: "en_US".to_owned(),
                    body: vec![TemplateText {
                        name: String::new(),
                        text: "Maria".to_owned(),
                    }],
                    ..Default::default()
                };
                let request = SendMessageRequest {
                    number_id: line.number,
                    contact: Some(ContactIdentity {
                        phone: customer.clone(),
                        ..Default::default()
                    }),
                    content: Some(Content {
                        content: Some(content::Content::Template(template)),
                    }),
                    idempotency_key: format!("{key}-{customer}"),
                    ..Default::default()
                };
                agents::send(&mut client, request, "admin", &history, &open).await;
            }));
        }
    }

    /// Whether somebody still writes.
    pub fn is_busy(&self) -> bool {
        self.customers.iter().any(|task| !task.is_finished())
    }

    /// Waits until all customers have written all they have to say.
    ///
    /// # Panics
    /// When a customer's task failed.
    pub async fn wait_for_customers(&mut self) {
        for task in self.customers.drain(..) {
            task.await.expect("a customer's task ends");
        }
    }

    /// Reads the stores.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn read(&self) -> Result<Stores, tonic::Status> {
        let mut reader = Reader::new(&**self.subject());
        reader.read().await
    }

    /// Remembers the journals there are, to compare them with later (I24).
    pub async fn checkpoint(&mut self) {
        if let Ok(stores) = self.read().await {
            self.facts.checkpoint = stores.journals;
        }
    }

    /// Waits until everything meant to happen has happened, and says what is wrong then.
    pub async fn settle(&mut self) -> (Stores, Vec<Violation>) {
        self.wait_for_customers().await;
        if self.agents {
            self.agents_are(Mode::Good);
        }
        let began = Instant::now();
        let (mut changed, mut last) = (Instant::now(), (String::new(), 0));
        loop {
            self.supervise();
            let outcome = self.read().await;
            if let Ok(stores) = outcome {
                let history = self.history.entries();
                let found = checker::check(&history, &stores, &self.facts);
                let quiet = self.graph.telling() == 0
                    && self.meta.in_flight() == 0
                    && stores.inbox.waiting_deliveries == 0
                    && (stores.billed_to == stores.head || changed.elapsed() > BILLED)
                    && (!self.agents || all_served(&stores));
                let now = (stores.head.clone(), found.len());
                if now != last {
                    (changed, last) = (Instant::now(), now);
                }
                let over = began.elapsed() > SETTLE || changed.elapsed() > STUCK;
                if (found.is_empty() && quiet) || over {
                    let mut found = found;
                    if found.is_empty() && !quiet {
                        found.push(self.unquiet(&stores));
                    }
                    return (stores, found);
                }
            } else if began.elapsed() > SETTLE {
                let seen = format!("the stores cannot be read: {outcome:?}");
                return (
                    Stores::default(),
                    vec![Violation {
                        invariant: "I2",
                        seen,
                    }],
                );
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Starts again what ended by itself, as whoever runs the processes does.
    fn supervise(&mut self) {
        let parts = self.subject().parts();
        for part in parts {
            let ended = self.subject().has_ended(&part);
            if ended {
                self.notes
                    .push(format!("{part} ended itself and was started again"));
                self.begin(&part, "");
            }
        }
    }

    fn unquiet(&self, stores: &Stores) -> Violation {
        let open = stores
            .engagements
            .iter()
            .filter(|one| one.state() != EngagementState::Closed);
        Violation {
            invariant: "I2",
            seen: format!(
                "it does not settle: {} statuses on their way, {} deliveries wait, billed to {} of {}, {} engagements open",
                self.graph.telling(),
                stores.inbox.waiting_deliveries,
                stores.billed_to,
                stores.head,
                open.count(),
            ),
        }
    }

    fn descriptors(&self) -> usize {
        let subject = self.subject();
        let pids = subject
            .parts()
            .into_iter()
            .filter_map(|part| subject.pid(&part));
        pids.map(descriptors).sum()
    }

    fn memory(&self) -> (u64, u64) {
        let subject = self.subject();
        let pids = subject
            .parts()
            .into_iter()
            .filter_map(|part| subject.pid(&part));
        pids.map(memory)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Settles, stops everything, checks, and says what became of it.
    ///
    /// # Errors
    /// When the stores cannot be folded again.
    pub async fn finish(mut self, scenario: &str, row: &str) -> anyhow::Result<Verdict> {
        let (stores, mut violations) = self.settle().await;
        self.agents_are(Mode::Gone);
        for bot in self.bots.drain(..) {
            let _ = bot.await;
        }
        let memory = self.memory();
        let open = self.descriptors();
        let parts = self.subject().parts().len();
        // Pools of connections grow to their size once, and those to Graph stay for a minute: at
        // most as many as may be under way for the two numbers.
        if open > self.idle_descriptors * 11 / 10 + 40 * parts + 128 {
            let idle = self.idle_descriptors;
            self.broken(
                "I31",
                format!("{open} descriptors after the load, {idle} before"),
            );
        }
        self.supervise();
        self.stop_all();
        let storage = self.subject().records();
        if let Some(storage) = storage {
            let replay = svc_conversations::verify_replay_of(&storage).await?;
            self.facts.replay_differences = replay.differences;
        }
        self.facts.log_lines = self.log_lines();
        let secrets = self.subject().secrets();
        self.facts.secrets.extend(secrets);
        self.facts.secrets.extend(customers(&stores));
        let history = self.history.entries();
        // What only a stopped installation shows is added to what the settled one said.
        let all = checker::check(&history, &stores, &self.facts);
        let late = all
            .into_iter()
            .filter(|one| ["I9", "I32", "I34", "I35"].contains(&one.invariant));
        violations.extend(late);
        violations.append(&mut self.measured);
        self.history.flush();
        let topology = self.subject().name().to_owned();
        Ok(Verdict {
            scenario: scenario.to_owned(),
            row: row.to_owned(),
            topology,
            seed: self.seed,
            seconds: self.began.elapsed().as_secs_f64(),
            counts: checker::count(&history, &stores),
            violations: violations.iter().map(ToString::to_string).collect(),
            void: self.void.take(),
            notes: std::mem::take(&mut self.notes),
            memory,
        })
    }

    /// Stops everything without asking what became of it.
    pub fn abandon(mut self) {
        self.agents_are(Mode::Gone);
        for task in self.bots.drain(..).chain(self.customers.drain(..)) {
            task.abort();
        }
        let parts = self.subject().parts();
        for part in parts {
            tokio::task::block_in_place(|| self.subject().kill(&part));
        }
    }

    /// Notes a broken promise that was measured.
    pub fn broken(&mut self, invariant: &'static str, seen: impl Into<String>) {
        let seen = seen.into();
        self.measured.push(Violation { invariant, seen });
    }

    /// I36.
    fn stop_all(&mut self) {
        let parts = self.subject().parts();
        for part in parts {
            if self.subject().pid(&part).is_none() {
                continue;
            }
            let stopped = tokio::task::block_in_place(|| self.subject().stop(&part));
            if !stopped.clean || stopped.took > STOP_WITHIN {
                self.broken("I36", format!("{part} stopped like this: {stopped:?}"));
            }
        }
    }

    fn log_lines(&self) -> Vec<String> {
        let logs = self.subject().logs();
        let texts = logs
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// A channel with any token, for those who should be refused.
    ///
    /// # Panics
    /// When the token is not plain text.
    pub fn stranger(&self, service: &str, token: &str) -> lib_platform::AuthorizedChannel {
        connect(&self.subject().service(service), token).expect("a plain token")
    }
}

/// Credentials of development and every customer's digits: none may stand in a log.
fn customers(stores: &Stores) -> BTreeSet<String> {
    let phones = stores.conversations.iter();
    let mut secrets: BTreeSet<String> = phones
        .map(|one| one.contact.clone().unwrap_or_default().phone)
        .filter(|phone| phone.len() > 6)
        .collect();
    secrets.extend(["dev-app-secret", "dev-graph-token", "dev-verify-token"].map(str::to_owned));
    secrets
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

/// Nobody waits for an agent, and no agent has anybody in hand.
fn all_served(stores: &Stores) -> bool {
    let mut states = stores
        .engagements
        .iter()
        .map(lib_proto::conversations::Engagement::state);
    states.all(|state| matches!(state, EngagementState::Closed | EngagementState::InFlow))
}
