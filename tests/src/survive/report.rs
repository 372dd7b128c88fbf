//! `docs/RELIABILITY.md`, written by a run and never by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::checker::{INVARIANTS, MEASURED};
use super::matrix::{NOT_RUN, TRIED};
use super::mutants::Mutant;
use super::run::Verdict;
use super::scenarios::{ALL, Proof};

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
    /// Every mutant, tried at this commit or not.
    pub mutants: Vec<Mutant>,
    /// Whether all of the long form was asked for: then every mutant must have been tried.
    #[serde(default)]
    pub whole: bool,
}

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
            && !self.mutants.iter().any(Mutant::survived)
            && (!self.whole || self.untried().is_empty())
    }

    /// Mutants that were not tried at this commit.
    pub fn untried(&self) -> Vec<&str> {
        let untried = self.mutants.iter().filter(|mutant| !mutant.is_tried());
        untried.map(|mutant| mutant.name.as_str()).collect()
    }

    /// The document.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.head(&mut out);
        self.totals(&mut out);
        self.scenarios(&mut out);
        self.power(&mut out);
        self.invariants(&mut out);
        self.resources(&mut out);
        self.teeth(&mut out);
        limits(&mut out);
        rows(&mut out);
        out
    }

    fn head(&self, out: &mut String) {
        let _ = write!(
            out,
            "# Survival\n\n\
             Written by `cargo xtask survive --{form}`. Do not edit: run it again.\n\n\
             | | |\n|---|---|\n\
             | Commit | `{}` |\n| Date | {} |\n| Machine | {} |\n| Build | debug, with failpoints |\n\
             | Runs | {done} of the {all} of the whole list; {long} in their long form |\n\
             | Topologies | {} |\n\n",
            self.commit,
            self.date,
            self.machine,
            self.topologies().into_iter().collect::<Vec<_>>().join("; "),
            form = self.form,
            done = self.verdicts.len(),
            long = self
                .verdicts
                .iter()
                .filter(|one| one.size == "full")
                .count(),
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
             | Recovery (first webhook taken at any door after a fault) | median {median} ms, longest {most} ms, of {} |\n\n",
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
            "Recovery counts from the fault to the first 200 at any door, the time without the process \
             and its start included; a suspended process counts from its suspension. Where another \
             replica has a door of its own, that is the time until somebody took a webhook and not \
             until the struck process was back.\n\n",
        );
    }

    fn scenarios(&self, out: &mut String) {
        out.push_str(
            "## Scenarios\n\n\
             Each fault confirms its effect, or the run is void. `hit`: faults that found webhooks, \
             sends or agents' commands under way. Size: the long form or the quick one; each start of \
             a replicated part takes seconds, so there only what is about that installation is long. \
             What each row stands for is stated [below](#rows-of-the-fault-matrix).\n\n\
             | Scenario | Row | Topology | Size | Seed | s | events | intents | doubt | copies ok/forbidden | faults/hit | recovery p50/max ms | broken |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
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
                "| {} | {} | {} | {} | {} | {:.0} | {} | {} | {} | {}/{} | {}/{} | {recovery} | {broken} |",
                verdict.scenario,
                verdict.row,
                verdict.topology,
                verdict.size,
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
        self.notes(out);
    }

    /// What the scenarios do, what else is worth a line, and what broke.
    fn notes(&self, out: &mut String) {
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
                    "* {}, {} (seed {}): {note}.",
                    verdict.scenario, verdict.topology, verdict.seed
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
        out.push_str(
            "## Promises\n\nAsked: how many bodies, events, messages, offers, log lines and so on the \
             promise was held against, over all runs. One that was asked about nothing was not \
             tried.\n\n| | Promise | asked | broken |\n|---|---|---|---|\n",
        );
        for (name, words) in INVARIANTS.iter().chain(&MEASURED) {
            let runs = self.verdicts.iter();
            let asked: usize = runs.filter_map(|one| one.exercised.get(*name)).sum();
            let times = broken.get(*name).copied().unwrap_or(0);
            let asked = match asked {
                0 => "**not exercised**".to_owned(),
                asked => asked.to_string(),
            };
            let _ = writeln!(out, "| {name} | {words} | {asked} | {times} |");
        }
        out.push_str("\nNot checked here: I33, see the rows that are not run.\n\n");
    }

    fn resources(&self, out: &mut String) {
        out.push_str(
            "## Descriptors and memory\n\n\
             I31 allows as many descriptors after the load as before it, a tenth more, 40 for each \
             process and 128: pools grow to their size once, and connections to Graph stay a minute. \
             Memory is the sum over Frontdesk's processes that ran at the end, each with its own \
             peak since its last start; no bound is set on it, and the stores are not in it.\n\n\
             | Scenario | Topology | Seed | descriptors before/after/allowed | resident after/peak, MiB |\n\
             |---|---|---|---|---|\n",
        );
        for verdict in &self.verdicts {
            let (before, after, most) = verdict.descriptors;
            let (now, peak) = verdict.memory;
            let _ = writeln!(
                out,
                "| {} | {} | {} | {before}/{after}/{most} | {}/{} |",
                verdict.scenario,
                verdict.topology,
                verdict.seed,
                now >> 10,
                peak >> 10,
            );
        }
        out.push('\n');
    }

    fn teeth(&self, out: &mut String) {
        out.push_str(
            "## Mutants\n\nFaults built into the product on purpose (`tests/survive/mutants`, \
             `cargo xtask survive --mutants`). Only a promise that the mutant must break counts as \
             seeing it; one that survives fails the run, and so does one that was not tried at this \
             commit when the whole long form is run.\n\n\
             | Mutant | What it breaks | Scenario | Must break one of | Caught by |\n|---|---|---|---|---|\n",
        );
        for mutant in &self.mutants {
            let caught = match (mutant.is_tried(), mutant.caught_by.is_empty()) {
                (false, _) => "not tried at this commit".to_owned(),
                (true, true) => "**nothing**".to_owned(),
                (true, false) => mutant.caught_by.join(", "),
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {caught} |",
                mutant.name,
                mutant.breaks,
                mutant.scenario,
                mutant.expect.join(", "),
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
         and quiet window sends a message that was given up (`frozen-write`, which counts the second \
         copies above). That is the floor.\n\
         * A template whose attempt was granted to a sender that never heard of the grant, because a \
         process died in between, is not sent: its outcome counts as unknown.\n\
         * The loss of a disk; a disk that lies about flushing (shown above); with Redis `everysec`, \
         about the last second.\n\
         * The order in which Meta delivers: what Meta turns around stays turned around.\n\
         * What Meta does not deliver again within its own window.\n\n",
    );
}

fn rows(out: &mut String) {
    out.push_str(
        "## Rows of the fault matrix\n\n\
         The size is that of the quick form, in brackets the long one where it differs.\n\n\
         | Row | Scenario | Size | Of the row not tried |\n|---|---|---|---|\n",
    );
    for row in TRIED {
        let _ = writeln!(
            out,
            "| {} | `{}` | {} | {} |",
            row.row, row.scenario, row.size, row.without
        );
    }
    out.push_str("\n## Rows not run here\n\n| Row | Why, and what there is instead |\n|---|---|\n");
    for row in NOT_RUN {
        let _ = write!(out, "| {} | {}.", row.rows, row.why);
        for (file, test) in row.tests {
            let _ = write!(out, " `{file}`: `{test}`.");
        }
        out.push_str(" |\n");
    }
}
