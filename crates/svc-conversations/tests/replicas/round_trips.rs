//! The hot path is bound by how often the writer waits for the database: that is counted.

use std::collections::HashSet;

use core_types::DeliveryStatus;
use lib_storage::Engine;

use crate::world::{World, accepted};

const PHONE: &str = "16505551111";

/// Statements the server has logged so far, without those about leases.
fn statements(world: &World) -> Vec<String> {
    let log = world.server.as_ref().unwrap().folder().join("log");
    let log = std::fs::read_to_string(log).unwrap();
    let lines = log.split("STATEMENTS ").skip(1);
    let own = lines.filter(|line| line.contains("frontdesk conversations"));
    own.map(str::to_owned).collect()
}

/// How many of `statements` write the log, each a transaction of its own, how many others belong to
/// a transaction, and how many look something up.
fn shape(statements: &[String]) -> (usize, usize, usize) {
    let (mut commits, mut others, mut reads) = (0, 0, 0);
    // Connections with a transaction open.
    let mut open = HashSet::new();
    for line in statements {
        let Some((head, text)) = line.split_once("LOG:  ") else {
            continue;
        };
        let text = text.split_once(": ").map_or("", |(_, text)| text);
        if text.starts_with("BEGIN") {
            open.insert(head);
        } else if text.starts_with("COMMIT") {
            open.remove(head);
        } else if open.contains(head) {
            others += 1;
        } else if text.contains("UPDATE log_head") {
            commits += 1;
        } else {
            reads += usize::from(text.contains("json_array_elements"));
        }
    }
    (commits, others, reads)
}

#[tokio::test]
async fn a_batch_waits_for_the_database_a_few_times_only() {
    let world = World::start_on(Engine::Postgres, 1).await;
    world.says("w0", PHONE, "hi").await;
    for set in [
        "log_statement = 'all'",
        "log_line_prefix = 'STATEMENTS %a %p '",
    ] {
        world.command(&format!("ALTER SYSTEM SET {set}")).await;
    }
    world.command("SELECT pg_reload_conf()").await;
    let mut outbox = world.outbox().await;
    let intent = outbox.next().await;
    lib_testkit::eventually(async || (!statements(&world).is_empty()).then_some(())).await;
    let mut before = statements(&world).len();
    let mut measure = |what: &str, most: usize| {
        let all = statements(&world);
        let (commits, others, reads) = shape(&all[before..]);
        before = all.len();
        assert!(
            commits == 1 && others == 0 && reads <= most,
            "{what}: {commits} commits, {others} statements in transactions, {reads} look-ups"
        );
    };
    world.says("w1", PHONE, "1").await;
    measure("a message", 2);
    assert!(world.grant(&intent.message_id, 1).await);
    measure("an attempt", 2);
    world
        .finish(&intent.message_id, 1, accepted("wamid.1"))
        .await;
    measure("its end", 2);
    // From here on memory is believed.
    world.clock.advance(std::time::Duration::from_secs(61));
    world.says("w2", PHONE, "2").await;
    measure("a message of a known customer", 0);
    let conversation = intent.conversation_id;
    let intent = world.begin_next(&mut outbox, &conversation).await;
    measure("an attempt", 0);
    world
        .finish(&intent.message_id, 1, accepted("wamid.2"))
        .await;
    measure("its end", 0);
    let delivered = world.status("wamid.2", DeliveryStatus::Delivered, &intent.message_id);
    world.receive(vec![delivered]).await;
    measure("a status", 0);
}
