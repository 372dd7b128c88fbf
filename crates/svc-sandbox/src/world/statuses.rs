//! What becomes of accepted messages: statuses in their time, prices, what the phone shows.

use core_types::Timestamp;
use serde_json::Value;

use super::{Document, Due, World};
use crate::identity;
use crate::payload::{self, StatusFacts};
use crate::pricing::{self, Case, Era};
use crate::state::{
    BillingConversation, Outbound, PhoneWhat, PlatformFault, Step, StepStatus, ThreadKey,
};

/// How long a conversation of the bill lasts.
const CONVERSATION: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);
/// How long a free entry point stays open.
const FREE_ENTRY: std::time::Duration = std::time::Duration::from_secs(72 * 3_600);

impl World {
    /// Begins a message's way: its steps happen in their time, those due at once.
    /// Returns the updates made at once.
    pub(super) fn launch(&mut self, message: Outbound) -> Vec<u64> {
        let id = message.id.clone();
        self.messages.insert(id.clone(), message);
        self.touch(Document::Message(id.clone()));
        let mut updates = Vec::new();
        while self
            .messages
            .get(&id)
            .is_some_and(|message| self.is_due(message))
        {
            updates.extend(self.take_step(&id));
        }
        self.arm(&id);
        updates
    }

    fn is_due(&self, message: &Outbound) -> bool {
        message.plan.front().is_some_and(|step| step.at <= self.now)
    }

    fn arm(&mut self, id: &str) {
        let next = self
            .messages
            .get(id)
            .and_then(|message| message.plan.front());
        if let Some(at) = next.map(|step| step.at) {
            self.set_timer(at, Due::Message(id.to_owned()));
        }
    }

    /// The time of a message's next step has come.
    pub(super) fn next_step(&mut self, id: &str) {
        if self
            .messages
            .get(id)
            .is_some_and(|message| self.is_due(message))
        {
            self.take_step(id);
            self.arm(id);
        }
    }

    fn take_step(&mut self, id: &str) -> Option<u64> {
        let message = self.messages.get_mut(id)?;
        let step = message.plan.pop_front()?;
        self.touch(Document::Message(id.to_owned()));
        self.happen(id, &step)
    }

    fn happen(&mut self, id: &str, step: &Step) -> Option<u64> {
        match &step.status {
            StepStatus::Sent => {
                self.open_conversation(id, step.at);
                self.tell(id, "sent", step.at, true, None)
            }
            StepStatus::Delivered => {
                self.arrive(id, step.at);
                let update = self.tell(id, "delivered", step.at, true, None);
                self.count_service(id, step.at);
                update
            }
            StepStatus::Read => {
                let late = self
                    .messages
                    .get(id)
                    .is_some_and(|message| !message.delivered);
                if late {
                    self.arrive(id, step.at);
                }
                let update = self.tell(id, "read", step.at, late, None);
                if late {
                    self.count_service(id, step.at);
                }
                self.forget(id);
                update
            }
            StepStatus::Failed(error) => {
                let update = self.tell(id, "failed", step.at, false, Some(error));
                self.forget(id);
                update
            }
        }
    }

    fn arrive(&mut self, id: &str, at: Timestamp) {
        let Some(message) = self.messages.get_mut(id) else {
            return;
        };
        message.delivered = true;
        let (thread, content) = (message.thread.clone(), message.content.clone());
        self.show(&thread, at, id, PhoneWhat::Arrived(content));
        self.unread.entry(thread).or_default().push(id.to_owned());
    }

    fn forget(&mut self, id: &str) {
        let Some(message) = self.messages.remove(id) else {
            return;
        };
        self.touch(Document::Message(id.to_owned()));
        if let Some(unread) = self.unread.get_mut(&message.thread) {
            unread.retain(|unread| unread != id);
            if unread.is_empty() {
                self.unread.remove(&message.thread);
            }
        }
    }

    /// The customer opens the chat: what was delivered is read. Returns how many messages.
    pub(crate) fn open_chat(&mut self, thread: &ThreadKey) -> u32 {
        let unread = self.unread.get(thread).cloned().unwrap_or_default();
        let mut read = 0;
        for id in unread {
            // A reading that was planned for later happens now.
            if let Some(message) = self.messages.get_mut(&id) {
                message.plan.clear();
                read += 1;
            }
            self.touch(Document::Message(id.clone()));
            self.happen(
                &id,
                &Step {
                    at: self.now,
                    status: StepStatus::Read,
                },
            );
        }
        read
    }

    fn tell(
        &mut self,
        id: &str,
        word: &'static str,
        at: Timestamp,
        priced: bool,
        error: Option<&PlatformFault>,
    ) -> Option<u64> {
        let pricing = if priced { self.price(id, at) } else { None };
        let message = self.messages.get(id)?;
        if message.silent {
            return None;
        }
        let number = self.numbers.get(&message.thread.number)?;
        let conversation = message.conversation.as_ref().filter(|_| error.is_none());
        let value = payload::status_update(&StatusFacts {
            word,
            at,
            message,
            customer: self.customers.get(&message.thread.customer)?,
            number,
            pricing,
            conversation: conversation.map(|conversation| (conversation, word == "sent")),
            error,
        });
        let (account, thread) = (number.account.clone(), message.thread.clone());
        self.update(&account, payload::MESSAGES, value, Some(thread), None)
    }

    fn price(&mut self, id: &str, at: Timestamp) -> Option<Value> {
        let message = self.messages.get(id)?;
        let number = self.numbers.get(&message.thread.number)?;
        let (account, number_id) = (number.account.clone(), number.id.clone());
        let zone = self.zone(&account);
        let era = pricing::era(at, &zone);
        let month = pricing::month(at, &zone);
        let message = self.messages.get(id)?;
        let number = self.numbers.get(&number_id)?;
        let free_entry = self.entry_of(message, at).is_some();
        let conversation = message.conversation.as_ref();
        let category = match (era, conversation) {
            (Era::Conversations | Era::FreeServiceConversations, Some(conversation)) => {
                conversation.category.as_str()
            }
            _ => message.category.as_str(),
        };
        let same_month = number.allowance_month == month;
        Some(pricing::pricing(Case {
            era,
            category,
            in_window: message.in_window,
            free_entry,
            allowance_used: if same_month { number.allowance_used } else { 0 },
        }))
    }

    /// The free entry point a message belongs to. What was sent in it stays free however late it
    /// is delivered.
    fn entry_of(&self, message: &Outbound, at: Timestamp) -> Option<BillingConversation> {
        let told = message.conversation.as_ref();
        if let Some(told) = told.filter(|told| told.category == "referral_conversion") {
            return Some(told.clone());
        }
        let thread = self.threads.get(&message.thread)?;
        thread.free_entry.clone().filter(|entry| entry.until > at)
    }

    /// Service messages delivered count against the month's allowance, unless an entry point
    /// makes them free anyway.
    fn count_service(&mut self, id: &str, at: Timestamp) {
        let Some(message) = self.messages.get(id) else {
            return;
        };
        if message.category != "service" || self.entry_of(message, at).is_some() {
            return;
        }
        let Some(number) = self.numbers.get(&message.thread.number) else {
            return;
        };
        let (account, number_id) = (number.account.clone(), number.id.clone());
        let zone = self.zone(&account);
        if pricing::era(at, &zone) != Era::TemplatesAndService {
            return;
        }
        let month = pricing::month(at, &zone);
        if let Some(number) = self.numbers.get_mut(&number_id) {
            if number.allowance_month != month {
                number.allowance_month = month;
                number.allowance_used = 0;
            }
            number.allowance_used = number.allowance_used.saturating_add(1);
            self.touch(Document::Number(number_id));
        }
    }

    /// With `sent`: the first answer to a customer who came by an advertisement opens the free
    /// entry point; in the time of conversations a message belongs to one.
    fn open_conversation(&mut self, id: &str, at: Timestamp) {
        let Some(message) = self.messages.get(id) else {
            return;
        };
        let (key, category) = (message.thread.clone(), message.category.clone());
        let accepted_at = message.accepted_at;
        let Some(number) = self.numbers.get(&key.number) else {
            return;
        };
        let account = number.account.clone();
        let zone = self.zone(&account);
        let per_conversation = pricing::era(at, &zone) <= Era::FreeServiceConversations;
        let thread = self.thread(&key);
        if thread
            .entry_candidate_until
            .is_some_and(|until| accepted_at < until)
        {
            thread.entry_candidate_until = None;
            thread.free_entry = Some(BillingConversation {
                id: identity::conversation_id(id),
                category: "referral_conversion".to_owned(),
                until: at.plus(FREE_ENTRY),
            });
            // The free entry point closes every other conversation.
            thread.conversations.clear();
        }
        thread
            .conversations
            .retain(|conversation| conversation.until > at);
        let entry = thread.free_entry.clone().filter(|entry| entry.until > at);
        let conversation = match entry {
            Some(entry) => Some(entry),
            None if !per_conversation => None,
            None => {
                let open = thread.conversations.iter().rev().find(|conversation| {
                    category == "service" || conversation.category == category
                });
                let open = open.cloned().unwrap_or_else(|| BillingConversation {
                    id: identity::conversation_id(id),
                    category,
                    until: at.plus(CONVERSATION),
                });
                if !thread.conversations.contains(&open) {
                    thread.conversations.push(open.clone());
                }
                Some(open)
            }
        };
        if let Some(message) = self.messages.get_mut(id) {
            message.conversation = conversation;
        }
    }
}
