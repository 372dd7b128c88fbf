//! Loss of power, flushes that take long, a disk that is full; and the proofs that the simulated
//! disk has teeth: where nothing is flushed, loss must be found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Plan, Setup, Verdict, load, part};
use crate::survive::powerloss::Disk;
use crate::survive::stores::Stores;
use crate::survive::{powerloss, run::Run};

/// E8, E9, E10 on the embedded stores.
pub(super) async fn embedded(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let setup = Setup {
        disk: true,
        ..Setup::default()
    };
    let mut run = plan.start(setup).await?;
    let part = part(&run, "ingress");
    for _ in 0..plan.pick(4, 20) {
        load(&mut run, plan.pick(10, 20), 3, Duration::from_millis(1_500));
        run.some_time(300, 1_500).await;
        run.kill(&part, Duration::from_millis(20), "").await;
    }
    let disk = run.disk.clone().expect("the set-up asks for one");
    let losses = disk.losses();
    let (writes, bytes) = losses.iter().fold((0, 0), |sum, loss| {
        (sum.0 + loss.writes, sum.1 + loss.bytes)
    });
    run.notes.push(format!(
        "{} losses of power took back {writes} writes, {bytes} bytes",
        losses.len()
    ));
    for millis in [50, 400] {
        disk.slow_flushes(millis);
        load(&mut run, 8, 2, Duration::from_millis(1_500));
        run.fault(&format!("flushes take {millis} ms"), &part, true);
        run.wait_for_customers().await;
    }
    disk.slow_flushes(0);
    full(&mut run, &disk, &part).await;
    run.finish(name, row).await
}

/// No room for three seconds: 503 until there is, nothing lost.
async fn full(run: &mut Run, disk: &Disk, part: &str) {
    load(run, 10, 0, Duration::from_millis(2_500));
    run.some_time(300, 600).await;
    let before = refusals(run);
    disk.fill(true);
    run.some_time(2_500, 3_000).await;
    let refused = refusals(run) - before;
    disk.fill(false);
    run.fault("the disk is full", part, refused > 0);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    if run.subject().has_ended(part) {
        run.notes
            .push("on the full disk the process ended itself; it was started again".to_owned());
        run.begin(part, "");
    }
}

fn refusals(run: &Run) -> usize {
    use crate::survive::history::{Op, Outcome};
    let entries = run.history.entries();
    let refused = entries.iter().filter(|entry| {
        matches!(entry.op, Op::Post { signed: true, .. }) && entry.outcome != Outcome::Ok
    });
    refused.count()
}

/// What one loss of power on one store did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// Store and setting.
    pub what: String,
    /// Writes confirmed to clients before.
    pub confirmed: u64,
    /// Of them gone after.
    pub lost: u64,
    /// The span of the lost ones, in milliseconds.
    pub span_millis: u64,
    /// What has to come out: `none`, `some`, or at most so many milliseconds.
    pub wanted: String,
    /// Whether it did.
    pub holds: bool,
}

/// Redis, PostgreSQL and the embedded stores, flushed and not flushed.
///
/// # Errors
/// When a server cannot be started.
pub async fn proofs(plan: &Plan) -> anyhow::Result<Vec<Proof>> {
    let mut proofs = Vec::new();
    for (fsync, wanted) in [("always", "none"), ("everysec", "1200"), ("no", "some")] {
        let folder = plan.folder.join(format!("redis-{fsync}"));
        let confirmed = crate::survive::powerloss::redis::run(&folder, fsync).await?;
        proofs.push(judge(
            format!("Redis, appendfsync {fsync}"),
            confirmed,
            wanted,
        ));
    }
    for (fsync, wanted) in [("on", "none"), ("off", "some")] {
        let folder = plan.folder.join(format!("postgres-{fsync}"));
        let confirmed = crate::survive::powerloss::postgres::run(&folder, fsync).await?;
        proofs.push(judge(
            format!("PostgreSQL, fsync {fsync}"),
            confirmed,
            wanted,
        ));
    }
    proofs.push(lying_disk(plan).await?);
    Ok(proofs)
}

fn judge(what: String, found: powerloss::Found, wanted: &str) -> Proof {
    let holds = match wanted {
        "none" => found.lost == 0 && found.confirmed > 0,
        "some" => found.lost > 0,
        most => most
            .parse::<u64>()
            .is_ok_and(|most| found.span_millis <= most),
    };
    Proof {
        what,
        confirmed: found.confirmed,
        lost: found.lost,
        span_millis: found.span_millis,
        wanted: match wanted {
            "none" | "some" => wanted.to_owned(),
            most => format!("at most {most} ms"),
        },
        holds,
    }
}

/// The whole installation on a disk that says it has flushed and has not: the checker must see it.
async fn lying_disk(plan: &Plan) -> anyhow::Result<Proof> {
    let setup = Setup {
        disk: true,
        disk_lies: true,
        ..Setup::default()
    };
    let plan = Plan {
        folder: plan.folder.join("lying-disk"),
        ..plan.clone()
    };
    let mut run = plan.start(setup).await?;
    let part = part(&run, "ingress");
    load(&mut run, 10, 0, Duration::from_millis(1_000));
    run.wait_for_customers().await;
    run.kill(&part, Duration::ZERO, "").await;
    let stores = run.read().await.unwrap_or_else(|_| Stores::default());
    let history = run.history.entries();
    let found = crate::survive::checker::check(&history, &stores, &run.facts);
    let lost = found.iter().filter(|one| one.invariant == "I1").count() as u64;
    let counts = crate::survive::checker::count(&history, &stores);
    run.abandon();
    let found = powerloss::Found {
        confirmed: counts.posts.1 as u64,
        lost,
        span_millis: 0,
    };
    Ok(judge(
        "embedded, on a disk that lies about flushing".to_owned(),
        found,
        "some",
    ))
}
