//! Follows a part of the conversation log from its stored cursor. What a batch of entries means for
//! the ledger is written together with the cursor, in one transaction, and only while the part is
//! held: at-least-once delivery has an exactly-once effect, with any number of replicas.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use core_billing::{Account, Decision, Event, Ledger, PriceBook};
use futures_util::StreamExt as _;
use lib_platform::metrics::Counter;
use lib_platform::partition::{Held, part_of};
use lib_platform::{AuthorizedChannel, Clock, Metrics};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{LogEntry, Shard, WatchRequest, shard};
use lib_storage::StorageError;
use tokio::time::Instant;

use crate::entry::{self, Status, UnratedRow};
use crate::metrics::{Instruments, Tally};
use crate::payers::Payers;
use crate::progress::{Progress, later};
use crate::store::{Batch, Store};

/// Answers of the stream taken together, if that many wait.
const GATHER: usize = 64;
/// Entries without a status that may pass before the cursor is stored all the same: so many are
/// read again after a restart, at most.
const UNSAVED: usize = 1_000;
/// A position that is not stored yet is stored after this time: other replicas show it.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// Shortest and longest pause before the log is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Attempts in a row that may fail before it is a warning: about three seconds.
const PATIENCE: u32 = 7;

/// What following the log needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Follower {
    pub log: ConversationServiceClient<AuthorizedChannel>,
    pub payers: Payers,
    pub store: Store,
    pub book: Arc<PriceBook>,
    pub clock: Clock,
    pub progress: Progress,
    pub metrics: Metrics,
}

/// A part that is followed.
pub(crate) struct Part {
    follower: Follower,
    held: Held,
    instruments: Instruments,
    fenced: Counter,
}

/// Field number of the event billing lives on, in the log's `LogEntry`.
const STATUS_CHANGED: u32 = 24;

/// What is known while one stream lasts.
struct Position {
    /// Every entry up to here has had its effect.
    cursor: String,
    /// Every entry of the part up to here was sent to us: for people, never to go on from.
    seen: String,
    /// Entries since the cursor was stored, and when the first of them, or a new `seen`, came.
    unsaved: usize,
    since: Option<Instant>,
    /// Counters are loaded when first used and kept up here.
    ledger: Ledger,
}

impl Follower {
    /// Follows the part `held` until it is lost.
    pub(crate) async fn run(self, held: Held) -> anyhow::Result<()> {
        let part = Part {
            instruments: Instruments::new(&self.metrics, held.part),
            fenced: self.metrics.fenced("billing"),
            follower: self,
            held,
        };
        tokio::select! {
            () = part.keep_following() => {}
            () = part.held.lost() => {}
        }
        part.follower.progress.left(part.held.part);
        Ok(())
    }
}

impl Part {
    async fn keep_following(&self) {
        let (mut pause, mut failures) = (PAUSES.0, 0_u32);
        loop {
            let before = Instant::now();
            let Err(error) = self.follow().await else {
                return;
            };
            let fenced = error.downcast_ref().is_some_and(StorageError::is_fenced);
            if fenced {
                // Another replica goes on from the stored cursor; ours is told soon.
                self.fenced.inc();
                self.held.lost().await;
                return;
            }
            if before.elapsed() > PAUSES.1 * 2 {
                (pause, failures) = (PAUSES.0, 0);
            }
            let cause = format!("{error:#}");
            failures += 1;
            // Peers start in any order: only what lasts is worth a warning, and one is enough.
            if failures == PATIENCE {
                tracing::warn!(%cause, "billing cannot follow the log; it keeps trying");
            } else {
                tracing::debug!(%cause, failures, "billing lost the log");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// The part of the log to ask for; all of it where there is one part only.
    fn shard(&self) -> Option<Shard> {
        let parts = self.follower.store.work.parts;
        (parts > 1).then(|| Shard {
            kind: shard::Kind::Tenant.into(),
            count: parts.into(),
            index: self.held.part.into(),
        })
    }

    fn is_ours(&self, entry: &LogEntry) -> bool {
        part_of(&entry.tenant_id, self.follower.store.work.parts) == self.held.part
    }

    async fn follow(&self) -> anyhow::Result<()> {
        let cursor = self.follower.store.cursor(self.held.part).await?;
        let mut position = Position {
            cursor: cursor.clone(),
            seen: cursor.clone(),
            unsaved: 0,
            since: None,
            ledger: Ledger::default(),
        };
        self.reached(&position);
        let request = WatchRequest {
            cursor,
            shard: self.shard(),
            events: vec![STATUS_CHANGED],
            ..WatchRequest::default()
        };
        let answers = self.follower.log.clone().watch(request).await?.into_inner();
        let mut answers = std::pin::pin!(answers.ready_chunks(GATHER));
        loop {
            let save_at = position.since.map(|since| since + SAVE_AFTER);
            let chunk = tokio::select! {
                chunk = answers.next() => chunk,
                () = async { tokio::time::sleep_until(save_at.unwrap_or_else(Instant::now)).await },
                    if save_at.is_some() => {
                    self.save(&mut position).await?;
                    continue;
                }
            };
            let Some(chunk) = chunk else {
                anyhow::bail!("the log's stream ended");
            };
            let (mut entries, mut broken) = (Vec::new(), None);
            for answer in chunk {
                match answer {
                    // Everything of the part up to the head was sent: see WatchResponse.
                    Ok(answer) if answer.entries.is_empty() => {
                        position.saw(later(&position.seen, &answer.head).to_owned());
                    }
                    Ok(answer) => entries.extend(answer.entries),
                    Err(status) => broken = Some(status),
                }
            }
            self.take(entries, &mut position).await?;
            if let Some(status) = broken {
                return Err(status).context("the log's stream broke");
            }
        }
    }

    /// Gives a batch of entries its effect.
    async fn take(&self, entries: Vec<LogEntry>, position: &mut Position) -> anyhow::Result<()> {
        if let Some(last) = entries.last() {
            position.cursor.clone_from(&last.cursor);
            position.saw(later(&position.seen, &last.cursor).to_owned());
            position.unsaved += entries.len();
        }
        let ours = entries.into_iter().filter(|entry| self.is_ours(entry));
        let statuses: Vec<Status> = ours.filter_map(entry::status).collect();
        if !statuses.is_empty() {
            self.settle(statuses, position).await?;
            position.saved();
        } else if position.unsaved >= UNSAVED {
            self.save(position).await?;
        }
        self.reached(position);
        Ok(())
    }

    async fn save(&self, position: &mut Position) -> anyhow::Result<()> {
        let store = &self.follower.store;
        let saved = store.save_cursor(&self.held, &position.cursor, &position.seen);
        saved.await?;
        position.saved();
        Ok(())
    }

    fn reached(&self, position: &Position) {
        self.instruments.reached(&position.seen);
        let progress = &self.follower.progress;
        progress.reached(self.held.part, &position.seen);
    }

    async fn settle(&self, statuses: Vec<Status>, position: &mut Position) -> anyhow::Result<()> {
        let Follower {
            store, book, clock, ..
        } = &self.follower;
        let (mut batch, mut tally) = (Batch::default(), Tally::default());
        let ready = self.find_payers(statuses, &mut batch).await?;
        let mut tx = store.begin(&self.held).await?;
        position.ledger.forget_messages();
        tx.load(&ready, &mut position.ledger, book).await?;
        for (account, event) in &ready {
            match position.ledger.decide(event, account, book) {
                Decision::Nothing(_) => {}
                Decision::Rated(usage, journal) => {
                    tally.rated(&usage);
                    batch.rated(*usage, journal);
                }
                Decision::Unrated(suspense) => {
                    tally.unrated();
                    batch.unrated((*suspense).into());
                }
            }
        }
        tx.write(batch, &self.held, &position.cursor, clock.now())
            .await?;
        self.instruments.add(tally);
        lib_platform::failpoint!("billing.committed");
        Ok(())
    }

    /// Joins statuses with who pays for them; those without a payer are kept aside.
    async fn find_payers(
        &self,
        statuses: Vec<Status>,
        batch: &mut Batch,
    ) -> anyhow::Result<Vec<(Arc<Account>, Event)>> {
        let numbers: BTreeSet<String> = statuses
            .iter()
            .filter(|status| status.event.is_ok())
            .map(|status| status.number.clone())
            .collect();
        let payers = self.follower.payers.of(numbers).await?;
        let mut ready = Vec::with_capacity(statuses.len());
        for Status {
            tenant,
            number,
            event,
        } in statuses
        {
            let event = match event {
                Ok(event) => event,
                Err(unreadable) => {
                    // The cause may quote a phone number; it is kept with the row, not in the log.
                    let message = &unreadable.message_id;
                    tracing::warn!(message, "a status cannot be billed");
                    batch.unrated(UnratedRow::unreadable((tenant, number), unreadable));
                    continue;
                }
            };
            match payers.get(&number) {
                Some(Ok(account)) if account.tenant.as_str() == tenant => {
                    ready.push((account.clone(), event));
                }
                Some(Err(reason)) => {
                    let reason = reason.clone();
                    batch.unrated(UnratedRow::without_payer((tenant, number), &event, reason));
                }
                Some(Ok(_)) | None => {
                    let reason = format!("number {number} belongs to another business now");
                    batch.unrated(UnratedRow::without_payer((tenant, number), &event, reason));
                }
            }
        }
        Ok(ready)
    }
}

impl Position {
    fn saw(&mut self, cursor: String) {
        if self.seen != cursor {
            self.seen = cursor;
            self.since.get_or_insert_with(Instant::now);
        }
    }

    fn saved(&mut self) {
        self.unsaved = 0;
        self.since = None;
    }
}
