//! The one writer. Whatever changes a conversation comes here as a [`Unit`]; what has arrived
//! together is decided and committed together, in one transaction, and only then answered and
//! published. While one batch is under way the next gathers.

mod batch;
mod contacts;
mod keys;
mod plan;
mod run;
mod unit;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use core_conversation::Policy;
use futures_util::FutureExt as _;
use lib_platform::{Batcher, Clock, IdSource, Lifecycle};
use lib_storage::{SqliteFile, StorageError};
use tokio::sync::Mutex;

pub(crate) use unit::{Answer, Item, Place, SendCommand, Unit, What};

use crate::cache::Cache;
use crate::directory::Directory;
use crate::flow_runner::FlowRunner;
use crate::metrics::Instruments;
use crate::publish::Publisher;
use crate::store::write;

/// Most requests in one batch; a request may hold many units.
const BATCH: usize = 256;
/// Most requests that wait; beyond that callers wait (guarantee G13: slow, then refuse).
const WAITING: usize = 2_048;

/// Hands units to the writer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Committer(Batcher<Vec<Unit>, Vec<Answer>>);

/// What the writer works with.
pub(crate) struct Writer {
    pub(crate) database: SqliteFile,
    pub(crate) clock: Clock,
    pub(crate) ids: IdSource,
    pub(crate) policy: Policy,
    pub(crate) directory: Arc<Directory>,
    pub(crate) flows: FlowRunner,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) cache: Cache,
    pub(crate) instruments: Instruments,
}

impl Committer {
    /// Starts the writer.
    pub(crate) fn spawn(life: &Lifecycle, writer: Writer) -> Self {
        let writer = Arc::new(Mutex::new(writer));
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
        match self.attempt(units).await {
            Ok(answers) => answers,
            Err(error) if units.len() > 1 && fails_alone(&error) => {
                tracing::warn!(%error, units = units.len(), "a batch failed; trying its parts alone");
                let mut answers = Vec::with_capacity(units.len());
                for unit in units {
                    match self.attempt(std::slice::from_ref(unit)).await {
                        Ok(mut answer) => answers.append(&mut answer),
                        Err(error) => answers.push(failure(&error)),
                    }
                }
                answers
            }
            Err(error) => units.iter().map(|_| failure(&error)).collect(),
        }
    }

    async fn attempt(&mut self, units: &[Unit]) -> Result<Vec<Answer>, StorageError> {
        let attempt = AssertUnwindSafe(self.process(units)).catch_unwind().await;
        attempt.unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic");
            Err(StorageError::corrupt("batch", "-", what))
        })
    }

    async fn process(&mut self, units: &[Unit]) -> Result<Vec<Answer>, StorageError> {
        let now = self.clock.now();
        let mut batch = self.plan(units, now).await?;
        self.run(&mut batch).await?;
        let (answers, commit) = batch.finish();
        self.instruments.answered(&answers);
        if !commit.is_empty() {
            lib_platform::failpoint!("conversations.commit");
            let head = write::commit(&self.database, &commit, now).await;
            let head = head.inspect_err(|error| self.instruments.failed(error))?;
            lib_platform::failpoint!("conversations.committed");
            tracing::debug!(
                units = units.len(),
                entries = commit.entries.len(),
                head,
                "committed"
            );
            for conversation in &commit.conversations {
                self.cache.put(conversation.clone());
            }
            self.publisher.committed(&commit, head, now);
            self.instruments.committed(&commit, now);
        }
        Ok(answers)
    }
}

/// Whether the fault lies in what one unit wants rather than in the database.
fn fails_alone(error: &StorageError) -> bool {
    error.is_duplicate() || matches!(error, StorageError::Corrupt { .. })
}

fn failure(error: &StorageError) -> Answer {
    if fails_alone(error) {
        tracing::error!(%error, "a unit cannot be taken in");
        Answer::Refused(format!("it cannot be stored: {error}"))
    } else {
        tracing::warn!(%error, "the database refused a batch");
        Answer::Retry("the database does not take it now".to_owned())
    }
}
