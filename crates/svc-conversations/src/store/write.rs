//! What one commit writes.

use std::sync::Arc;

use core_conversation::{Conversation, Engagement, Message};
use core_types::{AccountFact, ContactKey, ConversationId, StatusUpdate, Timestamp};

/// What happened, as a log entry before it has a position.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    /// Whose.
    pub(crate) tenant: String,
    /// Empty for account-level entries.
    pub(crate) conversation: String,
    /// Empty outside engagements.
    pub(crate) engagement: String,
    /// Position in the conversation, from 1; 0 for account-level entries.
    pub(crate) sequence: u64,
    /// When.
    pub(crate) recorded_at: Timestamp,
    /// The number.
    pub(crate) number_id: String,
    /// The account, for account-level entries.
    pub(crate) waba_id: String,
    /// The trace.
    pub(crate) traceparent: String,
    /// What.
    pub(crate) event: LogEvent,
}

/// The content of a log entry.
#[derive(Clone, Debug)]
pub(crate) enum LogEvent {
    /// Something in a conversation.
    Conversation(core_conversation::Event),
    /// Something about an account.
    Account(AccountFact),
}

/// A message to write, new or changed.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    /// Its conversation.
    pub(crate) conversation: ConversationId,
    /// The message.
    pub(crate) message: Arc<Message>,
    /// The trace it came with.
    pub(crate) traceparent: String,
    /// Whether its text has to be indexed.
    pub(crate) index: bool,
}

/// A conversation that has new entries. What of it is as it was stored before is not written again:
/// most statuses change a message only.
pub(crate) struct Changed {
    /// The conversation after them.
    pub(crate) state: Conversation,
    /// Whether its record has changed.
    pub(crate) record: bool,
    /// Whether its deadline has.
    pub(crate) deadline: bool,
    /// Whether what may be sent next has.
    pub(crate) ready: bool,
}

impl Changed {
    /// What has changed since `stored`.
    pub(crate) fn since(stored: Option<Conversation>, state: Conversation) -> Self {
        let Some(mut stored) = stored else {
            return Self {
                state,
                record: true,
                deadline: true,
                ready: true,
            };
        };
        // The log knows how many entries it has.
        stored.sequence = state.sequence;
        let deadline = |of: &Conversation| of.next_deadline().map(|(at, _)| at);
        Self {
            record: stored != state,
            deadline: deadline(&stored) != deadline(&state),
            ready: next(&stored) != next(&state),
            state,
        }
    }
}

/// What may be sent next, as the outbox has it: message, attempts before, and from when on.
fn next(of: &Conversation) -> Option<(&str, u32, Timestamp)> {
    let (head, at) = of.ready()?;
    Some((head.message_id.as_str(), head.attempts, at))
}

/// Everything one commit writes.
#[derive(Default)]
pub(crate) struct Commit {
    /// Log entries, in order.
    pub(crate) entries: Vec<NewEntry>,
    /// Conversations after them.
    pub(crate) conversations: Vec<Changed>,
    /// Messages after them.
    pub(crate) messages: Vec<MessageRow>,
    /// Engagements after them.
    pub(crate) engagements: Vec<(ConversationId, Engagement)>,
    /// Keys taken in: scope and key.
    pub(crate) dedupe: Vec<String>,
    /// Statuses whose message is not known.
    pub(crate) orphans: Vec<NewOrphan>,
    /// Orphans that found their message: number, message, key.
    pub(crate) adopted: Vec<(String, String, String)>,
    /// Tenant, key and message of requests that must not be repeated.
    pub(crate) idempotency: Vec<(String, String, String)>,
    /// Keys that no longer name a conversation's customer.
    pub(crate) dropped_keys: Vec<(ConversationId, ContactKey)>,
    /// Keys by which conversations can be found from now on.
    pub(crate) new_keys: Vec<(ConversationId, ContactKey)>,
    /// The parts all of it belongs to, and the fences under which they were held.
    pub(crate) fences: Vec<(u16, i64)>,
}

/// A status whose message is not known.
#[derive(Clone, Debug)]
pub(crate) struct NewOrphan {
    /// The number.
    pub(crate) number_id: String,
    /// Its dedupe key.
    pub(crate) key: String,
    /// The trace it came with.
    pub(crate) traceparent: String,
    /// What it says.
    pub(crate) status: StatusUpdate,
}

impl Commit {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.dedupe.is_empty() && self.orphans.is_empty()
    }
}
