//! `cargo xtask cluster up` and `down`: the topology of `docker-compose.yml` as plain processes on this
//! machine, for people and for whatever wants to talk to it.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tests::cluster::{Cluster, ClusterOptions};
use tokio::signal::unix::{SignalKind, signal};

/// Longest wait for a cluster to come up or to go.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between looks at it.
const LOOK: Duration = Duration::from_millis(50);

/// The topology of docker-compose.yml as plain processes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask cluster", bin_name = "cargo xtask cluster")]
struct Cli {
    #[command(subcommand)]
    command: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Start stores and roles, wait until all are ready, say where they are.
    Up(Up),
    /// Stop the cluster that runs in the background.
    Down,
}

#[derive(Debug, Args)]
struct Up {
    /// Replicas of each role; the sandbox always has one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    replicas: u8,
    /// Stay in this terminal until Ctrl-C.
    #[arg(long)]
    foreground: bool,
    /// Folder for secrets and logs; a temporary one without it.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Leave out the demo tenant.
    #[arg(long)]
    no_seed: bool,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Word::Up(up) if up.foreground => stay(&up),
        Word::Up(_) => detach(),
        Word::Down => down(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a running cluster leaves beside its program: its process id, then what it says of itself.
fn state_file() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.with_file_name("cluster.state"))
}

/// The process id of the cluster that runs, if one does.
fn running(state: &Path) -> Option<Pid> {
    let text = fs::read_to_string(state).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.parse().ok()?)?;
    test_kill_process(pid).is_ok().then_some(pid)
}

/// Runs the cluster in this process until it is told to stop.
fn stay(up: &Up) -> anyhow::Result<()> {
    let state = state_file()?;
    if let Some(pid) = running(&state) {
        anyhow::bail!(
            "a cluster runs already (process {pid}); `cargo xtask cluster down` stops it"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // From now on Ctrl-C does not end the process before its children are gone.
    let mut asked = runtime.block_on(async {
        anyhow::Ok((
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ))
    })?;
    let options = ClusterOptions {
        folder: up.folder.clone(),
        seed: !up.no_seed,
        ..ClusterOptions::with_replicas(up.replicas.into())
    };
    let mut cluster = Cluster::start(&options);
    let words = describe(&cluster, !up.no_seed);
    fs::write(&state, format!("{}\n{words}", std::process::id()))?;
    println!("{words}");
    std::io::stdout().flush()?;
    runtime.block_on(async {
        tokio::select! {
            _ = asked.0.recv() => {}
            _ = asked.1.recv() => {}
        }
    });
    let ends = cluster.stop_all();
    let _ = fs::remove_file(&state);
    let unclean = ends.iter().filter(|(_, end)| !end.status.success());
    let unclean: Vec<&str> = unclean.map(|(name, _)| name.as_str()).collect();
    anyhow::ensure!(
        unclean.is_empty(),
        "did not stop cleanly: {}",
        unclean.join(", ")
    );
    println!("Stopped: {} processes, and the stores.", ends.len());
    Ok(())
}

/// Starts the same in the background and waits until it is up.
fn detach() -> anyhow::Result<()> {
    let state = state_file()?;
    if let Some(pid) = running(&state) {
        anyhow::bail!(
            "a cluster runs already (process {pid}); `cargo xtask cluster down` stops it"
        );
    }
    let _ = fs::remove_file(&state);
    let log = state.with_extension("log");
    let output = fs::File::create(&log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(std::env::args_os().skip(1))
        .arg("--foreground")
        .stdin(Stdio::null())
        .stderr(output.try_clone()?)
        .stdout(output)
        // Ctrl-C in this terminal later is not meant for it.
        .process_group(0);
    let mut child = command.spawn().context("the cluster cannot be started")?;
    let since = Instant::now();
    loop {
        if let Some((_, words)) = fs::read_to_string(&state)
            .ok()
            .as_deref()
            .and_then(|text| text.split_once('\n'))
        {
            println!("{words}\n`cargo xtask cluster down` stops it.");
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(&log).unwrap_or_default();
            anyhow::bail!("it did not come up ({status}):\n{said}");
        }
        anyhow::ensure!(
            since.elapsed() < PATIENCE,
            "it does not come up; see {}",
            log.display()
        );
        std::thread::park_timeout(LOOK);
    }
}

/// Stops the cluster in the background and waits until it is gone.
fn down() -> anyhow::Result<()> {
    let state = state_file()?;
    let Some(pid) = running(&state) else {
        let _ = fs::remove_file(&state);
        println!("No cluster runs.");
        return Ok(());
    };
    kill_process(pid, Signal::TERM).context("the cluster cannot be told to stop")?;
    let since = Instant::now();
    while test_kill_process(pid).is_ok() {
        anyhow::ensure!(since.elapsed() < PATIENCE, "process {pid} does not stop");
        std::thread::park_timeout(LOOK);
    }
    println!("Stopped.");
    Ok(())
}

/// What a person wants to know.
fn describe(cluster: &Cluster, seeded: bool) -> String {
    let mut words = String::from("Frontdesk is running as a cluster.\n\n");
    for node in cluster.nodes() {
        let http = node
            .http()
            .map(|http| format!("  HTTP {http}"))
            .unwrap_or_default();
        let line = format!(
            "  {:<16} gRPC {}  admin {}{http}\n",
            node.name(),
            node.grpc(),
            node.admin()
        );
        words.push_str(&line);
    }
    let more = format!(
        "\n  PostgreSQL       {}\n  Redis            {}\n  Webhooks         {}\n  Logs             {}\n\n  export FRONTDESK_SERVER={}\n",
        cluster.postgres_url(),
        cluster.redis_url(),
        cluster.webhooks(),
        cluster.folder().join("logs").display(),
        cluster.server(),
    );
    words.push_str(&more);
    if seeded {
        let printed = cluster.seed(&["--tokens"]);
        let token = |user: &str| {
            let mut lines = printed.lines().filter_map(|line| line.split_once("  "));
            let found = lines.find(|(name, _)| *name == user);
            found.map_or("", |(_, token)| token.trim()).to_owned()
        };
        let terminals = format!(
            "\nThe demo tenant is there. In two terminals, each after the line above:\n\n  \
             FRONTDESK_TOKEN={} frontdesk chat\n  \
             FRONTDESK_TOKEN={} frontdesk agent\n",
            token("admin"),
            token("ana"),
        );
        words.push_str(&terminals);
    }
    words
}
