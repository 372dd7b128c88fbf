//! Two tenants in one installation: each sees what is its own and nothing else (I32), and the metrics
//! agree with what happened to both (I37). Nothing is killed here: counters begin at nothing when a
//! process starts.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::input::odd_ones;
use super::{Plan, Setup, Verdict, load};
use crate::survive::neighbour::{Neighbour, marks, seen_next_door};
use crate::survive::run::Run;
use crate::survive::stores::Stores;
use crate::survive::tally::Tally;

/// How long the metrics may lag behind.
const COUNTED_WITHIN: Duration = Duration::from_secs(15);

/// I32 and I37.
pub(super) async fn neighbours(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let setup = Setup {
        agents: 2,
        ..Setup::default()
    };
    let mut run = plan.start(setup).await?;
    let mut neighbour = Neighbour::move_in(&run)
        .await
        .context("the second tenant")?;
    for round in 0..plan.pick(2, 8) {
        let within = Duration::from_millis(1_500);
        load(&mut run, plan.pick(10, 20), 3, within);
        neighbour.customers(plan.pick(10, 20), within);
        odd_ones(&mut run, round).await;
        run.some_time(300, 900).await;
    }
    let (theirs, wrong) = neighbour.settle(&run).await?;
    for one in wrong {
        run.broken(one.invariant, format!("the second tenant: {}", one.seen));
    }
    let (ours, _) = run.settle().await;
    tenants_are_apart(&mut run, &neighbour, &ours, &theirs);
    metrics_agree(&mut run, &neighbour, &[&ours, &theirs]).await?;
    run.finish(name, row).await
}

fn tenants_are_apart(run: &mut Run, neighbour: &Neighbour, ours: &Stores, theirs: &Stores) {
    let (our_history, their_history) = (run.history.entries(), neighbour.entries());
    let asked = marks(&our_history).len() + marks(&their_history).len();
    run.asked("I32", asked);
    let mut seen = seen_next_door(&their_history, ours);
    seen.extend(seen_next_door(&our_history, theirs));
    for one in seen {
        run.broken("I32", one);
    }
    if ours.messages.is_empty() || theirs.messages.is_empty() {
        run.void = Some("one of the tenants has no messages".to_owned());
    }
}

async fn metrics_agree(
    run: &mut Run,
    neighbour: &Neighbour,
    stores: &[&Stores],
) -> anyhow::Result<()> {
    let urls = run.subject().metrics();
    let began = Instant::now();
    loop {
        let told = Tally::of_metrics(&urls).await?;
        let history = [run.history.entries(), neighbour.entries()];
        let happened = Tally::of_history(&[&history[0], &history[1]], stores);
        if told == happened {
            let all = happened.received + happened.sent + happened.parked;
            run.asked(
                "I37",
                (all + happened.duplicates + happened.unsigned) as usize,
            );
            return Ok(());
        }
        if began.elapsed() > COUNTED_WITHIN {
            run.broken(
                "I37",
                format!("the metrics say {told:?}, what happened is {happened:?}"),
            );
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
