//! A program for a terminal, driven through pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tests::process::program;

/// Longest wait for one line.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal program under the test's hands.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<String>,
    seen: Vec<String>,
}

impl Terminal {
    /// Opens `frontdesk <args>` at an installation: `server` is what `FRONTDESK_SERVER` takes,
    /// `token` replaces the development token.
    pub(crate) fn open(server: &str, token: Option<&str>, args: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(args).args(["--server", server]);
        if let Some(token) = token {
            command.env("FRONTDESK_TOKEN", token);
        }
        let mut child = command
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

    pub(crate) fn types(&mut self, line: &str) {
        writeln!(self.keyboard, "{line}").unwrap();
    }

    pub(crate) fn shows(&mut self, text: &str) {
        self.shows_one_of(&[text]);
    }

    /// Waits for a line with one of `texts`; says which.
    pub(crate) fn shows_one_of(&mut self, texts: &[&str]) -> usize {
        loop {
            if let Some(which) = self.find(texts) {
                return which;
            }
            let Ok(line) = self.screen.recv_timeout(PATIENCE) else {
                panic!("none of {texts:?} is on the screen: {:?}", self.seen)
            };
            self.seen.push(line);
        }
    }

    /// Whether a line with `text` has come by now.
    pub(crate) fn has(&mut self, text: &str) -> bool {
        self.seen.extend(self.screen.try_iter());
        self.find(&[text]).is_some()
    }

    /// The first line with one of `texts`, which is done with, as are those before it; says which.
    fn find(&mut self, texts: &[&str]) -> Option<usize> {
        let (at, which) = self.seen.iter().enumerate().find_map(|(at, line)| {
            let which = texts.iter().position(|text| line.contains(text))?;
            Some((at, which))
        })?;
        self.seen.drain(..=at);
        Some(which)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
