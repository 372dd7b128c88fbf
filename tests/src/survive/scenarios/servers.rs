//! PostgreSQL and Redis that die, are suspended, stay away and lose power.

use std::time::Duration;

use super::power::{no_room, slow};
use super::{Plan, Setup, Verdict, load};
use crate::survive::powerloss::Disk;
use crate::survive::run::Run;

/// E6, E20, E21: `kill -9`, suspension, and PostgreSQL away for a while.
pub(super) async fn struck(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    for round in 0..plan.pick(2, 4) {
        for store in run_stores(&run) {
            load(&mut run, plan.pick(12, 20), 3, Duration::from_millis(2_500));
            run.some_time(300, 1_500).await;
            let away = if round % 3 == 2 { 10_000 } else { 500 };
            run.kill(&store, Duration::from_millis(away), "").await;
        }
        load(&mut run, plan.pick(8, 12), 2, Duration::from_millis(2_000));
        run.some_time(300, 1_000).await;
        run.suspend("redis", Duration::from_secs(plan.pick(2, 8)))
            .await;
        run.wait_for_customers().await;
    }
    run.finish(name, row).await
}

fn run_stores(run: &Run) -> Vec<String> {
    run.subject().stores()
}

/// E8, E9: what the servers had not flushed is gone; then their flushes take long.
pub(super) async fn power(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let setup = Setup {
        disk: true,
        ..Setup::default()
    };
    let mut run = plan.start(setup).await?;
    for _ in 0..plan.pick(2, 6) {
        for store in run_stores(&run) {
            load(&mut run, plan.pick(10, 20), 3, Duration::from_millis(2_000));
            run.some_time(500, 1_800).await;
            run.kill(&store, Duration::from_millis(200), "").await;
        }
        run.wait_for_customers().await;
    }
    let losses = run
        .disk
        .as_ref()
        .map(super::super::powerloss::Disk::losses)
        .unwrap_or_default();
    let writes: u64 = losses.iter().map(|loss| loss.writes).sum();
    let flushes: u64 = losses.iter().map(|loss| loss.flushes).sum();
    run.notes.push(format!(
        "{} losses of power took back {writes} writes behind {flushes} flushes",
        losses.len()
    ));
    if let Some(disk) = run.disk.clone() {
        slow(&mut run, &disk, 50, "redis and postgres").await;
        full(&mut run, &disk).await;
    }
    run.finish(name, row).await
}

/// E10, E22: no room under both for three seconds. A server may end itself over it; both are started
/// again once there is room.
async fn full(run: &mut Run, disk: &Disk) {
    load(run, 10, 3, Duration::from_millis(2_500));
    run.some_time(500, 800).await;
    let (refused, in_flight) = no_room(run, disk).await;
    for store in run_stores(run) {
        run.kill(&store, Duration::from_millis(100), "").await;
    }
    run.wait_for_customers().await;
    let kind = format!("the disk is full, {refused} deliveries refused");
    run.note_fault(&kind, "redis and postgres", refused > 0, in_flight);
}
