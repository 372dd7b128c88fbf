//! `docs/RELIABILITY.md`, written by a run and never by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::checker::{INVARIANTS, MEASURED};
use super::run::Verdict;
use super::scenarios::{ALL, Proof};

/// What became of one mutant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mutant {
    /// The patch.
    pub name: String,
    /// What it breaks, from its first line.
    pub breaks: String,
    /// The scenario that was to catch it.
    pub scenario: String,
    /// Invariants that were broken.
    pub caught_by: Vec<String>,
}

/// All of one session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What was tested.
    pub commit: String,
    /// When, in UTC.
    pub date: String,
    /// Processors, memory, kernel.
    pub machine: String,
    /// `quick` or `full`.
    pub form: String,
    /// Runs.
    pub verdicts: Vec<Verdict>,
    /// Losses of power on the stores alone.
    pub proofs: Vec<Proof>,
    /// Mutants, as far as they were tried.
    pub mutants: Vec<Mutant>,
}

/// Rows of the fault matrix that are not run here, and why.
pub const NOT_RUN: [(&str, &str); 17] = [
    (
        "E12",
        "damage inside Redis' own file: a restore, tried by the operations guide",
    ),
    (
        "E13",
        "resynchronising a replica: profile B needs several hosts",
    ),
    (
        "E14, E15, E16",
        "Sentinel and cut-off masters: profile B, needs several hosts; `reliability.md` 6.2 has the numbers",
    ),
    ("E17", "moving slots of a Redis Cluster under load"),
    (
        "E18, E19",
        "clocks that jump: needs libfaketime in every process",
    ),
    (
        "E22",
        "serialization failures and deadlocks: unit tests of the storage library",
    ),
    (
        "E33",
        "a body from eight days ago: the pure core under a virtual clock",
    ),
    (
        "E36",
        "a flow that panics, loops or recurses: the flow core's property tests; no widget can allocate",
    ),
    ("E38", "one tenant's flood beside another's"),
    (
        "E43",
        "rotating secrets under load: written and tried in the operations guide",
    ),
    ("E44", "migrations under load: one schema version exists"),
    (
        "E45, E46",
        "memory and descriptors used up: the embedded process has one limit for all services",
    ),
    (
        "E47",
        "certificates: services speak plain gRPC inside the cluster's network",
    ),
    (
        "E50",
        "restore from a backup: tried in the operations guide",
    ),
    ("K10", "the flow has no widget that calls out"),
    (
        "K21",
        "death half-way through a migration: the storage library's tests",
    ),
    ("K22", "configuration is read at the start only"),
];

impl Report {
    /// Whether a run is in it already.
    pub fn has(&self, scenario: &str, topology: super::run::Topology, seed: u64) -> bool {
        let place = topology.title();
        let mut verdicts = self.verdicts.iter();
        verdicts.any(|one| one.scenario == scenario && one.topology == place && one.seed == seed)
    }

    /// Violations over all runs.
    pub fn violations(&self) -> usize {
        self.verdicts
            .iter()
            .map(|verdict| verdict.violations.len())
            .sum()
    }

    /// Whether everything held and every fault happened.
    pub fn is_good(&self) -> bool {
        self.violations() == 0
            && self.verdicts.iter().all(|verdict| verdict.void.is_none())
            && self.proofs.iter().all(|proof| proof.holds)
            && self
                .mutants
                .iter()
                .all(|mutant| !mutant.caught_by.is_empty())
    }

    /// The document.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.head(&mut out);
        self.totals(&mut out);
        self.scenarios(&mut out);
        self.power(&mut out);
        self.invariants(&mut out);
        self.teeth(&mut out);
        limits(&mut out);
        out
    }

    fn head(&self, out: &mut String) {
        let _ = write!(
            out,
            "# Survival\n\n\
             Written by `cargo xtask survive --{form}`. Do not edit: run it again.\n\n\
             | | |\n|---|---|\n\
             | Commit | `{}` |\n| Date | {} |\n| Machine | {} |\n| Build | debug, with failpoints |\n\
             | Sizes | {form}; {done} of the {all} scenario runs of the whole list |\n\
             | Topologies | {} |\n\n",
            self.commit,
            self.date,
            self.machine,
            self.topologies().into_iter().collect::<Vec<_>>().join("; "),
            form = self.form,
            done = self.verdicts.len(),
            all = ALL
                .iter()
                .map(|scenario| scenario.full.len())
                .sum::<usize>(),
        );
    }

    fn topologies(&self) -> BTreeSet<String> {
        self.verdicts
            .iter()
            .map(|verdict| verdict.topology.clone())
            .collect()
    }

    fn totals(&self, out: &mut String) {
        let sum = |field: fn(&Verdict) -> usize| self.verdicts.iter().map(field).sum::<usize>();
        let events = sum(|verdict| verdict.counts.events);
        let intents = sum(|verdict| verdict.counts.intents);
        let faults = sum(|verdict| verdict.counts.faults.0);
        let hits = sum(|verdict| verdict.counts.faults.1);
        let share = (hits * 100).checked_div(faults).unwrap_or(0);
        let mut recoveries: Vec<u64> = self
            .verdicts
            .iter()
            .flat_map(|verdict| verdict.counts.recoveries.iter().copied())
            .collect();
        recoveries.sort_unstable();
        let median = recoveries.get(recoveries.len() / 2).copied().unwrap_or(0);
        let most = recoveries.last().copied().unwrap_or(0);
        let bound = |trials: usize| {
            if trials == 0 {
                "–".to_owned()
            } else {
                format!("{:.3} %", 300.0 / trials as f64)
            }
        };
        let _ = write!(
            out,
            "## In short\n\n\
             | What | Number |\n|---|---|\n\
             | Runs | {} ({} void) |\n\
             | Broken promises | **{}** |\n\
             | Events answered 200 | {events}; 0 lost means less than {} at 95 % |\n\
             | Bodies answered 200 beyond the first time | {} |\n\
             | Items parked | {} |\n\
             | Messages meant to be sent | {intents}; 0 forbidden copies means less than {} at 95 % |\n\
             | Copies Graph accepted | {} |\n\
             | Attempts in doubt | {} |\n\
             | Second copies, allowed | {} |\n\
             | Second copies, forbidden | **{}** |\n\
             | Messages that stay unknown, and are shown so | {} |\n\
             | Offers made / expired | {} / {} |\n\
             | Accepts told `ok` | {} |\n\
             | Journals | {} |\n\
             | Faults made / that hit work under way | {faults} / {hits} ({share} %) |\n\
             | Recovery (first webhook taken after a fault) | median {median} ms, longest {most} ms, of {} |\n\n",
            self.verdicts.len(),
            self.verdicts
                .iter()
                .filter(|verdict| verdict.void.is_some())
                .count(),
            self.violations(),
            bound(events),
            sum(|verdict| verdict.counts.redelivered),
            sum(|verdict| verdict.counts.parked),
            bound(intents),
            sum(|verdict| verdict.counts.accepted),
            sum(|verdict| verdict.counts.ambiguous),
            sum(|verdict| verdict.counts.duplicates_allowed),
            sum(|verdict| verdict.counts.duplicates_forbidden),
            sum(|verdict| verdict.counts.unknown),
            sum(|verdict| verdict.counts.offers.0),
            sum(|verdict| verdict.counts.offers.1),
            sum(|verdict| verdict.counts.accepts),
            sum(|verdict| verdict.counts.journals),
            recoveries.len(),
        );
        out.push_str(
            "Recovery counts from the fault to the first 200, the time without the process and its \
             start included; a suspended process counts from its suspension.\n\n",
        );
    }

    fn scenarios(&self, out: &mut String) {
        out.push_str(
            "## Scenarios\n\n\
             Each fault confirms its effect, or the run is void. `hit`: faults that found webhooks, \
             sends or agents' commands under way.\n\n\
             | Scenario | Row | Topology | Seed | s | events | intents | doubt | copies ok/forbidden | faults/hit | recovery p50/max ms | broken |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for verdict in &self.verdicts {
            let counts = &verdict.counts;
            let mut recoveries = counts.recoveries.clone();
            recoveries.sort_unstable();
            let recovery = match (recoveries.get(recoveries.len() / 2), recoveries.last()) {
                (Some(median), Some(most)) => format!("{median}/{most}"),
                _ => "–".to_owned(),
            };
            let broken = match &verdict.void {
                Some(_) => "void".to_owned(),
                None => verdict.violations.len().to_string(),
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {:.0} | {} | {} | {} | {}/{} | {}/{} | {recovery} | {broken} |",
                verdict.scenario,
                verdict.row,
                verdict.topology,
                verdict.seed,
                verdict.seconds,
                counts.events,
                counts.intents,
                counts.ambiguous,
                counts.duplicates_allowed,
                counts.duplicates_forbidden,
                counts.faults.0,
                counts.faults.1,
            );
        }
        out.push('\n');
        for scenario in ALL {
            let _ = writeln!(
                out,
                "* `{}` ({}): {}.",
                scenario.name, scenario.row, scenario.does
            );
        }
        out.push('\n');
        for verdict in &self.verdicts {
            for note in verdict.notes.iter().chain(&verdict.void) {
                let _ = writeln!(
                    out,
                    "* {} (seed {}): {note}.",
                    verdict.scenario, verdict.seed
                );
            }
        }
        out.push('\n');
        for verdict in self
            .verdicts
            .iter()
            .filter(|verdict| !verdict.violations.is_empty())
        {
            let _ = writeln!(
                out,
                "Broken in `{}`, seed {}:\n",
                verdict.scenario, verdict.seed
            );
            for violation in verdict.violations.iter().take(20) {
                let _ = writeln!(out, "* {violation}");
            }
            out.push('\n');
        }
    }

    fn power(&self, out: &mut String) {
        out.push_str(
            "## Loss of power\n\n\
             A preloaded library keeps what stood there before each write; when the power goes, all \
             that no completed flush covers is taken back (`tests/survive/powerloss/shim.c`). Where \
             nothing is flushed, loss must be found: that is the proof that the simulation works. \
             Torn sectors are not modelled.\n\n\
             | Store | confirmed | lost | span of the lost | wanted | |\n|---|---|---|---|---|---|\n",
        );
        for proof in &self.proofs {
            let verdict = if proof.holds {
                "holds"
            } else {
                "**does not hold**"
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} ms | {} | {verdict} |",
                proof.what, proof.confirmed, proof.lost, proof.span_millis, proof.wanted,
            );
        }
        out.push('\n');
    }

    fn invariants(&self, out: &mut String) {
        let mut broken: BTreeMap<String, usize> = BTreeMap::new();
        for violation in self.verdicts.iter().flat_map(|verdict| &verdict.violations) {
            let name = violation.split(':').next().unwrap_or_default();
            *broken.entry(name.to_owned()).or_default() += 1;
        }
        out.push_str("## Promises\n\n| | Promise | broken |\n|---|---|---|\n");
        for (name, words) in INVARIANTS.iter().chain(&MEASURED) {
            let times = match *name {
                "I32" => "not exercised: one tenant".to_owned(),
                name => broken.get(name).copied().unwrap_or(0).to_string(),
            };
            let _ = writeln!(out, "| {name} | {words} | {times} |");
        }
        out.push_str(
            "\nNot checked: I33 (queries without a tenant: the stores' own tests) and I37 (metrics \
             against the history).\n\n",
        );
    }

    fn teeth(&self, out: &mut String) {
        if self.mutants.is_empty() {
            out.push_str(
                "## Mutants\n\nNot run in this session: `cargo xtask survive --mutants`. Every \
                 change checks that the patches still apply.\n\n",
            );
            return;
        }
        out.push_str(
            "## Mutants\n\nFaults built into the product on purpose \
             (`tests/survive/mutants`). One that is not caught fails the run.\n\n\
             | Mutant | What it breaks | Scenario | Caught by |\n|---|---|---|---|\n",
        );
        for mutant in &self.mutants {
            let caught = if mutant.caught_by.is_empty() {
                "**nothing**".to_owned()
            } else {
                mutant.caught_by.join(", ")
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {caught} |",
                mutant.name, mutant.breaks, mutant.scenario
            );
        }
        out.push('\n');
    }
}

fn limits(out: &mut String) {
    out.push_str(
        "## What is not promised\n\n\
         * A session message may reach a customer twice when the outcome of a send is unknown and no \
         status tells within the quiet window. A template never. Each case is in the log.\n\
         * A process that is suspended between the deadline check and the write for longer than lease \
         and quiet window sends a message that was given up (`frozen-write`). That is the floor.\n\
         * A template whose attempt was granted to a sender that never heard of the grant, because a \
         process died in between, is not sent: its outcome counts as unknown.\n\
         * The loss of a disk; a disk that lies about flushing (shown above); with Redis `everysec`, \
         about the last second.\n\
         * The order in which Meta delivers: what Meta turns around stays turned around.\n\
         * What Meta does not deliver again within its own window.\n\n\
         ## Rows not run here\n\n| Row | Why |\n|---|---|\n",
    );
    for (row, why) in NOT_RUN {
        let _ = writeln!(out, "| {row} | {why} |");
    }
}
