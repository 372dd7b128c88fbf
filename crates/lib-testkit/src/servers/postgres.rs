//! A PostgreSQL server. Making a data folder takes seconds, so it is made once for each version and
//! copied.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::net::UnixStream;

use super::ports::free_port;
use super::process::{Process, find_program};

/// Where Linux packages put the programs, which are not on the PATH.
const FOLDERS: [&str; 5] = [
    "/usr/lib/postgresql/18/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/14/bin",
];

/// How a server is started.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Whether commits are flushed to disk. Default true.
    pub fsync: bool,
    /// More options: `max_connections=20`.
    pub settings: Vec<String>,
    /// Environment of the process.
    pub environment: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            fsync: true,
            settings: Vec::new(),
            environment: Vec::new(),
        }
    }
}

/// Who runs the server: it refuses the superuser.
#[derive(Clone, Copy, Debug)]
struct Account {
    uid: u32,
    gid: u32,
}

/// A server with a folder and a port of its own. Dropped, it is killed and its data is gone.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    options: PostgresOptions,
    account: Option<Account>,
    databases: AtomicU32,
    process: Option<Process>,
    folder: TempDir,
}

impl PostgresServer {
    /// Starts one with the defaults and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::start_with(PostgresOptions::default()).await
    }

    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(options: PostgresOptions) -> Self {
        let account = account();
        let template = template(account);
        let folder = tempfile::Builder::new().prefix("fd-postgres-").tempdir();
        let folder = folder.expect("a temporary folder");
        give(folder.path(), account);
        let mut copy = unprivileged("cp", account);
        copy.args(["-a", "--reflink=auto"]).arg(template);
        run("cp", copy.arg(folder.path().join("data")));
        let mut server = Self {
            port: free_port(),
            options,
            account,
            databases: AtomicU32::new(0),
            process: None,
            folder,
        };
        server.start_again().await;
        server
    }

    /// The URL of the database `name`, over TCP.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://frontdesk@127.0.0.1:{}/{name}", self.port)
    }

    /// A new, empty database; returns its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn create_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        let admin = PgConnection::connect(&self.url("postgres")).await;
        let mut admin = admin.expect("the server runs");
        let made = sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut admin)
            .await;
        made.expect("a database can be made");
        self.url(&name)
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its data is, in `data`, and its Unix socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    /// Kills it as a crash would. Its data stays as it is.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it in good order, without waiting for its clients.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::INT).await;
        }
    }

    /// Kills it if it runs, and starts it on the same data and port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// [`PostgresServer::restart`] with other options.
    pub async fn restart_with(&mut self, options: PostgresOptions) {
        self.options = options;
        self.restart().await;
    }

    async fn start_again(&mut self) {
        let log = self.folder.path().join("log");
        let socket = self.folder.path().join(format!(".s.PGSQL.{}", self.port));
        // What a killed server left behind is held to be its own only while that process lives.
        let _ = fs::remove_file(&socket);
        let mut process = Process::start(self.command(), &log);
        let url = self.url("postgres");
        let answers = async || {
            UnixStream::connect(&socket).await.is_ok() && PgConnection::connect(&url).await.is_ok()
        };
        let ready = process.wait_until(answers).await;
        assert!(ready, "postgres ended at its start: {}", process.log());
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let mut command = unprivileged(find_program("postgres", &FOLDERS), self.account);
        let folder = self.folder.path();
        command.arg("-D").arg(folder.join("data"));
        command.args(["-p", &self.port.to_string()]);
        let fsync = if self.options.fsync { "on" } else { "off" };
        let own = [
            format!("unix_socket_directories={}", folder.display()),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("fsync={fsync}"),
            "shared_buffers=32MB".to_owned(),
            "max_connections=200".to_owned(),
        ];
        for setting in own.iter().chain(&self.options.settings) {
            command.args(["-c", setting]);
        }
        let environment = self.options.environment.iter();
        command.envs(environment.map(|(name, value)| (name, value)));
        command
    }
}

/// A data folder to copy: made once for each version and account.
fn template(account: Option<Account>) -> PathBuf {
    let program = find_program("initdb", &FOLDERS);
    let version = run("initdb", Command::new(&program).arg("--version"));
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version: String = version
        .chars()
        .filter(|letter| letter.is_ascii_digit() || *letter == '.')
        .collect();
    let uid = account.map_or_else(|| rustix::process::getuid().as_raw(), |account| account.uid);
    // Not in the target folder: the server's account may not be able to reach it.
    let templates = std::env::temp_dir().join(format!("fd-postgres-template-{version}-{uid}"));
    let ready = templates.join("data");
    if ready.is_dir() {
        return ready;
    }
    fs::create_dir_all(&templates).expect("a temporary folder");
    give(&templates, account);
    let making = tempfile::tempdir_in(&templates).expect("a temporary folder");
    give(making.path(), account);
    let made = making.path().join("data");
    let mut initdb = unprivileged(&program, account);
    initdb.args(["--username", "frontdesk", "--auth", "trust", "--no-sync"]);
    initdb.args(["--encoding", "UTF8", "--locale", "C", "--pgdata"]);
    run("initdb", initdb.arg(&made));
    // Another process may have been faster; its folder is as good.
    let _ = fs::rename(&made, &ready);
    assert!(ready.is_dir(), "initdb made no data folder");
    ready
}

/// The account for the server, when this process has too much power.
fn account() -> Option<Account> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").expect("this system has accounts");
    let find = |name: &str| {
        let line = accounts
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Account {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    };
    let found = find("postgres").or_else(|| find("nobody"));
    Some(found.expect("PostgreSQL refuses root, and there is no account `postgres` or `nobody`"))
}

fn unprivileged(program: impl AsRef<std::ffi::OsStr>, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
}

fn give(folder: &Path, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        chown(folder, Some(uid), Some(gid)).expect("root may give folders away");
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("it is ours");
}

fn run(name: &str, command: &mut Command) -> Output {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed: {problem}");
    output
}
