//! Writing the ledger: what a batch needs to know, and what it adds, in one transaction.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use core_billing::{Account, CounterKey, Event, Journal, Ledger, PriceBook, Usage};
use core_types::{NumberId, Timestamp, WhatsAppMessageId};
use lib_storage::{SqliteFile, StorageError};
use sqlx::{QueryBuilder, Sqlite, Transaction};

use crate::entry::UnratedRow;
use crate::schema::MIGRATIONS;

/// Rows per INSERT: SQLite binds at most 32,766 values in one statement.
const CHUNK: usize = 500;

/// The ledger's database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) database: SqliteFile,
}

/// What a batch of statuses adds.
#[derive(Default)]
pub(crate) struct Batch {
    rated: Vec<(Usage, Option<Journal>)>,
    unrated: BTreeMap<(String, String), UnratedRow>,
}

/// A writing transaction. Dropped without [`Writing::write`], nothing has happened.
pub(crate) struct Writing(Transaction<'static, Sqlite>);

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

/// Ids by number: SQLite searches an index for one number and a list, and scans for pairs.
fn by_number<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut grouped: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (number, id) in pairs {
        grouped.entry(number).or_default().push(id);
    }
    grouped
}

/// Adds ` AND column IN (…)`.
fn push_list(query: &mut QueryBuilder<Sqlite>, column: &str, ids: &[&str]) {
    query.push(format!(" AND {column} IN ("));
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind((*id).to_owned());
    }
    query.push(")");
}

/// The order of `core_billing::Suspense::outranks`; the SQL below has it too.
fn rank(row: &UnratedRow) -> (bool, Timestamp, &str) {
    (row.awaits_price, row.occurred_at, &row.reason)
}

impl Store {
    /// Opens the database and brings its schema up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, StorageError> {
        let database = SqliteFile::open(path, MIGRATIONS).await?;
        Ok(Self { database })
    }

    /// How far the log has been taken in for certain.
    pub(crate) async fn cursor(&self) -> Result<String, StorageError> {
        let row = sqlx::query_scalar("SELECT cursor FROM follow WHERE id = 1");
        Ok(row.fetch_one(self.database.readers()).await?)
    }

    /// Stores a cursor alone.
    pub(crate) async fn save_cursor(&self, cursor: &str) -> Result<(), StorageError> {
        let mut tx = self.begin().await?;
        tx.save_cursor(cursor).await?;
        Ok(tx.0.commit().await?)
    }

    pub(crate) async fn begin(&self) -> Result<Writing, StorageError> {
        // Ledger rows and cursor are one transaction: after a power cut the log tells them again.
        Ok(Writing(self.database.begin_rederivable().await?))
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
        for (number, wamid) in self.known("wamid", messages).await? {
            let bad = |error| StorageError::corrupt("usage_record", &wamid, error);
            let id = WhatsAppMessageId::new(&wamid).map_err(bad)?;
            ledger.known_message(NumberId::new(&number).map_err(bad)?, id);
        }
        let conversations = batch.iter().filter_map(|(account, event)| {
            let id = event.update.billing_conversation.as_deref()?;
            Some((account.number.as_str(), id))
        });
        for (number, id) in self.known("opens_conversation", conversations).await? {
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

    /// Which of the pairs of number and `column` are in the ledger.
    async fn known<'a>(
        &mut self,
        column: &str,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let mut found = Vec::new();
        for (number, ids) in by_number(pairs) {
            for chunk in ids.chunks(CHUNK) {
                let mut query = QueryBuilder::<Sqlite>::new(format!(
                    "SELECT number_id, {column} FROM usage_record WHERE number_id = "
                ));
                query.push_bind(number.to_owned());
                push_list(&mut query, column, chunk);
                let rows = query.build_query_as().persistent(false);
                found.extend(rows.fetch_all(&mut *self.0).await?);
            }
        }
        Ok(found)
    }

    async fn counted(&mut self, key: &CounterKey) -> Result<u32, StorageError> {
        let (sql, id, month) = match key {
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
        let count: i64 = sqlx::query_scalar(sql)
            .bind(id)
            .bind(month.to_string())
            .fetch_one(&mut *self.0)
            .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Adds what a batch gave and the cursor, and commits.
    pub(crate) async fn write(
        mut self,
        batch: Batch,
        cursor: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        if !batch.rated.is_empty() {
            let first = self.next_seq().await?;
            for (at, chunk) in batch.rated.chunks(CHUNK).enumerate() {
                let first = first + (at * CHUNK) as i64;
                let rows: Vec<_> = (first..).zip(chunk).collect();
                self.add_usages(&rows, now).await?;
                self.add_journals(&rows, now).await?;
                self.settle_unrated(chunk).await?;
            }
        }
        for row in batch.unrated.values() {
            self.keep_aside(row).await?;
        }
        self.save_cursor(cursor).await?;
        lib_platform::failpoint!("billing.commit");
        Ok(self.0.commit().await?)
    }

    async fn next_seq(&mut self) -> Result<i64, StorageError> {
        let last = "SELECT COALESCE(MAX(seq), 0) FROM usage_record";
        let last: i64 = sqlx::query_scalar(last).fetch_one(&mut *self.0).await?;
        Ok(last + 1)
    }

    async fn add_usages(
        &mut self,
        rows: &[(i64, &(Usage, Option<Journal>))],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO usage_record (seq, tenant_id, waba_id, number_id, wamid, message_id, \
             occurred_at, recorded_at, month, country, market, category, pricing_type, currency, \
             rate_micros, amount_micros, counts, opens_conversation, explanation) ",
        );
        insert.push_values(rows, |mut row, (seq, (usage, _))| {
            let rating = &usage.rating;
            row.push_bind(*seq)
                .push_bind(usage.tenant.as_str())
                .push_bind(usage.waba.as_str())
                .push_bind(usage.number.as_str())
                .push_bind(usage.whatsapp_message_id.as_str())
                .push_bind(usage.message_id.as_str())
                .push_bind(usage.occurred_at.as_micros())
                .push_bind(now.as_micros())
                .push_bind(rating.month.to_string())
                .push_bind(rating.country.as_str())
                .push_bind(rating.market.as_str())
                .push_bind(rating.category.word())
                .push_bind(rating.pricing_type.word())
                .push_bind(rating.amount.currency.to_string())
                .push_bind(rating.rate.micros)
                .push_bind(rating.amount.micros)
                .push_bind(i64::from(rating.counts))
                .push_bind(rating.opens_conversation.as_deref())
                .push_bind(rating.explanation.as_str());
        });
        insert.push(" ON CONFLICT DO NOTHING");
        insert
            .build()
            .persistent(false)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn add_journals(
        &mut self,
        rows: &[(i64, &(Usage, Option<Journal>))],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let journals: Vec<(i64, &Usage, &Journal)> = rows
            .iter()
            .filter_map(|(seq, (usage, journal))| Some((*seq, usage, journal.as_ref()?)))
            .collect();
        if journals.is_empty() {
            return Ok(());
        }
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO journal (seq, id, usage_seq, tenant_id, legs, posted_at, reverses) ",
        );
        insert.push_values(&journals, |mut row, (seq, usage, journal)| {
            row.push_bind(*seq)
                .push_bind(journal.id())
                .push_bind(*seq)
                .push_bind(usage.tenant.as_str())
                .push_bind(journal.postings().len() as i64)
                .push_bind(now.as_micros())
                .push_bind(journal.reverses());
        });
        insert.push(" ON CONFLICT DO NOTHING");
        insert
            .build()
            .persistent(false)
            .execute(&mut *self.0)
            .await?;
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO posting (journal_seq, leg, account, currency, amount_micros) ",
        );
        let legs = journals.iter().flat_map(|(seq, _, journal)| {
            let numbered = (1_i64..).zip(journal.postings());
            numbered.map(|(leg, posting)| (*seq, leg, posting))
        });
        insert.push_values(legs, |mut row, (seq, leg, posting)| {
            row.push_bind(seq)
                .push_bind(leg)
                .push_bind(posting.account.as_str())
                .push_bind(posting.amount.currency.to_string())
                .push_bind(posting.amount.micros);
        });
        insert
            .build()
            .persistent(false)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Messages that were kept aside and are rated now.
    async fn settle_unrated(
        &mut self,
        rated: &[(Usage, Option<Journal>)],
    ) -> Result<(), StorageError> {
        let pairs = rated.iter().map(|(usage, _)| {
            let id = usage.whatsapp_message_id.as_str();
            (usage.number.as_str(), id)
        });
        for (number, ids) in by_number(pairs) {
            let mut delete = QueryBuilder::<Sqlite>::new("DELETE FROM unrated WHERE number_id = ");
            delete.push_bind(number.to_owned());
            push_list(&mut delete, "wamid", &ids);
            let delete = delete.build().persistent(false);
            delete.execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn keep_aside(&mut self, row: &UnratedRow) -> Result<(), StorageError> {
        // A message in the ledger stays there, whatever a later status cannot tell.
        sqlx::query(
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
        .bind(i64::from(row.awaits_price))
        .bind(&row.reason)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn save_cursor(&mut self, cursor: &str) -> Result<(), StorageError> {
        sqlx::query("UPDATE follow SET cursor = $1 WHERE id = 1")
            .bind(cursor)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}
