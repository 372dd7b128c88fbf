//! One replica of one role: a process on ports of its own.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use lib_testkit::servers::Process;
use rustix::process::Signal;

use super::PATIENCE;
use crate::process::free_address;

/// Between looks at a process that starts or ends.
const LOOK: Duration = Duration::from_millis(10);
/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(2);

/// How a replica ended that was asked to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// What it ended with.
    pub status: ExitStatus,
    /// How long it took.
    pub took: Duration,
}

/// A replica, running or not.
#[derive(Debug)]
pub struct Node {
    role: &'static str,
    replica: usize,
    grpc: String,
    http: Option<String>,
    admin: String,
    log: PathBuf,
    settings: BTreeMap<String, String>,
    process: Option<Process>,
}

impl Node {
    pub(super) fn new(role: &'static str, replica: usize, folder: &Path) -> Self {
        let has_http = matches!(role, "ingress" | "sandbox");
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).expect("the folder of logs can be made");
        let log = logs.join(format!("{role}-{replica}.log"));
        // One of an earlier cluster in the same folder.
        let _ = std::fs::remove_file(&log);
        Self {
            role,
            replica,
            grpc: free_address(),
            http: has_http.then(free_address),
            admin: free_address(),
            log,
            settings: BTreeMap::new(),
            process: None,
        }
    }

    /// Its settings, but for what only it knows.
    pub(super) fn configure(&mut self, settings: BTreeMap<String, String>) {
        self.settings = settings;
        let mut own = vec![
            ("FRONTDESK_INSTANCE", self.name()),
            ("FRONTDESK_GRPC_LISTEN", self.grpc.clone()),
            ("FRONTDESK_GRPC_ADVERTISE", self.grpc()),
            ("FRONTDESK_ADMIN_LISTEN", self.admin.clone()),
        ];
        own.extend(
            self.http
                .clone()
                .map(|http| ("FRONTDESK_HTTP_LISTEN", http)),
        );
        let own = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        self.settings.extend(own);
    }

    /// Its role.
    pub fn role(&self) -> &'static str {
        self.role
    }

    /// Which replica, from 0.
    pub fn replica(&self) -> usize {
        self.replica
    }

    /// Role and replica, such as `egress-0`: also the name of the instance.
    pub fn name(&self) -> String {
        format!("{}-{}", self.role, self.replica)
    }

    pub(super) fn is(&self, role: &str, replica: usize) -> bool {
        self.role == role && self.replica == replica
    }

    /// `http://host:port` of its own gRPC.
    pub fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// `http://host:port` of its own webhooks or Graph API.
    pub fn http(&self) -> Option<String> {
        self.http.as_ref().map(|http| format!("http://{http}"))
    }

    /// `http://host:port` of its probes and metrics.
    pub fn admin(&self) -> String {
        format!("http://{}", self.admin)
    }

    pub(super) fn places(&self) -> (String, Option<String>, String) {
        (self.grpc.clone(), self.http.clone(), self.admin.clone())
    }

    /// Where its log is; starts go on in the same file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The settings it is started with.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    pub(super) fn start(&mut self, program: &Path, more: &[(&str, &str)]) {
        assert!(self.process.is_none(), "{} runs already", self.name());
        let mut command = Command::new(program);
        command
            .arg(self.role)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(&self.settings)
            .envs(more.iter().copied());
        self.process = Some(Process::start(command, &self.log));
    }

    pub(super) fn wait_ready(&mut self) {
        let since = Instant::now();
        while !self.is_ready() {
            let (ended, name) = (self.has_ended(), self.name());
            assert!(
                !ended,
                "{name} ended before it was ready:\n{}",
                self.end_of_log()
            );
            let patient = since.elapsed() < PATIENCE;
            assert!(patient, "{name} does not get ready:\n{}", self.end_of_log());
            std::thread::park_timeout(LOOK);
        }
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.get("/readyz")
            .is_ok_and(|text| text.starts_with("HTTP/1.1 200"))
    }

    /// What its admin port answers to a GET of `path`, head and all.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get(&self, path: &str) -> std::io::Result<String> {
        get(&self.admin, path)
    }

    /// The last lines of its log.
    pub fn end_of_log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    pub(super) fn stop(&mut self) -> Stopped {
        let since = Instant::now();
        self.ask_to_stop();
        self.wait_stopped(since)
    }

    pub(super) fn ask_to_stop(&self) {
        self.running().signal(Signal::TERM);
    }

    pub(super) fn wait_stopped(&mut self, since: Instant) -> Stopped {
        let name = self.name();
        let process = self.process.as_mut().expect("the replica runs");
        loop {
            if let Some(status) = process.ended() {
                self.process = None;
                let took = since.elapsed();
                return Stopped { status, took };
            }
            assert!(since.elapsed() < PATIENCE, "{name} does not stop");
            std::thread::park_timeout(LOOK);
        }
    }

    pub(super) fn pause(&self) {
        let process = self.running();
        process.signal(Signal::STOP);
        let since = Instant::now();
        while !is_suspended(process.id()) {
            assert!(since.elapsed() < PATIENCE, "{} runs on", self.name());
            std::thread::park_timeout(LOOK);
        }
    }

    pub(super) fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    pub(super) fn has_ended(&mut self) -> bool {
        let ended = self
            .process
            .as_mut()
            .is_none_or(|process| process.ended().is_some());
        if ended {
            self.process = None;
        }
        ended
    }

    fn running(&self) -> &Process {
        let process = self.process.as_ref();
        process.unwrap_or_else(|| panic!("{} does not run", self.name()))
    }
}

/// What `address` answers to a GET of `path`, head and all.
pub(super) fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PROBE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Whether the system has suspended a process.
fn is_suspended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which stands in parentheses and may hold anything.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    state == Some('T')
}
