//! The registry itself: what is known of each connector's templates, and when it is read again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use core_types::Timestamp;
use lib_platform::{Clock, Refusal};
use lib_storage::{Database, StorageError, Tx};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::changes::{self, Change};
use crate::directory::ConnectorRef;
use crate::graph::{Graph, GraphError};
use crate::store::{self, Difference, Record};

/// How often at most a connector is read because somebody asked for a template nobody knows. Meta
/// allows 200 management calls an hour; real time, because Meta's clock is.
const MISS_EVERY: Duration = Duration::from_secs(10);
/// How long a failed first reading is not repeated.
const FAILED_FOR: Duration = Duration::from_secs(2);
/// What callers are told to wait when Meta does not answer.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Why a connector's templates cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// Because of Meta.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Because of our database.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<SyncError> for Refusal {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Storage(error) => error.into(),
            SyncError::Graph(error @ GraphError::Unreachable(_)) => {
                Refusal::unavailable(error.to_string(), RETRY_AFTER)
            }
            SyncError::Graph(error @ GraphError::Refused { .. }) => Refusal::precondition(
                "META_REFUSED",
                format!("{error}; check the connector's account and access token"),
            ),
        }
    }
}

/// One connector's lock: it is read by one at a time. A change the log tells of meanwhile is known to
/// the reading when it is written, see [`store::replace`].
type Reading = Arc<tokio::sync::Mutex<Option<Last>>>;

/// The last reading of a connector since the start.
struct Last {
    at: Instant,
    failure: Option<GraphError>,
}

/// The registry. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry {
    /// Its tables.
    pub(crate) database: Database,
    /// Told when a connector has become stale.
    pub(crate) stale: Arc<Notify>,
    graph: Graph,
    clock: Clock,
    readings: Arc<Mutex<BTreeMap<(String, String), Reading>>>,
}

impl Registry {
    /// A registry in `database`, read from `graph`.
    pub(crate) fn new(database: Database, graph: Graph, clock: Clock) -> Self {
        Self {
            database,
            stale: Arc::default(),
            graph,
            clock,
            readings: Arc::default(),
        }
    }

    fn reading(&self, connector: &ConnectorRef) -> Reading {
        // A map is whole after every operation.
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (connector.tenant.clone(), connector.id.clone());
        Arc::clone(readings.entry(key).or_default())
    }

    /// Reads all of a connector's templates from Meta.
    pub(crate) async fn sync(&self, connector: &ConnectorRef) -> Result<Difference, SyncError> {
        let reading = self.reading(connector);
        let mut last = reading.lock().await;
        self.read(connector, &mut last).await
    }

    /// Reads a connector's templates if that has never been done.
    pub(crate) async fn ensure_synced(&self, connector: &ConnectorRef) -> Result<(), SyncError> {
        let key = (connector.tenant.as_str(), connector.id.as_str());
        if store::synced(&self.database, key).await?.is_some() {
            return Ok(());
        }
        let reading = self.reading(connector);
        let mut last = reading.lock().await;
        // Somebody may have read it, or failed to, while we waited for the lock.
        if store::synced(&self.database, key).await?.is_some() {
            return Ok(());
        }
        let recent = last.as_ref().filter(|last| last.at.elapsed() < FAILED_FOR);
        if let Some(failure) = recent.and_then(|last| last.failure.clone()) {
            return Err(failure.into());
        }
        self.read(connector, &mut last).await?;
        Ok(())
    }

    /// Reads a connector again because a template is missing, unless that was done a moment ago.
    pub(crate) async fn sync_after_miss(&self, connector: &ConnectorRef) -> Result<(), SyncError> {
        let reading = self.reading(connector);
        let mut last = reading.lock().await;
        if last
            .as_ref()
            .is_none_or(|last| last.at.elapsed() >= MISS_EVERY)
        {
            self.read(connector, &mut last).await?;
        }
        Ok(())
    }

    async fn read(
        &self,
        connector: &ConnectorRef,
        last: &mut Option<Last>,
    ) -> Result<Difference, SyncError> {
        let key = (connector.tenant.as_str(), connector.id.as_str());
        let began = (self.clock.now(), store::told(&self.database, key).await?);
        let read = self.graph.templates(&connector.waba_id, &connector.token);
        let read = read.await;
        *last = Some(Last {
            at: Instant::now(),
            failure: read.as_ref().err().cloned(),
        });
        let read = read?;
        let difference =
            store::replace(&self.database, key, &connector.waba_id, &read, began).await?;
        self.stale.notify_one();
        tracing::info!(
            connector = key.1,
            ?difference,
            "read the templates from Meta"
        );
        Ok(difference)
    }

    /// Takes in a change the log tells of, recorded at `recorded`, and moves the position in the
    /// log in the same transaction, `tx`.
    pub(crate) async fn take_in(
        &self,
        mut tx: Tx,
        connector: &ConnectorRef,
        change: &Change,
        recorded: Timestamp,
    ) -> Result<(), StorageError> {
        let key = (connector.tenant.as_str(), connector.id.as_str());
        store::count_told(&mut tx, key).await?;
        let known = store::synced(&mut tx, key).await?;
        // What was never read will be read whole, and what was told before the last reading was
        // in it.
        let news = known.is_some_and(|known| known.read_at <= recorded.as_micros());
        let mut stale = false;
        if news {
            stale = apply(&mut tx, key, change).await?;
        }
        if stale {
            store::mark_stale(&mut tx, key).await?;
        }
        tx.commit().await?;
        if stale {
            self.stale.notify_one();
        }
        Ok(())
    }

    /// A template, read again from Meta if it is not known.
    pub(crate) async fn find(
        &self,
        connector: &ConnectorRef,
        name: (&str, &str),
    ) -> Result<Record, Refusal> {
        let key = (connector.tenant.as_str(), connector.id.as_str());
        self.ensure_synced(connector).await?;
        let find = || async {
            store::template(&self.database, key, name)
                .await
                .map_err(SyncError::from)
        };
        if let Some(record) = find().await? {
            return Ok(record);
        }
        self.sync_after_miss(connector).await?;
        if let Some(record) = find().await? {
            return Ok(record);
        }
        let languages = store::languages(&self.database, key, name.0).await;
        let languages = languages.map_err(SyncError::from)?.join(", ");
        let refusal = if languages.is_empty() {
            Refusal::not_found("template", name.0)
        } else {
            let wanted = format!("{} in language {} (there is: {languages})", name.0, name.1);
            Refusal::not_found("template", &wanted)
        };
        Err(refusal.with("languages", languages))
    }
}

/// Applies a change; returns whether only Meta can tell what the template is now.
async fn apply(tx: &mut Tx, key: store::Key<'_>, change: &Change) -> Result<bool, StorageError> {
    let name = (change.name.as_str(), change.language.as_str());
    let Some(before) = store::template(&mut *tx, key, name).await? else {
        return Ok(true);
    };
    match changes::apply(before.clone(), &change.kind) {
        changes::Applied::Unclear => return Ok(true),
        changes::Applied::Gone => store::remove(tx, key, name).await?,
        changes::Applied::Now(after) if *after != before => {
            store::put(tx, key, &[&*after]).await?;
        }
        changes::Applied::Now(_) => {}
    }
    Ok(false)
}
