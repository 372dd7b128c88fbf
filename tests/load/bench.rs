//! One measured run: load on a system, and what everybody used meanwhile.

use std::time::Duration;

use anyhow::ensure;

use crate::measure::{machine_cpu_micros, this_thread, thread_cpu_micros};
use crate::report::{OwnCpu, Run};
use crate::system::{System, since};
use crate::turns::{Load, Pace};

/// Applies load, waits until everything has had its effect, and checks that nothing was done twice.
/// What is missing after that, or was refused, is in the run ([`Run::flaw`]).
///
/// # Errors
/// When something is doubled or wrong.
pub(crate) async fn measured(
    system: &mut System,
    load: &mut Load,
    pace: Pace,
    span: Duration,
) -> anyhow::Result<Run> {
    let ledger = system.ledger().await?;
    let this = this_thread()?;
    let own = |load: &Load| -> anyhow::Result<OwnCpu> {
        Ok(OwnCpu {
            generator: thread_cpu_micros(this)?,
            graph: load.graph.cpu_micros()?,
        })
    };
    let machine = machine_cpu_micros()?;
    let (cpu, mine) = (system.cpu()?, own(load)?);
    let started = std::time::Instant::now();
    let outcome = load.run(pace, span).await?;
    ensure!(
        outcome.unexpected == 0,
        "{} replies nobody waited for",
        outcome.unexpected
    );
    let told = outcome.delivered_taken..=outcome.delivered;
    let unsettled = system.settle(ledger, told).await?;
    let lasted = started.elapsed();
    let now = own(load)?;
    let own = OwnCpu {
        generator: now.generator - mine.generator,
        graph: now.graph - mine.graph,
    };
    let cpu = since(&cpu, &system.cpu()?);
    let named = cpu.values().sum::<u64>() + own.generator + own.graph;
    let others = (machine_cpu_micros()? - machine).saturating_sub(named);
    Ok(Run {
        outcome,
        unsettled,
        cpu,
        own,
        others: others as f64 / lasted.as_micros() as f64,
    })
}
