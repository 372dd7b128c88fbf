//! What happened, as seen from outside: one line for each thing tried, with one of three outcomes.
//! `Info` means that nobody knows: it may have happened or not, and the checker allows both.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// How an operation ended, as far as the one who asked can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It happened.
    Ok,
    /// It did not.
    Fail,
    /// Nobody knows.
    Info,
}

/// One item of a webhook body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "item")]
pub enum Item {
    /// A customer's message.
    Message {
        /// Meta's id.
        wamid: String,
        /// Digits.
        customer: String,
        /// The business number.
        number: String,
    },
    /// A status of a message of ours.
    Status {
        /// Meta's id of our message.
        wamid: String,
        /// `sent`, `delivered`, `read` or `failed`.
        status: String,
        /// What Meta was given to echo.
        intent: String,
    },
    /// Something that can never be read; only its siblings count.
    Poison {
        /// A text that stands in its bytes.
        mark: String,
    },
}

/// What was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Op {
    /// A webhook body was posted.
    Post {
        /// Which body; one that is delivered again keeps it.
        id: u64,
        /// The answer's status; 0 without an answer.
        status: u16,
        /// Whether it was signed rightly.
        signed: bool,
        /// What stood in it, in order.
        items: Vec<Item>,
    },
    /// The Graph API took a message: from then on the customer has it.
    Accepted {
        /// `biz_opaque_callback_data`.
        intent: String,
        /// The business number it was sent from.
        number: String,
        /// Digits.
        to: String,
        /// Meta's id.
        wamid: String,
        /// Whether it was a template.
        template: bool,
        /// How the request was answered.
        answer: String,
        /// The price category the statuses will tell.
        category: String,
    },
    /// The Graph API did not take a message.
    Refused {
        /// `biz_opaque_callback_data`.
        intent: String,
        /// The business number.
        number: String,
        /// Meta's error code.
        code: i64,
    },
    /// An agent's command was answered, or not.
    Desk {
        /// Who.
        agent: String,
        /// `accept`, `decline`, `send`, `wrap_up`, `complete`.
        command: String,
        /// Its id; a repeat keeps it.
        id: String,
        /// The offer, for those about one.
        offer: String,
        /// The engagement.
        engagement: String,
        /// The reason given with a refusal.
        reason: String,
    },
    /// An administrator sent a message.
    Send {
        /// The idempotency key.
        key: String,
        /// Our id of the message, once told.
        message: String,
    },
    /// A fault was made.
    Fault {
        /// `kill`, `stop`, `reset`, `failpoint egress.write=abort`, ….
        kind: String,
        /// The part it hit.
        part: String,
        /// Whether its effect was seen from outside.
        confirmed: bool,
        /// Webhooks and sends under way at that moment.
        in_flight: usize,
    },
    /// The first webhook answered 200 after a fault.
    Recovered {
        /// Milliseconds since the fault.
        millis: u64,
    },
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Nanoseconds since the run began, on a clock that is never set.
    pub at: u64,
    /// Who tried.
    pub process: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What.
    #[serde(flatten)]
    pub op: Op,
}

/// The recorder. Cheap to clone.
#[derive(Clone)]
pub struct History(Arc<Mutex<Inner>>);

struct Inner {
    began: Instant,
    entries: Vec<Entry>,
    taken: usize,
    file: Option<BufWriter<File>>,
}

impl History {
    /// Records in memory, and into `file` when one is given.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn new(file: Option<&Path>) -> Self {
        let file = file.map(|path| {
            BufWriter::new(File::create(path).expect("the history's file can be made"))
        });
        Self(Arc::new(Mutex::new(Inner {
            began: Instant::now(),
            entries: Vec::new(),
            taken: 0,
            file,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line.
    ///
    /// # Panics
    /// When the file cannot be written: a run without its history proves nothing.
    pub fn record(&self, process: &str, outcome: Outcome, op: Op) {
        let mut inner = self.lock();
        let entry = Entry {
            at: u64::try_from(inner.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
            process: process.to_owned(),
            outcome,
            op,
        };
        if let Some(file) = &mut inner.file {
            serde_json::to_writer(&mut *file, &entry).expect("the history can be written");
            file.write_all(b"\n").expect("the history can be written");
        }
        let is_work = !matches!(entry.op, Op::Fault { .. });
        inner.taken += usize::from(is_work && entry.outcome == Outcome::Ok);
        inner.entries.push(entry);
    }

    /// Operations that happened so far, faults aside: while it grows, there is progress.
    pub fn taken(&self) -> usize {
        self.lock().taken
    }

    /// All lines so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// Makes the file whole.
    pub fn flush(&self) {
        if let Some(file) = &mut self.lock().file {
            let _ = file.flush();
        }
    }
}
