//! Agents and their offers.

use std::time::Duration;

use rand::Rng as _;

use super::{Plan, Setup, Verdict, part};
use crate::survive::run::PATH;

/// E40 without other faults: then even the order of offers can be asked for.
pub(super) async fn calm(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let setup = Setup {
        agents: plan.pick(8, 30),
        ..Setup::default()
    };
    let mut run = plan.start(setup).await?;
    run.facts.calm = true;
    run.customers(
        plan.pick(30, 150),
        &PATH,
        Duration::from_secs(plan.pick(6, 40)),
    );
    run.some_time(2_000, 3_000).await;
    let busy = run.is_busy();
    run.fault(
        "agents who ignore, decline, click twice and vanish",
        "desks",
        busy,
    );
    run.finish(name, row).await
}

/// E41, E42.
pub(super) async fn killed(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let setup = Setup {
        agents: plan.pick(6, 16),
        ..Setup::default()
    };
    let mut run = plan.start(setup).await?;
    // What the faults keep away is no fault of the offers' clock.
    run.facts.offer_slack = Duration::from_secs(60);
    let places = ["routing.offered", "routing.answered", "routing.ended"];
    for round in 0..plan.pick(5, 10) {
        run.customers(plan.pick(8, 14), &PATH, Duration::from_millis(2_000));
        let part = part(&run, "routing");
        if round % 4 == 3 {
            run.some_time(500, 2_000).await;
            run.kill(&part, Duration::from_millis(100), "").await;
            continue;
        }
        let place = places[round % places.len()];
        let at = run.random.random_range(1..4);
        if !run.die_at("routing", &format!("{place}=abort@{at}")).await {
            run.fault(place, &part, false);
        }
    }
    run.finish(name, row).await
}
