//! Following the log: what is stored after the cursor, then what is committed, by any replica, in
//! order. A follower that cannot keep up reads from the database again, so nobody is ever skipped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use lib_platform::Refusal;
use lib_proto::conversations as pb;
use lib_storage::Database;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::Status;

use crate::convert;
use crate::publish::{Published, Publisher};
use crate::store::log::{self, Filter};

/// Entries per answer.
const PAGE: usize = 500;
/// How long a follower to whom nothing of what is written belongs is left without a word of how
/// far it has come.
const TELL: Duration = Duration::from_secs(1);

/// Where a follower wants to begin.
///
/// # Errors
/// When the cursor is not one this log gave out.
pub(crate) fn position(cursor: &str, head: i64) -> Result<i64, Refusal> {
    match cursor {
        "" => Ok(0),
        "now" => Ok(head),
        text => match text.parse::<i64>() {
            Ok(position) if (0..=head).contains(&position) => Ok(position),
            _ => Err(Refusal::invalid(
                "cursor",
                "is not one this log gave out; use the cursor of an entry, nothing, or `now`",
            )),
        },
    }
}

/// The entries after `position` that pass `filter`, then every new one.
pub(crate) fn follow(
    database: Database,
    publisher: &Arc<Publisher>,
    filter: Filter,
    position: i64,
) -> impl Stream<Item = Result<pb::WatchResponse, Status>> + Send + use<> {
    let follower = Follower {
        live: publisher.subscribe(),
        publisher: Arc::clone(publisher),
        database,
        filter,
        position,
        told: position,
        tell_at: Instant::now() + TELL,
        first: true,
        behind: true,
        pending: VecDeque::new(),
    };
    stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        match follower.next().await {
            Ok(Some(entries)) => {
                // Without entries: all that belongs to this follower up to here has been sent.
                let head = if entries.is_empty() {
                    follower.position
                } else {
                    follower.publisher.head()
                };
                let sent = entries.last().and_then(|entry| entry.cursor.parse().ok());
                follower.told = sent.unwrap_or(follower.position);
                follower.tell_at = Instant::now() + TELL;
                let head = head.to_string();
                Some((Ok(pb::WatchResponse { entries, head }), Some(follower)))
            }
            Ok(None) => None,
            Err(refusal) => Some((Err(refusal.into()), None)),
        }
    })
}

struct Follower {
    database: Database,
    publisher: Arc<Publisher>,
    live: broadcast::Receiver<Arc<Vec<Published>>>,
    filter: Filter,
    /// The last position looked at.
    position: i64,
    /// The last position the follower knows of.
    told: i64,
    /// When it is told how far it has come.
    tell_at: Instant,
    first: bool,
    /// Whether the database holds entries this follower has not seen.
    behind: bool,
    pending: VecDeque<pb::LogEntry>,
}

impl Follower {
    /// The next entries; none at the end of the service.
    async fn next(&mut self) -> Result<Option<Vec<pb::LogEntry>>, Refusal> {
        loop {
            if !self.pending.is_empty() {
                let count = self.pending.len().min(PAGE);
                return Ok(Some(self.pending.drain(..count).collect()));
            }
            if self.behind {
                let entries = self.stored().await?;
                let first = std::mem::take(&mut self.first);
                // The first answer says where the stream stands: not before all stored was looked at.
                self.first = first && entries.is_empty() && self.behind;
                if !entries.is_empty() || (first && !self.behind) {
                    return Ok(Some(entries));
                }
                continue;
            }
            let untold = async {
                if self.told == self.position {
                    std::future::pending::<()>().await;
                } else {
                    tokio::time::sleep_until(self.tell_at).await;
                }
            };
            let heard = tokio::select! {
                heard = self.live.recv() => heard,
                () = untold => return Ok(Some(Vec::new())),
            };
            match heard {
                Ok(commit) => self.take(&commit),
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return Ok(None),
            }
        }
    }

    async fn stored(&mut self) -> Result<Vec<pb::LogEntry>, Refusal> {
        // Up to here everything has been looked at, whoever it belongs to.
        let head = log::head(&self.database).await?;
        let found = log::after(&self.database, self.position, &self.filter, PAGE).await?;
        if let Some((position, _)) = found.last() {
            self.position = *position;
        }
        self.behind = found.len() == PAGE;
        if !self.behind {
            self.position = self.position.max(head);
        }
        let entries = found
            .iter()
            .map(|(position, entry)| convert::entry(entry, *position))
            .filter(|entry| self.filter.passes(entry));
        Ok(entries.collect())
    }

    fn take(&mut self, commit: &[Published]) {
        for published in commit {
            if published.position <= self.position {
                continue;
            }
            self.position = published.position;
            let entry = &published.entry;
            if self.filter.passes(entry) {
                self.pending.push_back(entry.clone());
            }
        }
    }
}
