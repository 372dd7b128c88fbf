//! Deciding a batch, in rounds: each conversation goes on until the flow has to take a step; the
//! steps of a round travel in one call; then the next round begins.

use std::panic::{AssertUnwindSafe, catch_unwind};

use core_conversation::{
    Conversation, Decision, Event, FlowStep, Input, Message, Policy, Rejection, decide,
};
use core_types::{ConversationId, EngagementId, MessageId, Timestamp};
use lib_platform::trace;
use lib_storage::StorageError;

use super::Writer;
use super::batch::{Batch, ReplyWith, Target, Task, Work};
use super::plan::same_request;
use super::unit::Answer;
use crate::store::load::{self, WamidKey};

/// A task whose decision waits for the flow.
struct Paused {
    conversation: ConversationId,
    task: Task,
    decision: Decision,
    step: FlowStep,
}

impl Writer {
    /// Decides everything that waits in `batch`.
    pub(super) async fn run(&self, batch: &mut Batch) -> Result<(), StorageError> {
        loop {
            let paused = self.round(batch)?;
            if paused.is_empty() {
                break;
            }
            self.steps(batch, paused).await?;
        }
        self.late_statuses(batch).await
    }

    fn round(&self, batch: &mut Batch) -> Result<Vec<Paused>, StorageError> {
        let ids: Vec<ConversationId> = batch
            .works
            .iter()
            .filter(|(_, work)| !work.queue.is_empty())
            .map(|(id, _)| id.clone())
            .collect();
        let mut paused = Vec::new();
        for id in ids {
            while let Some(task) = batch.works.get_mut(&id).and_then(Work::next) {
                if let Some(waiting) = self.one(batch, &id, task)? {
                    paused.push(waiting);
                    break;
                }
            }
        }
        Ok(paused)
    }

    /// Decides one task. What needs the flow comes back.
    fn one(
        &self,
        batch: &mut Batch,
        id: &ConversationId,
        mut task: Task,
    ) -> Result<Option<Paused>, StorageError> {
        let work = batch.works.get(id);
        if let (Some(work), Input::CompleteWrapUp { seen, earlier, .. }) = (work, &mut task.input) {
            *earlier = work.past.get(&seen.engagement).cloned().map(Box::new);
        }
        if work.is_some_and(|work| work.blocked) && task.dedupe.is_some() {
            let cause = "an earlier item of the conversation has to be taken in first";
            batch.answer(task.unit, Answer::Retry(cause.to_owned()));
            return Ok(None);
        }
        if let Some(key) = &task.idempotency {
            let made = batch.keyed.get(key).cloned();
            if let Some((owner, message)) = made {
                let answer = repeated(batch, &owner, &message, &task);
                batch.answer(task.unit, answer);
                return Ok(None);
            }
        }
        let target = batch.target(id, &task.target);
        let state = work.and_then(|work| work.state.as_ref());
        if let Some(state) = state
            && !task.may_touch(state)
        {
            stay_out(batch, id, task);
            return Ok(None);
        }
        match judge(state, &task, target, &self.policy, batch.now) {
            Judgement::Made(mut decision) => match decision.step.take() {
                Some(step) => Ok(Some(Paused {
                    conversation: id.clone(),
                    task,
                    decision: *decision,
                    step,
                })),
                None => complete(batch, id, task, *decision).map(|()| None),
            },
            Judgement::Refused(rejection) => {
                refuse(batch, id, task, rejection);
                Ok(None)
            }
            Judgement::Missing => {
                batch.answer(task.unit, Answer::NotFound("conversation", id.to_string()));
                Ok(None)
            }
            Judgement::Broken => {
                tracing::error!(conversation = %id, "a decision panicked; the item is refused");
                let cause = "it cannot be decided; this is a fault of Frontdesk";
                batch.answer(task.unit, Answer::Refused(cause.to_owned()));
                Ok(None)
            }
        }
    }

    /// Lets the flow take the steps of a round, all in one call.
    async fn steps(&self, batch: &mut Batch, paused: Vec<Paused>) -> Result<(), StorageError> {
        let wanted: Vec<(&Conversation, &FlowStep)> = paused
            .iter()
            .map(|waiting| (&waiting.decision.conversation, &waiting.step))
            .collect();
        lib_platform::failpoint!("conversations.step");
        let mut results = match self.flows.advance(&wanted, batch.now).await {
            Ok(results) => results,
            Err(status) => {
                tracing::warn!(code = ?status.code(), steps = paused.len(), "the flow-runner does not answer");
                for waiting in &paused {
                    put_off(batch, waiting, "the flow-runner does not answer");
                }
                return Ok(());
            }
        };
        let numbers = paused
            .iter()
            .map(|waiting| &waiting.decision.conversation.number_id);
        let outcomes = results.iter_mut().map(|result| &mut result.outcome);
        let prepared = self.templates.prepare_steps(numbers.zip(outcomes)).await;
        for ((waiting, result), prepared) in paused.into_iter().zip(results).zip(prepared) {
            if let Err(status) = prepared {
                tracing::warn!(code = ?status.code(), "templates cannot be prepared");
                put_off(batch, &waiting, "templates cannot be prepared now");
                continue;
            }
            let Paused {
                conversation,
                task,
                mut decision,
                ..
            } = waiting;
            let input = Input::Step(result);
            let now = batch.now;
            // A step's result is never rejected: it concerns the state just decided.
            if let Ok(after) = decide(&decision.conversation, &input, None, &self.policy, now) {
                decision.events.extend(after.events);
                decision.calls.extend(after.calls);
                decision.conversation = after.conversation;
            }
            complete(batch, &conversation, task, decision)?;
        }
        Ok(())
    }

    /// Joins statuses with messages whose id became known in this batch.
    async fn late_statuses(&self, batch: &mut Batch) -> Result<(), StorageError> {
        let mut waiting = std::mem::take(&mut batch.orphans);
        let asked = &batch.asked;
        let strays = &self.cache.strays;
        let unasked = batch.learned.iter().filter(|key| {
            let may_wait = strays.wait_for(&key.0, &batch.fences);
            may_wait != Some(false) && !asked.contains(*key)
        });
        let unasked: Vec<WamidKey> = unasked.cloned().collect();
        if !unasked.is_empty() {
            waiting.extend(load::orphans(&self.database, unasked).await?);
        }
        for orphan in waiting {
            let Some(key) = batch
                .learned
                .iter()
                .find(|(number, wamid)| {
                    *number == orphan.number_id && wamid.as_str() == orphan.wamid
                })
                .cloned()
            else {
                continue;
            };
            if self.join(batch, key, orphan.status, &orphan.traceparent)? {
                let row = (orphan.number_id, orphan.wamid, orphan.key);
                batch.commit.adopted.push(row);
            }
        }
        for loose in std::mem::take(&mut batch.loose) {
            let key = (loose.number_id.clone(), loose.status.id.clone());
            let known = batch.wamids.contains_key(&key);
            if known && self.join(batch, key, loose.status.clone(), &loose.traceparent)? {
                batch.commit.dedupe.push(loose.key);
                batch.answer(loose.unit, Answer::Done);
            } else {
                batch.orphan(loose);
            }
        }
        Ok(())
    }

    fn join(
        &self,
        batch: &mut Batch,
        key: WamidKey,
        status: core_types::StatusUpdate,
        traceparent: &str,
    ) -> Result<bool, StorageError> {
        let Some((id, _)) = batch.wamids.get(&key).cloned() else {
            return Ok(false);
        };
        let state = batch.works.get(&id).and_then(|work| work.state.as_ref());
        let Some(state) = state else { return Ok(false) };
        let target = batch.target(&id, &Target::Wamid(key));
        let input = Input::Status(Box::new(status));
        let Ok(decision) = decide(state, &input, target, &self.policy, batch.now) else {
            return Ok(false);
        };
        batch.take(&id, decision, traceparent)?;
        Ok(true)
    }
}

impl Task {
    /// Whether the task may touch this conversation: tenants and numbers do not mix.
    fn may_touch(&self, state: &Conversation) -> bool {
        let number = state.number_id.as_str();
        self.tenant.as_ref().is_none_or(|own| *own == state.tenant)
            && self.number.as_ref().is_none_or(|own| own == number)
    }
}

impl Work {
    fn next(&mut self) -> Option<Task> {
        self.queue.pop_front()
    }
}

enum Judgement {
    Made(Box<Decision>),
    Refused(Rejection),
    Missing,
    Broken,
}

/// A step that cannot be taken now: its task is to come again, and so are later ones of its conversation.
fn put_off(batch: &mut Batch, waiting: &Paused, cause: &str) {
    batch.answer(waiting.task.unit, Answer::Retry(cause.to_owned()));
    if let Some(work) = batch.works.get_mut(&waiting.conversation) {
        work.blocked = true;
    }
}

/// Decides `task`, starting the conversation first where there is none. A panic stays here.
fn judge(
    state: Option<&Conversation>,
    task: &Task,
    target: Option<&core_conversation::Message>,
    policy: &Policy,
    now: Timestamp,
) -> Judgement {
    let born = match (state, &task.birth) {
        (None, Some(birth)) => Conversation::born_of(birth, now),
        (Some(_), _) | (None, None) => None,
    };
    let Some(state) = state.or(born.as_ref()) else {
        return Judgement::Missing;
    };
    let decided = catch_unwind(AssertUnwindSafe(|| {
        decide(state, &task.input, target, policy, now)
    }));
    match decided {
        Err(_) => Judgement::Broken,
        Ok(Err(rejection)) => Judgement::Refused(rejection),
        Ok(Ok(mut decision)) => {
            if born.is_some() {
                decision.events.splice(0..0, task.birth.clone());
            }
            Judgement::Made(Box::new(decision))
        }
    }
}

fn complete(
    batch: &mut Batch,
    id: &ConversationId,
    mut task: Task,
    mut decision: Decision,
) -> Result<(), StorageError> {
    let queued = decision.events.iter().find_map(|event| match event {
        Event::MessageQueued { message, .. } => Some(message.id.clone()),
        _ => None,
    });
    let started = decision
        .events
        .iter()
        .any(|event| matches!(event, Event::AttemptStarted { .. }));
    let span = tracing::debug_span!("conversation", id = %id);
    trace::continue_from(&span, &task.traceparent);
    let traceparent = trace::traceparent(&span).unwrap_or_else(|| task.traceparent.clone());
    span.in_scope(|| {
        tracing::debug!(traceparent, events = decision.events.len(), "decided");
    });
    batch.ask(&mut decision, &traceparent);
    batch.take(id, decision, &traceparent)?;
    batch.commit.dedupe.extend(task.dedupe.take());
    let answer = match task.reply {
        ReplyWith::Done => Answer::Done,
        ReplyWith::Granted => Answer::Granted(started),
        ReplyWith::Engagement => engagement_of(batch, id, task.engagement())
            .map_or(Answer::Done, |found| Answer::Engagement(Box::new(found))),
        ReplyWith::Message => {
            let queued = queued.ok_or_else(|| {
                StorageError::corrupt("message", id.as_str(), "nothing was queued")
            })?;
            if let Some((scope, key)) = task.idempotency.take() {
                let row = (scope.clone(), key.clone(), queued.to_string());
                batch.commit.idempotency.push(row);
                batch
                    .keyed
                    .insert((scope, key), (id.clone(), queued.clone()));
            }
            message_answer(batch, id, &queued)
        }
    };
    batch.answer(task.unit, answer);
    Ok(())
}

fn engagement_of(
    batch: &Batch,
    id: &ConversationId,
    wanted: Option<&EngagementId>,
) -> Option<(core_conversation::Engagement, Conversation)> {
    let work = batch.works.get(id)?;
    let state = work.state.as_ref()?;
    let past = wanted.and_then(|wanted| work.past.get(wanted));
    let engagement = past.or(state.engagement.as_ref())?;
    Some((engagement.clone(), state.clone()))
}

fn message_answer(batch: &Batch, id: &ConversationId, message: &MessageId) -> Answer {
    let stored = batch
        .works
        .get(id)
        .and_then(|work| work.messages.get(message));
    match stored {
        Some(stored) => Answer::Sent(Box::new((Message::clone(&stored.message), id.clone()))),
        None => Answer::NotFound("message", message.to_string()),
    }
}

/// The answer to a request that repeats another of this batch.
fn repeated(batch: &Batch, owner: &ConversationId, message: &MessageId, task: &Task) -> Answer {
    match message_answer(batch, owner, message) {
        Answer::Sent(sent) => match &task.input {
            Input::Send { content, .. } if same_request(content, &sent.0.content) => {
                Answer::Sent(sent)
            }
            _ => Answer::KeyReused,
        },
        other => other,
    }
}

/// A task for another tenant's or number's conversation: for its sender there is no such thing.
fn stay_out(batch: &mut Batch, id: &ConversationId, task: Task) {
    if let Some(loose) = task.loose_status() {
        batch.loose.push(loose);
    } else {
        batch.answer(task.unit, Answer::NotFound("conversation", id.to_string()));
    }
}

fn refuse(batch: &mut Batch, id: &ConversationId, task: Task, rejection: Rejection) {
    if let Some(loose) = task.loose_status() {
        batch.loose.push(loose);
        return;
    }
    let view = engagement_of(batch, id, task.engagement()).map(Box::new);
    batch.answer(task.unit, Answer::Rejected(rejection, view));
}
