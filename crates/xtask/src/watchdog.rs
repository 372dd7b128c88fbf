//! Ends a command that does not end by itself, with everything it has started, and tells what ran then:
//! a hang must show where it is, and must not take CI's whole time.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// Watches over one process until it is dropped.
pub(crate) struct Watchdog {
    /// Dropped, it tells the thread that all went well.
    ended: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Gives the process `id`, started for `what`, so much time.
    pub(crate) fn over(id: u32, what: &str, limit: Duration) -> Self {
        let (ended, wait) = mpsc::channel();
        let what = what.to_owned();
        let thread = std::thread::spawn(move || {
            if wait.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!(
                    "{what}: did not end within {} s and is ended now. What ran:",
                    limit.as_secs_f64()
                );
                end_with_children(id);
            }
        });
        Self {
            ended: Some(ended),
            thread: Some(thread),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ended = None;
        if let Some(thread) = self.thread.take() {
            // It panics nowhere; if it did, the command has ended all the same.
            let _ = thread.join();
        }
    }
}

/// Runs a command and fails when it does, or when it takes longer than `limit`.
pub(crate) fn run_within(what: &str, command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let child = command.spawn();
    let mut child = child.with_context(|| format!("{what}: cannot start"))?;
    let _watchdog = Watchdog::over(child.id(), what, limit);
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "{what}: {status}");
    Ok(())
}

fn end_with_children(id: u32) {
    let tree = tree(id);
    for one in &tree {
        eprintln!("  {one}  {}", told(*one));
    }
    for one in tree {
        if let Some(pid) = i32::try_from(one).ok().and_then(Pid::from_raw) {
            // It may have ended with its parent.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A process and all that descend from it, parents first.
fn tree(id: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some((number, parent)) = number.and_then(|number| Some((number, parent(number)?))) {
            children.entry(parent).or_default().push(number);
        }
    }
    let mut tree = vec![id];
    let mut at = 0;
    while let Some(one) = tree.get(at) {
        let more = children.remove(one).unwrap_or_default();
        tree.extend(more);
        at += 1;
    }
    tree
}

fn parent(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// The command line of a process, its state, and what it waits for in the kernel.
fn told(id: u32) -> String {
    let read = |file: &str| std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
    let text = |file: &str| String::from_utf8_lossy(&read(file)).replace('\0', " ");
    let stat = text("stat");
    let state = stat
        .rsplit_once(") ")
        .map_or("gone", |(_, rest)| &rest[..1]);
    let line: String = text("cmdline").chars().take(160).collect();
    format!("{state} {} {line}", text("wchan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_ended_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        command.stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        let grandchild: u32 = line.trim().parse().unwrap();
        assert_eq!(tree(child.id()), [child.id(), grandchild]);
        let watchdog = Watchdog::over(child.id(), "a test", Duration::from_millis(1));
        assert!(!child.wait().unwrap().success());
        drop(watchdog);
        // Killed, it may wait for its new parent to notice.
        let since = std::time::Instant::now();
        while !["Z", "gone", "X"].contains(&told(grandchild).split(' ').next().unwrap()) {
            assert!(since.elapsed() < Duration::from_secs(60), "it lives on");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_ends_in_time_is_let_be() {
        let hour = Duration::from_secs(3_600);
        assert!(run_within("a test", &mut Command::new("true"), hour).is_ok());
        assert!(run_within("a test", &mut Command::new("false"), hour).is_err());
    }
}
