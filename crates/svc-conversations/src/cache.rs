//! Conversations in memory, as last committed, with the messages that may still change and the keys
//! that lead to them. What was remembered under one fence is not believed under another: in between,
//! another replica may have had the conversation.

use std::collections::{BTreeMap, HashMap, VecDeque};

use core_conversation::{Conversation, Direction, Message};
use core_types::{ConversationId, DeliveryStatus, MessageId};

use crate::parts::Fences;
use crate::recent::{Recent, Strays};
use crate::store::load::{Contact, ContactKey, StoredMessage};
use crate::store::part_of;

/// Sent messages of a conversation that are remembered because their statuses are still to come.
const SENT: usize = 4;

/// Messages of one conversation.
pub(crate) type Messages = BTreeMap<MessageId, StoredMessage>;

/// A conversation as last committed.
pub(crate) struct Remembered {
    /// Its state.
    pub(crate) state: Conversation,
    /// The messages in its outbox, as far as they are known, and the last ones sent.
    pub(crate) messages: Messages,
}

struct Entry {
    /// Absent while a batch works on it, and after one that failed.
    held: Option<Remembered>,
    part: u16,
    fence: i64,
    /// The keys that lead here in memory.
    keys: Vec<ContactKey>,
}

/// The most recently loaded conversations, of which the oldest give way, and what else the writer
/// need not ask the database for.
pub(crate) struct Cache {
    most: usize,
    known: HashMap<ConversationId, Entry>,
    order: VecDeque<ConversationId>,
    contacts: HashMap<ContactKey, ConversationId>,
    /// What was taken in lately.
    pub(crate) recent: Recent,
    /// Whose statuses wait for a message.
    pub(crate) strays: Strays,
}

impl Cache {
    /// A cache of at most `most` conversations.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            known: HashMap::new(),
            order: VecDeque::new(),
            contacts: HashMap::new(),
            recent: Recent::default(),
            strays: Strays::default(),
        }
    }

    /// The conversation as last committed, if its part is held as it was then.
    pub(crate) fn get(&self, id: &ConversationId, fences: &Fences) -> Option<&Remembered> {
        let entry = self.known.get(id)?;
        let ours = fences.of(entry.part) == Some(entry.fence);
        entry.held.as_ref().filter(|_| ours)
    }

    /// Takes the conversation out, to be put back as committed. Until then it is not remembered.
    pub(crate) fn take(&mut self, id: &ConversationId, fences: &Fences) -> Option<Remembered> {
        let entry = self.known.get_mut(id)?;
        let ours = fences.of(entry.part) == Some(entry.fence);
        entry.held.take().filter(|_| ours)
    }

    /// A message that may still change.
    pub(crate) fn message(&self, id: &MessageId, fences: &Fences) -> Option<&StoredMessage> {
        let conversation = conversation_of(id)?;
        self.get(&conversation, fences)?.messages.get(id)
    }

    /// Whose conversation a key leads to.
    pub(crate) fn contact(&self, key: &ContactKey, fences: &Fences) -> Option<Contact> {
        let id = self.contacts.get(key)?;
        let state = &self.get(id, fences)?.state;
        Some(Contact {
            key: key.clone(),
            conversation: id.clone(),
            user: state.contact.user_id.clone().unwrap_or_default(),
        })
    }

    /// From now on a stored key leads to `id`, if that is remembered.
    pub(crate) fn learn(&mut self, key: ContactKey, id: &ConversationId) {
        if let Some(entry) = self.known.get_mut(id) {
            if self.contacts.insert(key.clone(), id.clone()).as_ref() != Some(id) {
                entry.keys.push(key);
            }
        } else {
            self.contacts.remove(&key);
        }
    }

    /// A key leads to `id` no longer.
    pub(crate) fn unlearn(&mut self, key: &ContactKey, id: &ConversationId) {
        if self.contacts.get(key) == Some(id) {
            self.contacts.remove(key);
        }
    }

    /// It is not known where a key leads.
    pub(crate) fn mistrust(&mut self, key: &ContactKey) {
        self.contacts.remove(key);
    }

    /// Remembers a committed conversation and what of `messages` may still change.
    pub(crate) fn put(&mut self, state: Conversation, mut messages: Messages, fences: &Fences) {
        let part = part_of(state.number_id.as_str());
        let Some(fence) = fences.of(part) else { return };
        keep_open(&mut messages, &state);
        let id = state.id.clone();
        let held = Some(Remembered { state, messages });
        if let Some(entry) = self.known.get_mut(&id) {
            if entry.fence != fence {
                // Another replica may have led them elsewhere.
                forget_keys(&mut self.contacts, &id, std::mem::take(&mut entry.keys));
            }
            (entry.held, entry.fence) = (held, fence);
        } else {
            let entry = Entry {
                held,
                part,
                fence,
                keys: Vec::new(),
            };
            self.known.insert(id.clone(), entry);
            self.order.push_back(id);
        }
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.drop_entry(&oldest);
            }
        }
    }

    fn drop_entry(&mut self, id: &ConversationId) {
        if let Some(entry) = self.known.remove(id) {
            forget_keys(&mut self.contacts, id, entry.keys);
        }
    }

    /// Forgets a conversation of which it is not known what is stored, and the keys to it.
    pub(crate) fn forget(&mut self, id: &ConversationId) {
        if let Some(entry) = self.known.get_mut(id) {
            entry.held = None;
            forget_keys(&mut self.contacts, id, std::mem::take(&mut entry.keys));
        }
    }

    /// Forgets the conversations of a part.
    pub(crate) fn forget_part(&mut self, part: u16) {
        let of_part = self.known.iter().filter(|(_, entry)| entry.part == part);
        let ids: Vec<ConversationId> = of_part.map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.drop_entry(id);
        }
        let known = &self.known;
        self.order.retain(|id| known.contains_key(id));
    }
}

fn forget_keys(
    contacts: &mut HashMap<ContactKey, ConversationId>,
    id: &ConversationId,
    keys: Vec<ContactKey>,
) {
    for key in keys {
        if contacts.get(&key) == Some(id) {
            contacts.remove(&key);
        }
    }
}

/// Drops the messages that need not be at hand: of those that were sent the last few may get a
/// status, and others are looked up when one comes.
fn keep_open(messages: &mut Messages, state: &Conversation) {
    let waits = |id: &MessageId| state.outbox.iter().any(|entry| entry.message_id == *id);
    messages.retain(|id, stored| waits(id) || awaits_status(&stored.message));
    let mut sent: Vec<_> = messages
        .iter()
        .filter(|(id, _)| !waits(id))
        .map(|(id, stored)| (stored.message.sent_at, id.clone()))
        .collect();
    sent.sort_unstable();
    let surplus = sent.len().saturating_sub(SENT);
    for (_, id) in &sent[..surplus] {
        messages.remove(id);
    }
}

fn awaits_status(message: &Message) -> bool {
    let last = [DeliveryStatus::Read, DeliveryStatus::Failed];
    message.direction == Direction::Outbound
        && message.status.is_none_or(|status| !last.contains(&status))
}

/// The conversation inside a message's id: `<conversation>.m<n>`.
pub(crate) fn conversation_of(id: &MessageId) -> Option<ConversationId> {
    let (conversation, _) = id.as_str().rsplit_once(".m")?;
    ConversationId::new(conversation).ok()
}
