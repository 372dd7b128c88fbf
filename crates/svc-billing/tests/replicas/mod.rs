//! Two billing services on one ledger in PostgreSQL: each message is charged once, whoever follows
//! its tenant's part, also when one of them dies in the middle; who has lost a part writes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use core_types::DeliveryStatus::{Delivered, Read, Sent};
use lib_platform::partition::part_of;
use lib_platform::{Clock, Parts};
use lib_proto::accounts as acc;
use lib_proto::accounts::directory_service_server::DirectoryServiceServer;
use lib_proto::billing::ListJournalsRequest;
use lib_proto::conversations::LogEntry;
use lib_proto::conversations::conversation_service_server::ConversationServiceServer;
use lib_storage::{Database, sql};
use lib_testkit::servers::PostgresServer;
use lib_testkit::{Directory, Host, Log, Place, SERVICE, at, eventually, number};

use tokio::runtime::{Builder, Runtime};

use crate::support::{caught_up, client, entry, replica};

const NOON: &str = "2026-11-03T12:00:00Z";
const TENANTS: usize = 24;

/// The log, and a directory of one number for each of the tenants.
async fn many_tenants(clock: &Clock) -> (Log, Host) {
    let log = Log::default();
    let directory = Directory::of((0..TENANTS).map(|n| acc::NumberRecord {
        connector: Some(acc::Connector {
            id: format!("c{n}"),
            waba_id: format!("waba{n}"),
            currency_code: "USD".into(),
            time_zone: "UTC".into(),
            ..acc::Connector::default()
        }),
        ..number(&format!("t{n}"), &format!("n{n}"))
    }));
    let parts = Parts::new()
        .grpc(ConversationServiceServer::new(log.clone()))
        .grpc(DirectoryServiceServer::new(directory));
    (log, Host::peer(parts, clock).await)
}

/// The statuses of `count` messages, tenant by tenant in turn.
fn messages(from: usize, count: usize) -> Vec<LogEntry> {
    let statuses = |n: usize| {
        let (tenant, number) = (format!("t{}", n % TENANTS), format!("n{}", n % TENANTS));
        [Sent, Delivered, Read].map(|status| {
            let facts = Some(("regular", "marketing"));
            entry((&tenant, &number), &format!("m{n}"), status, NOON, facts)
        })
    };
    (from..from + count).flat_map(statuses).collect()
}

/// The ids of all journals.
async fn journals(billing: &Host) -> Vec<String> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListJournalsRequest {
            page_size: 500,
            page_token,
            ..ListJournalsRequest::default()
        };
        let page = client(billing, SERVICE).list_journals(request).await;
        let page = page.unwrap().into_inner();
        all.extend(page.journals.into_iter().map(|journal| journal.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

async fn each_once(billing: &Host, count: usize) {
    let found = journals(billing).await;
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!((found.len(), distinct.len()), (count, count));
}

/// Waits until `owners` have all parts between them, each some.
async fn shared_by(ledger: &Database, owners: &[&str]) {
    eventually(async || {
        let rows = sql(
            "SELECT owner, COUNT(*) FROM lease WHERE until > clock_timestamp() \
             GROUP BY owner ORDER BY owner",
        );
        let rows = rows.fetch_all(ledger).await.unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row.text(0).unwrap()).collect();
        let parts: i64 = rows.iter().map(|row| row.get::<i64>(1).unwrap()).sum();
        (found == owners && parts == 8).then_some(())
    })
    .await;
}

/// Runs a replica that can be killed: it ends where it stands, and its connections break.
async fn mortal(name: &'static str, place: &Arc<Place>, peers: &str, clock: &Clock) -> Runtime {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (place, peers, clock) = (Arc::clone(place), peers.to_owned(), clock.clone());
    let (started, ready) = tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        let host = replica(name, &place, &peers, &clock).await;
        started.send(()).unwrap();
        std::future::pending::<()>().await;
        drop(host);
    });
    ready.await.unwrap();
    runtime
}

#[tokio::test]
async fn two_replicas_charge_each_message_once_and_one_may_die() {
    let server = PostgresServer::start().await;
    let place = Arc::new(Place::on(&server).await);
    let clock = Clock::virtual_at(at(NOON));
    let (log, peer) = many_tenants(&clock).await;
    let stays = replica("stays", &place, &peer.url, &clock).await;
    let dies = mortal("dies", &place, &peer.url, &clock).await;
    let ledger = place.database("billing", 3).await;
    shared_by(&ledger, &["dies", "stays"]).await;

    let first = messages(0, 240);
    let cursor = log.append(first.clone());
    caught_up(&stays, &cursor).await;
    each_once(&stays, 240).await;

    // It dies with entries under way, and the log repeats what it told.
    log.append(messages(240, 240));
    dies.shutdown_background();
    let cursor = log.append(first.into_iter().chain(messages(480, 24)));
    caught_up(&stays, &cursor).await;
    each_once(&stays, 504).await;
    shared_by(&ledger, &["stays"]).await;

    // Another one takes its share at once, and gives it back when it is stopped.
    let comes = replica("comes", &place, &peer.url, &clock).await;
    shared_by(&ledger, &["comes", "stays"]).await;
    let cursor = log.append(messages(504, 48));
    caught_up(&comes, &cursor).await;
    each_once(&comes, 552).await;
    comes.stop().await;
    shared_by(&ledger, &["stays"]).await;
    stays.stop().await;
    peer.stop().await;
}

#[tokio::test]
async fn who_has_lost_a_part_writes_nothing() {
    let server = PostgresServer::start().await;
    let place = Place::on(&server).await;
    let clock = Clock::virtual_at(at(NOON));
    let (log, peer) = many_tenants(&clock).await;
    let billing = replica("a", &place, &peer.url, &clock).await;
    let cursor = log.append(messages(0, 1));
    caught_up(&billing, &cursor).await;
    each_once(&billing, 1).await;

    let ledger = place.database("billing", 3).await;
    let part = part_of("t0", 8);
    let mut tx = ledger.begin_concurrent().await.unwrap();
    let steal = "UPDATE lease SET owner = 'other', fence = fence + 1, \
                 until = clock_timestamp() + interval '1 hour' WHERE part = $1";
    assert_eq!(sql(steal).bind(part).execute(&mut tx).await.unwrap(), 1);
    tx.commit().await.unwrap();
    // The next message of that tenant, and one of another part: only that one is charged.
    let other = (1..TENANTS)
        .find(|n| part_of(&format!("t{n}"), 8) != part)
        .unwrap();
    log.append(messages(TENANTS, 1));
    log.append(messages(TENANTS + other, 1));
    eventually(async || (journals(&billing).await.len() == 2).then_some(())).await;
    let cursor_of = "SELECT cursor FROM follow_part WHERE part = $1";
    let stands = sql(cursor_of).bind(part).fetch_one(&ledger).await.unwrap();
    assert!(stands.text(0).unwrap().parse::<u64>().unwrap() <= 3);

    // When the other one is gone, the part comes back and goes on where it stood.
    let mut tx = ledger.begin_concurrent().await.unwrap();
    let leave = "UPDATE lease SET until = clock_timestamp() WHERE part = $1";
    sql(leave).bind(part).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    eventually(async || (journals(&billing).await.len() == 3).then_some(())).await;
    billing.stop().await;
    peer.stop().await;
}

#[tokio::test]
async fn the_number_of_parts_cannot_change() {
    let clock = Clock::virtual_at(at(NOON));
    let place = Place::folder();
    let (_log, peer) = many_tenants(&clock).await;
    replica("a", &place, &peer.url, &clock).await.stop().await;
    let ledger = place.database("billing", 3).await;
    let mut tx = ledger.begin().await.unwrap();
    let change = sql("UPDATE follow_part SET parts = 4");
    change.execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let context = place.context(&clock, &peer.url);
    let refused = svc_billing::start(svc_billing::Config::default(), context).await;
    let refused = format!("{:#}", refused.err().unwrap());
    assert!(
        refused.contains("in 4 parts, this program in 1"),
        "{refused}"
    );
}
