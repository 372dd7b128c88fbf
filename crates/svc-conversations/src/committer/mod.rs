//! The one writer of the parts this replica holds. Whatever changes a conversation comes here as a
//! [`Unit`]; what has arrived together is decided and committed together, in one transaction, and
//! only then answered and published. While one batch is under way the next gathers.

mod batch;
mod contacts;
mod keys;
mod known;
mod plan;
mod run;
mod task;
mod unit;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use core_conversation::Policy;
use core_types::{ContactKey, ConversationId, Timestamp};
use futures_util::FutureExt as _;
use lib_platform::{Batcher, Clock, IdSource, Lifecycle};
use lib_storage::{Database, StorageError};
use tokio::sync::Mutex;

pub(crate) use keys::conversation_of_engagement;
pub(crate) use unit::{Answer, Item, Place, SendCommand, Unit, What};

use self::known::Care;
use crate::cache::{Cache, Messages};
use crate::calls::Calls;
use crate::directory::Directory;
use crate::flow_runner::FlowRunner;
use crate::metrics::Instruments;
use crate::parts::{Fences, Parts};
use crate::publish::{Committed, News, Publisher};
use crate::store::outbox::{Ready, intent};
use crate::store::write::{Changed, Commit};
use crate::store::{commit, load, part_of};
use crate::templates::Templates;

/// Most requests in one batch; a request may hold many units.
const BATCH: usize = 256;
/// Most requests that wait; beyond that callers wait (guarantee G13: slow, then refuse).
const WAITING: usize = 2_048;

/// Hands units to the writer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Committer(Batcher<Vec<Unit>, Vec<Answer>>);

/// What the writer works with.
pub(crate) struct Writer {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) ids: IdSource,
    pub(crate) policy: Policy,
    pub(crate) directory: Arc<Directory>,
    pub(crate) flows: FlowRunner,
    pub(crate) templates: Templates,
    pub(crate) calls: Calls,
    pub(crate) parts: Arc<Parts>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) cache: Cache,
    pub(crate) instruments: Instruments,
}

impl Committer {
    /// Starts the writer.
    pub(crate) fn spawn(life: &Lifecycle, writer: Arc<Mutex<Writer>>) -> Self {
        let batcher = Batcher::spawn(life, "committer", (BATCH, WAITING), move |requests| {
            let writer = Arc::clone(&writer);
            async move { writer.lock().await.handle(requests).await }
        });
        Self(batcher)
    }

    /// The answers to `units`, in order, once they are committed. Units of one conversation take
    /// effect in order.
    ///
    /// # Errors
    /// When the service is stopping.
    pub(crate) async fn submit(
        &self,
        units: Vec<Unit>,
    ) -> Result<Vec<Answer>, lib_platform::batch::Unhandled> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        self.0.submit(units).await
    }
}

impl Writer {
    async fn handle(&mut self, requests: Vec<Vec<Unit>>) -> Vec<Vec<Answer>> {
        let sizes: Vec<usize> = requests.iter().map(Vec::len).collect();
        let units: Vec<Unit> = requests.into_iter().flatten().collect();
        let mut answers = self.answers(&units).await.into_iter();
        sizes
            .into_iter()
            .map(|size| answers.by_ref().take(size).collect())
            .collect()
    }

    /// Takes the units in together; if the database refuses what one of them wants, each alone, so
    /// that the one fails and its siblings live.
    async fn answers(&mut self, units: &[Unit]) -> Vec<Answer> {
        let outcome = match self.attempt_held(units, Care::Light).await {
            // Something was taken in before that memory does not know: long ago, or by an attempt
            // whose connection broke. It is known now.
            Err(error) if error.is_duplicate() => {
                tracing::debug!(units = units.len(), "planned again: something came again");
                self.attempt_held(units, Care::Full).await
            }
            outcome => outcome,
        };
        match outcome {
            Ok(answers) => answers,
            Err(error) if units.len() > 1 && fails_alone(&error) => {
                tracing::warn!(%error, units = units.len(), "a batch failed; trying its parts alone");
                let mut answers = Vec::with_capacity(units.len());
                for unit in units {
                    let one = std::slice::from_ref(unit);
                    match self.attempt_held(one, Care::Full).await {
                        Ok(mut answer) => answers.append(&mut answer),
                        Err(error) => answers.push(failure(&error)),
                    }
                }
                answers
            }
            Err(error) => units.iter().map(|_| failure(&error)).collect(),
        }
    }

    /// Takes the units in together. Should a part turn out to be another replica's by now, it is
    /// closed and the rest goes on without it.
    async fn attempt_held(
        &mut self,
        units: &[Unit],
        care: Care,
    ) -> Result<Vec<Answer>, StorageError> {
        loop {
            let fences = self.parts.now();
            match self.attempt(units, &fences, care).await {
                Err(StorageError::Fenced { partition, .. }) => {
                    let fence = fences.of(partition).unwrap_or_default();
                    if self.parts.close(partition, fence) {
                        tracing::warn!(part = partition, "a part was lost before its commit");
                        self.cache.forget_part(partition);
                        self.publisher.timers.drop_part(partition);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(
        &mut self,
        units: &[Unit],
        fences: &Fences,
        care: Care,
    ) -> Result<Vec<Answer>, StorageError> {
        let attempt = AssertUnwindSafe(self.process(units, fences, care)).catch_unwind();
        let attempt = attempt.await;
        attempt.unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic");
            Err(StorageError::corrupt("batch", "-", what))
        })
    }

    async fn process(
        &mut self,
        units: &[Unit],
        fences: &Fences,
        care: Care,
    ) -> Result<Vec<Answer>, StorageError> {
        let now = self.clock.now();
        let mut batch = self.plan(units, now, fences, care).await?;
        self.run(&mut batch).await?;
        let done = batch.finish();
        for (id, part, due) in done.unmoved {
            self.publisher.timers.set(&id, part, due);
        }
        for (state, messages) in done.untouched {
            self.cache.put(state, messages, fences);
        }
        if !done.commit.is_empty() {
            lib_platform::failpoint!("conversations.commit");
            let commit = done.commit;
            self.note(&commit, fences);
            let teller = &self.publisher.teller;
            let head = match commit::commit(&self.database, &commit, now, teller).await {
                Ok(head) => head,
                // Certainly not stored: the batch is planned again.
                Err(error) if error.is_duplicate() && care == Care::Light => return Err(error),
                Err(error) => {
                    self.instruments.failed(&error);
                    self.doubt(&commit, &error, now);
                    return Err(error);
                }
            };
            lib_platform::failpoint!("conversations.committed");
            tracing::debug!(
                units = units.len(),
                entries = commit.entries.len(),
                head,
                "committed"
            );
            self.instruments.committed(&commit, now);
            self.committed(commit, done.messages, fences, head);
            self.calls.make(done.calls);
        }
        self.instruments.answered(&done.answers);
        Ok(done.answers)
    }

    /// Remembers and tells of what was committed.
    fn committed(
        &mut self,
        commit: Commit,
        messages: Vec<Messages>,
        fences: &Fences,
        head: Option<i64>,
    ) {
        let mut ready = Vec::new();
        let gone = stored_keys(&commit, &commit.dropped_keys);
        let new = stored_keys(&commit, &commit.new_keys);
        for (changed, messages) in commit.conversations.into_iter().zip(messages) {
            let conversation = changed.state;
            let part = part_of(conversation.number_id.as_str());
            let due = conversation.next_deadline().map(|(at, _)| at);
            self.publisher.timers.set(&conversation.id, part, due);
            if let Some((next, at)) = conversation.ready()
                && let Some(stored) = messages.get(&next.message_id)
            {
                let trace = &stored.traceparent;
                ready.push(Ready {
                    conversation: conversation.id.clone(),
                    at,
                    intent: intent(&conversation, &stored.message, next.attempts + 1, trace),
                });
            }
            self.cache.put(conversation, messages, fences);
        }
        for (key, id) in gone {
            self.cache.unlearn(&key, &id);
        }
        for (key, id) in new {
            self.cache.learn(key, &id);
        }
        if let Some(head) = head {
            let entries = commit.entries;
            self.publisher.tell(News::Committed(Committed {
                head,
                entries,
                ready,
            }));
        }
    }

    /// Remembers what is about to be stored, whatever becomes of it: what is remembered in vain is
    /// only looked up in vain.
    fn note(&mut self, commit: &Commit, fences: &Fences) {
        for key in &commit.dedupe {
            self.cache.recent.note(key);
        }
        for orphan in &commit.orphans {
            self.cache.strays.note(&orphan.number_id, true, fences);
        }
    }

    /// A commit failed. If the connection broke it may be stored all the same: what is remembered
    /// is not believed any more, and deadlines are looked at anew.
    fn doubt(&mut self, commit: &Commit, error: &StorageError, now: Timestamp) {
        for Changed {
            state: conversation,
            ..
        } in &commit.conversations
        {
            self.cache.forget(&conversation.id);
            if !error.is_fenced() && !fails_alone(error) {
                let part = part_of(conversation.number_id.as_str());
                self.publisher.timers.set(&conversation.id, part, Some(now));
            }
        }
        for (key, _) in stored_keys(commit, &commit.new_keys) {
            self.cache.mistrust(&key);
        }
        self.publisher.tell(News::Missed);
    }
}

/// Keys of conversations of `commit` as they are stored.
fn stored_keys(
    commit: &Commit,
    keys: &[(ConversationId, ContactKey)],
) -> Vec<(load::ContactKey, ConversationId)> {
    let mut found = Vec::with_capacity(keys.len());
    for (id, key) in keys {
        let mut owners = commit.conversations.iter().map(|changed| &changed.state);
        if let Some(owner) = owners.find(|owner| owner.id == *id) {
            let place = (owner.tenant.to_string(), owner.number_id.to_string());
            found.push(((place.0, place.1, key.to_text()), id.clone()));
        }
    }
    found
}

/// Whether the fault lies in what one unit wants rather than in the database.
fn fails_alone(error: &StorageError) -> bool {
    match error {
        StorageError::Corrupt { .. } => true,
        // Data that cannot be stored, a violated constraint, a limit of the database (PostgreSQL
        // documentation, appendix A).
        StorageError::Query(sqlx::Error::Database(refused)) => {
            let code = refused.code().unwrap_or_default();
            let class = ["22", "23", "54"]
                .iter()
                .any(|class| code.starts_with(class));
            error.is_duplicate() || (code.len() == 5 && class)
        }
        _ => false,
    }
}

fn failure(error: &StorageError) -> Answer {
    if error.is_fenced() {
        Answer::Elsewhere
    } else if fails_alone(error) {
        tracing::error!(%error, "a unit cannot be taken in");
        Answer::Refused(format!("it cannot be stored: {error}"))
    } else {
        tracing::warn!(%error, "the database refused a batch");
        Answer::Retry("the database does not take it now".to_owned())
    }
}
