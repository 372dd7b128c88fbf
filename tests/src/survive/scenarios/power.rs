//! Loss of power, flushes that take long, a disk that is full; and the proofs that the simulated
//! disk has teeth: where nothing is flushed, loss must be found.

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Plan, Setup, Verdict, load, part};
use crate::survive::powerloss::Disk;
use crate::survive::{checker, powerloss, run::Run};

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
        slow(&mut run, &disk, millis, &part).await;
    }
    full(&mut run, &disk, &part).await;
    run.finish(name, row).await
}

/// Flushes that take long: webhooks wait, and nothing is lost or admitted twice.
pub(super) async fn slow(run: &mut Run, disk: &Disk, millis: u64, part: &str) {
    let before = disk.slowed();
    disk.slow_flushes(millis);
    load(run, 8, 2, Duration::from_millis(1_500));
    run.some_time(700, 1_400).await;
    let in_flight = run.in_flight();
    run.wait_for_customers().await;
    disk.slow_flushes(0);
    let slowed = disk.slowed() - before;
    let kind = format!("{slowed} flushes take {millis} ms");
    run.note_fault(&kind, part, slowed > 0, in_flight);
}

/// No room for three seconds: 503 until there is, nothing lost, and nothing done of what was refused
/// and did not come again.
async fn full(run: &mut Run, disk: &Disk, part: &str) {
    load(run, 10, 0, Duration::from_millis(2_500));
    // Some come while there still is room: what is refused then must leave no trace either.
    run.once(24, Duration::from_millis(500));
    run.some_time(500, 800).await;
    let (refused, in_flight) = no_room(run, disk).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    if run.subject().has_ended(part) {
        run.notes
            .push("on the full disk the process ended itself; it was started again".to_owned());
        run.begin(part, "");
    }
    run.wait_for_customers().await;
    let for_good = checker::refused_for_good(&run.history.entries()).len();
    let confirmed = refused > 0 && for_good > 0;
    run.note_fault("the disk is full", part, confirmed, in_flight);
    run.notes.push(format!(
        "on the full disk {refused} deliveries were refused; {for_good} bodies never came again"
    ));
}

/// Fills the disk for about three seconds, while some deliveries come that do not come again. How many
/// were refused, and how much was under way when there was room again.
pub(super) async fn no_room(run: &mut Run, disk: &Disk) -> (usize, usize) {
    let before = refusals(run);
    disk.fill(true);
    run.once(12, Duration::from_millis(2_000));
    run.some_time(2_500, 3_000).await;
    let (refused, in_flight) = (refusals(run) - before, run.in_flight());
    disk.fill(false);
    (refused, in_flight)
}

/// Signed deliveries so far that were not taken.
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

/// What [`proofs`] is called where scenarios are named.
pub const PROOFS: &str = "stores-alone";
/// Longest that one loss of power on one store takes: each takes seconds.
const PROOF_WITHIN: Duration = Duration::from_secs(240);

/// Redis, PostgreSQL and the embedded stores, flushed and not flushed. `tell` hears of each at once.
///
/// # Errors
/// When a server cannot be started or does not answer, with the name of what was tried.
pub async fn proofs(plan: &Plan, tell: impl Fn(&Proof)) -> anyhow::Result<Vec<Proof>> {
    let mut proofs = Vec::new();
    for (fsync, wanted) in [("always", "none"), ("everysec", "1200"), ("no", "some")] {
        let folder = plan.folder.join(format!("redis-{fsync}"));
        let what = format!("Redis, appendfsync {fsync}");
        let found = in_time(&what, powerloss::redis::run(&folder, fsync)).await?;
        let proof = judge(what, found, wanted);
        tell(&proof);
        proofs.push(proof);
    }
    for (fsync, wanted) in [("on", "none"), ("off", "some")] {
        let folder = plan.folder.join(format!("postgres-{fsync}"));
        let what = format!("PostgreSQL, fsync {fsync}");
        let found = in_time(&what, powerloss::postgres::run(&folder, fsync)).await?;
        let proof = judge(what, found, wanted);
        tell(&proof);
        proofs.push(proof);
    }
    let what = "embedded, on a disk that lies about flushing".to_owned();
    let found = in_time(&what, lying_disk(plan)).await?;
    let proof = judge(what, found, "some");
    tell(&proof);
    proofs.push(proof);
    Ok(proofs)
}

/// A store that hangs must end the session with its name, not keep it for ever.
async fn in_time(
    what: &str,
    loss: impl Future<Output = anyhow::Result<powerloss::Found>>,
) -> anyhow::Result<powerloss::Found> {
    let found = tokio::time::timeout(PROOF_WITHIN, loss).await;
    found
        .with_context(|| format!("{what}: did not end within {} s", PROOF_WITHIN.as_secs()))?
        .with_context(|| what.to_owned())
}

fn judge(what: String, found: powerloss::Found, wanted: &str) -> Proof {
    let as_wanted = match wanted {
        "none" => found.lost == 0,
        "some" => found.lost > 0,
        most => most
            .parse::<u64>()
            .is_ok_and(|most| found.span_millis <= most),
    };
    // Where nothing was confirmed, nothing could be lost.
    let holds = as_wanted && found.confirmed > 0;
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
async fn lying_disk(plan: &Plan) -> anyhow::Result<powerloss::Found> {
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
    // An installation that cannot be read has not shown that anything is lost.
    let stores = run.read().await.context("after the loss of power")?;
    let history = run.history.entries();
    let found = checker::check(&history, &stores, &run.facts);
    let lost = found.iter().filter(|one| one.invariant == "I1").count() as u64;
    let counts = checker::count(&history, &stores);
    run.abandon();
    Ok(powerloss::Found {
        confirmed: counts.posts.1 as u64,
        lost,
        span_millis: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_confirmed_proves_nothing() {
        for wanted in ["none", "some", "1200"] {
            let found = powerloss::Found::default();
            assert!(!judge("a store".to_owned(), found, wanted).holds);
        }
        let found = powerloss::Found {
            confirmed: 10,
            lost: 2,
            span_millis: 1_100,
        };
        let holds = |wanted| judge("a store".to_owned(), found, wanted).holds;
        assert_eq!(
            (holds("none"), holds("some"), holds("1200"), holds("1000")),
            (false, true, true, false)
        );
    }
}
