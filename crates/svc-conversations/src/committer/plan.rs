//! From units to tasks: finds the tenants, the conversations and the messages the units of a batch
//! are about. What is not in memory is looked up in one statement.

use core_conversation::{Input, Message};
use core_types::{
    AccountFact, Content, ConversationId, EngagementId, FactBody, MessageId, TenantId, Timestamp,
};
use lib_storage::StorageError;

use super::Writer;
use super::batch::{Batch, ReplyWith, Target, Task, Work};
use super::contacts::Customer;
use super::keys::{
    callback_message, change_target, conversation_of_engagement, dedupe_key, idempotency_of,
    own_wamid, scope_of,
};
use super::known::{Care, Known};
use super::unit::{Answer, Item, Place, SendCommand, Unit, What};
use crate::directory::Number;
use crate::parts::Fences;
use crate::store::load::{self, StoredMessage};
use crate::store::write::{LogEvent, NewEntry};

impl Writer {
    /// Makes tasks of the units. What can be answered already is answered.
    pub(super) async fn plan(
        &mut self,
        units: &[Unit],
        now: Timestamp,
        fences: &Fences,
        care: Care,
    ) -> Result<Batch, StorageError> {
        let mut batch = Batch::new(units.len(), now, fences.clone());
        let mut known = self.look_up(units, &mut batch, care).await?;
        for (at, unit) in units.iter().enumerate() {
            self.place(&mut batch, &mut known, at, unit).await;
        }
        self.load(&mut batch, known).await?;
        Ok(batch)
    }

    async fn place(&self, batch: &mut Batch, known: &mut Known, at: usize, unit: &Unit) {
        let task = |input, reply| Task::new(at, unit, input, reply);
        match &unit.what {
            What::Receive(item) => self.place_item(batch, known, at, item, unit).await,
            What::Send(command) => self.place_send(batch, known, at, command, unit),
            What::Start(message_id, attempt) => {
                let input = Input::StartAttempt {
                    message_id: message_id.clone(),
                    attempt: *attempt,
                };
                place_attempt(batch, known, message_id, task(input, ReplyWith::Granted));
            }
            What::Finish(message_id, attempt, outcome) => {
                let input = Input::FinishAttempt {
                    message_id: message_id.clone(),
                    attempt: *attempt,
                    outcome: outcome.clone(),
                };
                place_attempt(batch, known, message_id, task(input, ReplyWith::Done));
            }
            What::Routing(engagement, epoch, record) => {
                let input = Input::Routing {
                    engagement: engagement.clone(),
                    epoch: *epoch,
                    record: record.clone(),
                };
                place_engagement(batch, engagement, task(input, ReplyWith::Engagement));
            }
            What::Desk(tenant, engagement, input) => {
                let task = Task {
                    tenant: tenant.clone(),
                    ..task(input.as_ref().clone(), ReplyWith::Engagement)
                };
                place_engagement(batch, engagement, task);
            }
            What::Tick(id) => {
                queue(batch, id, task(Input::Tick, ReplyWith::Done));
                batch.works.entry(id.clone()).or_default().ticked = true;
            }
        }
    }

    async fn place_item(
        &self,
        batch: &mut Batch,
        known: &mut Known,
        at: usize,
        item: &Item,
        unit: &Unit,
    ) {
        let Some(key) = dedupe_key(unit) else { return };
        if !batch.holds(scope_of(&item.fact)) {
            return batch.answer(at, Answer::Elsewhere);
        }
        let own = own_wamid(unit).is_some_and(|own| known.by_wamid.contains_key(&own));
        if own || known.taken.contains(&key) {
            return batch.answer(at, Answer::Duplicate);
        }
        if let Some(original) = known.seen.get(&key) {
            return batch.repeats.push((at, *original));
        }
        known.seen.insert(key.clone(), at);
        let number = match self.number(known, item).await {
            Ok(number) => number,
            Err(answer) => return batch.answer(at, answer),
        };
        let number_id = item.fact.number_id.as_ref().map(ToString::to_string);
        let task = |input, target| Task {
            target,
            dedupe: Some(key.clone()),
            number: number_id.clone(),
            ..Task::new(at, unit, input, ReplyWith::Done)
        };
        match (&item.fact.body, number_id.clone()) {
            (FactBody::Account(fact), _) => {
                let entry = account_entry(item, fact, &number.tenant, &unit.traceparent, batch.now);
                batch.commit.entries.push(entry);
                batch.commit.dedupe.push(key.clone());
                batch.answer(at, Answer::Done);
            }
            (_, None) => batch.answer(at, Answer::Refused("the item names no number".to_owned())),
            (FactBody::Message(message), Some(number_id)) => {
                let input = Input::Message {
                    message: message.clone(),
                    admitted_at: item.admitted_at,
                    flow: number.flow.clone(),
                };
                let task = task(input, change_target(&number_id, &message.content));
                let place = (&number.tenant, number_id.as_str());
                let customer = Customer::of_message(message);
                self.place_contact(batch, &mut known.contacts, place, customer, task);
            }
            (FactBody::Echo(echo), Some(number_id)) => {
                let input = Input::Echo {
                    echo: echo.clone(),
                    admitted_at: item.admitted_at,
                };
                let task = task(input, change_target(&number_id, &echo.content));
                let place = (&number.tenant, number_id.as_str());
                let customer = Customer::of(&echo.to);
                self.place_contact(batch, &mut known.contacts, place, customer, task);
            }
            (FactBody::Status(status), Some(number_id)) => {
                let owner = status_owner(known, &number_id, status);
                let (owner, target) = owner.unzip();
                let task = task(
                    Input::Status(status.clone()),
                    target.unwrap_or(Target::None),
                );
                match owner {
                    Some(owner) => queue(batch, &owner, task),
                    None => batch.loose.extend(task.loose_status()),
                }
            }
        }
    }

    /// Whose an item is.
    async fn number(&self, known: &Known, item: &Item) -> Result<Number, Answer> {
        if let Some(id) = &item.fact.number_id {
            if let Some(number) = known.numbers.get(id.as_str()) {
                return Ok(number.clone());
            }
            if let Some(cause) = &known.no_directory {
                return Err(Answer::Retry(cause.clone()));
            }
            if !matches!(item.fact.body, FactBody::Account(_)) {
                let cause = format!("number {id} is not connected to any tenant");
                return Err(Answer::Refused(cause));
            }
        }
        let waba = item.fact.waba_id.as_str();
        match self.directory.account(waba).await {
            Ok(Some(tenant)) => Ok(Number { tenant, flow: None }),
            Ok(None) => Err(Answer::Refused(format!(
                "account {waba} is not connected to any tenant"
            ))),
            Err(_) => Err(Answer::Retry("accounts does not answer".to_owned())),
        }
    }

    fn place_send(
        &self,
        batch: &mut Batch,
        known: &mut Known,
        at: usize,
        command: &SendCommand,
        unit: &Unit,
    ) {
        if !batch.holds(command.number().as_str()) {
            return batch.answer(at, Answer::Elsewhere);
        }
        if let Some(key) = idempotency_of(unit)
            && let Some(made) = known.keyed.get(&key)
        {
            let answer = match known.by_id.get(made) {
                Some(stored) if same_request(&stored.message.content, &command.content) => {
                    let message = Message::clone(&stored.message);
                    let sent = (message, stored.conversation.clone());
                    Answer::Sent(Box::new(sent))
                }
                _ => Answer::KeyReused,
            };
            return batch.answer(at, answer);
        }
        let input = Input::Send {
            sender: command.sender.clone(),
            content: command.content.clone(),
            reply_to: command.reply_to.clone(),
        };
        let task = Task {
            idempotency: idempotency_of(unit),
            tenant: command.tenant.clone(),
            target: change_target(command.number().as_str(), &command.content),
            ..Task::new(at, unit, input, ReplyWith::Message)
        };
        match &command.place {
            Place::Conversation(id, _) => queue(batch, id, task),
            Place::Contact(number_id, contact) => {
                let number = known.numbers.get(number_id.as_str()).cloned();
                let own = number.filter(|number| {
                    command
                        .tenant
                        .as_ref()
                        .is_none_or(|own| *own == number.tenant)
                });
                match (own, &known.no_directory) {
                    (Some(number), _) => {
                        let place = (&number.tenant, number_id.as_str());
                        let customer = Customer::of(contact);
                        self.place_contact(batch, &mut known.contacts, place, customer, task);
                    }
                    (None, Some(cause)) => batch.answer(at, Answer::Retry(cause.clone())),
                    (None, None) => {
                        batch.answer(at, Answer::NotFound("number", number_id.to_string()));
                    }
                }
            }
        }
    }

    /// Loads the conversations of the tasks and the messages they may change.
    async fn load(&mut self, batch: &mut Batch, known: Known) -> Result<(), StorageError> {
        self.states(batch).await?;
        for (key, id) in known.found_contacts {
            self.cache.learn(key, &id);
        }
        let past: Vec<EngagementId> = batch.works.values().flat_map(Work::past_wanted).collect();
        for engagement in load::engagements(&self.database, &past).await? {
            if let Some(id) = conversation_of_engagement(&engagement.id)
                && let Some(work) = batch.works.get_mut(&id)
            {
                work.past.insert(engagement.id.clone(), engagement);
            }
        }
        let mut wanted = Vec::new();
        for work in batch.works.values() {
            let outbox = work.state.iter().flat_map(|state| &state.outbox);
            let outbox = outbox.filter(|entry| !work.messages.contains_key(&entry.message_id));
            wanted.extend(outbox.map(|entry| entry.message_id.clone()));
        }
        let stored = load::messages(&self.database, wanted).await?;
        let by_wamid = known.by_wamid.into_iter().map(|(key, stored)| {
            let place = (stored.conversation.clone(), stored.message.id.clone());
            batch.wamids.insert(key, place);
            stored
        });
        let by_wamid: Vec<StoredMessage> = by_wamid.collect();
        let all = stored
            .into_iter()
            .chain(by_wamid)
            .chain(known.by_id.into_values());
        for message in all {
            if let Some(work) = batch.works.get_mut(&message.conversation) {
                let id = message.message.id.clone();
                work.messages.insert(id, message);
            }
        }
        Ok(())
    }

    /// Fills in the states of the conversations, from memory if they are there. What is not ours
    /// is answered.
    async fn states(&mut self, batch: &mut Batch) -> Result<(), StorageError> {
        let mut missing = Vec::new();
        for (id, work) in &mut batch.works {
            match self.cache.take(id, &batch.fences) {
                Some(remembered) => {
                    work.state = Some(remembered.state);
                    work.messages = remembered.messages;
                }
                None => missing.push(id.clone()),
            }
        }
        let wanted: Vec<&ConversationId> = missing.iter().collect();
        for state in load::conversations(&self.database, &wanted).await? {
            let id = state.id.clone();
            batch.works.entry(id).or_default().state = Some(state);
        }
        let numbers = batch.works.iter().filter_map(|(id, work)| {
            let state = work.state.as_ref()?;
            Some((id.clone(), state.number_id.clone()))
        });
        let numbers: Vec<_> = numbers.collect();
        for (id, number) in numbers {
            if batch.holds(number.as_str()) {
                continue;
            }
            let work = batch.works.remove(&id);
            for task in work.into_iter().flat_map(|work| work.queue) {
                batch.answer(task.unit, Answer::Elsewhere);
            }
        }
        Ok(())
    }
}

/// Whether two messages are the same request: what the registry filled into a template may have
/// changed in between.
pub(super) fn same_request(one: &Content, other: &Content) -> bool {
    match (one, other) {
        (Content::Template(one), Content::Template(other)) => {
            one.name == other.name
                && one.language == other.language
                && one.header == other.header
                && one.body == other.body
                && one.buttons == other.buttons
        }
        _ => one == other,
    }
}

fn place_attempt(batch: &mut Batch, known: &Known, message_id: &MessageId, task: Task) {
    let target = Target::Id(message_id.clone());
    match known.by_id.get(message_id) {
        Some(stored) => {
            // Attempts are reported in batches of many messages: each goes on with the trace of its
            // own message, not with that of the call.
            let traceparent = match stored.traceparent.as_str() {
                "" => task.traceparent,
                own => own.to_owned(),
            };
            let task = Task {
                target,
                traceparent,
                ..task
            };
            queue(batch, &stored.conversation, task);
        }
        None if task.reply == ReplyWith::Granted => {
            batch.answer(task.unit, Answer::Granted(false));
        }
        None => batch.answer(
            task.unit,
            Answer::NotFound("message", message_id.to_string()),
        ),
    }
}

fn place_engagement(batch: &mut Batch, engagement: &EngagementId, task: Task) {
    if let Some(id) = conversation_of_engagement(engagement) {
        queue(batch, &id, task);
    } else {
        let missing = Answer::NotFound("engagement", engagement.to_string());
        batch.answer(task.unit, missing);
    }
}

pub(super) fn queue(batch: &mut Batch, id: &ConversationId, task: Task) {
    batch
        .works
        .entry(id.clone())
        .or_default()
        .queue
        .push_back(task);
}

/// The conversation and message a status is about: by Meta's id, else by ours. Ours counts only
/// if the message went out by the same number.
fn status_owner(
    known: &Known,
    number: &str,
    status: &core_types::StatusUpdate,
) -> Option<(ConversationId, Target)> {
    let key = (number.to_owned(), status.id.clone());
    if let Some(stored) = known.by_wamid.get(&key) {
        return Some((stored.conversation.clone(), Target::Wamid(key)));
    }
    let id = callback_message(status)?;
    let stored = known.by_id.get(&id)?;
    Some((stored.conversation.clone(), Target::Id(id)))
}

fn account_entry(
    item: &Item,
    fact: &AccountFact,
    tenant: &TenantId,
    traceparent: &str,
    now: Timestamp,
) -> NewEntry {
    NewEntry {
        tenant: tenant.to_string(),
        conversation: String::new(),
        engagement: String::new(),
        sequence: 0,
        recorded_at: now,
        number_id: item
            .fact
            .number_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        waba_id: item.fact.waba_id.to_string(),
        traceparent: traceparent.to_owned(),
        event: LogEvent::Account(fact.clone()),
    }
}
