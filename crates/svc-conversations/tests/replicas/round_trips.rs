//! The hot path is bound by how often the writer waits for the database: that is counted.

use std::collections::HashMap;

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

/// The sizes of the writer's transactions among `statements`, and how many statements ran outside
/// of any.
fn shape(statements: &[String]) -> (Vec<usize>, usize) {
    let (mut commits, mut reads) = (Vec::new(), 0);
    // By connection: statements so far, and whether the log is among them.
    let mut open: HashMap<&str, (usize, bool)> = HashMap::new();
    for line in statements {
        let Some((head, text)) = line.split_once("LOG:  ") else {
            continue;
        };
        let text = text.split_once(": ").map_or("", |(_, text)| text);
        if text.starts_with("BEGIN") {
            open.insert(head, (1, false));
        } else if text.starts_with("COMMIT") {
            if let Some((count, true)) = open.remove(head) {
                commits.push(count + 1);
            }
        } else if let Some((count, log)) = open.get_mut(head) {
            *count += 1;
            *log |= text.contains("UPDATE log_head");
        } else {
            reads += usize::from(text.contains("json_array_elements"));
        }
    }
    (commits, reads)
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
    let mut measure = |what: &str| {
        let all = statements(&world);
        let (commits, reads) = shape(&all[before..]);
        before = all.len();
        assert!(
            commits.iter().all(|size| *size <= 6) && commits.len() == 1 && reads <= 2,
            "{what}: commits of {commits:?} statements, {reads} look-ups"
        );
    };
    world.says("w1", PHONE, "1").await;
    measure("a message");
    assert!(world.grant(&intent.message_id, 1).await);
    measure("an attempt");
    world
        .finish(&intent.message_id, 1, accepted("wamid.1"))
        .await;
    measure("its end");
}
