//! What is under test: an installation of one or many processes that can be killed, suspended and
//! started again, part by part. Everything is done to processes by their id and with plain signals.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use lib_platform::AuthorizedChannel;
use lib_platform::channel::connect;
use lib_storage::Storage;

use super::powerloss::Disk;
use crate::process::{Addresses, free_address, program};

/// Longest wait for a start, a stop or a signal's effect.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest a process may take to stop when asked (I36).
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How a part ended that was asked to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// It said that all went well.
    pub clean: bool,
    /// How long it took.
    pub took: Duration,
}

/// An installation.
pub trait Subject: Send {
    /// Its name in the report.
    fn name(&self) -> &'static str;
    /// The processes, by the names used below.
    fn parts(&self) -> Vec<String>;
    /// The parts that do the work of `role`, such as `egress`.
    fn parts_of(&self, role: &str) -> Vec<String>;
    /// Where webhooks go: `http://host:port`, one for each door.
    fn doors(&self) -> Vec<String>;
    /// `http://host:port` of a service's gRPC.
    fn service(&self, service: &str) -> String;
    /// Where each process shows its metrics.
    fn metrics(&self) -> Vec<String>;
    /// The credential of `admin`, `operator` or an agent.
    fn token(&self, who: &str) -> String;
    /// Starts a part that does not run, and waits until it does. `failpoints` as
    /// `lib_platform::failpoint` reads them.
    fn start(&mut self, part: &str, failpoints: &str);
    /// `kill -9`; returns when the process is gone.
    fn kill(&mut self, part: &str);
    /// `SIGSTOP`; returns when the process is seen to be suspended.
    fn pause(&mut self, part: &str);
    /// `SIGCONT`.
    fn resume(&mut self, part: &str);
    /// `SIGTERM`; returns when the process is gone.
    fn stop(&mut self, part: &str) -> Stopped;
    /// The process id of a part that runs.
    fn pid(&self, part: &str) -> Option<u32>;
    /// Whether the process has ended by itself; then it counts as gone.
    fn has_ended(&mut self, part: &str) -> bool;
    /// Every log written so far.
    fn logs(&self) -> Vec<PathBuf>;
    /// Where the conversation log is, to fold it again once everything has stopped.
    fn records(&self) -> Option<Storage>;
    /// PostgreSQL and Redis, where they are parts of it.
    fn stores(&self) -> Vec<String> {
        Vec::new()
    }
    /// Credentials that no log may hold.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
    /// Gives a new agent a credential under its name.
    fn learn_token(&mut self, who: &str, token: String);

    /// A channel to a service as somebody.
    ///
    /// # Panics
    /// When address or token cannot be used.
    fn channel(&self, service: &str, who: &str) -> AuthorizedChannel {
        connect(&self.service(service), &self.token(who)).expect("address and token are plain")
    }
}

/// Everything in one process on embedded storage.
pub struct AllInOne {
    at: Addresses,
    folder: PathBuf,
    graph_url: String,
    options: Vec<String>,
    tokens: BTreeMap<String, String>,
    child: Option<Child>,
    starts: usize,
    /// The disk that forgets what was not flushed, when one is simulated.
    disk: Option<Disk>,
    program: PathBuf,
}

impl AllInOne {
    /// An installation with its files under `folder`; nothing runs yet.
    pub fn new(folder: &Path, graph_url: &str, options: &[&str]) -> Self {
        Self {
            at: Addresses {
                http: free_address(),
                grpc: free_address(),
                sandbox: free_address(),
                admin: free_address(),
            },
            folder: folder.to_owned(),
            graph_url: graph_url.to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            tokens: BTreeMap::new(),
            child: None,
            starts: 0,
            disk: None,
            program: program(),
        }
    }

    /// From the next start on, its files lie on `disk`.
    pub fn on_disk(&mut self, disk: Disk) {
        self.disk = Some(disk);
    }

    fn command(&self, failpoints: &str, log: std::fs::File) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["dev", "--http", &self.at.http, "--grpc", &self.at.grpc])
            .args([
                "--sandbox",
                &self.at.sandbox,
                "--graph-url",
                &self.graph_url,
            ])
            .args(["--admin", &self.at.admin])
            .args(["--log", "info", "--data-dir"])
            .arg(self.folder.join("data"))
            .args(&self.options)
            .env(lib_platform::failpoint::VARIABLE, failpoints)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        if let Some(disk) = &self.disk {
            disk.lend_to(&mut command);
        }
        command
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("the part runs")
    }
}

impl Subject for AllInOne {
    fn name(&self) -> &'static str {
        super::run::Topology::AllInOne.title()
    }

    fn parts(&self) -> Vec<String> {
        vec!["frontdesk".to_owned()]
    }

    fn parts_of(&self, _role: &str) -> Vec<String> {
        self.parts()
    }

    fn doors(&self) -> Vec<String> {
        vec![format!("http://{}", self.at.http)]
    }

    fn service(&self, _service: &str) -> String {
        format!("http://{}", self.at.grpc)
    }

    fn metrics(&self) -> Vec<String> {
        vec![format!("http://{}/metrics", self.at.admin)]
    }

    fn token(&self, who: &str) -> String {
        let known = self.tokens.get(who).cloned();
        known.unwrap_or_else(|| format!("dev-{who}"))
    }

    fn start(&mut self, part: &str, failpoints: &str) {
        assert!(self.child.is_none(), "{part} runs already");
        self.starts += 1;
        let log = self.folder.join(format!("{part}.{}.log", self.starts));
        let log = std::fs::File::create(log).expect("the log file can be made");
        let mut child = self
            .command(failpoints, log)
            .spawn()
            .expect("the program starts");
        let output = child.stdout.take().expect("its output is ours");
        let runs = watch_for_banner(output);
        let since = Instant::now();
        loop {
            match runs.recv_timeout(Duration::from_millis(10)) {
                Ok(()) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    // A failpoint may strike while it starts.
                    let ended = child.wait();
                    assert!(!failpoints.is_empty(), "it ended before it ran: {ended:?}");
                    return;
                }
            }
            // Or suspend it before it says a word.
            if !failpoints.is_empty() && state_of(child.id()) == Some('T') {
                break;
            }
            assert!(since.elapsed() < PATIENCE, "{part} did not start");
        }
        self.child = Some(child);
    }

    fn kill(&mut self, _part: &str) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it ends");
        }
        if let Some(disk) = &self.disk {
            disk.lose_power(&[self.folder.join("data")]);
        }
    }

    fn pause(&mut self, _part: &str) {
        pause(self.child().id());
    }

    fn resume(&mut self, _part: &str) {
        signal(self.child().id(), "CONT");
    }

    fn stop(&mut self, _part: &str) -> Stopped {
        let mut child = self.child.take().expect("the part runs");
        stop(&mut child)
    }

    fn pid(&self, _part: &str) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn has_ended(&mut self, _part: &str) -> bool {
        let Some(child) = &mut self.child else {
            return true;
        };
        let ended = child.try_wait().expect("it is ours").is_some();
        if ended {
            self.child = None;
            if let Some(disk) = &self.disk {
                disk.lose_power(&[self.folder.join("data")]);
            }
        }
        ended
    }

    fn logs(&self) -> Vec<PathBuf> {
        (1..=self.starts)
            .map(|start| self.folder.join(format!("frontdesk.{start}.log")))
            .collect()
    }

    fn records(&self) -> Option<Storage> {
        let folder = self.folder.join("data");
        Some(Storage::Embedded { folder })
    }

    fn learn_token(&mut self, who: &str, token: String) {
        self.tokens.insert(who.to_owned(), token);
    }
}

impl Drop for AllInOne {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Hears once when a process says that it runs, and nothing when it ends before. What it prints later
/// is read too, so that it never blocks.
fn watch_for_banner(output: ChildStdout) -> mpsc::Receiver<()> {
    let (tell, runs) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.starts_with("Frontdesk is running") {
                // Nobody may listen any more.
                let _ = tell.send(());
            }
        }
    });
    runs
}

/// Sends a signal to one process.
///
/// # Panics
/// When `kill` cannot be run or refuses.
pub fn signal(pid: u32, name: &str) {
    let told = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(
        told.expect("kill runs").success(),
        "kill -{name} {pid} was refused"
    );
}

/// The state letter of a process, such as `T` for suspended.
pub fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Suspends a process and waits until it is.
///
/// # Panics
/// When it is not suspended in time: then the fault did not happen.
pub fn pause(pid: u32) {
    signal(pid, "STOP");
    let since = Instant::now();
    while state_of(pid) != Some('T') {
        assert!(since.elapsed() < PATIENCE, "{pid} was not suspended");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Asks a process to stop and waits for it.
///
/// # Panics
/// When it does not stop within a minute.
pub fn stop(child: &mut Child) -> Stopped {
    let since = Instant::now();
    signal(child.id(), "TERM");
    loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return Stopped {
                clean: status.success(),
                took: since.elapsed(),
            };
        }
        assert!(since.elapsed() < PATIENCE, "{} did not stop", child.id());
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Open file descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Resident memory of a process in KiB, now and at its peak.
pub fn memory(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    (field("VmRSS:").unwrap_or(0), field("VmHWM:").unwrap_or(0))
}
