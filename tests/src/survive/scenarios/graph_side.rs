//! Graph in every mood.

use std::time::{Duration, Instant};

use lib_proto::conversations::SendState;
use lib_proto::egress::egress_service_client::EgressServiceClient;
use lib_proto::egress::{ListNumberStatesRequest, ResumeNumberRequest};
use rand::Rng as _;

use super::{Plan, Setup, Verdict, load};
use crate::survive::graph::{Answer, Script};
use crate::survive::run::Run;

/// E28, E29.
pub(super) async fn doubt(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let answers = vec![
        (Answer::Reset, 6),
        (Answer::Silent, 2),
        (Answer::Late(1_500), 4),
        (Answer::Broken500, 5),
        (Answer::Empty500, 4),
        (Answer::Malformed, 5),
        (Answer::NoMessage, 5),
        (Answer::WrongId, 3),
        (Answer::Html, 4),
        (Answer::Huge, 2),
        (Answer::Drip, 2),
    ];
    let script = Script {
        answers,
        never: 20,
        ..Script::default()
    };
    run.graph.play(script);
    load(
        &mut run,
        plan.pick(40, 250),
        plan.pick(20, 100),
        Duration::from_secs(plan.pick(6, 40)),
    );
    run.wait_for_customers().await;
    run.fault_in_answers();
    run.finish(name, row).await
}

/// E26, E27: only what is told to wait waits, and nothing is asked much more often than needed.
pub(super) async fn limits(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let answers = vec![
        (Answer::Error(429, 130_429), 6),
        (Answer::Error(400, 131_056), 5),
        (Answer::Error(500, 131_057), 4),
        (Answer::Error(503, 4), 4),
        (Answer::Error(400, 131_047), 3),
        (Answer::Error(400, 131_026), 3),
    ];
    run.graph.play(Script {
        answers,
        ..Script::default()
    });
    load(
        &mut run,
        plan.pick(30, 150),
        10,
        Duration::from_secs(plan.pick(5, 30)),
    );
    run.wait_for_customers().await;
    run.fault_in_answers();
    run.graph.play(Script::default());
    let (stores, _) = run.settle().await;
    let meant = crate::survive::checker::count(&run.history.entries(), &stores).intents as u64;
    let asked = run.graph.requests();
    run.notes
        .push(format!("{asked} requests for {meant} messages"));
    // 19 % wait and are asked again, and again: no storm.
    if asked > meant * 16 / 10 {
        run.broken(
            "I31",
            format!("{asked} requests for {meant} messages: a storm"),
        );
    }
    run.finish(name, row).await
}

/// E30: nobody tells. A template in doubt stays unknown and is never sent again; nor is one whose
/// sender died while Graph had it.
pub(super) async fn mute(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let answers = vec![
        (Answer::Reset, 25),
        (Answer::Empty500, 15),
        (Answer::NoMessage, 10),
    ];
    run.graph.play(Script {
        answers,
        never: 100,
        ..Script::default()
    });
    load(
        &mut run,
        plan.pick(15, 60),
        plan.pick(25, 120),
        Duration::from_secs(plan.pick(3, 15)),
    );
    run.wait_for_customers().await;
    // To those whose window is open too: only its kind keeps a template from being sent again.
    run.reminders(plan.pick(15, 60), Duration::from_secs(plan.pick(3, 15)));
    run.wait_for_customers().await;
    run.fault_in_answers();
    run.graph.play(Script {
        never: 100,
        ..Script::default()
    });
    for _ in 0..plan.pick(2, 6) {
        load(&mut run, 8, 8, Duration::from_millis(1_500));
        run.some_time(200, 600).await;
        die_waiting(&mut run).await;
        run.wait_for_customers().await;
    }
    let (stores, _) = run.settle().await;
    let unknown = stores.messages.iter();
    let unknown = unknown
        .filter(|message| message.send_state() == SendState::Unknown)
        .count();
    run.notes
        .push(format!("{unknown} messages stay unknown and are shown so"));
    run.finish(name, row).await
}

/// E34, K12, K13: statuses come first, and the sender dies while it waits for the answer.
pub(super) async fn early(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let early = Script {
        early: 100,
        doubled: 0,
        latest: 40,
        ..Script::default()
    };
    // First nobody dies, and nothing but Meta's id, which is not known yet, tells whose they are.
    run.graph.play(Script {
        nameless: 100,
        ..early.clone()
    });
    load(&mut run, 10, 3, Duration::from_millis(1_500));
    run.wait_for_customers().await;
    run.settle().await;
    run.graph.play(early);
    for round in 0..plan.pick(3, 10) {
        load(&mut run, 10, 3, Duration::from_millis(1_500));
        run.some_time(200, 1_200).await;
        if round % 2 == 0 {
            die_waiting(&mut run).await;
        } else {
            let at = run.random.random_range(1..5);
            let place = format!("egress.answered=abort@{at}");
            if !run.die_at("egress", &place).await {
                run.fault(&place, "egress", false);
            }
        }
        run.wait_for_customers().await;
    }
    run.finish(name, row).await
}

/// Whoever of the senders waits for Graph's answer dies there: it has written, and Graph has it.
async fn die_waiting(run: &mut Run) {
    let senders = run.subject().parts_of("egress");
    let (subject, victims, meta) = (run.subject.clone(), senders.clone(), run.meta.clone());
    run.graph.set_trap(move || {
        meta.fault_began();
        if let Ok(mut subject) = subject.lock() {
            // Graph does not see which of them asks.
            for victim in &victims {
                subject.kill(victim);
            }
        }
    });
    let since = Instant::now();
    while !run.graph.trap_struck() && since.elapsed() < Duration::from_secs(15) {
        run.keep_busy();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run.graph.clear_trap();
    let struck = run.graph.trap_struck();
    run.fault("kill -9 while it waits for Graph", "egress", struck);
    for sender in senders {
        let ended = run.subject().pid(&sender).is_none();
        if ended {
            run.begin(&sender, "");
        }
    }
}

/// E25, and a token that is refused: nothing is sent, nothing is in doubt, and all goes out later.
pub(super) async fn token(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let setup = Setup {
        proxies: true,
        ..Setup::default()
    };
    let mut run = plan.start(setup).await?;
    run.graph.play(Script {
        answers: vec![(Answer::Error(401, 190), 100)],
        ..Script::default()
    });
    load(&mut run, 12, 3, Duration::from_secs(2));
    run.wait_for_customers().await;
    // A refusal still on its way would stop a number again that was resumed.
    let idle = run.graph_is_idle(Duration::from_secs(2)).await;
    let mut egress = EgressServiceClient::new(run.channel("egress", "admin"));
    let states = egress
        .list_number_states(ListNumberStatesRequest {})
        .await?
        .into_inner()
        .states;
    let stopped = states.iter().filter(|state| state.stopped).count();
    let kind = format!("{stopped} numbers stopped");
    run.fault(&kind, "graph", idle && stopped > 0);
    run.graph.play(Script::default());
    for state in states {
        egress
            .resume_number(ResumeNumberRequest {
                number_id: state.number_id,
            })
            .await?;
    }
    // What found its number stopped looks again after a minute.
    run.some_time(61_000, 62_000).await;
    unreachable(&mut run).await?;
    let (stores, _) = run.settle().await;
    let doubts = crate::survive::checker::count(&run.history.entries(), &stores).ambiguous;
    if doubts > 0 {
        let seen = format!("{doubts} sends in doubt, but no request was ever without an answer");
        run.broken("I11", seen);
    }
    run.finish(name, row).await
}

/// Nobody listens where Graph should be, as when its name leads nowhere.
async fn unreachable(run: &mut Run) -> anyhow::Result<()> {
    run.graph_is_idle(Duration::from_secs(1)).await;
    let refused = run.proxies[0].close().await;
    let before = run.graph.requests();
    load(run, 12, 3, Duration::from_secs(2));
    run.some_time(3_000, 4_000).await;
    let stores = run.read().await?;
    let waiting = stores.messages.iter();
    let waiting = waiting
        .filter(|message| message.send_state() == SendState::Queued)
        .count();
    let silent = run.graph.requests() == before;
    let kind = format!("connections to Graph are refused, {waiting} messages wait");
    run.note_fault(&kind, "graph", refused && silent && waiting > 0, waiting);
    run.proxies[0].open().await;
    Ok(())
}
