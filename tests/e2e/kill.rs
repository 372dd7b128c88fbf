//! `kill -9` under load: nothing answered 200 is lost, nothing is sent twice without a recorded
//! ambiguous outcome. The checker is shown to see a seeded loss and a seeded duplicate.

use std::collections::BTreeSet;
use std::time::Duration;

use lib_proto::billing::GetStatementRequest;
use lib_proto::billing::billing_service_client::BillingServiceClient;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::checker::{Stored, read, violations};
use crate::flow_replay::every_session_replays;
use crate::installation::Access;
use crate::meta::{Meta, SeededBugs, Seen};
use tests::process::{Addresses, Frontdesk, free_address};

/// Times the process is killed.
const KILLS: usize = 20;
/// Customers who write at the same time.
const CUSTOMERS: u64 = 60;
/// What each writes: greeting and question, asked again, and to the queue.
const TEXTS: [&str; 3] = ["Hi", "7", "2"];
/// Messages the flow sends to each: greeting, question, question again.
const REPLIES: usize = 3;
/// Longest wait for everything to settle.
const SETTLE: Duration = Duration::from_secs(120);

struct Outcome {
    seen: Seen,
    stored: Stored,
    /// Kills that came while a webhook or a send was under way.
    hits: usize,
    billed: u64,
}

async fn run(seed: u64, kills: usize, bugs: SeededBugs) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let (at, graph) = (Addresses::free(), free_address());
    let graph_url = format!("http://{graph}");
    let options = [
        "--graph-url",
        &graph_url,
        "--attempt-seconds",
        "15",
        "--quiet-seconds",
        "2",
    ];
    let mut process = Frontdesk::start(folder.path(), &at, &options);
    let meta = Meta::start(&graph, at.webhooks(), bugs).await;
    let mut random = StdRng::seed_from_u64(seed);
    let load: Vec<_> = (0..CUSTOMERS)
        .map(|customer| tokio::spawn(write(meta.clone(), customer, seed)))
        .collect();
    let mut hits = 0;
    for _ in 0..kills {
        // The moment of the kill is the experiment, not a wait for something to happen.
        tokio::time::sleep(Duration::from_millis(random.random_range(30..500))).await;
        hits += usize::from(load.iter().any(|task| !task.is_finished()));
        process.kill();
        process = Frontdesk::start(folder.path(), &at, &options);
    }
    for task in load {
        task.await.unwrap();
    }
    let (stored, billed) = settle(&meta, &at).await;
    let seen = meta.seen();
    every_session_replays(&Access::dev(&at));
    assert!(process.stop().success());
    let storage = lib_storage::Storage::Embedded {
        folder: folder.path().to_owned(),
    };
    let replay = svc_conversations::verify_replay_of(&storage).await.unwrap();
    assert!(replay.differences.is_empty(), "{:?}", replay.differences);
    Outcome {
        seen,
        stored,
        hits,
        billed,
    }
}

async fn write(meta: Meta, customer: u64, seed: u64) {
    let phone = format!("1650555{customer:04}");
    let mut random = StdRng::seed_from_u64(seed * 1_000 + customer);
    for (number, text) in TEXTS.iter().enumerate() {
        // People type at their own speed; it spreads the load over the kills.
        let pause = random.random_range(0..9_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        meta.customer_writes(&phone, &format!("wamid.IN{customer:04}.{number}"), text)
            .await;
    }
}

/// Waits until everything meant to be sent is accepted, and delivered messages are billed.
async fn settle(meta: &Meta, at: &Addresses) -> (Stored, u64) {
    let expected = usize::try_from(CUSTOMERS).unwrap() * REPLIES;
    let since = std::time::Instant::now();
    loop {
        let stored = read(at).await;
        let billed = billed(at).await;
        let delivered = meta.seen().delivered.len();
        let done = violations(&meta.seen(), &stored, REPLIES).is_empty()
            && delivered >= expected
            && billed >= delivered as u64;
        // A seeded bug never settles: then the last look counts.
        let patience = if meta.has_bugs() { SETTLE / 10 } else { SETTLE };
        if done || since.elapsed() > patience {
            return (stored, billed);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn billed(at: &Addresses) -> u64 {
    let now = lib_platform::Clock::system().now();
    // The account's month may not have turned yet when the test's has.
    let months: BTreeSet<String> = [now, now.minus(Duration::from_secs(12 * 3_600))]
        .iter()
        .map(|at| at.to_string()[..7].to_owned())
        .collect();
    let mut billing = BillingServiceClient::new(at.channel("admin"));
    let mut messages = 0;
    for month in months {
        let request = GetStatementRequest {
            month,
            number_id: String::new(),
        };
        let statement = billing.get_statement(request).await.unwrap().into_inner();
        assert!(statement.unrated.is_empty(), "{:?}", statement.unrated);
        messages += statement
            .lines
            .iter()
            .map(|line| line.messages)
            .sum::<u64>();
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_under_load_lose_nothing_and_double_nothing() {
    let outcome = run(1, KILLS, SeededBugs::default()).await;
    let found = violations(&outcome.seen, &outcome.stored, REPLIES);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(outcome.seen.acknowledged.len() as u64, CUSTOMERS);
    assert_eq!(
        outcome.billed,
        outcome.seen.delivered.len() as u64,
        "billed once each"
    );
    println!(
        "{KILLS} kills, {} while customers were writing; {} sends, {} ambiguous outcomes",
        outcome.hits,
        outcome.seen.sends.len(),
        outcome.stored.ambiguous.values().sum::<usize>(),
    );
    assert!(
        outcome.hits * 10 >= KILLS * 3,
        "only {} kills hit work",
        outcome.hits
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_sees_a_seeded_loss() {
    let bugs = SeededBugs {
        lose_message: Some(17),
        ..Default::default()
    };
    let outcome = run(2, 0, bugs).await;
    let found = violations(&outcome.seen, &outcome.stored, REPLIES);
    assert!(
        found.iter().any(|line| line.contains("answered 200 for")),
        "a lost message went unseen"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_sees_a_seeded_duplicate() {
    let bugs = SeededBugs {
        double_send: Some(17),
        ..Default::default()
    };
    let outcome = run(3, 0, bugs).await;
    let found = violations(&outcome.seen, &outcome.stored, REPLIES);
    assert!(
        found
            .iter()
            .any(|line| line.contains("sent 2 times, 1 allowed")),
        "{found:?}"
    );
}
