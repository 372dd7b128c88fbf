//! The peer chain as a system: its two processes on a Redis and a PostgreSQL of their own, which run
//! with the settings Frontdesk's run with.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use lib_testkit::servers::{PostgresServer, RedisServer, free_port};

use crate::stores::{postgres, redis};
use crate::turns::Target;

/// The secret its webhooks are signed with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The running chain.
pub(crate) struct Peer {
    port: String,
    // In the order they are to end in.
    http: Node,
    worker: Node,
    redis: RedisServer,
    postgres: PostgresServer,
}

impl Peer {
    /// Starts stores and processes. What `npm ci` installs must be there.
    pub(crate) async fn start(graph: &str) -> anyhow::Result<Self> {
        let redis = redis().await;
        let (postgres, url) = postgres().await;
        let port = free_port().to_string();
        let redis_port = redis.port().to_string();
        let worker = Node::start("worker.js", &[&url, &redis_port, graph])?;
        let http = Node::start("http.js", &[&port, &redis_port, SECRET])?;
        Ok(Self {
            port,
            http,
            worker,
            redis,
            postgres,
        })
    }

    /// Where its webhooks go.
    pub(crate) fn target(&self) -> Target {
        Target {
            webhooks: format!("127.0.0.1:{}", self.port),
            secret: SECRET.to_owned(),
            number: tests::webhook::NUMBER.to_owned(),
            waba: "200000000000001".to_owned(),
        }
    }

    /// What is measured.
    pub(crate) fn parts(&self) -> Vec<(String, Vec<u32>)> {
        vec![
            ("http".to_owned(), vec![self.http.child.id()]),
            ("worker".to_owned(), vec![self.worker.child.id()]),
            ("redis".to_owned(), vec![self.redis.process().id()]),
            ("postgres".to_owned(), vec![self.postgres.process().id()]),
        ]
    }

    /// Rows in its ledger.
    pub(crate) fn ledger(&mut self) -> anyhow::Result<u64> {
        self.worker.ask("ledger")
    }

    /// Webhooks that wait in its queue or are in its worker's hands.
    pub(crate) fn waiting(&mut self) -> anyhow::Result<u64> {
        self.worker.ask("waiting")
    }
}

/// A Node process; killed when dropped.
struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Node {
    fn start(script: &str, args: &[&str]) -> anyhow::Result<Self> {
        let folder = folder()?;
        let mut child = Command::new("node")
            .arg(folder.join(script))
            .args(args)
            .env("NODE_ENV", "production")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node (20 or newer) cannot be started; install it")?;
        let output = child.stdout.take().context("it has no output")?;
        let mut node = Self {
            input: child.stdin.take().context("it has no input")?,
            output: BufReader::new(output),
            child,
        };
        let ready = node.line()?;
        ensure!(ready == "ready", "{script} did not start: `{ready}`");
        Ok(node)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn ask(&mut self, what: &str) -> anyhow::Result<u64> {
        writeln!(self.input, "{what}")?;
        Ok(self.line()?.parse()?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the chain lies: beside this driver's source.
fn folder() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("load/peer");
    ensure!(
        folder.join("node_modules").is_dir(),
        "the peer chain is not installed: run `npm ci` in tests/load/peer, or `cargo xtask bench`"
    );
    Ok(folder)
}
