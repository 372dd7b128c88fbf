//! A batch in the making: conversations with what has happened to them so far, and what will be
//! committed.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use core_conversation::{Conversation, Decision, Engagement, Event, Input, Message, SendOutcome};
use core_types::{
    ContactKey, ConversationId, EngagementId, MessageId, StatusUpdate, TenantId, Timestamp,
    WhatsAppMessageId,
};
use lib_storage::StorageError;

use super::unit::{Answer, Unit};
use crate::store::load::StoredMessage;
use crate::store::write::{Commit, LogEvent, MessageRow, NewEntry, NewOrphan};

/// A number and Meta's id of a message.
pub(super) type WamidKey = (String, WhatsAppMessageId);

/// One input for one conversation.
pub(super) struct Task {
    /// The unit to answer.
    pub(super) unit: usize,
    /// What happened.
    pub(super) input: Input,
    /// The message it is about.
    pub(super) target: Target,
    /// The trace it came with.
    pub(super) traceparent: String,
    /// The key under which it is remembered.
    pub(super) dedupe: Option<String>,
    /// Scope and key of a request that must not be repeated.
    pub(super) idempotency: Option<(String, String)>,
    /// Starts the conversation if it is not there yet.
    pub(super) birth: Option<Event>,
    /// Whose the conversation must be; absent for services.
    pub(super) tenant: Option<TenantId>,
    /// The number the conversation must be of, for statuses.
    pub(super) number: Option<String>,
    /// How it is answered.
    pub(super) reply: ReplyWith,
}

impl Task {
    /// A task for `unit`, about no message and free to touch any conversation.
    pub(super) fn new(at: usize, unit: &Unit, input: Input, reply: ReplyWith) -> Self {
        Self {
            unit: at,
            input,
            target: Target::None,
            traceparent: unit.traceparent.clone(),
            dedupe: None,
            idempotency: None,
            birth: None,
            tenant: None,
            number: None,
            reply,
        }
    }

    /// A task that follows from another and is not answered.
    pub(super) fn aside(from: &Self, input: Input) -> Self {
        Self {
            unit: usize::MAX,
            input,
            target: Target::None,
            traceparent: from.traceparent.clone(),
            dedupe: None,
            idempotency: None,
            birth: None,
            tenant: None,
            number: None,
            reply: ReplyWith::Done,
        }
    }

    /// The engagement this task names.
    pub(super) fn engagement(&self) -> Option<&EngagementId> {
        match &self.input {
            Input::Routing { engagement, .. } => Some(engagement),
            Input::StartWrapUp(seen)
            | Input::CompleteWrapUp { seen, .. }
            | Input::TransferToQueue { seen, .. } => Some(&seen.engagement),
            _ => None,
        }
    }

    /// The status this task is about, as one that has no message.
    pub(super) fn loose_status(&self) -> Option<Loose> {
        match (&self.input, &self.dedupe, &self.number) {
            (Input::Status(status), Some(key), Some(number_id)) => Some(Loose {
                unit: self.unit,
                number_id: number_id.clone(),
                key: key.clone(),
                traceparent: self.traceparent.clone(),
                status: status.as_ref().clone(),
            }),
            _ => None,
        }
    }
}

/// How a task is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyWith {
    /// It is done.
    Done,
    /// Whether an attempt began.
    Granted,
    /// The message queued.
    Message,
    /// The engagement.
    Engagement,
}

/// Which message a task is about.
#[derive(Clone)]
pub(super) enum Target {
    /// None.
    None,
    /// By our id.
    Id(MessageId),
    /// By Meta's.
    Wamid(WamidKey),
}

/// A status whose message is not known (yet).
pub(super) struct Loose {
    /// The unit to answer.
    pub(super) unit: usize,
    /// The number.
    pub(super) number_id: String,
    /// Its dedupe key.
    pub(super) key: String,
    /// The trace it came with.
    pub(super) traceparent: String,
    /// What it says.
    pub(super) status: StatusUpdate,
}

/// A conversation being worked on.
#[derive(Default)]
pub(super) struct Work {
    /// Its state; absent until it is started.
    pub(super) state: Option<Conversation>,
    /// What waits for it, in order.
    pub(super) queue: VecDeque<Task>,
    /// Its messages, as far as loaded or new.
    pub(super) messages: BTreeMap<MessageId, StoredMessage>,
    /// Engagements before the current one, as far as a task is about them.
    pub(super) past: BTreeMap<EngagementId, Engagement>,
    /// Whether a webhook item could not be taken in, so that later ones must wait too.
    pub(super) blocked: bool,
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
    /// What will be written besides the conversations.
    pub(super) commit: Commit,
}

impl Batch {
    pub(super) fn new(units: usize, now: Timestamp) -> Self {
        Self {
            now,
            answers: std::iter::repeat_with(|| None).take(units).collect(),
            repeats: Vec::new(),
            works: BTreeMap::new(),
            loose: Vec::new(),
            wamids: HashMap::new(),
            learned: Vec::new(),
            keyed: HashMap::new(),
            commit: Commit::default(),
        }
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
        if let Some(engagement) = &conversation.engagement {
            work.engagements
                .insert(engagement.id.clone(), engagement.clone());
        }
        work.state = Some(conversation);
        Ok(())
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
    pub(super) fn finish(mut self) -> (Vec<Answer>, Commit) {
        let mut commit = std::mem::take(&mut self.commit);
        for (id, work) in self.works {
            let Some(state) = work.state.filter(|_| !work.entries.is_empty()) else {
                continue;
            };
            commit.entries.extend(work.entries);
            let keys = work.new_keys.into_iter();
            let keys = keys.filter(|key| state.keys.contains(key));
            commit.new_keys.extend(keys.map(|key| (id.clone(), key)));
            let mut messages = work.messages;
            for message in work.changed {
                if let Some(stored) = messages.remove(&message) {
                    commit.messages.push(MessageRow {
                        conversation: id.clone(),
                        message: stored.message,
                        traceparent: stored.traceparent,
                        index: work.indexed.contains(&message),
                    });
                }
            }
            let engagements = work.engagements.into_values();
            commit
                .engagements
                .extend(engagements.map(|engagement| (id.clone(), engagement)));
            commit.conversations.push(state);
        }
        for (unit, original) in self.repeats {
            self.answers[unit] = Some(match &self.answers[original] {
                Some(Answer::Retry(cause)) => Answer::Retry(cause.clone()),
                Some(Answer::Refused(cause)) => Answer::Refused(cause.clone()),
                _ => Answer::Duplicate,
            });
        }
        let answers = self.answers.into_iter();
        let nothing = || Answer::Retry("it was not looked at".to_owned());
        let answers = answers.map(|answer| answer.unwrap_or_else(nothing));
        (answers.collect(), commit)
    }
}

impl Work {
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
            stored.message.apply(event);
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
                message,
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
