//! The survival harness behind `cargo xtask survive`: runs scenarios one after another, prints a
//! line for each, keeps histories of those that failed, and writes the report.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use tests::survive::mutants;
use tests::survive::report::Report;
use tests::survive::run::{Topology, Verdict};
use tests::survive::scenarios::{ALL, PROOFS, Plan, Proof, Scenario, proofs};

/// Longest that one run may take, many times what any of them needs: a run that hangs ends the session
/// with its name.
const RUN_WITHIN: Duration = Duration::from_secs(1_800);

/// Strikes a whole installation and checks what it promises.
#[derive(Debug, Parser)]
struct Args {
    /// The short form: minutes, one seed.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// The long form: under an hour.
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
    /// Leave out the losses of power of Redis and PostgreSQL alone.
    #[arg(long)]
    no_proofs: bool,
    /// Keep what is done in this file and go on from it: a session in several sittings. Only runs of
    /// the same commit are taken over.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Write the report to this file.
    #[arg(long)]
    report: Option<PathBuf>,
    /// What became of mutants, as JSON, for the report.
    #[arg(long)]
    mutants: Option<PathBuf>,
    /// Only print the mutants there are, as a JSON array.
    #[arg(long)]
    list_mutants: bool,
    /// The commit the program under test was built from, when it is not the tree's, as
    /// `git describe --always --dirty --abbrev=12 --exclude '*'` writes it.
    #[arg(long)]
    commit: Option<String>,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
    /// Keep all histories and logs under this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run_all() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("survive: promises were broken, or a run proves nothing: see above");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("survive: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_all() -> anyhow::Result<bool> {
    let args = Args::parse();
    if args.list_mutants {
        let patches = mutants::patches(Path::new("."))?;
        println!("{}", serde_json::to_string(&patches)?);
        return Ok(true);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(4)
        .build()?;
    let good = runtime.block_on(session(&args))?;
    runtime.shutdown_background();
    Ok(good)
}

async fn session(args: &Args) -> anyhow::Result<bool> {
    let temporary = tempfile::Builder::new()
        .prefix("frontdesk-survive-")
        .tempdir()?;
    let folder = args
        .keep
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let runs = runs(args);
    let proofs_too = match args.scenario.as_slice() {
        [] => !args.no_proofs,
        named => named.iter().any(|name| name == PROOFS),
    };
    anyhow::ensure!(
        !runs.is_empty() || proofs_too,
        "there is no such scenario; there are: {}",
        names()
    );
    let mut report = begin(args)?;
    tell_of_mutants(args, &mut report)?;
    strike(args, &folder, &runs, &mut report).await?;
    if proofs_too && report.proofs.is_empty() {
        report.proofs = prove(args, &folder).await?;
    }
    save(args, &report)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    println!(
        "{} runs, {} broken promises, {} faults",
        report.verdicts.len(),
        report.violations(),
        report
            .verdicts
            .iter()
            .map(|verdict| verdict.counts.faults.0)
            .sum::<usize>(),
    );
    Ok(report.is_good())
}

/// What became of each mutant at this commit. The whole long form proves little without them.
fn tell_of_mutants(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let results = match &args.mutants {
        Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
        None => Vec::new(),
    };
    let patches = mutants::patches(Path::new("."))?;
    report.mutants = mutants::at_commit(&patches, &results, &report.commit);
    report.whole = args.full && args.scenario.is_empty() && args.topology.is_none();
    let untried = report.untried();
    if report.whole && !untried.is_empty() {
        eprintln!(
            "survive: not tried at {}, so this run cannot pass: {}; run `cargo xtask survive \
             --mutants` first",
            report.commit,
            untried.join(", ")
        );
    }
    Ok(())
}

/// All runs that are not in the report yet.
async fn strike(
    args: &Args,
    folder: &Path,
    runs: &[(&'static Scenario, Topology)],
    report: &mut Report,
) -> anyhow::Result<()> {
    for seed in args.seed..args.seed + args.seeds {
        for (scenario, topology) in runs {
            if report.has(scenario.name, *topology, seed) {
                continue;
            }
            let plan = Plan {
                seed,
                quick: !args.full || !is_long(scenario, *topology),
                topology: *topology,
                folder: folder.join(format!("{}-{topology:?}-{seed}", scenario.name)),
            };
            let (kept, size) = (plan.folder.clone(), plan.pick("quick", "full"));
            let mut verdict = run(scenario, plan).await?;
            size.clone_into(&mut verdict.size);
            if verdict.violations.is_empty() && verdict.void.is_none() && args.keep.is_none() {
                let _ = std::fs::remove_dir_all(kept);
            } else {
                keep(&kept, &verdict);
            }
            report.verdicts.push(verdict);
            save(args, report)?;
        }
    }
    Ok(())
}

/// Losses of power on each store alone.
async fn prove(args: &Args, folder: &Path) -> anyhow::Result<Vec<Proof>> {
    let plan = Plan {
        seed: args.seed,
        quick: !args.full,
        topology: Topology::AllInOne,
        folder: folder.join("proofs"),
    };
    let tell = |proof: &Proof| {
        let word = if proof.holds { "ok" } else { "FAIL" };
        println!(
            "{word:<5} {}: {} of {} lost, wanted {}",
            proof.what, proof.lost, proof.confirmed, proof.wanted
        );
    };
    proofs(&plan, tell).await
}

/// What was done before, or nothing.
fn begin(args: &Args) -> anyhow::Result<Report> {
    let commit = commit();
    let fresh = Report {
        commit: args.commit.clone().unwrap_or(commit),
        date: lib_platform::Clock::system().now().to_string()[..16].replace('T', " "),
        machine: machine(),
        form: if args.full { "full" } else { "quick" }.to_owned(),
        ..Report::default()
    };
    let Some(path) = args.state.as_ref().filter(|path| path.is_file()) else {
        return Ok(fresh);
    };
    let before: Report = serde_json::from_slice(&std::fs::read(path)?)?;
    if before.commit != fresh.commit || before.form != fresh.form {
        return Ok(fresh);
    }
    let mut before = Report {
        date: fresh.date,
        ..before
    };
    // A run that proves nothing is made again; one that broke a promise stays in the report.
    before.verdicts.retain(|verdict| verdict.void.is_none());
    Ok(before)
}

fn save(args: &Args, report: &Report) -> anyhow::Result<()> {
    if let Some(path) = &args.state {
        std::fs::write(path, serde_json::to_string(report)?)?;
    }
    if let Some(path) = &args.report {
        std::fs::write(path, report.text())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Whether the full run takes a scenario's long form. Each start of a replicated part takes
/// seconds, so only what is about that installation is long there.
fn is_long(scenario: &Scenario, topology: Topology) -> bool {
    let about_it = [
        "kills",
        "points",
        "desks-killed",
        "servers",
        "servers-power",
    ];
    topology == Topology::AllInOne || about_it.contains(&scenario.name)
}

/// What is run: the named scenarios wherever they can, or all of the form asked for.
fn runs(args: &Args) -> Vec<(&'static Scenario, Topology)> {
    let mut runs = Vec::new();
    for scenario in &ALL {
        let named = args.scenario.iter().any(|name| name == scenario.name);
        let topologies = match (args.scenario.is_empty(), named) {
            (true, _) if args.full => scenario.full,
            (true, _) => scenario.quick,
            (false, true) => scenario.full,
            (false, false) => continue,
        };
        for topology in topologies {
            let name = match topology {
                Topology::AllInOne => "all-in-one",
                Topology::Replicated => "replicated",
            };
            if args.topology.as_ref().is_none_or(|wanted| wanted == name) {
                runs.push((scenario, *topology));
            }
        }
    }
    runs
}

async fn run(scenario: &Scenario, plan: Plan) -> anyhow::Result<Verdict> {
    let (seed, began) = (plan.seed, Instant::now());
    let place = if plan.topology == Topology::AllInOne {
        ""
    } else {
        " x2"
    };
    let name = format!("{}{place}", scenario.name);
    let verdict = tokio::time::timeout(RUN_WITHIN, (scenario.run)(plan)).await;
    let verdict = verdict
        .with_context(|| format!("{name}, seed {seed}: no end in {} s", RUN_WITHIN.as_secs()))?
        .with_context(|| format!("{name}, seed {seed}"))?;
    let counts = &verdict.counts;
    let word = match (&verdict.void, verdict.violations.len()) {
        (Some(_), _) => "VOID",
        (None, 0) => "ok",
        _ => "FAIL",
    };
    println!(
        "{word:<5} {name:<17} seed {seed} {:>4.0} s: {} events, {} intents, {} in doubt, copies {}+{}, {} faults ({} hit), {} offers",
        began.elapsed().as_secs_f64(),
        counts.events,
        counts.intents,
        counts.ambiguous,
        counts.duplicates_allowed,
        counts.duplicates_forbidden,
        counts.faults.0,
        counts.faults.1,
        counts.offers.0,
    );
    for line in verdict
        .void
        .iter()
        .chain(verdict.violations.iter().take(12))
    {
        println!("      {line}");
    }
    Ok(verdict)
}

/// Moves a failed run's files where they survive this session.
fn keep(folder: &Path, verdict: &Verdict) {
    let to = std::env::temp_dir().join(format!(
        "frontdesk-survive-{}-{}",
        verdict.scenario, verdict.seed
    ));
    let _ = std::fs::remove_dir_all(&to);
    if std::fs::rename(folder, &to).is_ok() {
        println!("      history and logs: {}", to.display());
    }
}

fn names() -> String {
    let all = ALL.iter().map(|scenario| scenario.name);
    all.chain([PROOFS]).collect::<Vec<_>>().join(", ")
}

/// HEAD, and whether the tree differs from it; the report itself may.
fn commit() -> String {
    let head = output("git", &["rev-parse", "--short=12", "HEAD"]);
    let all = ["status", "--porcelain", "--untracked-files=no", "--", "."];
    let changed = output(
        "git",
        &[&all[..], &[":(exclude)docs/RELIABILITY.md"]].concat(),
    );
    let mark = if changed.is_empty() { "" } else { "-dirty" };
    format!("{head}{mark}")
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

fn machine() -> String {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores, {} GiB, {}",
        kib >> 20,
        output("uname", &["-sr"])
    )
}
