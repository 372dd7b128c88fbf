//! A newcomer's first conversation, with the three programs the README names: the installation, a
//! phone and a desk, each a process of its own. The terminal programs are driven through pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tests::process::{Addresses, Frontdesk, program};

/// Longest wait for one line.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal program under the test's hands.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<String>,
    seen: Vec<String>,
}

impl Terminal {
    fn open(at: &Addresses, args: &[&str]) -> Self {
        let server = format!("http://{}", at.grpc);
        let mut child = Command::new(program())
            .args(args)
            .args(["--server", &server])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (lines, screen) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let keyboard = child.stdin.take().unwrap();
        Self {
            child,
            keyboard,
            screen,
            seen: Vec::new(),
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.keyboard, "{line}").unwrap();
    }

    fn shows(&mut self, text: &str) {
        loop {
            if let Some(at) = self.seen.iter().position(|line| line.contains(text)) {
                self.seen.drain(..=at);
                return;
            }
            let Ok(line) = self.screen.recv_timeout(PATIENCE) else {
                panic!("`{text}` is not on the screen: {:?}", self.seen)
            };
            self.seen.push(line);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_customer_and_an_agent_talk_from_two_terminals() {
    let folder = tempfile::tempdir().unwrap();
    let process = Frontdesk::start(folder.path(), &Addresses::free(), &[]);
    let mut agent = Terminal::open(&process.at, &["agent", "--as", "ana"]);
    agent.shows("desk open");
    agent.types("/ready");
    agent.shows("presence: Ready");

    let mut phone = Terminal::open(&process.at, &["chat", "--name", "Maria"]);
    phone.types("Hi 👋");
    phone.shows("< Hey there!👋");
    phone.shows("< • For Sales🧾");
    phone.types("1️⃣");

    agent.shows("offer: Maria in Sales: ");
    agent.types("/accept");
    agent.shows("assigned: Maria");
    agent.types("Hello Maria, this is Ana.");
    phone.shows("< Hello Maria, this is Ana.");
    phone.types("Do you have tulips?");
    agent.shows("< Do you have tulips?");
    agent.types("/template conversation_follow_up Maria | FD-7");
    phone.shows("there is news about your request FD-7");
    agent.types("/done solved -- wants tulips");
    agent.shows("released");
    assert!(process.stop().success());
}
