//! Reads flows and scenarios from files, and writes scenarios.

use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use core_flow::lab::{Scenario, Suite};
use core_flow::{CompiledFlow, Definition, Problem};
use core_types::Timestamp;
use serde_yaml_ng::with::singleton_map_recursive;

/// How the name of a file with scenarios ends.
const ENDING: &str = ".test.yaml";
/// When a scenario begins that does not say: a Monday morning.
const BEGINS: &str = "2026-01-05T09:00:00Z";
/// Longest file read, in bytes; longer ones are refused by the reader of flows too.
const LONGEST: u64 = 16 << 20;

/// A flow from a file, with everything found wrong with it.
pub(super) struct Flow {
    /// Absent when it could not be read at all.
    pub(super) definition: Option<Definition>,
    pub(super) problems: Vec<Problem>,
}

impl Flow {
    /// Reads a flow; mistakes in it are no error here.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read(path)?;
        let (definition, problems) = core_flow::check(&text);
        Ok(Self {
            definition,
            problems,
        })
    }

    /// The flow ready to play, as version 1.
    pub(super) fn ready(path: &Path) -> anyhow::Result<(Definition, CompiledFlow)> {
        let flow = Self::read(path)?;
        if let Some(error) = flow.problems.iter().find(|problem| problem.is_error()) {
            bail!(
                "{}: {error} (`frontdesk flow check {0}` lists all)",
                path.display()
            );
        }
        let definition = flow.definition.context("a flow without errors")?;
        let compiled = CompiledFlow::compile(&definition, NonZeroU32::MIN);
        let compiled =
            compiled.map_err(|problem| anyhow::anyhow!("{}: {problem}", path.display()))?;
        Ok((definition, compiled))
    }
}

/// A file of scenarios and the flow they are of.
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    pub(super) suite: Suite,
    pub(super) definition: Definition,
    pub(super) flow: CompiledFlow,
}

impl Loaded {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let suite = suite(path)?;
        let beside = beside(path, &suite);
        let (definition, flow) = Flow::ready(&beside)?;
        Ok(Self {
            path: path.to_owned(),
            suite,
            definition,
            flow,
        })
    }
}

/// The flow that a file of scenarios is of.
pub(super) fn flow_of(path: &Path) -> anyhow::Result<PathBuf> {
    Ok(beside(path, &suite(path)?))
}

fn beside(path: &Path, suite: &Suite) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(&suite.flow)
}

/// Every file of scenarios among `paths`: files as they are, folders with all below them whose name
/// ends in `.test.yaml`. In order, each once.
pub(super) fn suites(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    found.sort();
    found.dedup();
    ensure!(
        !found.is_empty(),
        "there is no file whose name ends in {ENDING}; `frontdesk flow chat FILE` makes one with /save"
    );
    Ok(found)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            below(&path, found)?;
        } else if path.to_string_lossy().ends_with(ENDING) {
            found.push(path);
        }
    }
    Ok(())
}

fn suite(path: &Path) -> anyhow::Result<Suite> {
    let text = read(path)?;
    let document = serde_yaml_ng::Deserializer::from_str(&text);
    let suite: Suite = singleton_map_recursive::deserialize(document).with_context(|| {
        format!(
            "{}: not scenarios as docs/FLOWS.md describes them",
            path.display()
        )
    })?;
    let mut titles: Vec<&str> = suite.scenarios.iter().map(|one| &*one.title).collect();
    titles.sort_unstable();
    for pair in titles.windows(2) {
        ensure!(
            pair[0] != pair[1],
            "{}: two scenarios are called `{}`; give each a title of its own",
            path.display(),
            pair[0]
        );
    }
    Ok(suite)
}

/// Scenarios as text.
pub(super) fn to_yaml(suite: &Suite) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let mut serializer = serde_yaml_ng::Serializer::new(&mut text);
    singleton_map_recursive::serialize(suite, &mut serializer)?;
    drop(serializer);
    Ok(String::from_utf8(text)?)
}

/// When a scenario begins.
pub(super) fn begins(scenario: &Scenario) -> anyhow::Result<Timestamp> {
    let text = scenario.at.as_deref().unwrap_or(BEGINS);
    let at: jiff::Timestamp = text
        .parse()
        .with_context(|| format!("`at: {text}` is no time; write it like {BEGINS}"))?;
    Ok(Timestamp::from_micros(at.as_microsecond()))
}

/// A file as text.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let about =
        std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        about.len() <= LONGEST,
        "{} has {} bytes; at most {LONGEST} are read",
        path.display(),
        about.len()
    );
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Adds a scenario to a file of scenarios of `flow`, or begins one.
pub(super) fn keep(flow: &Path, file: &Path, scenario: &Scenario) -> anyhow::Result<()> {
    let mut suite = if file.exists() {
        let loaded = Loaded::read(file)?;
        let theirs = flow_of(file)?.canonicalize().ok();
        ensure!(
            theirs == flow.canonicalize().ok(),
            "{} holds scenarios of another flow, {}; give another file",
            file.display(),
            loaded.suite.flow
        );
        loaded.suite
    } else {
        Suite {
            flow: seen_from(flow, file)?,
            calls: Vec::new(),
            scenarios: Vec::new(),
        }
    };
    ensure!(
        suite
            .scenarios
            .iter()
            .all(|one| one.title != scenario.title),
        "{} has a scenario `{}` already; give it another title",
        file.display(),
        scenario.title
    );
    suite.scenarios.push(scenario.clone());
    std::fs::write(file, to_yaml(&suite)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The flow's path as seen from the file's folder.
fn seen_from(flow: &Path, file: &Path) -> anyhow::Result<String> {
    let flow = flow.canonicalize()?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.canonicalize()?,
        _ => std::env::current_dir()?.canonicalize()?,
    };
    let same = flow.components().zip(folder.components());
    let shared = same.take_while(|(one, other)| one == other).count();
    let ups = folder.components().skip(shared).map(|_| "..".as_ref());
    let rest = flow.components().skip(shared).map(Component::as_os_str);
    let path: PathBuf = ups.chain(rest).collect();
    Ok(path.to_string_lossy().into_owned())
}
