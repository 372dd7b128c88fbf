//! Follows the conversation log for what it tells of templates, and reads connectors again that
//! have become stale.

use std::time::Duration;

use core_types::Timestamp;
use lib_platform::AuthorizedChannel;
use lib_platform::metrics::{Counter, Followed};
use lib_platform::partition::{Held, Work};
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{LogEntry, WatchRequest, log_entry};
use lib_proto::{account_fact_from_proto, timestamp_from_proto};
use lib_storage::{StorageError, Tx};
use tokio::time::Instant;
use tonic::Status;

use crate::changes::{Change, change};
use crate::directory::Directory;
use crate::registry::Registry;
use crate::store;

type Log = ConversationServiceClient<AuthorizedChannel>;

/// One replica follows the log: there is little to do, and connectors are then read once.
pub(crate) const WORK: Work = Work {
    name: "templates",
    parts: 1,
};

/// Before the first new try after a stream has ended.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Longest wait between tries to reach another service of ours.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Longest wait between tries to reach Meta.
const LAST_META_WAIT: Duration = Duration::from_secs(60);
/// How long entries of no interest may pass before the position is stored all the same, so that a
/// restart does not read them all again.
const STORE_AFTER: Duration = Duration::from_secs(60);

/// Field number of the event that tells of templates, in the log's `LogEntry`.
const ACCOUNT: u32 = 35;

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

/// Follows the log and reads stale connectors again, for as long as the part is held.
///
/// # Errors
/// When the database refuses for good.
pub(crate) async fn run(
    (registry, followed, fenced): (Registry, Followed, Counter),
    directory: Directory,
    conversations: AuthorizedChannel,
    held: Held,
) -> anyhow::Result<()> {
    let log = Log::new(conversations).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let follower = Follower {
        registry: &registry,
        directory: &directory,
        log,
        held: &held,
        followed,
        fenced,
    };
    tokio::select! {
        ended = follower.changes() => ended,
        ended = refresh_stale(&registry, &directory) => ended,
        () = held.lost() => Ok(()),
    }
}

struct Follower<'a> {
    registry: &'a Registry,
    directory: &'a Directory,
    log: Log,
    held: &'a Held,
    followed: Followed,
    fenced: Counter,
}

impl Follower<'_> {
    /// Takes in every change of a template the log tells of.
    async fn changes(&self) -> anyhow::Result<()> {
        let mut wait = FIRST_WAIT;
        loop {
            match self.follow_once(&mut wait).await {
                Err(Ended::Storage(error)) if error.is_fenced() => {
                    // Another replica goes on from the stored position; ours is told soon.
                    self.fenced.inc();
                    self.held.lost().await;
                    return Ok(());
                }
                Err(Ended::Storage(error)) if !error.is_passing() => return Err(error.into()),
                Err(error) if wait == FIRST_WAIT => {
                    tracing::warn!(%error, "the log cannot be followed; trying on");
                }
                Ok(()) | Err(_) => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    async fn follow_once(&self, wait: &mut Duration) -> Result<(), Ended> {
        let cursor = store::cursor(&self.registry.database).await?;
        self.followed.reached(&cursor);
        let request = WatchRequest {
            cursor,
            events: vec![ACCOUNT],
            ..WatchRequest::default()
        };
        let mut stream = self.log.clone().watch(request).await?.into_inner();
        let mut stored = Instant::now();
        while let Some(batch) = stream.message().await? {
            *wait = FIRST_WAIT;
            // Without entries: all that belongs to this follower up to the head was sent.
            let last = batch.entries.last().map(|entry| entry.cursor.clone());
            let reached = last.unwrap_or(batch.head);
            for entry in batch.entries {
                let cursor = entry.cursor.clone();
                if let Some((waba_id, recorded, change)) = news(entry)
                    && let Some(connector) = self.directory.of_waba(&waba_id).await?
                {
                    let tx = self.begin(&cursor).await?;
                    let taken = self.registry.take_in(tx, &connector, &change, recorded);
                    taken.await?;
                    stored = Instant::now();
                }
            }
            if stored.elapsed() >= STORE_AFTER {
                self.begin(&reached).await?.commit().await?;
                stored = Instant::now();
            }
            self.followed.reached(&reached);
        }
        Ok(())
    }

    /// A transaction that moves the position, and is kept only while the part is ours.
    async fn begin(&self, cursor: &str) -> Result<Tx, StorageError> {
        // The log can tell all of it again.
        let mut tx = self.registry.database.begin_rederivable().await?;
        let held = [(self.held.part, self.held.fence)];
        tx.require_fence(WORK.name, &held).await?;
        store::move_to(&mut tx, cursor).await?;
        Ok(tx)
    }
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

/// Reads stale connectors again. What could not be read is tried again, less and less often.
async fn refresh_stale(registry: &Registry, directory: &Directory) -> anyhow::Result<()> {
    let mut wait = FIRST_WAIT;
    loop {
        let told = registry.stale.notified();
        let mut left = false;
        let stale = match store::stale(&registry.database).await {
            Ok(stale) => stale,
            Err(error) if error.is_passing() => {
                left = true;
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        for stale in stale {
            let refreshed = async {
                let connector = directory.of_waba(&stale.waba_id).await?;
                if let Some(connector) = connector {
                    registry.sync(&connector).await?;
                }
                anyhow::Ok(())
            };
            if let Err(error) = refreshed.await {
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
        }
    }
}
