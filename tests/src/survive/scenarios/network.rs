//! The wires between Meta, the installation and Graph.

use std::time::Duration;

use super::{Plan, Setup, Verdict, load};
use crate::survive::proxy::Weather;

/// What the wires do, and which of them.
fn kinds() -> [(&'static str, usize, Weather); 6] {
    let calm = Weather::default();
    let bad = Weather {
        latency: 100,
        jitter: 100,
        resets: 20,
        ..calm
    };
    [
        ("latency and 2 % resets", 0, bad),
        ("latency and 2 % resets", 1, bad),
        (
            "no answer gets through",
            0,
            Weather {
                swallow_answers: true,
                ..calm
            },
        ),
        (
            "no answer gets through",
            1,
            Weather {
                swallow_answers: true,
                ..calm
            },
        ),
        (
            "no request gets through",
            0,
            Weather {
                swallow_requests: true,
                ..calm
            },
        ),
        (
            "cut in the middle of answers",
            0,
            Weather {
                cut_after: 60,
                ..calm
            },
        ),
    ]
}

/// E23, E24: proxy 0 lies before Graph, proxy 1 before the webhooks.
pub(super) async fn weather(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let setup = Setup {
        proxies: true,
        ..Setup::default()
    };
    let mut run = plan.start(setup).await?;
    let seconds = plan.pick(2, 6);
    for (kind, link, weather) in kinds() {
        load(&mut run, plan.pick(8, 25), 2, Duration::from_secs(seconds));
        let before = run.proxies[link].hits();
        run.proxies[link].set(weather);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let in_flight = run.in_flight();
        run.proxies[link].set(Weather::default());
        run.proxies[link].reset_all();
        let hits = run.proxies[link].hits();
        let part = if link == 0 {
            "egress to Graph"
        } else {
            "Meta to ingress"
        };
        run.fault(kind, part, hits > before);
        run.notes.push(format!(
            "{kind}, {part}: {} pieces hit, {in_flight} under way",
            hits - before
        ));
    }
    run.finish(name, row).await
}
