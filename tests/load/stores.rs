//! Redis and PostgreSQL for the peer chain and for baselines: processes of their own that end with
//! the driver, with every flush on, as Frontdesk's have.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tests::process::free_address;

/// Longest wait for a start.
const PATIENCE: Duration = Duration::from_secs(60);

fn free_port() -> anyhow::Result<u16> {
    let address = free_address();
    let port = address.rsplit_once(':').context("no port")?.1;
    Ok(port.parse()?)
}

/// Waits until somebody listens.
fn listening(port: u16) -> anyhow::Result<()> {
    let since = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(
            since.elapsed() < PATIENCE,
            "nobody listens on port {port} after {PATIENCE:?}"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

/// A Redis whose answers wait for the disk; killed when dropped.
pub(crate) struct Redis {
    /// Where it listens.
    pub(crate) port: u16,
    child: Child,
}

impl Redis {
    /// Starts one that keeps its file in `folder`.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args(["--save", "", "--maxmemory-policy", "noeviction"])
            .args([
                "--auto-aof-rewrite-percentage",
                "0",
                "--loglevel",
                "warning",
            ])
            .arg("--dir")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server cannot be started; install it")?;
        let redis = Self { port, child };
        listening(port)?;
        Ok(redis)
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A PostgreSQL with its own data; killed when dropped.
pub(crate) struct Postgres {
    /// How it is reached.
    pub(crate) url: String,
    child: Child,
}

impl Postgres {
    /// Starts one that keeps its data in `folder`.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let data = folder.join("data");
        let made = as_somebody(&program("initdb")?, folder)?
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--pgdata"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "initdb failed: {made}");
        let child = as_somebody(&program("postgres")?, folder)?
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""])
            .args(["-c", "fsync=on", "-c", "full_page_writes=on"])
            .args(["-c", "synchronous_commit=on", "-c", "max_connections=120"])
            .args(["-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"])
            .args(["-c", "log_min_messages=fatal"])
            .stdin(Stdio::null())
            .spawn()?;
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let postgres = Self { url, child };
        listening(port)?;
        // It listens a moment before it takes connections.
        std::thread::park_timeout(Duration::from_millis(500));
        Ok(postgres)
    }

    /// Its first process; the others are its children.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is its fast way to stop; a killed one leaves shared memory behind.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let _ = self.child.wait();
    }
}

/// A program of PostgreSQL, on the PATH or where Debian puts it.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(
        (13..20)
            .rev()
            .map(|version| format!("/usr/lib/postgresql/{version}/bin").into()),
    );
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("{name} of PostgreSQL is missing; install postgresql"))
}

/// PostgreSQL refuses to run as root: as root it runs as the user `postgres`, who then owns `folder`.
fn as_somebody(program: &Path, folder: &Path) -> anyhow::Result<Command> {
    let user = Command::new("id").arg("-u").output()?;
    if user.stdout.trim_ascii() != b"0" {
        return Ok(Command::new(program));
    }
    let owned = Command::new("chown").arg("postgres").arg(folder).status()?;
    ensure!(
        owned.success(),
        "the user postgres is missing; install postgresql"
    );
    // It must be able to get there.
    for above in folder
        .ancestors()
        .skip(1)
        .filter(|above| above.starts_with(std::env::temp_dir()))
    {
        let mut mode = std::fs::metadata(above)?.permissions();
        mode.set_mode(mode.mode() | 0o011);
        let _ = std::fs::set_permissions(above, mode);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ])
        .arg(program);
    Ok(command)
}
