//! `cargo xtask survive`: builds a whole installation with failpoints, strikes it and checks what it
//! promises; `--mutants` shows that the checker sees faults built into the product on purpose.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::tools::{cargo, root, run, target_dir, test_servers};
use crate::watchdog::run_within;

/// Longest that one seed of the short form and of the long one may take: several times what it needs.
const QUICK_WITHIN: Duration = Duration::from_secs(1_500);
const FULL_WITHIN: Duration = Duration::from_secs(3 * 3_600);

/// What to run.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The short form: minutes, one seed (the default).
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// The long form; writes docs/RELIABILITY.md.
    #[arg(long)]
    full: bool,
    /// Start of the seeds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Only scenarios of this name; may be given several times.
    #[arg(long)]
    scenario: Vec<String>,
    /// Only this installation: `all-in-one` or `replicated`.
    #[arg(long)]
    topology: Option<String>,
    /// Build each mutant of tests/survive/mutants and run the scenario that must catch it; with a
    /// name only those whose file name holds it.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    mutants: Option<String>,
    /// Go on from a long form that was broken off at the same commit.
    #[arg(long, requires = "full")]
    resume: bool,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
}

/// The short form, as CI runs it.
pub(crate) fn quick() -> anyhow::Result<()> {
    survive(&Args {
        quick: true,
        full: false,
        seed: 1,
        seeds: 1,
        scenario: Vec::new(),
        topology: None,
        mutants: None,
        resume: false,
        json: false,
    })
}

/// Runs it.
pub(crate) fn survive(args: &Args) -> anyhow::Result<()> {
    test_servers()?;
    let build = [
        "build",
        "--quiet",
        "-p",
        "frontdesk",
        "-p",
        "tests",
        "--bin",
        "frontdesk",
        "--bin",
        "survive",
    ];
    run("build", &mut cargo(&build))?;
    let folder = target_dir()?.join("debug");
    // Copies: a build that runs meanwhile must not change what is tested.
    let own = target_dir()?.join("survive");
    std::fs::create_dir_all(&own)?;
    for program in ["frontdesk", "survive"] {
        let to = own.join(program);
        let _ = std::fs::remove_file(&to);
        std::fs::copy(folder.join(program), &to)?;
    }
    if let Some(wanted) = &args.mutants {
        return mutants(&own, wanted);
    }
    let mut command = harness(&own, &own.join("frontdesk"));
    command.arg(if args.full { "--full" } else { "--quick" });
    command.args(["--seed", &args.seed.to_string()]);
    command.args(["--seeds", &args.seeds.to_string()]);
    for scenario in &args.scenario {
        command.args(["--scenario", scenario]);
    }
    if let Some(topology) = &args.topology {
        command.args(["--topology", topology]);
    }
    if args.json {
        command.arg("--json");
    }
    if args.full && args.scenario.is_empty() {
        let state = own.join("full.json");
        if !args.resume {
            let _ = std::fs::remove_file(&state);
        }
        command.arg("--state").arg(state);
        command
            .arg("--report")
            .arg(root().join("docs/RELIABILITY.md"));
    }
    let tried = own.join("mutants.json");
    if tried.is_file() {
        command.arg("--mutants").arg(tried);
    }
    command.args(["--commit", &commit()?]);
    let limit = if args.full { FULL_WITHIN } else { QUICK_WITHIN };
    run_within(
        "survive",
        &mut command,
        limit * u32::try_from(args.seeds.max(1))?,
    )
}

fn harness(own: &Path, program: &Path) -> Command {
    let mut command = Command::new(own.join("survive"));
    command.current_dir(root()).env("FRONTDESK_BIN", program);
    command
}

/// HEAD, and whether the tree differs from it. The report of survival may: it is written by runs, and
/// several of them are of one commit.
fn commit() -> anyhow::Result<String> {
    let described = ["describe", "--always", "--abbrev=12", "--exclude", "*"];
    let head = output(&mut git(&root(), &described))?;
    let all = ["status", "--porcelain", "--untracked-files=no", "--", "."];
    let changed = [&all[..], &[":(exclude)docs/RELIABILITY.md"]].concat();
    let changed = output(&mut git(&root(), &changed))?;
    let mark = if changed.is_empty() { "" } else { "-dirty" };
    Ok(format!("{head}{mark}"))
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output = output.with_context(|| format!("{name} cannot be run"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A mutant: its patch, and what its first lines say (`Patch` of the harness).
struct Mutant {
    patch: PathBuf,
    name: String,
    breaks: String,
    scenario: String,
    topology: String,
    /// Invariants of which one must be broken.
    expect: Vec<String>,
}

impl Mutant {
    /// From the list the harness prints.
    fn read(listed: &Value) -> anyhow::Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let field = |name: &str| {
            text(&listed[name]).with_context(|| format!("the harness told no `{name}`: {listed}"))
        };
        let expect = listed["expect"].as_array().into_iter().flatten();
        Ok(Self {
            patch: root().join(field("patch")?),
            name: field("name")?,
            breaks: field("breaks")?,
            scenario: field("scenario")?,
            topology: field("topology")?,
            expect: expect.filter_map(text).collect(),
        })
    }
}

/// Builds each in a worktree of its own and lets its scenario run.
fn mutants(own: &Path, wanted: &str) -> anyhow::Result<()> {
    let mut list = harness(own, &own.join("frontdesk"));
    let list: Vec<Value> = serde_json::from_str(&output(list.arg("--list-mutants"))?)?;
    let all = list.iter().map(Mutant::read);
    let mut all = all.collect::<anyhow::Result<Vec<_>>>()?;
    all.retain(|mutant| mutant.name.contains(wanted));
    ensure!(!all.is_empty(), "there is no mutant of that name");
    // What is built is HEAD and a patch, whatever else has changed here.
    let commit = commit()?;
    let tree = own.join("tree");
    let target = prepare(own, &tree)?;
    let mut survivors = 0;
    for mutant in &all {
        let (caught, also) = try_mutant(mutant, own, &tree, &target)?;
        let word = if caught.is_empty() {
            survivors += 1;
            "SURVIVED"
        } else {
            "caught"
        };
        println!(
            "{word:<9} {}: {} (by {} of {}; also broken: {})",
            mutant.name,
            mutant.breaks,
            caught.join(", "),
            mutant.expect.join(", "),
            also.join(", ")
        );
        let result = json!({"name": mutant.name, "breaks": mutant.breaks,
            "scenario": mutant.scenario, "commit": commit, "expect": mutant.expect,
            "caught_by": caught, "also": also});
        remember(&own.join("mutants.json"), result)?;
    }
    run(
        "git worktree",
        git(&root(), &["worktree", "remove", "--force"]).arg(&tree),
    )?;
    ensure!(survivors == 0, "{survivors} mutants survived");
    Ok(())
}

/// Puts a result in the place of the one there was of that name; all others stay.
fn remember(file: &Path, result: Value) -> anyhow::Result<()> {
    let mut results: Vec<Value> = match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged; remove it", file.display()))?,
        Err(_) => Vec::new(),
    };
    results.retain(|one| one["name"] != result["name"]);
    results.push(result);
    std::fs::write(file, Value::from(results).to_string())?;
    Ok(())
}

fn git(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(args).current_dir(folder);
    command
}

/// A worktree at HEAD, and a target folder that shares the dependencies built already.
fn prepare(own: &Path, tree: &Path) -> anyhow::Result<PathBuf> {
    if tree.exists() {
        run(
            "git worktree",
            git(&root(), &["worktree", "remove", "--force"]).arg(tree),
        )?;
    }
    run(
        "git worktree",
        git(&root(), &["worktree", "add", "--quiet", "--detach"]).arg(tree),
    )?;
    let target = own.join("target");
    if !target.exists() {
        std::fs::create_dir_all(target.join("debug"))?;
        let built = target_dir()?.join("debug");
        for part in ["deps", "build", ".fingerprint"] {
            // Hard links: nothing is copied, and what a mutant builds has names of its own.
            let mut copy = Command::new("cp");
            copy.arg("-al")
                .arg(built.join(part))
                .arg(target.join("debug"));
            // A file that another build replaces meanwhile is built again.
            let _ = copy.stderr(std::process::Stdio::null()).status()?;
        }
    }
    Ok(target)
}

/// The invariants that a mutant breaks: those it must, and others.
fn try_mutant(
    mutant: &Mutant,
    own: &Path,
    tree: &Path,
    target: &Path,
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    run(
        "git apply",
        git(tree, &["apply", "--recount"]).arg(&mutant.patch),
    )?;
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(program);
    build.args(["build", "--quiet", "-p", "frontdesk", "--bin", "frontdesk"]);
    build.current_dir(tree).env("CARGO_TARGET_DIR", target);
    let built = run(&format!("building {}", mutant.name), &mut build);
    run(
        "git checkout",
        &mut git(tree, &["checkout", "--quiet", "--", "."]),
    )?;
    built?;
    let (mut caught, mut also) = (BTreeSet::new(), BTreeSet::new());
    for seed in 1..=3 {
        for name in strike(mutant, own, &target.join("debug/frontdesk"), seed)? {
            if mutant.expect.contains(&name) {
                caught.insert(name);
            } else {
                also.insert(name);
            }
        }
        if !caught.is_empty() {
            break;
        }
    }
    Ok((caught.into_iter().collect(), also.into_iter().collect()))
}

/// Runs a mutant's scenario once; the invariants that were broken.
fn strike(
    mutant: &Mutant,
    own: &Path,
    program: &Path,
    seed: u64,
) -> anyhow::Result<BTreeSet<String>> {
    let seed = seed.to_string();
    let mut command = harness(own, program);
    command.args(["--quick", "--json", "--seed", &seed, "--seeds", "1"]);
    command.args(["--scenario", &mutant.scenario]);
    command.args(["--topology", &mutant.topology]);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report = text.lines().find_map(|line| {
        serde_json::from_str::<Value>(line)
            .ok()
            .filter(Value::is_object)
    });
    let Some(report) = report else {
        // The harness itself failed: that names no invariant, so it catches nothing.
        println!("{}: seed {seed} gave no report: {text}", mutant.name);
        return Ok(BTreeSet::new());
    };
    let verdicts = report["verdicts"].as_array().into_iter().flatten();
    let violations = verdicts.flat_map(|one| one["violations"].as_array().into_iter().flatten());
    let names = violations.filter_map(|one| one.as_str()?.split(':').next());
    Ok(names.map(str::to_owned).collect())
}
