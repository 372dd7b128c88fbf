//! Processes that die, freeze, stop and starve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::{Plan, Setup, Verdict, load, part};
use crate::survive::checker;
use crate::survive::run::{PATH, Run, Topology};

/// Named places, with whose process they are in and how often each is reached before it strikes.
pub(super) const POINTS: [(&str, &str, &str, u64); 18] = [
    ("K1", "ingress", "ingress.verified", 12),
    ("K2", "ingress", "ingress.stored", 10),
    ("K3", "ingress", "ingress.kept", 12),
    ("K4", "ingress", "ingress.read", 12),
    ("K5", "ingress", "ingress.handed_on", 8),
    ("K6", "ingress", "ingress.finish", 8),
    ("K7", "conversations", "conversations.step", 5),
    ("K8", "conversations", "conversations.commit", 14),
    ("K9", "conversations", "conversations.committed", 14),
    ("K11", "egress", "egress.granted", 8),
    ("K12", "egress", "egress.write", 8),
    ("K13", "egress", "egress.answered", 8),
    ("K14", "conversations", "conversations.commit", 40),
    ("K15", "routing", "routing.offered", 3),
    ("K16", "routing", "routing.answered", 3),
    ("K17", "routing", "routing.ended", 3),
    ("K18", "billing", "billing.commit", 4),
    ("K19", "billing", "billing.committed", 4),
];

/// E2.
pub(super) async fn kills(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let (kills, customers) = plan.pick((8, 30), (30, 120));
    let within = Duration::from_millis(kills * 1_100);
    load(&mut run, customers, customers / 5, within);
    for kill in 0..kills {
        run.some_time(150, 900).await;
        if kill == kills / 2 {
            run.checkpoint().await;
        }
        let parts = run.subject().parts();
        let part = parts[run.random.random_range(0..parts.len())].clone();
        let away = Duration::from_millis(run.random.random_range(0..300));
        run.kill(&part, away, "").await;
    }
    run.finish(name, row).await
}

/// E1: each named place, death there, and the way back.
pub(super) async fn points(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let setup = Setup {
        agents: 4,
        ..Setup::default()
    };
    let mut run = plan.start(setup).await?;
    // What the faults keep away is no fault of the offers' clock.
    run.facts.offer_slack = Duration::from_secs(60);
    let mut visited = Vec::new();
    for (kill, role, place, most) in places(&plan) {
        let customers = plan.pick(8, 14);
        load(&mut run, customers, 4, Duration::from_millis(2_500));
        let part = part(&run, role);
        let at = run.random.random_range(1..=most);
        if run.die_at(role, &format!("{place}=abort@{at}")).await {
            visited.push(kill);
        } else {
            run.fault(&format!("failpoint {place}"), &part, false);
        }
        run.wait_for_customers().await;
    }
    visited.sort_unstable();
    run.notes.push(format!("died at {}", visited.join(", ")));
    run.finish(name, row).await
}

/// All places in an order of the seed's own. A quick run takes half of them, the other half on the
/// other installation.
fn places(plan: &Plan) -> Vec<(&'static str, &'static str, &'static str, u64)> {
    let mut places = POINTS.to_vec();
    places.shuffle(&mut rand::rngs::StdRng::seed_from_u64(plan.seed));
    if plan.topology == Topology::Replicated {
        places.reverse();
    }
    places.truncate(plan.pick(POINTS.len().div_ceil(2), POINTS.len()));
    places
}

/// E49: the second death comes while the first is being recovered from.
pub(super) async fn twice(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let places = [
        ("ingress", "ingress.read"),
        ("ingress", "ingress.finish"),
        ("conversations", "conversations.commit"),
        ("ingress", "ingress.handed_on"),
    ];
    for round in 0..plan.pick(3, 8) {
        load(&mut run, 15, 3, Duration::from_millis(2_500));
        run.some_time(300, 900).await;
        let (role, place) = places[round % places.len()];
        let part = part(&run, role);
        run.kill(&part, Duration::from_millis(50), "").await;
        if !run.die_at(role, &format!("{place}=abort@1")).await {
            run.fault(&format!("failpoint {place} in recovery"), role, false);
        }
        run.wait_for_customers().await;
    }
    run.finish(name, row).await
}

/// E3: shorter and longer than an attempt's lease; among replicas, also longer than any lease of a
/// part, so that what comes back finds its work in other hands.
pub(super) async fn suspend(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let lies: &[u64] = plan.pick(&[1, 17], &[1, 17, 30]);
    let others = match plan.topology {
        Topology::AllInOne => &[][..],
        Topology::Replicated => &["conversations", "routing", "ingress", "billing"],
    };
    let mut run = plan.start(Setup::default()).await?;
    let mut strikes: Vec<(String, u64)> = Vec::new();
    strikes.extend(lies.iter().map(|lie| (part(&run, "egress"), *lie)));
    for role in others {
        let parts = run.subject().parts_of(role);
        strikes.extend(parts.into_iter().map(|part| (part, 17)));
    }
    for (part, seconds) in strikes {
        load(&mut run, 15, 5, Duration::from_millis(2_000));
        run.some_time(300, 1_500).await;
        run.suspend(&part, Duration::from_secs(seconds)).await;
        run.wait_for_customers().await;
    }
    run.finish(name, row).await
}

/// E4: a planned restart leaves nothing in doubt.
pub(super) async fn rolling(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let restarts = plan.pick(3, 12);
    let within = Duration::from_millis(restarts * 1_500);
    load(&mut run, plan.pick(30, 90), 10, within);
    for _ in 0..restarts {
        run.some_time(400, 1_200).await;
        let parts = run.subject().parts();
        for part in parts {
            run.restart(&part);
        }
    }
    run.wait_for_customers().await;
    let (stores, _) = run.settle().await;
    let doubts = ambiguous(&run, &stores);
    if doubts > 0 {
        run.broken(
            "I11",
            format!("{doubts} sends in doubt after planned restarts"),
        );
    }
    let other = run
        .history
        .entries()
        .into_iter()
        .filter(|entry| match entry.op {
            crate::survive::history::Op::Post { status, .. } => status >= 500 && status != 503,
            _ => false,
        });
    let other = other.count();
    if other > 0 {
        run.broken(
            "I30",
            format!("{other} webhooks were answered 5xx other than 503"),
        );
    }
    run.finish(name, row).await
}

fn ambiguous(run: &Run, stores: &crate::survive::stores::Stores) -> usize {
    checker::count(&run.history.entries(), stores).ambiguous
}

/// E7. A thread is held between the deadline check and the write, longer than lease and quiet window,
/// while the rest works on: the one second copy that the promise allows. Then a whole process is
/// suspended there; where it is the only one, nobody sends meanwhile.
pub(super) async fn frozen_write(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    // Lease (15 s) and quiet window (2 s; 10 s for roles) are over when it goes on.
    let replicated = plan.topology == Topology::Replicated;
    let lie = Duration::from_secs(if replicated { 30 } else { 19 });
    for _ in 0..plan.pick(1, 2) {
        let before = allowed_copies(&mut run).await;
        run.customers(8, &PATH, Duration::from_millis(1_000));
        let at = run.random.random_range(2..6);
        let held = run.hold_at("egress", "egress.write", at, lie).await;
        let copies = allowed_copies(&mut run).await - before;
        let kind = "a write held until after lease and quiet window, and made all the same";
        run.note_fault(kind, "egress", copies > 0, held.unwrap_or(0));
        run.notes
            .push(format!("a held write: {copies} allowed second copies"));

        run.customers(8, &PATH, Duration::from_millis(1_000));
        let at = run.random.random_range(2..6);
        let place = format!("egress.write=stop@{at}");
        if !run.freeze_at("egress", &place, lie).await {
            run.fault("failpoint egress.write=stop", "egress", false);
        }
        let more = allowed_copies(&mut run).await - before - copies;
        run.notes.push(format!(
            "a whole process suspended there: {more} allowed second copies"
        ));
    }
    run.finish(name, row).await
}

/// Second copies that the promise allows, once everything has settled.
async fn allowed_copies(run: &mut Run) -> usize {
    let (stores, _) = run.settle().await;
    checker::count(&run.history.entries(), &stores).duplicates_allowed
}

/// E48.
pub(super) async fn starved(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let over = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..6)
        .map(|seed| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let mut random = rand::rngs::StdRng::seed_from_u64(seed);
                while !over.load(Ordering::Relaxed) {
                    std::hint::black_box(random.random::<u64>());
                }
            })
        })
        .collect();
    load(&mut run, 60, 10, Duration::from_secs(10));
    run.some_time(1_000, 2_000).await;
    run.fault(
        "6 busy threads",
        "machine",
        hogs.iter().all(|hog| !hog.is_finished()),
    );
    run.wait_for_customers().await;
    over.store(true, Ordering::Relaxed);
    for hog in hogs {
        let _ = hog.join();
    }
    run.finish(name, row).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_quick_halves_are_all_places() {
        let half = |topology| {
            places(&Plan {
                seed: 1,
                quick: true,
                topology,
                folder: std::path::PathBuf::new(),
            })
        };
        let mut both = half(Topology::AllInOne);
        both.extend(half(Topology::Replicated));
        both.sort_unstable();
        both.dedup();
        assert_eq!(both.len(), POINTS.len());
    }
}
