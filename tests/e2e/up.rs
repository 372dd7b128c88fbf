//! `cargo xtask cluster up` and `down`: a person starts the topology, talks to it with the commands it
//! prints, and stops it; nothing is left running.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tests::process::program;

use crate::terminal::Terminal;

/// A process that cannot be mistaken for a later one of the same id: with when it started.
type Process = (i32, String);

/// The driver in a folder of its own, where it keeps what it knows of the cluster that runs: a
/// developer's own cluster is not disturbed.
struct Driver {
    program: PathBuf,
    /// What ran because of it, as far as it was seen.
    processes: BTreeSet<Process>,
    folder: TempDir,
}

impl Driver {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("cluster");
        std::fs::copy(env!("CARGO_BIN_EXE_cluster"), &program).unwrap();
        Self {
            program,
            processes: BTreeSet::new(),
            folder,
        }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(words).env("FRONTDESK_BIN", program());
        command.output().unwrap()
    }

    /// What runs this program, be it up already or not: the process that keeps the cluster.
    fn keepers(&self) -> Vec<i32> {
        let is_it = |id: &i32| {
            let program = std::fs::read_link(format!("/proc/{id}/exe"));
            program.is_ok_and(|program| program == self.program)
        };
        processes().filter(is_it).collect()
    }
}

impl Drop for Driver {
    /// After a failure too, nothing is left: what does not go when it is told to is killed.
    fn drop(&mut self) {
        let _ = Command::new(&self.program).arg("down").output();
        for keeper in self.keepers() {
            self.processes.extend(descendants(keeper));
        }
        for (id, _) in self.processes.iter().filter(|process| runs(process)) {
            // It may just have ended.
            let _ = Pid::from_raw(*id).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

/// The ids of all processes.
fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Parent and time of start of a process, unless it has ended.
fn stat(id: i32) -> Option<(i32, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let has_ended = matches!(fields[0], "Z" | "X");
    (!has_ended).then(|| (fields[1].parse().unwrap(), fields[19].to_owned()))
}

/// Whether it still runs.
fn runs((id, started): &Process) -> bool {
    stat(*id).is_some_and(|(_, now)| now == *started)
}

/// A process and all that it, and what it started, has started.
fn descendants(root: i32) -> BTreeSet<Process> {
    let all: Vec<(i32, (i32, String))> =
        processes().filter_map(|id| Some((id, stat(id)?))).collect();
    let mut family = BTreeSet::from([root]);
    loop {
        let before = family.len();
        let children = all
            .iter()
            .filter(|(_, (parent, _))| family.contains(parent));
        let children: Vec<i32> = children.map(|(id, _)| *id).collect();
        family.extend(children);
        if family.len() == before {
            break;
        }
    }
    let mine = all.into_iter().filter(|(id, _)| family.contains(id));
    mine.map(|(id, (_, started))| (id, started)).collect()
}

/// How many of the processes run a program of this name.
fn running(processes: &BTreeSet<Process>, name: &str) -> usize {
    let program = |id: &i32| std::fs::read_link(format!("/proc/{id}/exe")).ok();
    let is_it = |path: PathBuf| path.file_name().is_some_and(|file| file == name);
    let ids = processes.iter().map(|(id, _)| id);
    ids.filter_map(program)
        .filter(|path| is_it(path.clone()))
        .count()
}

/// What follows `before` in the words of `cluster up`, up to the next blank.
fn told(words: &str, before: &str) -> Vec<String> {
    let rest = words.split(before).skip(1);
    let first = rest.filter_map(|rest| rest.split_whitespace().next());
    first.map(str::to_owned).collect()
}

#[test]
fn a_cluster_comes_up_serves_a_customer_and_goes() {
    let mut driver = Driver::new();
    let up = driver.run(&["up", "--replicas", "2"]);
    let words = String::from_utf8(up.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&up.stderr);
    assert!(up.status.success(), "{words}{complaint}");
    let keepers = driver.keepers();
    assert_eq!(keepers.len(), 1, "{keepers:?}");
    driver.processes = descendants(keepers[0]);
    let program = program();
    let name = program.file_name().and_then(|name| name.to_str()).unwrap();
    // Eight roles in two replicas, and the sandbox.
    assert_eq!(running(&driver.processes, name), 17);
    assert!(running(&driver.processes, "postgres") > 0);
    let again = driver.run(&["up"]);
    assert!(!again.status.success(), "a second one came up");
    assert!(String::from_utf8_lossy(&again.stderr).contains("runs already"));

    // The commands it prints, with the server it prints.
    let server = told(&words, "export FRONTDESK_SERVER=");
    let tokens = told(&words, "FRONTDESK_TOKEN=");
    assert_eq!((server.len(), tokens.len()), (1, 2), "{words}");
    let mut agent = Terminal::open(&server[0], Some(&tokens[1]), &["agent"]);
    agent.shows("desk open");
    let mut phone = Terminal::open(&server[0], Some(&tokens[0]), &["chat"]);
    phone.types("Hi 👋");
    phone.shows("< Hey there!👋");
    drop((phone, agent));
    let folder = told(&words, "Logs             ");
    assert!(Path::new(&folder[0]).is_dir(), "{words}");

    let down = driver.run(&["down"]);
    let complaint = String::from_utf8_lossy(&down.stderr);
    assert!(down.status.success(), "{complaint}");
    let left: Vec<&Process> = driver.processes.iter().filter(|one| runs(one)).collect();
    assert!(left.is_empty(), "still running: {left:?}");
    assert!(!Path::new(&folder[0]).exists(), "its folder is left");
    let log = std::fs::read_to_string(driver.folder.path().join("cluster.log")).unwrap();
    assert!(log.contains("Stopped: 17 processes"), "{log}");
    let again = driver.run(&["down"]);
    assert!(again.status.success() && again.stdout.starts_with(b"No cluster runs."));
}
