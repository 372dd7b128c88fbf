//! What a commit sets in motion: followers see its entries, deadlines are set, and what may be
//! sent is announced. Only what is committed gets here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use core_types::ConversationId;
use lib_proto::conversations::LogEntry;
use tokio::sync::{broadcast, mpsc};

use crate::convert;
use crate::schedule::Schedule;
use crate::store::outbox::Ready;
use crate::store::write::NewEntry;

/// Commits a follower may be behind before it reads from the database again.
const BEHIND: usize = 256;

/// A committed entry.
pub(crate) struct Published {
    /// Its position in the log.
    pub(crate) position: i64,
    /// The entry as the contract has it.
    pub(crate) entry: LogEntry,
}

/// What followers have to be told of.
pub(crate) enum News {
    /// This replica committed entries.
    Committed(Committed),
    /// Another replica said something; nothing means that something may have been missed.
    Heard(Option<String>),
    /// It is not known what was committed.
    Missed,
    /// This replica works on a part from now on.
    Gained {
        /// Which one.
        part: u16,
        /// Whether senders followed the outbox here before; those that come later are told
        /// everything.
        followed: bool,
    },
    /// What may be sent in these conversations has to be announced again.
    Again(Vec<ConversationId>),
}

/// A commit of this replica.
pub(crate) struct Committed {
    /// The position of its last entry.
    pub(crate) head: i64,
    /// Its entries.
    pub(crate) entries: Vec<NewEntry>,
    /// What may be sent after it.
    pub(crate) ready: Vec<Ready>,
}

/// Tells the rest of the service what was committed.
pub(crate) struct Publisher {
    entries: broadcast::Sender<Arc<Vec<Published>>>,
    head: AtomicI64,
    news: mpsc::UnboundedSender<News>,
    /// Names this replica to others.
    pub(crate) teller: String,
    /// Deadlines of conversations.
    pub(crate) timers: Schedule,
}

impl Publisher {
    /// A publisher for a log that stands at `head`, and what it is told.
    pub(crate) fn new(head: i64, teller: String) -> (Self, mpsc::UnboundedReceiver<News>) {
        let (news, told) = mpsc::unbounded_channel();
        let publisher = Self {
            entries: broadcast::Sender::new(BEHIND),
            head: AtomicI64::new(head),
            news,
            teller,
            timers: Schedule::default(),
        };
        (publisher, told)
    }

    /// Where the log stood when followers were last told of it.
    pub(crate) fn head(&self) -> i64 {
        self.head.load(Ordering::Acquire)
    }

    /// Every entry from now on, in order and without gaps.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Vec<Published>>> {
        self.entries.subscribe()
    }

    /// Has followers told.
    pub(crate) fn tell(&self, news: News) {
        // Who tells them ends only with the service.
        let _ = self.news.send(news);
    }

    /// Whether anybody follows the log here.
    pub(crate) fn is_followed(&self) -> bool {
        self.entries.receiver_count() > 0
    }

    /// The entries after the last ones told of. Nothing to tell when nobody follows.
    pub(crate) fn publish<'a>(
        &self,
        entries: impl Iterator<Item = (i64, &'a NewEntry)>,
        head: i64,
    ) {
        if self.is_followed() {
            let published = entries.map(|(position, entry)| Published {
                position,
                entry: convert::entry(entry, position),
            });
            // Whoever has gone since misses nothing.
            let _ = self.entries.send(Arc::new(published.collect()));
        }
        self.head.store(head, Ordering::Release);
    }
}
