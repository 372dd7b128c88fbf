//! Conversations in memory, as last committed, with the messages that wait to be sent. What was
//! remembered under one fence is not believed under another: in between, another replica may have
//! had the conversation.

use std::collections::{BTreeMap, HashMap, VecDeque};

use core_conversation::Conversation;
use core_types::{ConversationId, MessageId};

use crate::parts::Fences;
use crate::store::load::StoredMessage;
use crate::store::part_of;

/// A conversation as last committed.
pub(crate) struct Remembered {
    /// Its state.
    pub(crate) state: Conversation,
    /// The messages in its outbox, as far as they are known.
    pub(crate) waiting: BTreeMap<MessageId, StoredMessage>,
    part: u16,
    fence: i64,
}

/// The most recently loaded conversations; the oldest give way.
pub(crate) struct Cache {
    most: usize,
    known: HashMap<ConversationId, Remembered>,
    order: VecDeque<ConversationId>,
}

impl Cache {
    /// A cache of at most `most` conversations.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The conversation as last committed, if its part is held as it was then.
    pub(crate) fn get(&self, id: &ConversationId, fences: &Fences) -> Option<&Remembered> {
        let known = self.known.get(id)?;
        (fences.of(known.part) == Some(known.fence)).then_some(known)
    }

    /// A message that waits to be sent.
    pub(crate) fn message(&self, id: &MessageId, fences: &Fences) -> Option<&StoredMessage> {
        let conversation = conversation_of(id)?;
        self.get(&conversation, fences)?.waiting.get(id)
    }

    /// Remembers a committed conversation and the messages in its outbox.
    pub(crate) fn put(
        &mut self,
        state: Conversation,
        waiting: BTreeMap<MessageId, StoredMessage>,
        fences: &Fences,
    ) {
        let part = part_of(state.number_id.as_str());
        let Some(fence) = fences.of(part) else { return };
        let id = state.id.clone();
        let remembered = Remembered {
            state,
            waiting,
            part,
            fence,
        };
        if self.known.insert(id.clone(), remembered).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// Forgets a conversation of which it is not known what is stored.
    pub(crate) fn forget(&mut self, id: &ConversationId) {
        self.known.remove(id);
    }

    /// Forgets the conversations of a part.
    pub(crate) fn forget_part(&mut self, part: u16) {
        self.known.retain(|_, known| known.part != part);
        let known = &self.known;
        self.order.retain(|id| known.contains_key(id));
    }
}

/// The conversation inside a message's id: `<conversation>.m<n>`.
pub(crate) fn conversation_of(id: &MessageId) -> Option<ConversationId> {
    let (conversation, _) = id.as_str().rsplit_once(".m")?;
    ConversationId::new(conversation).ok()
}
