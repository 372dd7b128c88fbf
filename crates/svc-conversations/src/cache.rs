//! Conversations in memory, as last committed.

use std::collections::{HashMap, VecDeque};

use core_conversation::Conversation;
use core_types::ConversationId;

/// The most recently loaded conversations; the oldest give way.
pub(crate) struct Cache {
    most: usize,
    known: HashMap<ConversationId, Conversation>,
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

    /// The conversation as last committed.
    pub(crate) fn get(&self, id: &ConversationId) -> Option<Conversation> {
        self.known.get(id).cloned()
    }

    /// Remembers a committed conversation.
    pub(crate) fn put(&mut self, conversation: Conversation) {
        let id = conversation.id.clone();
        if self.known.insert(id.clone(), conversation).is_none() {
            self.order.push_back(id);
        }
        while self.known.len() > self.most {
            match self.order.pop_front() {
                Some(oldest) => self.known.remove(&oldest),
                None => break,
            };
        }
    }
}
