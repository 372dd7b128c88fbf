//! Writing the ledger: what a batch needs to know, and what it adds, in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use core_billing::{Account, CounterKey, Event, Journal, Ledger, PriceBook, Usage};
use core_types::{NumberId, Timestamp, WhatsAppMessageId};
use lib_platform::partition::{Held, Work};
use lib_storage::{Database, Engine, Insert, StorageError, Tx, list, sql};

use crate::entry::UnratedRow;

/// The ledger's database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) database: Database,
    /// How following the log is shared.
    pub(crate) work: Work,
}

/// What a batch of statuses adds.
#[derive(Default)]
pub(crate) struct Batch {
    rated: Vec<(Usage, Option<Journal>)>,
    unrated: BTreeMap<(String, String), UnratedRow>,
}

/// A writing transaction of one part. Dropped without [`Writing::write`], nothing has happened.
pub(crate) struct Writing(Tx);

impl Batch {
    pub(crate) fn rated(&mut self, usage: Usage, journal: Option<Journal>) {
        self.rated.push((usage, journal));
    }

    /// Keeps a message aside; the reason that says more stays.
    pub(crate) fn unrated(&mut self, row: UnratedRow) {
        let key = (row.number.clone(), row.wamid.clone());
        match self.unrated.get(&key) {
            Some(kept) if rank(kept) <= rank(&row) => {}
            _ => {
                self.unrated.insert(key, row);
            }
        }
    }
}

/// The order of `core_billing::Suspense::outranks`; the SQL below has it too.
fn rank(row: &UnratedRow) -> (bool, Timestamp, &str) {
    (row.awaits_price, row.occurred_at, &row.reason)
}

impl Store {
    /// Makes sure that the log is followed in as many parts as before: an entry must not change
    /// its part, or it would be skipped by one cursor.
    ///
    /// # Errors
    /// When it was followed in another number of parts, or the database refuses.
    pub(crate) async fn prepare(&self) -> anyhow::Result<()> {
        let mut tx = self.database.begin().await?;
        let found = sql("SELECT DISTINCT parts FROM follow_part")
            .fetch_all(&mut tx)
            .await?;
        for row in found {
            let parts: i64 = row.get(0)?;
            anyhow::ensure!(
                parts == i64::from(self.work.parts),
                "this ledger follows the log in {parts} parts, this program in {}: the number of \
                 parts of an installation with data cannot be changed; run the version that made it",
                self.work.parts
            );
        }
        for part in 0..self.work.parts {
            sql(
                "INSERT INTO follow_part (part, parts, cursor, seen) VALUES ($1, $2, '', '') \
                 ON CONFLICT (part) DO NOTHING",
            )
            .bind(part)
            .bind(self.work.parts)
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await.context("the parts cannot be stored")
    }

    /// How far a part of the log has been taken in for certain.
    pub(crate) async fn cursor(&self, part: u16) -> Result<String, StorageError> {
        let row = sql("SELECT cursor FROM follow_part WHERE part = $1").bind(part);
        row.fetch_one(&self.database).await?.get(0)
    }

    /// How far each part has been looked at.
    pub(crate) async fn seen(&self) -> Result<BTreeMap<u16, String>, StorageError> {
        let rows = sql("SELECT part, seen FROM follow_part")
            .fetch_all(&self.database)
            .await?;
        let mut seen = BTreeMap::new();
        for row in rows {
            let part: i64 = row.get(0)?;
            seen.insert(u16::try_from(part).unwrap_or(u16::MAX), row.get(1)?);
        }
        Ok(seen)
    }

    /// Stores a part's cursor, and how far it was looked at, alone.
    pub(crate) async fn save_cursor(
        &self,
        held: &Held,
        cursor: &str,
        seen: &str,
    ) -> Result<(), StorageError> {
        let mut tx = self.begin(held).await?;
        tx.save_cursor(held, cursor, seen).await?;
        tx.0.commit().await
    }

    /// A transaction for the part `held`, beside those of other parts: no two parts share a tenant.
    /// It is kept only if the part is still held then.
    pub(crate) async fn begin(&self, held: &Held) -> Result<Writing, StorageError> {
        let mut tx = match self.database.engine() {
            // Ledger rows and cursor are one transaction: after a power cut the log tells them
            // again.
            Engine::Sqlite => self.database.begin_rederivable().await?,
            Engine::Postgres => self.database.begin_concurrent().await?,
        };
        let fence = [(held.part, held.fence)];
        tx.require_fence(self.work.name, &fence).await?;
        Ok(Writing(tx))
    }
}

impl Writing {
    /// Tells the ledger what is stored of everything the batch touches.
    pub(crate) async fn load(
        &mut self,
        batch: &[(Arc<Account>, Event)],
        ledger: &mut Ledger,
        book: &PriceBook,
    ) -> Result<(), StorageError> {
        let messages = batch
            .iter()
            .map(|(account, event)| (account.number.as_str(), event.update.id.as_str()));
        for (number, wamid) in self.known(KNOWN_MESSAGES, messages).await? {
            let bad = |error| StorageError::corrupt("usage_record", &wamid, error);
            let id = WhatsAppMessageId::new(&wamid).map_err(bad)?;
            ledger.known_message(NumberId::new(&number).map_err(bad)?, id);
        }
        let conversations = batch.iter().filter_map(|(account, event)| {
            let id = event.update.billing_conversation.as_deref()?;
            Some((account.number.as_str(), id))
        });
        for (number, id) in self.known(KNOWN_CONVERSATIONS, conversations).await? {
            let bad = |error| StorageError::corrupt("usage_record", &id, error);
            ledger.known_conversation(NumberId::new(&number).map_err(bad)?, id.clone());
        }
        for (account, event) in batch {
            let key = Ledger::counter(event, account, book);
            if let Some(key) = key.filter(|key| !ledger.has_counter(key)) {
                let count = self.counted(&key).await?;
                ledger.known_counter(key, count);
            }
        }
        Ok(())
    }

    /// Which of the pairs are in the ledger.
    async fn known<'a>(
        &mut self,
        query: &'static str,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let pairs: BTreeSet<(&str, &str)> = pairs.collect();
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let pairs: Vec<_> = pairs.into_iter().collect();
        let rows = sql(query).bind(list(&pairs)).fetch_all(&mut self.0).await?;
        rows.iter()
            .map(|row| Ok((row.get(0)?, row.get(1)?)))
            .collect()
    }

    async fn counted(&mut self, key: &CounterKey) -> Result<u32, StorageError> {
        let (query, id, month) = match key {
            CounterKey::Number(number, month) => (
                "SELECT COUNT(*) FROM usage_record \
                 WHERE number_id = $1 AND month = $2 AND counts = 1",
                number.as_str(),
                month,
            ),
            CounterKey::Waba(waba, month) => (
                "SELECT COUNT(*) FROM usage_record \
                 WHERE waba_id = $1 AND month = $2 AND counts = 1",
                waba.as_str(),
                month,
            ),
        };
        let row = sql(query).bind(id).bind(month.to_string());
        let count: i64 = row.fetch_one(&mut self.0).await?.get(0)?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Adds what a batch gave and the part's cursor, and commits.
    pub(crate) async fn write(
        mut self,
        batch: Batch,
        held: &Held,
        cursor: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        if !batch.rated.is_empty() {
            let numbers = self.numbers(batch.rated.len()).await?;
            let rows: Vec<_> = numbers.into_iter().zip(&batch.rated).collect();
            self.add_usages(&rows, now).await?;
            self.add_journals(&rows, now).await?;
            self.settle_unrated(&batch.rated).await?;
        }
        for row in batch.unrated.values() {
            self.keep_aside(row).await?;
        }
        self.save_cursor(held, cursor, cursor).await?;
        lib_platform::failpoint!("billing.commit");
        self.0.commit().await
    }

    /// Numbers for so many lines. They grow within a part, whose transactions follow each other; on
    /// PostgreSQL those of several parts are mixed, and a transaction that fails leaves gaps.
    async fn numbers(&mut self, count: usize) -> Result<Vec<i64>, StorageError> {
        let query = match self.0.engine() {
            Engine::Sqlite => {
                let last = sql("SELECT COALESCE(MAX(seq), 0) FROM usage_record");
                let last: i64 = last.fetch_one(&mut self.0).await?.get(0)?;
                return Ok((last + 1..).take(count).collect());
            }
            Engine::Postgres => {
                sql("SELECT nextval('usage_seq') FROM generate_series(1, $1)").bind(count as i64)
            }
        };
        let rows = query.fetch_all(&mut self.0).await?;
        let mut numbers: Vec<i64> = rows
            .iter()
            .map(|row| row.get(0))
            .collect::<Result<_, _>>()?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn add_usages(
        &mut self,
        rows: &[(i64, &(Usage, Option<Journal>))],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let mut insert = Insert::into(
            "usage_record (seq, tenant_id, waba_id, number_id, wamid, message_id, occurred_at, \
             recorded_at, month, country, market, category, pricing_type, currency, rate_micros, \
             amount_micros, counts, opens_conversation, explanation)",
        )
        .on_conflict("ON CONFLICT DO NOTHING");
        for (seq, (usage, _)) in rows {
            let rating = &usage.rating;
            insert.row([
                (*seq).into(),
                usage.tenant.as_str().into(),
                usage.waba.as_str().into(),
                usage.number.as_str().into(),
                usage.whatsapp_message_id.as_str().into(),
                usage.message_id.as_str().into(),
                usage.occurred_at.as_micros().into(),
                now.as_micros().into(),
                rating.month.to_string().into(),
                rating.country.as_str().into(),
                rating.market.as_str().into(),
                rating.category.word().into(),
                rating.pricing_type.word().into(),
                rating.amount.currency.to_string().into(),
                rating.rate.micros.into(),
                rating.amount.micros.into(),
                rating.counts.into(),
                rating.opens_conversation.as_deref().into(),
                rating.explanation.as_str().into(),
            ]);
        }
        insert.execute(&mut self.0).await?;
        Ok(())
    }

    async fn add_journals(
        &mut self,
        rows: &[(i64, &(Usage, Option<Journal>))],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let mut journals =
            Insert::into("journal (seq, id, usage_seq, tenant_id, legs, posted_at, reverses)")
                .on_conflict("ON CONFLICT DO NOTHING");
        let mut postings =
            Insert::into("posting (journal_seq, leg, account, currency, amount_micros)");
        for (seq, (usage, journal)) in rows {
            let Some(journal) = journal else { continue };
            journals.row([
                (*seq).into(),
                journal.id().into(),
                (*seq).into(),
                usage.tenant.as_str().into(),
                (journal.postings().len() as i64).into(),
                now.as_micros().into(),
                journal.reverses().into(),
            ]);
            for (leg, posting) in (1_i64..).zip(journal.postings()) {
                postings.row([
                    (*seq).into(),
                    leg.into(),
                    posting.account.as_str().into(),
                    posting.amount.currency.to_string().into(),
                    posting.amount.micros.into(),
                ]);
            }
        }
        journals.execute(&mut self.0).await?;
        postings.execute(&mut self.0).await?;
        Ok(())
    }

    /// Messages that were kept aside and are rated now.
    async fn settle_unrated(
        &mut self,
        rated: &[(Usage, Option<Journal>)],
    ) -> Result<(), StorageError> {
        let pair = |(usage, _): &(Usage, Option<Journal>)| {
            let id = usage.whatsapp_message_id.to_string();
            (usage.number.to_string(), id)
        };
        let pairs: Vec<_> = rated.iter().map(pair).collect();
        sql("DELETE FROM unrated WHERE (number_id, wamid) IN \
             (SELECT c0, c1 FROM each($1, 2) settled)")
        .bind(list(&pairs))
        .execute(&mut self.0)
        .await?;
        Ok(())
    }

    async fn keep_aside(&mut self, row: &UnratedRow) -> Result<(), StorageError> {
        // A message in the ledger stays there, whatever a later status cannot tell.
        sql(
            "INSERT INTO unrated (number_id, wamid, tenant_id, message_id, month, occurred_at, \
             awaits_price, reason) SELECT $1, $2, $3, $4, $5, $6, $7, $8 \
             WHERE NOT EXISTS (SELECT 1 FROM usage_record WHERE number_id = $1 AND wamid = $2) \
             ON CONFLICT (number_id, wamid) DO UPDATE SET month = excluded.month, \
             occurred_at = excluded.occurred_at, awaits_price = excluded.awaits_price, \
             reason = excluded.reason \
             WHERE (excluded.awaits_price, excluded.occurred_at, excluded.reason) \
             < (unrated.awaits_price, unrated.occurred_at, unrated.reason)",
        )
        .bind(&row.number)
        .bind(&row.wamid)
        .bind(&row.tenant)
        .bind(&row.message_id)
        .bind(row.month.to_string())
        .bind(row.occurred_at.as_micros())
        .bind(row.awaits_price)
        .bind(&row.reason)
        .execute(&mut self.0)
        .await?;
        Ok(())
    }

    async fn save_cursor(
        &mut self,
        held: &Held,
        cursor: &str,
        seen: &str,
    ) -> Result<(), StorageError> {
        sql("UPDATE follow_part SET cursor = $2, seen = $3 WHERE part = $1")
            .bind(held.part)
            .bind(cursor)
            .bind(seen)
            .execute(&mut self.0)
            .await?;
        Ok(())
    }
}

/// Which messages are in the ledger, of pairs of number and Meta's id.
const KNOWN_MESSAGES: &str = "SELECT u.number_id, u.wamid FROM each($1, 2) w \
     lookup(usage_record u, u.number_id = w.c0 AND u.wamid = w.c1)";
/// Which billing conversations are in the ledger, of pairs of number and Meta's id.
const KNOWN_CONVERSATIONS: &str = "SELECT u.number_id, u.opens_conversation FROM each($1, 2) w \
     lookup(usage_record u, u.number_id = w.c0 AND u.opens_conversation = w.c1)";
