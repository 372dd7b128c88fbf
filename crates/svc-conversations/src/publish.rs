//! What a commit sets in motion: followers see its entries, deadlines are set, and what may be
//! sent is announced. Only what is committed gets here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use core_types::{ConversationId, Timestamp};
use lib_proto::conversations::LogEntry;
use tokio::sync::{broadcast, mpsc};

use crate::convert;
use crate::schedule::Schedule;
use crate::store::write::Commit;

/// Commits a follower may be behind before it reads from the database again.
const BEHIND: usize = 256;

/// A committed entry.
pub(crate) struct Published {
    /// Its position in the log.
    pub(crate) position: i64,
    /// The entry as the contract has it.
    pub(crate) entry: LogEntry,
}

/// Tells the rest of the service what was committed.
pub(crate) struct Publisher {
    entries: broadcast::Sender<Arc<Vec<Published>>>,
    head: AtomicI64,
    outbox: mpsc::UnboundedSender<Vec<ConversationId>>,
    /// Deadlines of conversations.
    pub(crate) timers: Arc<Schedule>,
    /// Times from which on a conversation's next message may go.
    pub(crate) retries: Arc<Schedule>,
}

impl Publisher {
    /// A publisher for a log that stands at `head`, and the conversations whose outbox changed.
    pub(crate) fn new(
        head: i64,
        timers: Schedule,
        retries: Schedule,
    ) -> (Self, mpsc::UnboundedReceiver<Vec<ConversationId>>) {
        let (outbox, changes) = mpsc::unbounded_channel();
        let publisher = Self {
            entries: broadcast::Sender::new(BEHIND),
            head: AtomicI64::new(head),
            outbox,
            timers: Arc::new(timers),
            retries: Arc::new(retries),
        };
        (publisher, changes)
    }

    /// Where the log stands.
    pub(crate) fn head(&self) -> i64 {
        self.head.load(Ordering::Acquire)
    }

    /// Every commit from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Vec<Published>>> {
        self.entries.subscribe()
    }

    /// Tells of a commit whose last entry is at `head`.
    pub(crate) fn committed(&self, commit: &Commit, head: Option<i64>, now: Timestamp) {
        for conversation in &commit.conversations {
            let due = conversation.next_deadline().map(|(at, _)| at);
            self.timers.set(&conversation.id, due);
            let later = conversation
                .ready()
                .map(|(_, at)| at)
                .filter(|at| *at > now);
            self.retries.set(&conversation.id, later);
        }
        if let Some(head) = head {
            self.head.store(head, Ordering::Release);
            let first = head - commit.entries.len() as i64 + 1;
            if self.entries.receiver_count() > 0 {
                let entries = commit.entries.iter().zip(first..);
                let published = entries.map(|(entry, position)| Published {
                    position,
                    entry: convert::entry(entry, position),
                });
                // Nobody follows: nobody misses it.
                let _ = self.entries.send(Arc::new(published.collect()));
            }
        }
        let ready: Vec<ConversationId> = commit
            .conversations
            .iter()
            .filter(|conversation| conversation.ready().is_some_and(|(_, at)| at <= now))
            .map(|conversation| conversation.id.clone())
            .collect();
        if !ready.is_empty() {
            // The announcer ends only with the service.
            let _ = self.outbox.send(ready);
        }
    }
}
