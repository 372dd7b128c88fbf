//! Follows the conversation log for what it tells of templates, and reads connectors again that
//! have become stale.

use std::time::Duration;

use core_types::Timestamp;
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{AuthorizedChannel, Lifecycle};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{LogEntry, WatchRequest, log_entry};
use lib_proto::{account_fact_from_proto, timestamp_from_proto};
use lib_storage::StorageError;
use tonic::Status;

use crate::changes::{Change, change};
use crate::directory::Directory;
use crate::registry::Registry;
use crate::store;

type Log = ConversationServiceClient<AuthorizedChannel>;

/// Before the first new try after a stream has ended.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Longest wait between tries to reach another service of ours.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Longest wait between tries to reach Meta.
const LAST_META_WAIT: Duration = Duration::from_secs(60);
/// Entries of no interest after which the position is stored all the same, so that a restart does
/// not read them all again.
const STORE_EVERY: usize = 1_000;

/// Why following ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// Another service; trying again helps.
    #[error("{0}")]
    Peer(Status),
    /// Our database; it must not be passed over.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Peer(status)
    }
}

/// Takes in every change of a template the log tells of, until told to stop.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn changes(
    registry: Registry,
    directory: Directory,
    conversations: AuthorizedChannel,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let log = Log::new(conversations).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut wait = FIRST_WAIT;
    loop {
        let ended = tokio::select! {
            ended = follow_once(&registry, &directory, log.clone(), &mut wait) => ended,
            () = life.stopped() => return Ok(()),
        };
        match ended {
            Err(Ended::Storage(error)) => return Err(error.into()),
            Err(Ended::Peer(status)) if wait == FIRST_WAIT => {
                tracing::warn!(%status, "the log cannot be followed; trying on");
            }
            Ok(()) | Err(Ended::Peer(_)) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = life.stopped() => return Ok(()),
        }
        wait = (wait * 2).min(LAST_WAIT);
    }
}

async fn follow_once(
    registry: &Registry,
    directory: &Directory,
    mut log: Log,
    wait: &mut Duration,
) -> Result<(), Ended> {
    let cursor = registry.store.cursor().await?;
    let request = WatchRequest {
        cursor,
        ..WatchRequest::default()
    };
    let mut stream = log.watch(request).await?.into_inner();
    let mut passed = 0;
    while let Some(batch) = stream.message().await? {
        *wait = FIRST_WAIT;
        for entry in batch.entries {
            passed += 1;
            let cursor = entry.cursor.clone();
            match news(entry) {
                Some((waba_id, recorded, change)) => {
                    if let Some(connector) = directory.of_waba(&waba_id).await? {
                        registry
                            .take_in(&connector, &change, recorded, &cursor)
                            .await?;
                        passed = 0;
                    }
                }
                None if passed >= STORE_EVERY => {
                    let mut tx = registry.store.begin().await?;
                    store::move_to(&mut tx, &cursor).await?;
                    tx.commit().await.map_err(StorageError::from)?;
                    passed = 0;
                }
                None => {}
            }
        }
    }
    Ok(())
}

/// What an entry tells of a template: the account, when, and the change.
fn news(entry: LogEntry) -> Option<(String, Timestamp, Change)> {
    let Some(log_entry::Event::Account(fact)) = entry.event else {
        return None;
    };
    let fact = match account_fact_from_proto(fact) {
        Ok(fact) => fact,
        Err(error) => {
            tracing::warn!(cursor = entry.cursor, %error, "an entry of the log cannot be read");
            return None;
        }
    };
    let recorded = timestamp_from_proto("recorded_at", entry.recorded_at);
    let recorded = recorded.ok().flatten().unwrap_or_default();
    Some((entry.waba_id, recorded, change(&fact)?))
}

/// Reads stale connectors again, until told to stop. What could not be read is tried again, less
/// and less often.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn refresh_stale(
    registry: Registry,
    directory: Directory,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let mut wait = FIRST_WAIT;
    loop {
        let told = registry.stale.notified();
        let mut left = false;
        for stale in registry.store.stale().await? {
            let refreshed = async {
                let connector = directory.of_waba(&stale.waba_id).await?;
                if let Some(connector) = connector {
                    registry.sync(&connector).await?;
                }
                anyhow::Ok(())
            };
            let refreshed = tokio::select! {
                refreshed = refreshed => refreshed,
                () = life.stopped() => return Ok(()),
            };
            if let Err(error) = refreshed {
                tracing::debug!(connector = stale.connector_id, %error, "not read; trying on");
                left = true;
            }
        }
        if !left {
            wait = FIRST_WAIT;
        }
        tokio::select! {
            () = told => wait = FIRST_WAIT,
            () = tokio::time::sleep(wait), if left => wait = (wait * 2).min(LAST_META_WAIT),
            () = life.stopped() => return Ok(()),
        }
    }
}
