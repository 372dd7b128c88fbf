//! One Redis or Valkey server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use rustix::process::Signal;
use tempfile::TempDir;

use super::ports::free_port;
use super::process::{Process, find_program};

/// Which program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedisProgram {
    /// `redis-server`.
    #[default]
    Redis,
    /// `valkey-server`.
    Valkey,
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Which program.
    pub program: RedisProgram,
    /// `always`, `everysec` or `no`. Default `always`.
    pub appendfsync: &'static str,
    /// More options, as on the command line: `--maxmemory 20mb`.
    pub arguments: Vec<String>,
    /// Environment of the process.
    pub environment: Vec<(String, String)>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            program: RedisProgram::default(),
            appendfsync: "always",
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }
}

impl RedisOptions {
    /// The same with more options, as on the command line.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Valkey with the defaults.
    pub fn valkey() -> Self {
        Self {
            program: RedisProgram::Valkey,
            ..Self::default()
        }
    }
}

/// A server with a folder and a port of its own. Dropped, it is killed and its data is gone.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    options: RedisOptions,
    process: Option<Process>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(options: RedisOptions) -> Self {
        let folder = tempfile::Builder::new().prefix("fd-redis-").tempdir();
        let mut server = Self {
            port: free_port(),
            options,
            process: None,
            folder: folder.expect("a temporary folder"),
        };
        server.start_again().await;
        server
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its data is.
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

    /// Whether it runs: not killed, or started again since.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Kills it as a crash would. Its data stays as it is.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Kills it if it runs, and starts it on the same data and port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// [`RedisServer::restart`] with other options.
    pub async fn restart_with(&mut self, options: RedisOptions) {
        self.options = options;
        self.restart().await;
    }

    /// Stops it in the middle of what it does (SIGSTOP): connections stay open and nothing
    /// answers.
    pub fn pause(&self) {
        self.process().signal(Signal::STOP);
    }

    /// Lets it go on after [`RedisServer::pause`].
    pub fn resume(&self) {
        self.process().signal(Signal::CONT);
    }

    /// A connection for the test itself, without a password.
    ///
    /// # Panics
    /// When it cannot be had.
    pub async fn connect(&self) -> MultiplexedConnection {
        connect(&self.url()).await.expect("the server runs")
    }

    async fn start_again(&mut self) {
        let log = self.folder.path().join("log");
        let mut process = Process::start(self.command(), &log);
        let url = self.url();
        let answers = async || match connect(&url).await {
            Ok(mut connection) => {
                let pong = redis::cmd("PING").exec_async(&mut connection).await;
                pong.map_or_else(|error| wants_password(&error), |()| true)
            }
            Err(error) => wants_password(&error),
        };
        let ready = process.wait_until(answers).await;
        assert!(ready, "redis ended at its start: {}", process.log());
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let name = match self.options.program {
            RedisProgram::Redis => "redis-server",
            RedisProgram::Valkey => "valkey-server",
        };
        let mut command = Command::new(find_program(name, &[]));
        let folder = self.folder.path();
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", self.options.appendfsync]);
        command.args(["--port", &self.port.to_string()]);
        command.arg("--dir").arg(folder);
        command.arg("--unixsocket").arg(self.socket());
        command.args(&self.options.arguments);
        let environment = self.options.environment.iter();
        command.envs(environment.map(|(name, value)| (name, value)));
        command.current_dir(folder);
        command
    }
}

/// A server that asks for a password is up.
fn wants_password(error: &redis::RedisError) -> bool {
    matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(20)));
    let client = Client::open(url)?;
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}
