//! The scenarios. Each names the row of the fault matrix it stands for, makes a load of its own
//! and strikes; the checker's invariants hold in all of them.

mod crashes;
mod desks;
mod graph_side;
mod input;
mod network;
mod power;
mod servers;
mod tenants;

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use super::run::{Run, Setup, Topology, Verdict};

/// What a scenario is run with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// The short form, for every change; otherwise the long one.
    pub quick: bool,
    /// Which installation.
    pub topology: Topology,
    /// Where files go.
    pub folder: PathBuf,
}

impl Plan {
    /// `quick` or `full`.
    pub fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    async fn start(&self, setup: Setup) -> anyhow::Result<Run> {
        let setup = Setup {
            patience: Duration::from_secs(self.pick(180, 600)),
            ..setup
        };
        Run::start(&self.folder, self.seed, self.topology, &setup).await
    }
}

type Outcome = Pin<Box<dyn Future<Output = anyhow::Result<Verdict>> + Send>>;

/// One scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The rows of the fault matrix.
    pub row: &'static str,
    /// What it does, in a sentence.
    pub does: &'static str,
    /// The installations the quick run has it on.
    pub quick: &'static [Topology],
    /// The installations the full run has it on.
    pub full: &'static [Topology],
    /// Runs it.
    pub run: fn(Plan) -> Outcome,
}

const ONE: &[Topology] = &[Topology::AllInOne];
const TWO: &[Topology] = &[Topology::Replicated];
const BOTH: &[Topology] = &[Topology::AllInOne, Topology::Replicated];
const NONE: &[Topology] = &[];

macro_rules! scenario {
    ($name:literal, $row:literal, $quick:expr, $full:expr, $run:path, $does:literal) => {
        Scenario {
            name: $name,
            row: $row,
            does: $does,
            quick: $quick,
            full: $full,
            run: |plan| Box::pin(async move { $run(plan, $name, $row).await }),
        }
    };
}

/// All scenarios, in the order they run.
pub const ALL: [Scenario; 22] = [
    scenario!(
        "kills",
        "E2",
        BOTH,
        BOTH,
        crashes::kills,
        "kill -9 at random moments under load"
    ),
    scenario!(
        "points",
        "E1",
        ONE,
        BOTH,
        crashes::points,
        "death at each named place in the code, under load"
    ),
    scenario!(
        "twice",
        "E49",
        NONE,
        BOTH,
        crashes::twice,
        "killed again while it recovers"
    ),
    scenario!(
        "suspend",
        "E3",
        NONE,
        BOTH,
        crashes::suspend,
        "SIGSTOP of a sender, for a second and for longer than an attempt may take; among replicas of each holder of parts"
    ),
    scenario!(
        "rolling",
        "E4",
        BOTH,
        BOTH,
        crashes::rolling,
        "SIGTERM and start under load: no ambiguous send"
    ),
    scenario!(
        "frozen-write",
        "E7",
        NONE,
        BOTH,
        crashes::frozen_write,
        "a write held, and a process suspended, between deadline check and write, longer than lease and quiet window"
    ),
    scenario!(
        "starved",
        "E48",
        NONE,
        BOTH,
        crashes::starved,
        "every processor busy with something else"
    ),
    scenario!(
        "graph-doubt",
        "E28, E29",
        ONE,
        BOTH,
        graph_side::doubt,
        "accepted, then reset, silence, errors, broken, wrong, huge and slow answers"
    ),
    scenario!(
        "graph-limits",
        "E26, E27",
        NONE,
        ONE,
        graph_side::limits,
        "throttling, pair limits, errors 5xx, refused windows"
    ),
    scenario!(
        "graph-mute",
        "E30",
        NONE,
        BOTH,
        graph_side::mute,
        "no statuses at all, doubtful answers, and senders that die waiting: templates stay unknown"
    ),
    scenario!(
        "graph-early",
        "E34",
        ONE,
        BOTH,
        graph_side::early,
        "statuses before the answer, and death before the answer is stored"
    ),
    scenario!(
        "graph-token",
        "E25",
        NONE,
        ONE,
        graph_side::token,
        "the token is refused, then the number is resumed; connections to Graph are refused: no send in doubt"
    ),
    scenario!(
        "copies",
        "E31, E32",
        ONE,
        BOTH,
        input::copies,
        "each body fifty times at once, in batches, reversed, and forged ones between"
    ),
    scenario!(
        "poison",
        "E37",
        ONE,
        ONE,
        input::poison,
        "no id, no sender, not an object, a time that is none, too deep"
    ),
    scenario!(
        "flood",
        "E35, E39",
        NONE,
        BOTH,
        input::flood,
        "a 3 MB body with 1,000 updates, a conversation with hundreds of messages, many small bodies"
    ),
    scenario!(
        "network",
        "E23, E24",
        NONE,
        ONE,
        network::weather,
        "latency, resets, one-way silence and cuts between Meta, ingress, egress and Graph"
    ),
    scenario!(
        "desks",
        "E40",
        ONE,
        BOTH,
        desks::calm,
        "agents of every kind, no other fault"
    ),
    scenario!(
        "desks-killed",
        "E41, E42",
        NONE,
        BOTH,
        desks::killed,
        "agents of every kind while routing dies at its places"
    ),
    scenario!(
        "neighbours",
        "I32, I37",
        ONE,
        BOTH,
        tenants::neighbours,
        "two tenants with queues and agents of the same names: each sees its own; the metrics agree with what happened"
    ),
    scenario!(
        "power",
        "E8, E9, E10",
        ONE,
        ONE,
        power::embedded,
        "loss of power, slow flushes and a full disk under the embedded stores"
    ),
    scenario!(
        "servers",
        "E6, E20, E21",
        TWO,
        TWO,
        servers::struck,
        "Redis and PostgreSQL killed and away for up to 10 s, Redis suspended"
    ),
    scenario!(
        "servers-power",
        "E8, E9",
        NONE,
        TWO,
        servers::power,
        "loss of power and slow flushes of Redis and PostgreSQL under a whole installation"
    ),
];

/// The usual load: customers into the queue, and templates by an administrator.
fn load(run: &mut Run, customers: u64, templates: u64, within: Duration) {
    run.customers(customers, &super::run::PATH, within);
    run.templates(templates, within);
}

/// The one part of an all-in-one installation, or the first that does `role`'s work.
fn part(run: &Run, role: &str) -> String {
    run.subject()
        .parts_of(role)
        .into_iter()
        .next()
        .unwrap_or_default()
}

pub use power::{PROOFS, Proof, proofs};
