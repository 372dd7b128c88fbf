//! Committed rows in a PostgreSQL whose power goes.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lib_testkit::servers::{find_program, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Disk, Found};

/// Writers at once, and how long they write.
const WRITERS: u64 = 4;
const WRITING: Duration = Duration::from_millis(2_500);
/// Longest wait for one answer, and for killed processes to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes with `fsync` so, takes the power away, and counts what is gone.
///
/// # Errors
/// When PostgreSQL cannot be started or does not answer.
pub async fn run(folder: &Path, fsync: &str) -> anyhow::Result<Found> {
    let data = folder.join("data");
    std::fs::create_dir_all(folder)?;
    open_to_all(folder)?;
    let disk = Disk::build(folder, false);
    disk.open_to_all();
    let made = user("initdb")
        .args(["-U", "survive", "--auth=trust", "-N", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status()
        .context("`initdb` is needed for the loss of power")?;
    ensure!(made.success(), "initdb failed");
    let port = free_port().to_string();
    let mut server = start(&data, &port, fsync, &disk)?;
    let mut client = connect(&port).await?;
    client
        .query("CREATE TABLE log (writer bigint, number bigint)")
        .await?;
    let until = Instant::now() + WRITING;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(port.clone(), writer, until + Duration::from_secs(5))))
        .collect();
    tokio::time::sleep(WRITING).await;
    kill(&mut server, &data)?;
    let mut confirmed: Vec<Vec<Instant>> = Vec::new();
    for writer in writers {
        confirmed.push(writer.await?);
    }
    disk.lose_power(std::slice::from_ref(&data));
    let mut server = start(&data, &port, fsync, &disk)?;
    let mut gone: Vec<Instant> = Vec::new();
    // It may have lost so much that it does not even start: then all of it is gone.
    let mut client = connect(&port).await.ok();
    for (writer, confirmed) in confirmed.iter().enumerate() {
        let sql = format!("SELECT count(*) FROM log WHERE writer = {writer}");
        let kept = match &mut client {
            Some(client) => client.query(&sql).await.unwrap_or(0),
            None => 0,
        };
        gone.extend(confirmed.iter().skip(usize::try_from(kept)?));
    }
    kill(&mut server, &data)?;
    let span = match (gone.iter().min(), gone.iter().max()) {
        (Some(first), Some(last)) => last.duration_since(*first),
        _ => Duration::ZERO,
    };
    Ok(Found {
        confirmed: confirmed.iter().map(Vec::len).sum::<usize>() as u64,
        lost: gone.len() as u64,
        span_millis: u64::try_from(span.as_millis())?,
    })
}

/// Where Linux packages put PostgreSQL's programs, which are not on the PATH; the newest first.
fn packaged() -> Vec<String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter();
    let names = versions.flatten().flatten().map(|entry| entry.file_name());
    let mut versions: Vec<u32> = names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    let folder = |version| format!("/usr/lib/postgresql/{version}/bin");
    versions.into_iter().rev().map(folder).collect()
}

/// PostgreSQL refuses to run as root: then it runs as the user `postgres` or `nobody`.
fn user(name: &str) -> Command {
    let packaged = packaged();
    let folders: Vec<&str> = packaged.iter().map(String::as_str).collect();
    let program = find_program(name, &folders);
    let uid = std::fs::metadata("/proc/self").map_or(0, |about| about.uid());
    if uid != 0 {
        return Command::new(program);
    }
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = if known.contains("\npostgres:") {
        "postgres"
    } else {
        "nobody"
    };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", name, "--clear-groups", "--"]);
    command.arg(program);
    command
}

fn open_to_all(folder: &Path) -> anyhow::Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))?;
    Ok(())
}

fn start(data: &Path, port: &str, fsync: &str, disk: &Disk) -> anyhow::Result<Child> {
    let mut command = user("postgres");
    command
        .args(["-p", port, "-D"])
        .arg(data)
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ])
        .args(["-c", &format!("fsync={fsync}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    disk.lend_to(&mut command);
    command
        .spawn()
        .context("`postgres` is needed for the loss of power")
}

/// Kills the server and each of its processes, as a loss of power does.
fn kill(server: &mut Child, data: &Path) -> anyhow::Result<()> {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.id()))?;
    server.kill()?;
    for child in children.split_whitespace() {
        // One may have ended by itself.
        let _ = Command::new("kill")
            .args(["-KILL", child])
            .stderr(Stdio::null())
            .status();
    }
    server.wait()?;
    let since = Instant::now();
    for child in children.split_whitespace() {
        while Path::new(&format!("/proc/{child}/exe")).exists() {
            ensure!(
                since.elapsed() < PATIENCE,
                "process {child} of a killed PostgreSQL is still there"
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    let _ = std::fs::remove_file(data.join("postmaster.pid"));
    Ok(())
}

/// As much of PostgreSQL's protocol as three plain statements need.
struct Client(TcpStream);

async fn connect(port: &str) -> anyhow::Result<Client> {
    for _ in 0..300 {
        if let Ok(socket) = TcpStream::connect(format!("127.0.0.1:{port}")).await {
            let mut client = Client(socket);
            let mut hello = vec![0, 3, 0, 0];
            hello.extend_from_slice(b"user\0survive\0database\0postgres\0\0");
            let length = u32::try_from(hello.len() + 4)?;
            let mut all = length.to_be_bytes().to_vec();
            all.extend_from_slice(&hello);
            client.0.write_all(&all).await?;
            if client.answer().await.is_ok() {
                return Ok(client);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("PostgreSQL on port {port} does not answer")
}

impl Client {
    /// The number in the first column of the last row, or 0.
    async fn query(&mut self, sql: &str) -> anyhow::Result<u64> {
        let length = u32::try_from(sql.len() + 5)?;
        let mut message = vec![b'Q'];
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(sql.as_bytes());
        message.push(0);
        self.0.write_all(&message).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<u64> {
        let answer = tokio::time::timeout(PATIENCE, self.read_answer()).await;
        answer.context("PostgreSQL has taken a statement and does not answer")?
    }

    async fn read_answer(&mut self) -> anyhow::Result<u64> {
        let mut number = 0;
        loop {
            let kind = self.0.read_u8().await?;
            let length = self.0.read_u32().await?;
            let mut body = vec![0; usize::try_from(length)? - 4];
            self.0.read_exact(&mut body).await?;
            match kind {
                b'Z' => return Ok(number),
                b'E' => anyhow::bail!("{}", String::from_utf8_lossy(&body).replace('\0', " ")),
                // One column: count, length, text.
                b'D' if body.len() > 6 => {
                    number = String::from_utf8_lossy(&body[6..]).parse().unwrap_or(0);
                }
                _ => {}
            }
        }
    }
}

/// The moments at which rows were committed.
async fn write(port: String, writer: u64, until: Instant) -> Vec<Instant> {
    let mut confirmed = Vec::new();
    let Ok(mut client) = connect(&port).await else {
        return confirmed;
    };
    let mut number = 0;
    while Instant::now() < until {
        let insert = format!("INSERT INTO log VALUES ({writer}, {number})");
        if client.query(&insert).await.is_err() {
            break;
        }
        confirmed.push(Instant::now());
        number += 1;
    }
    confirmed
}
