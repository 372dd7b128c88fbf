//! Load driver behind `cargo xtask bench e2e`: many customers at once talk to a whole
//! installation; a Graph API of its own answers. Prints conversations per second, CPU per message
//! and the time from webhook to reply, and asserts that everything it counted is right.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use hdrhistogram::Histogram;
use lib_proto::ingress::GetInboxRequest;
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use serde_json::{Value, json};
use tests::process::{Addresses, Frontdesk, free_address};
use tests::webhook::{self, Status};
use tokio::sync::mpsc;

/// Whole conversations through a whole installation.
#[derive(Debug, Parser)]
struct Args {
    /// Seconds of load.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Customers at once.
    #[arg(long, default_value_t = 64)]
    customers: u64,
    /// Conversations one after another, for the time of an idle installation.
    #[arg(long, default_value_t = 100)]
    alone: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What a waiting customer gets to see: the text of each reply.
type Replies = mpsc::UnboundedSender<String>;

/// The outside world: Meta's two sides.
#[derive(Clone)]
struct World {
    client: reqwest::Client,
    webhooks: String,
    waiting: Arc<Mutex<HashMap<String, Replies>>>,
    sends: Arc<AtomicU64>,
    statuses: mpsc::UnboundedSender<Status>,
    told: Arc<AtomicU64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = std::env::temp_dir().join(format!("frontdesk-bench-{}", std::process::id()));
    let outcome = bench(&args, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

async fn bench(args: &Args, folder: &std::path::Path) -> anyhow::Result<()> {
    let (at, graph) = (Addresses::free(), free_address());
    let graph_url = format!("http://{graph}");
    let options = [
        "--graph-url",
        graph_url.as_str(),
        "--log",
        "error",
        "--messages-per-second",
        "1000",
    ];
    let process = Frontdesk::start(folder, &at, &options);
    let world = World::start(&graph, at.webhooks()).await?;

    let mut idle = Histogram::<u64>::new(3)?;
    for number in 0..args.alone {
        let micros = world.conversation(&format!("1650100{number:04}")).await?;
        idle.record(micros[0])?;
    }
    let cpu_before = cpu_micros(process.id())?;
    let own_before = cpu_micros(std::process::id())?;
    let (sends_before, told_before) = (
        world.sends.load(Ordering::Relaxed),
        world.told.load(Ordering::Relaxed),
    );
    let started = Instant::now();
    let load = under_load(args, &world).await?;
    let elapsed = started.elapsed();
    settle(&at, &world).await?;
    let cpu = cpu_micros(process.id())? - cpu_before;
    let own = cpu_micros(std::process::id())? - own_before;
    let sends = world.sends.load(Ordering::Relaxed) - sends_before;
    let told = world.told.load(Ordering::Relaxed) - told_before;
    ensure!(
        sends == load.conversations * 2,
        "{sends} sends for {} conversations",
        load.conversations
    );
    let messages = load.conversations * 2 + sends;
    let per_message = cpu as f64 / messages as f64;
    let rate = load.conversations as f64 / elapsed.as_secs_f64();
    ensure!(process.stop().success(), "it did not stop cleanly");
    let report = json!({
        "seconds": elapsed.as_secs_f64(),
        "customers_at_once": args.customers,
        "conversations": load.conversations,
        "conversations_per_second": rate,
        "messages": messages,
        "status_updates": told,
        "cpu_micros_per_message": per_message,
        "cpu_micros_per_webhook_item": cpu as f64 / (load.conversations * 2 + told) as f64,
        "cpu_share_of_one_core": cpu as f64 / elapsed.as_micros() as f64,
        "driver_cpu_micros_per_message": own as f64 / messages as f64,
        "reply_under_load_micros": percentiles(&load.replies),
        "reply_when_idle_micros": percentiles(&idle),
    });
    if args.json {
        println!("{report}");
    } else {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(())
}

fn percentiles(times: &Histogram<u64>) -> Value {
    json!({"p50": times.value_at_quantile(0.5), "p99": times.value_at_quantile(0.99),
           "max": times.max()})
}

struct Load {
    conversations: u64,
    replies: Histogram<u64>,
}

async fn under_load(args: &Args, world: &World) -> anyhow::Result<Load> {
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let tasks: Vec<_> = (0..args.customers)
        .map(|seat| {
            let world = world.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut count = 0_u64;
                while Instant::now() < until {
                    let customer = format!("1650{:03}{count:05}", 200 + seat);
                    times.extend(world.conversation(&customer).await?);
                    count += 1;
                }
                anyhow::Ok((count, times))
            })
        })
        .collect();
    let mut load = Load {
        conversations: 0,
        replies: Histogram::new(3)?,
    };
    for task in tasks {
        let (count, times) = task.await??;
        load.conversations += count;
        for time in times {
            load.replies.record(time)?;
        }
    }
    Ok(load)
}

/// Waits until every status has been told and nothing waits in the inbox.
async fn settle(at: &Addresses, world: &World) -> anyhow::Result<()> {
    let mut ingress = IngressServiceClient::new(at.channel("admin"));
    let since = Instant::now();
    loop {
        let inbox = ingress.get_inbox(GetInboxRequest {}).await?.into_inner();
        ensure!(
            inbox.parked_items == 0,
            "{} items are parked",
            inbox.parked_items
        );
        let told = world.told.load(Ordering::Relaxed);
        if inbox.waiting_deliveries == 0 && told == 2 * world.sends.load(Ordering::Relaxed) {
            return Ok(());
        }
        ensure!(
            since.elapsed() < Duration::from_secs(60),
            "it does not settle: {inbox:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// CPU time a process has used, user and system, in microseconds.
fn cpu_micros(process: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit_once(") ").context("no command in stat")?.1;
    let mut numbers = fields.split(' ').skip(11).map(str::parse::<u64>);
    let mut next = || {
        numbers
            .next()
            .context("stat is short")?
            .context("stat holds no number")
    };
    // A tick is 10 ms on every Linux we run on.
    Ok((next()? + next()?) * 10_000)
}

impl World {
    async fn start(graph: &str, webhooks: String) -> anyhow::Result<Self> {
        let (statuses, updates) = mpsc::unbounded_channel();
        let client = lib_platform::outbound::client(Duration::from_secs(30))?;
        let (waiting, sends, told) = (Arc::default(), Arc::default(), Arc::default());
        let world = Self {
            client,
            webhooks,
            waiting,
            sends,
            statuses,
            told,
        };
        let routes = Router::new()
            .route("/{version}/{number}/messages", post(accept))
            .route("/{version}/{waba}/message_templates", get(no_templates))
            .with_state(world.clone());
        let listener = tokio::net::TcpListener::bind(graph).await?;
        tokio::spawn(async move { axum::serve(listener, routes).await });
        tokio::spawn(world.clone().tell(updates));
        Ok(world)
    }

    async fn post(&self, body: String) -> anyhow::Result<()> {
        let signature = webhook::sign(body.as_bytes());
        let request = self
            .client
            .post(&self.webhooks)
            .header("x-hub-signature-256", signature);
        let answer = request.body(body).send().await?;
        ensure!(
            answer.status() == 200,
            "a webhook was answered {}",
            answer.status()
        );
        Ok(())
    }

    /// One conversation: a greeting and a question come, the answer goes to a queue. Returns the
    /// microseconds from the webhook to each of the two replies.
    async fn conversation(&self, customer: &str) -> anyhow::Result<[u64; 2]> {
        let (replies, mut arrivals) = mpsc::unbounded_channel();
        self.waiting
            .lock()
            .expect("no panic holds it")
            .insert(customer.to_owned(), replies);
        let written = Instant::now();
        self.post(webhook::text(
            customer,
            &format!("wamid.{customer}.1"),
            "Hi",
        ))
        .await?;
        let mut micros = [0; 2];
        for (micros, starts) in micros.iter_mut().zip(["Hey there!", "• For Sales"]) {
            let reply = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await;
            let reply = reply
                .context("no reply within 30 s")?
                .context("the Graph API is gone")?;
            ensure!(
                reply.starts_with(starts),
                "`{reply}` instead of `{starts} …`"
            );
            *micros = written.elapsed().as_micros() as u64;
        }
        self.post(webhook::text(customer, &format!("wamid.{customer}.2"), "2"))
            .await?;
        self.waiting
            .lock()
            .expect("no panic holds it")
            .remove(customer);
        Ok(micros)
    }

    /// Tells statuses as Meta does: what has gathered goes in one body.
    async fn tell(self, mut updates: mpsc::UnboundedReceiver<Status>) {
        let mut gathered = Vec::new();
        while updates.recv_many(&mut gathered, 500).await > 0 {
            let count = gathered.len() as u64;
            if let Err(error) = self.post(webhook::statuses(&gathered)).await {
                eprintln!("statuses: {error:#}");
            }
            self.told.fetch_add(count, Ordering::Relaxed);
            gathered.clear();
        }
    }
}

async fn accept(State(world): State<World>, Json(body): Json<Value>) -> Json<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let to = text(&body["to"]).trim_start_matches('+').to_owned();
    let wamid = format!("wamid.OUT{}", world.sends.fetch_add(1, Ordering::Relaxed));
    let waiting = world
        .waiting
        .lock()
        .expect("no panic holds it")
        .get(&to)
        .cloned();
    if let Some(waiting) = waiting {
        let _ = waiting.send(text(&body["text"]["body"]));
    }
    let intent = text(&body["biz_opaque_callback_data"]);
    for status in ["sent", "delivered"] {
        let (wamid, to, intent) = (wamid.clone(), to.clone(), intent.clone());
        let _ = world.statuses.send(Status {
            wamid,
            to,
            intent,
            status,
        });
    }
    Json(
        json!({"messaging_product": "whatsapp", "contacts": [{"input": to, "wa_id": to}],
                "messages": [{"id": wamid}]}),
    )
}

async fn no_templates() -> Json<Value> {
    Json(json!({"data": []}))
}
