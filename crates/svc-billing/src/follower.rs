//! Follows the conversation log from the stored cursor. What a batch of entries means for the
//! ledger is written together with the cursor, in one transaction: at-least-once delivery has an
//! exactly-once effect.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use core_billing::{Account, Decision, Event, Ledger, PriceBook};
use futures_util::StreamExt as _;
use lib_platform::{AuthorizedChannel, Clock, Lifecycle};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{LogEntry, WatchRequest};
use tokio::sync::watch;

use crate::entry::{self, Status, UnratedRow};
use crate::metrics::{Instruments, Tally};
use crate::payers::Payers;
use crate::store::{Batch, Store};

/// Answers of the stream taken together, if that many wait.
const GATHER: usize = 64;
/// Entries without a status that may pass before the cursor is stored all the same: so many are
/// read again after a restart, at most.
const UNSAVED: usize = 1_000;
/// Shortest and longest pause before the log is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Attempts in a row that may fail before it is a warning: about three seconds.
const PATIENCE: u32 = 7;

/// What following the log needs.
pub(crate) struct Follower {
    pub log: ConversationServiceClient<AuthorizedChannel>,
    pub payers: Payers,
    pub store: Store,
    pub book: Arc<PriceBook>,
    pub clock: Clock,
    pub life: Lifecycle,
    /// How far it has come: every entry up to here has had its effect.
    pub progress: Arc<watch::Sender<String>>,
    pub instruments: Instruments,
}

/// What is known while one stream lasts.
struct Position {
    cursor: String,
    unsaved: usize,
    /// Counters are loaded when first used and kept up here.
    ledger: Ledger,
}

impl Follower {
    /// Follows until the installation stops.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut pause = PAUSES.0;
        let mut failures = 0_u32;
        loop {
            let before = self.progress.borrow().clone();
            let ended = tokio::select! {
                ended = self.follow() => ended,
                () = self.life.stopped() => return Ok(()),
            };
            if *self.progress.borrow() != before {
                (pause, failures) = (PAUSES.0, 0);
            }
            let cause = ended
                .err()
                .map_or_else(String::new, |error| format!("{error:#}"));
            failures += 1;
            // Peers start in any order: only what lasts is worth a warning, and one is enough.
            if failures == PATIENCE {
                tracing::warn!(%cause, "billing cannot follow the log; it keeps trying");
            } else {
                tracing::debug!(%cause, failures, "billing lost the log");
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.life.stopped() => return Ok(()),
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn follow(&self) -> anyhow::Result<()> {
        let cursor = self.store.cursor().await?;
        self.instruments.reached(&cursor);
        let mut position = Position {
            cursor: cursor.clone(),
            unsaved: 0,
            ledger: Ledger::default(),
        };
        let request = WatchRequest {
            cursor,
            ..WatchRequest::default()
        };
        let answers = self.log.clone().watch(request).await?.into_inner();
        let mut answers = std::pin::pin!(answers.ready_chunks(GATHER));
        while let Some(chunk) = answers.next().await {
            let mut entries = Vec::new();
            let mut broken = None;
            for answer in chunk {
                match answer {
                    Ok(answer) => entries.extend(answer.entries),
                    Err(status) => broken = Some(status),
                }
            }
            self.take(entries, &mut position).await?;
            if let Some(status) = broken {
                return Err(status).context("the log's stream broke");
            }
        }
        anyhow::bail!("the log's stream ended")
    }

    /// Gives a batch of entries its effect.
    async fn take(&self, entries: Vec<LogEntry>, position: &mut Position) -> anyhow::Result<()> {
        let Some(last) = entries.last() else {
            return Ok(());
        };
        position.cursor.clone_from(&last.cursor);
        position.unsaved += entries.len();
        let statuses: Vec<Status> = entries.into_iter().filter_map(entry::status).collect();
        if !statuses.is_empty() {
            self.settle(statuses, position).await?;
            position.unsaved = 0;
        } else if position.unsaved >= UNSAVED {
            self.store.save_cursor(&position.cursor).await?;
            position.unsaved = 0;
        }
        self.instruments.reached(&position.cursor);
        self.progress.send_replace(position.cursor.clone());
        Ok(())
    }

    async fn settle(&self, statuses: Vec<Status>, position: &mut Position) -> anyhow::Result<()> {
        let (mut batch, mut tally) = (Batch::default(), Tally::default());
        let ready = self.find_payers(statuses, &mut batch).await?;
        let mut tx = self.store.begin().await?;
        position.ledger.forget_messages();
        tx.load(&ready, &mut position.ledger, &self.book).await?;
        for (account, event) in &ready {
            match position.ledger.decide(event, account, &self.book) {
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
        tx.write(batch, &position.cursor, self.clock.now()).await?;
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
        let payers = self.payers.of(numbers).await?;
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
