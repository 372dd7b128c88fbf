//! A running `frontdesk`, as a process of its own on free ports. Everything here panics with a
//! sentence when it fails: it is for tests.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lib_platform::AuthorizedChannel;
use lib_platform::channel::connect;
use lib_testkit::servers::free_port;

/// Longest wait for a start or an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test: `FRONTDESK_BIN`, or what cargo built beside this test.
///
/// # Panics
/// When it is in neither place.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("FRONTDESK_BIN") {
        return path.into();
    }
    let this = std::env::current_exe().expect("a running program has a path");
    let folder = this
        .ancestors()
        .find(|folder| folder.join("frontdesk").is_file());
    let path = folder.unwrap_or(&this).join("frontdesk");
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace`",
        path.display()
    );
    path
}

/// An address of this machine that nobody listens on, also for a process that goes away and comes
/// back.
///
/// # Panics
/// When no port is free.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// Where a process listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Webhooks.
    pub http: String,
    /// gRPC.
    pub grpc: String,
    /// The sandbox's Graph API.
    pub sandbox: String,
    /// Probes and metrics.
    pub admin: String,
}

impl Addresses {
    /// Four addresses nobody listens on.
    ///
    /// # Panics
    /// When the machine or the program does not do as told.
    pub fn free() -> Self {
        Self {
            http: free_address(),
            grpc: free_address(),
            sandbox: free_address(),
            admin: free_address(),
        }
    }

    /// A channel with a development credential.
    ///
    /// # Panics
    /// When the machine or the program does not do as told.
    pub fn channel(&self, user: &str) -> AuthorizedChannel {
        connect(&format!("http://{}", self.grpc), &format!("dev-{user}"))
            .expect("a development token is plain text")
    }

    /// Where webhooks go.
    pub fn webhooks(&self) -> String {
        format!("http://{}/webhooks/whatsapp", self.http)
    }
}

/// A running process; killed when dropped.
pub struct Frontdesk {
    /// Where it listens.
    pub at: Addresses,
    child: Child,
}

impl Frontdesk {
    /// Starts it and waits until it says that it runs.
    ///
    /// # Panics
    /// When the machine or the program does not do as told.
    pub fn start(data_dir: &Path, at: &Addresses, more: &[&str]) -> Self {
        Self::run(data_dir, at, more, Stdio::inherit())
    }

    /// The same with its log in `log_file`, which is made anew.
    ///
    /// # Panics
    /// When the machine or the program does not do as told.
    pub fn start_logged(data_dir: &Path, at: &Addresses, more: &[&str], log_file: &Path) -> Self {
        let log = std::fs::File::create(log_file).expect("the log file can be made");
        Self::run(data_dir, at, more, log.into())
    }

    fn run(data_dir: &Path, at: &Addresses, more: &[&str], log: Stdio) -> Self {
        let mut command = Command::new(program());
        command
            .args([
                "dev",
                "--http",
                &at.http,
                "--grpc",
                &at.grpc,
                "--sandbox",
                &at.sandbox,
                "--admin",
                &at.admin,
            ])
            .arg("--data-dir")
            .arg(data_dir)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output is ours"));
        let mut line = String::new();
        while !line.starts_with("Frontdesk is running") {
            line.clear();
            let read = output.read_line(&mut line).expect("its output is text");
            assert!(read > 0, "it ended before it ran: {:?}", child.wait());
        }
        // What it prints later must not block it.
        std::thread::spawn(move || output.read_to_string(&mut String::new()));
        Self {
            at: at.clone(),
            child,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When the machine or the program does not do as told.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, and waits.
    ///
    /// # Panics
    /// When the machine or the program does not do as told.
    pub fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let told = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill runs");
        assert!(told.success());
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "it did not stop");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Frontdesk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
