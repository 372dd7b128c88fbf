//! A batch in the making: conversations with what has happened to them so far, and what will be
//! committed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use core_conversation::{Conversation, Decision, Engagement, Event, Message, SendOutcome};
use core_types::{ContactKey, ConversationId, EngagementId, MessageId, Timestamp};
use lib_storage::StorageError;

pub(super) use super::task::{Loose, ReplyWith, Target, Task};
use super::unit::Answer;
use crate::cache::Messages;
use crate::calls::Call;
use crate::parts::Fences;
use crate::store::load::{Orphan, StoredMessage, WamidKey};
use crate::store::part_of;
use crate::store::write::{Changed, Commit, LogEvent, MessageRow, NewEntry, NewOrphan};

/// A conversation being worked on.
#[derive(Default)]
pub(super) struct Work {
    /// Its state; absent until it is started.
    pub(super) state: Option<Conversation>,
    /// Its state as stored, once the batch has changed it.
    stored: Option<Conversation>,
    /// It is not stored yet.
    is_new: bool,
    /// What waits for it, in order.
    pub(super) queue: VecDeque<Task>,
    /// Its messages, as far as loaded or new.
    pub(super) messages: Messages,
    /// Engagements before the current one, as far as a task is about them.
    pub(super) past: BTreeMap<EngagementId, Engagement>,
    /// Whether a webhook item could not be taken in, so that later ones must wait too.
    pub(super) blocked: bool,
    /// Whether one of its deadlines may have passed.
    pub(super) ticked: bool,
    changed: BTreeSet<MessageId>,
    indexed: BTreeSet<MessageId>,
    engagements: BTreeMap<EngagementId, Engagement>,
    new_keys: BTreeSet<ContactKey>,
    entries: Vec<NewEntry>,
}

/// A batch in the making.
pub(super) struct Batch {
    /// The batch's time.
    pub(super) now: Timestamp,
    /// Answers so far.
    pub(super) answers: Vec<Option<Answer>>,
    /// Items that repeat another item of this batch: unit, original.
    pub(super) repeats: Vec<(usize, usize)>,
    /// Conversations.
    pub(super) works: BTreeMap<ConversationId, Work>,
    /// Statuses without a message.
    pub(super) loose: Vec<Loose>,
    /// Messages by Meta's id, loaded or new.
    pub(super) wamids: HashMap<WamidKey, (ConversationId, MessageId)>,
    /// Ids that became known in this batch.
    pub(super) learned: Vec<WamidKey>,
    /// Messages made under a key in this batch.
    pub(super) keyed: HashMap<(String, String), (ConversationId, MessageId)>,
    /// Statuses that waited for messages which this batch was expected to make known.
    pub(super) orphans: Vec<Orphan>,
    /// The messages for which statuses were looked for.
    pub(super) asked: HashSet<WamidKey>,
    /// The parts held when the batch began.
    pub(super) fences: Fences,
    /// Calls to be made once everything is stored.
    calls: Vec<Call>,
    /// What will be written besides the conversations.
    pub(super) commit: Commit,
}

/// What a batch has come to.
pub(super) struct Done {
    /// One for each unit.
    pub(super) answers: Vec<Answer>,
    /// What is to be written.
    pub(super) commit: Commit,
    /// The messages at hand of each conversation of the commit.
    pub(super) messages: Vec<Messages>,
    /// Calls to be made once it is written.
    pub(super) calls: Vec<Call>,
    /// Conversations nothing happened to, with their messages.
    pub(super) untouched: Vec<(Conversation, Messages)>,
    /// Conversations whose deadline passed without effect, their part, and their next one.
    pub(super) unmoved: Vec<(ConversationId, u16, Option<Timestamp>)>,
}

impl Batch {
    pub(super) fn new(units: usize, now: Timestamp, fences: Fences) -> Self {
        Self {
            now,
            answers: std::iter::repeat_with(|| None).take(units).collect(),
            repeats: Vec::new(),
            works: BTreeMap::new(),
            loose: Vec::new(),
            wamids: HashMap::new(),
            learned: Vec::new(),
            keyed: HashMap::new(),
            orphans: Vec::new(),
            asked: HashSet::new(),
            fences,
            calls: Vec::new(),
            commit: Commit::default(),
        }
    }

    /// Whether what belongs to `key`, a number or an account, is ours to decide. If so, its part is
    /// shown at the commit.
    pub(super) fn holds(&mut self, key: &str) -> bool {
        let Some(held) = self.fences.of_key(key) else {
            return false;
        };
        if !self.commit.fences.contains(&held) {
            self.commit.fences.push(held);
        }
        true
    }

    pub(super) fn answer(&mut self, unit: usize, answer: Answer) {
        if let Some(place) = self.answers.get_mut(unit) {
            *place = Some(answer);
        }
    }

    /// A message of `conversation` that a task is about, as it is now.
    pub(super) fn target(&self, id: &ConversationId, target: &Target) -> Option<&Message> {
        let message = match target {
            Target::None => return None,
            Target::Id(message) => message,
            Target::Wamid(key) => match self.wamids.get(key) {
                Some((owner, message)) if owner == id => message,
                _ => return None,
            },
        };
        let stored = self.works.get(id)?.messages.get(message)?;
        Some(&stored.message)
    }

    /// Takes a decision over: its events become entries, its messages and state the current ones.
    pub(super) fn take(
        &mut self,
        id: &ConversationId,
        decision: Decision,
        traceparent: &str,
    ) -> Result<(), StorageError> {
        let now = self.now;
        let Decision {
            events,
            conversation,
            ..
        } = decision;
        let work = self.works.entry(id.clone()).or_default();
        let first = conversation.sequence - events.len() as u64 + 1;
        let before = work
            .state
            .as_ref()
            .and_then(|state| state.engagement.as_ref());
        let mut current = before.map(|it| it.id.to_string()).unwrap_or_default();
        if let Some(before) = before
            && conversation.engagement.as_ref().map(|it| &it.id) != Some(&before.id)
        {
            work.past.insert(before.id.clone(), before.clone());
        }
        for (sequence, event) in (first..).zip(events) {
            work.on_messages(id, &event, traceparent)?;
            if let Event::EngagementOpened { engagement, .. } = &event {
                current = engagement.to_string();
            }
            let learned = learned(&event, &conversation);
            if let Some((key, message)) = learned.filter(|(key, _)| !self.wamids.contains_key(key))
            {
                self.wamids.insert(key.clone(), (id.clone(), message));
                self.learned.push(key);
            }
            match &event {
                Event::ContactChanged { dropped, .. } => {
                    let keys = dropped.iter().map(|key| (id.clone(), key.clone()));
                    self.commit.dropped_keys.extend(keys);
                    work.learn_keys(&conversation);
                }
                Event::Started { .. } => work.learn_keys(&conversation),
                Event::EngagementFiled { engagement, .. } => {
                    if let Some(past) = work.past.get_mut(engagement) {
                        past.apply(&event, now);
                        work.engagements.insert(engagement.clone(), past.clone());
                    }
                }
                _ => {}
            }
            work.entries.push(NewEntry {
                tenant: conversation.tenant.to_string(),
                conversation: id.to_string(),
                engagement: engagement_of(&event).unwrap_or_else(|| current.clone()),
                sequence,
                recorded_at: now,
                number_id: conversation.number_id.to_string(),
                waba_id: String::new(),
                traceparent: traceparent.to_owned(),
                event: LogEvent::Conversation(event),
            });
        }
        let before = work.state.take();
        if let Some(engagement) = &conversation.engagement
            && before.as_ref().and_then(|it| it.engagement.as_ref()) != Some(engagement)
        {
            work.engagements
                .insert(engagement.id.clone(), engagement.clone());
        }
        work.state = Some(conversation);
        if work.stored.is_none() && !work.is_new {
            work.is_new = before.is_none();
            work.stored = before;
        }
        Ok(())
    }

    /// Calls that a decision asks for are made once it is stored.
    pub(super) fn ask(&mut self, decision: &mut Decision, traceparent: &str) {
        for call in std::mem::take(&mut decision.calls) {
            let call = Call::of(&decision.conversation, call, traceparent);
            self.calls.extend(call);
        }
    }

    /// A status that stays without a message waits for it outside the log.
    pub(super) fn orphan(&mut self, loose: Loose) {
        self.commit.dedupe.push(loose.key.clone());
        self.commit.orphans.push(NewOrphan {
            number_id: loose.number_id,
            key: loose.key,
            traceparent: loose.traceparent,
            status: loose.status,
        });
        self.answer(loose.unit, Answer::Done);
    }

    /// The answers, and what is to be written.
    pub(super) fn finish(mut self) -> Done {
        let mut commit = std::mem::take(&mut self.commit);
        let (mut all, mut unmoved, mut untouched) = (Vec::new(), Vec::new(), Vec::new());
        for (id, work) in std::mem::take(&mut self.works) {
            if work.ticked && work.entries.is_empty() {
                let state = work.state.as_ref();
                let part = state.map_or(0, |state| part_of(state.number_id.as_str()));
                let due = state.and_then(Conversation::next_deadline);
                unmoved.push((id.clone(), part, due.map(|(at, _)| at)));
            }
            match work.finish(id, &mut commit) {
                Finished::Changed(messages) => all.push(messages),
                Finished::Untouched(same) => untouched.push(*same),
                Finished::Missing => {}
            }
        }
        Done {
            answers: self.all_answers(),
            calls: std::mem::take(&mut self.calls),
            commit,
            messages: all,
            untouched,
            unmoved,
        }
    }

    fn all_answers(&mut self) -> Vec<Answer> {
        for (unit, original) in std::mem::take(&mut self.repeats) {
            self.answers[unit] = Some(match &self.answers[original] {
                Some(Answer::Retry(cause)) => Answer::Retry(cause.clone()),
                Some(Answer::Refused(cause)) => Answer::Refused(cause.clone()),
                Some(Answer::Elsewhere) => Answer::Elsewhere,
                _ => Answer::Duplicate,
            });
        }
        let nothing = || Answer::Retry("it was not looked at".to_owned());
        let answers = self.answers.drain(..);
        answers
            .map(|answer| answer.unwrap_or_else(nothing))
            .collect()
    }
}

/// What became of a conversation in a batch.
enum Finished {
    /// It has new entries; its messages at hand.
    Changed(Messages),
    /// It has none.
    Untouched(Box<(Conversation, Messages)>),
    /// There is no such conversation.
    Missing,
}

impl Work {
    /// Adds what has changed to `commit`.
    fn finish(self, id: ConversationId, commit: &mut Commit) -> Finished {
        let Some(state) = self.state else {
            return Finished::Missing;
        };
        if self.entries.is_empty() {
            return Finished::Untouched(Box::new((state, self.messages)));
        }
        commit.entries.extend(self.entries);
        let keys = self.new_keys.into_iter();
        let keys = keys.filter(|key| state.keys.contains(key));
        commit.new_keys.extend(keys.map(|key| (id.clone(), key)));
        for message in self.changed {
            if let Some(stored) = self.messages.get(&message) {
                commit.messages.push(MessageRow {
                    conversation: id.clone(),
                    message: Arc::clone(&stored.message),
                    traceparent: stored.traceparent.clone(),
                    index: self.indexed.contains(&message),
                });
            }
        }
        let engagements = self.engagements.into_values();
        commit
            .engagements
            .extend(engagements.map(|engagement| (id.clone(), engagement)));
        commit
            .conversations
            .push(Changed::since(self.stored, state));
        Finished::Changed(self.messages)
    }

    /// Engagements before the current one that tasks are about.
    pub(super) fn past_wanted(&self) -> impl Iterator<Item = EngagementId> {
        let current = self
            .state
            .as_ref()
            .and_then(|state| state.engagement.as_ref());
        let wanted = self.queue.iter().filter_map(Task::engagement);
        wanted
            .filter(move |id| current.is_some_and(|current| current.id != **id))
            .cloned()
    }

    /// Remembers the keys a conversation has gained.
    fn learn_keys(&mut self, after: &Conversation) {
        let before = self.state.as_ref().map(|state| &state.keys);
        let keys = after.keys.iter();
        let gained = keys.filter(|key| before.is_none_or(|before| !before.contains(key)));
        self.new_keys.extend(gained.cloned());
    }

    fn on_messages(
        &mut self,
        id: &ConversationId,
        event: &Event,
        traceparent: &str,
    ) -> Result<(), StorageError> {
        if let Some(touched) = event.touched() {
            let stored = self.messages.get_mut(touched).ok_or_else(|| {
                StorageError::corrupt("message", touched.as_str(), "it is not loaded")
            })?;
            let edited = stored.message.edited_text.clone();
            Arc::make_mut(&mut stored.message).apply(event);
            if stored.message.edited_text != edited {
                self.indexed.insert(touched.clone());
            }
            self.changed.insert(touched.clone());
        }
        if let Some(message) = Message::born_of(event) {
            self.changed.insert(message.id.clone());
            self.indexed.insert(message.id.clone());
            let stored = StoredMessage {
                conversation: id.clone(),
                traceparent: traceparent.to_owned(),
                message: Arc::new(message),
            };
            self.messages.insert(stored.message.id.clone(), stored);
        }
        Ok(())
    }
}

/// The ids of Meta an event makes known, with our message.
fn learned(event: &Event, conversation: &Conversation) -> Option<(WamidKey, MessageId)> {
    let (wamid, message) = match event {
        Event::MessageReceived { message, .. } => (message.wamid.clone()?, message.id.clone()),
        Event::AttemptEnded {
            message_id,
            outcome: SendOutcome::Accepted { wamid },
            ..
        } => (wamid.clone(), message_id.clone()),
        // Of a message sent twice, the other copy's id.
        Event::StatusChanged {
            message_id, update, ..
        } => (update.id.clone(), message_id.clone()),
        _ => return None,
    };
    Some(((conversation.number_id.to_string(), wamid), message))
}

/// The engagement an event belongs to when it is not the current one.
fn engagement_of(event: &Event) -> Option<String> {
    let engagement = match event {
        Event::MessageReceived { message, .. } | Event::MessageQueued { message, .. } => {
            message.engagement.as_ref()
        }
        Event::AttemptStarted { engagement, .. }
        | Event::AttemptEnded { engagement, .. }
        | Event::StatusChanged { engagement, .. } => engagement.as_ref(),
        Event::EngagementFiled { engagement, .. } => Some(engagement),
        _ => return None,
    };
    Some(engagement.map(ToString::to_string).unwrap_or_default())
}
