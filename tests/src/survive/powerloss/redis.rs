//! Acknowledged writes to a Redis whose power goes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Disk, Found};

/// Writers at once, and how long they write.
const WRITERS: usize = 4;
const WRITING: Duration = Duration::from_millis(2_500);
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes with `appendfsync` so, takes the power away, and counts what is gone.
///
/// # Errors
/// When Redis cannot be started or does not answer.
pub async fn run(folder: &Path, fsync: &str) -> anyhow::Result<Found> {
    std::fs::create_dir_all(folder.join("data"))?;
    let disk = Disk::build(folder, false);
    let address = crate::process::free_address();
    let mut server = start(folder, &address, fsync, &disk)?;
    wait(&address).await?;
    let until = Instant::now() + WRITING;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            tokio::spawn(write(
                address.clone(),
                writer,
                until + Duration::from_secs(5),
            ))
        })
        .collect();
    tokio::time::sleep(WRITING).await;
    server.kill()?;
    server.wait()?;
    let mut confirmed = Vec::new();
    for writer in writers {
        confirmed.extend(writer.await?);
    }
    disk.lose_power(&[folder.join("data")]);
    let mut server = start(folder, &address, fsync, &disk)?;
    wait(&address).await?;
    let kept = ids(&address).await?;
    server.kill()?;
    server.wait()?;
    let gone = confirmed.iter().filter(|(_, id)| !kept.contains(id));
    let gone: Vec<Instant> = gone.map(|(at, _)| *at).collect();
    let span = match (gone.iter().min(), gone.iter().max()) {
        (Some(first), Some(last)) => last.duration_since(*first),
        _ => Duration::ZERO,
    };
    Ok(Found {
        confirmed: confirmed.len() as u64,
        lost: gone.len() as u64,
        span_millis: u64::try_from(span.as_millis())?,
    })
}

fn start(folder: &Path, address: &str, fsync: &str, disk: &Disk) -> anyhow::Result<Child> {
    let port = address.rsplit(':').next().unwrap_or_default();
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
        ])
        .args(["--appendfsync", fsync, "--dir"])
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    disk.lend_to(&mut command);
    command
        .spawn()
        .context("`redis-server` is needed for the loss of power")
}

async fn wait(address: &str) -> anyhow::Result<()> {
    for _ in 0..500 {
        if let Ok(answer) = ask(address, "PING\r\n").await
            && answer.starts_with(b"+PONG")
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("Redis at {address} does not answer")
}

async fn ask(address: &str, command: &str) -> anyhow::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(command.as_bytes()).await?;
    let mut answer = vec![0; 256];
    let read = tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await;
    let read = read.context("Redis has taken a command and does not answer")??;
    answer.truncate(read);
    Ok(answer)
}

/// The ids of all entries there are.
async fn ids(address: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut socket = BufReader::new(TcpStream::connect(address).await?);
    socket.write_all(b"XRANGE log - +\r\n").await?;
    let mut line = String::new();
    socket.read_line(&mut line).await?;
    ensure!(line.starts_with('*'), "XRANGE was answered {line}");
    let entries: usize = line[1..].trim().parse()?;
    // Each: `*2`, `$15`, the id, `*4`, and four texts of two lines.
    for _ in 0..entries {
        for part in 0..12 {
            line.clear();
            socket.read_line(&mut line).await?;
            if part == 2 {
                found.insert(line.trim().to_owned());
            }
        }
    }
    Ok(found)
}

/// When each write was confirmed, with its id.
async fn write(address: String, writer: usize, until: Instant) -> Vec<(Instant, String)> {
    let mut confirmed = Vec::new();
    let Ok(mut socket) = TcpStream::connect(&address).await else {
        return confirmed;
    };
    let value = "x".repeat(700);
    let mut answer = [0; 256];
    while Instant::now() < until {
        let command = format!("XADD log * w {writer} v {value}\r\n");
        if socket.write_all(command.as_bytes()).await.is_err() {
            break;
        }
        match tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await {
            Ok(Ok(read)) if read > 0 && answer[0] == b'$' => {
                let text = String::from_utf8_lossy(&answer[..read]).into_owned();
                let id = text.lines().nth(1).unwrap_or_default().to_owned();
                confirmed.push((Instant::now(), id));
            }
            _ => break,
        }
    }
    confirmed
}
