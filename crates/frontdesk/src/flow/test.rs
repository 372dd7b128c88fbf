//! `frontdesk flow test`: plays scenarios and compares what the flow does with what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use core_flow::lab::{Coverage, Line, Scenario, play};
use core_flow::{CompiledFlow, Definition};
use crossterm::style::Stylize as _;
use serde_json::json;
use serde_yaml_ng::with::singleton_map_recursive;

use super::coverage::Share;
use super::source::{Loaded, begins, flow_of, suites, to_yaml};
use super::{html, junit};
use crate::cli::FlowTestArgs;
use crate::exit::Exit;
use crate::terminal::{print_line, printable};

/// What became of a file of scenarios.
pub(super) struct Tested {
    pub(super) file: String,
    /// Where the flow is, however it was named.
    pub(super) flow: PathBuf,
    pub(super) definition: Definition,
    pub(super) cases: Vec<Case>,
    pub(super) taken: Coverage,
    pub(super) share: Share,
}

/// What became of a scenario.
pub(super) struct Case {
    pub(super) title: String,
    /// Where and how it differs; absent when it passed.
    pub(super) problem: Option<String>,
}

impl Tested {
    pub(super) fn failed(&self) -> usize {
        let failed = self.cases.iter().filter(|case| case.problem.is_some());
        failed.count()
    }
}

/// Plays every scenario. With `--update`, writes into the files what the flows do instead.
pub(super) fn run(args: &FlowTestArgs) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for path in suites(&args.paths)? {
        let mut loaded = Loaded::read(&path)?;
        if args.update {
            update(&mut loaded)?;
        }
        all.push(test(loaded)?);
    }
    join(&mut all);
    if let Some(file) = &args.junit {
        write(file, &junit::report(&all))?;
    }
    if let Some(file) = &args.html {
        write(file, &html::report(&all))?;
    }
    let failed: usize = all.iter().map(Tested::failed).sum();
    let thin = all.iter().filter(|one| !one.share.is_full());
    let thin: BTreeSet<&PathBuf> = thin.map(|one| &one.flow).collect();
    let thin = thin.len();
    let good = failed == 0 && (thin == 0 || !args.full_coverage);
    if args.json {
        print_line(&to_json(&all, good).to_string())?;
    } else {
        let colour = std::io::stdout().is_terminal();
        for tested in &all {
            print_line(&told(tested, colour))?;
        }
    }
    if good {
        return Ok(());
    }
    let mut message = String::new();
    if !args.json {
        if failed > 0 {
            // Writing into a text does not fail.
            let _ = write!(message, "{failed} scenarios failed");
        } else {
            let _ = write!(message, "{thin} flows are not covered in full");
        }
    }
    Err(Exit { code: 1, message }.into())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// What is taken of a flow is what all its files of scenarios take together.
fn join(all: &mut [Tested]) {
    let mut taken: BTreeMap<PathBuf, Coverage> = BTreeMap::new();
    for tested in &*all {
        taken
            .entry(tested.flow.clone())
            .or_default()
            .add(&tested.taken);
    }
    for tested in all {
        if let Some(whole) = taken.get(&tested.flow) {
            tested.taken = whole.clone();
            tested.share = Share::of(&whole.of(&tested.definition));
        }
    }
}

fn test(loaded: Loaded) -> anyhow::Result<Tested> {
    let mut taken = Coverage::default();
    let mut cases = Vec::with_capacity(loaded.suite.scenarios.len());
    for scenario in &loaded.suite.scenarios {
        let problem = case(&loaded.flow, &loaded.suite.whole(scenario), &mut taken);
        let problem = problem
            .with_context(|| format!("{}: scenario `{}`", loaded.path.display(), scenario.title))?;
        cases.push(Case {
            title: scenario.title.clone(),
            problem,
        });
    }
    let flow = flow_of(&loaded.path)?;
    Ok(Tested {
        flow: flow.canonicalize().unwrap_or(flow),
        file: loaded.path.display().to_string(),
        share: Share::of(&taken.of(&loaded.definition)),
        definition: loaded.definition,
        cases,
        taken,
    })
}

/// Plays one; how it differs, if it does.
fn case(
    flow: &CompiledFlow,
    scenario: &Scenario,
    taken: &mut Coverage,
) -> anyhow::Result<Option<String>> {
    let played = match play(flow, scenario, begins(scenario)?) {
        Ok(played) => played,
        Err((position, error)) => return Ok(Some(format!("step {}: {error}", position + 1))),
    };
    taken.add(&played.taken);
    difference(
        &scenario.steps,
        &played.lines,
        ("the file says", "the flow does"),
    )
}

/// The first difference between what should be and what is, in words that introduce the two.
pub(super) fn difference(
    should: &[Line],
    is: &[Line],
    (say, does): (&str, &str),
) -> anyhow::Result<Option<String>> {
    let both = should.iter().zip(is);
    let same = both.take_while(|(should, is)| should == is).count();
    let (should, is) = (should.get(same), is.get(same));
    if should.is_none() && is.is_none() {
        return Ok(None);
    }
    Ok(Some(format!(
        "step {}\n{say}\n{}\n{does}\n{}",
        same + 1,
        written(should)?,
        written(is)?
    )))
}

/// A line as it stands in a file of scenarios, indented.
pub(super) fn written(line: Option<&Line>) -> anyhow::Result<String> {
    let Some(line) = line else {
        return Ok("  (nothing more)".to_owned());
    };
    let mut text = Vec::new();
    let mut serializer = serde_yaml_ng::Serializer::new(&mut text);
    singleton_map_recursive::serialize(line, &mut serializer)?;
    drop(serializer);
    let text = String::from_utf8(text)?;
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    Ok(lines.join("\n"))
}

/// Puts what the flow does in the place of what the file says, and writes the file if that differs.
fn update(loaded: &mut Loaded) -> anyhow::Result<()> {
    let before = loaded.suite.clone();
    for scenario in &mut loaded.suite.scenarios {
        let played = play(&loaded.flow, &before.whole(scenario), begins(scenario)?);
        let played = played.map_err(|(position, error)| {
            anyhow::anyhow!(
                "{}: scenario `{}`, step {}: {error}",
                loaded.path.display(),
                scenario.title,
                position + 1
            )
        })?;
        scenario.steps = played.lines;
    }
    if loaded.suite == before {
        return Ok(());
    }
    write(&loaded.path, &to_yaml(&loaded.suite)?)
}

fn told(tested: &Tested, colour: bool) -> String {
    let mut text = format!("{}\n", tested.file);
    for case in &tested.cases {
        let word = match (&case.problem, colour) {
            (None, false) => "ok  ".to_owned(),
            (None, true) => "ok  ".green().to_string(),
            (Some(_), false) => "FAIL".to_owned(),
            (Some(_), true) => "FAIL".red().to_string(),
        };
        let _ = writeln!(text, "  {word}  {}", printable(&case.title));
        for line in case.problem.iter().flat_map(|problem| problem.lines()) {
            let _ = writeln!(text, "        {line}");
        }
    }
    let (failed, share) = (tested.failed(), &tested.share);
    let _ = write!(
        text,
        "  {} scenarios, {failed} failed; {}",
        tested.cases.len(),
        share.line()
    );
    if !share.is_full() {
        let _ = write!(text, "\n  not taken: {}", share.missed.join(", "));
    }
    text
}

fn to_json(all: &[Tested], good: bool) -> serde_json::Value {
    let suites = all.iter().map(|tested| {
        let scenarios = tested.cases.iter().map(|case| {
            json!({"title": case.title, "ok": case.problem.is_none(), "problem": case.problem})
        });
        let share = &tested.share;
        json!({
            "file": tested.file,
            "flow": tested.definition.name,
            "scenarios": scenarios.collect::<Vec<_>>(),
            "widgets": {"taken": share.widgets.0, "all": share.widgets.1},
            "exits": {"taken": share.exits.0, "all": share.exits.1, "missed": share.missed},
        })
    });
    json!({"ok": good, "suites": suites.collect::<Vec<_>>()})
}
