//! Reading the ledger: statements, journals, counts. `tenant` is `None` for services, which see
//! all.

use core_billing::Month;
use core_types::Timestamp;
use lib_proto::billing::{Journal, Posting, StatementLine, UnratedMessage};
use lib_proto::common::Money;
use lib_proto::timestamp_opt;
use lib_storage::StorageError;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use crate::store::Store;

/// Unrated messages listed in one statement.
const MOST_UNRATED: i64 = 1_000;

/// What a statement is made of, read at one moment.
pub(crate) struct Bill {
    pub lines: Vec<StatementLine>,
    pub unrated: Vec<UnratedMessage>,
}

/// Which journals to list.
pub(crate) struct JournalFilter<'a> {
    pub tenant: Option<&'a str>,
    pub month: Option<Month>,
    pub message_id: &'a str,
    /// Only those after this one.
    pub after: i64,
    pub most: usize,
}

#[derive(FromRow)]
struct LineRow {
    number_id: String,
    country: String,
    market: String,
    category: String,
    pricing_type: String,
    currency: String,
    rate_micros: i64,
    messages: i64,
    amount_micros: i64,
}

#[derive(FromRow)]
struct JournalRow {
    seq: i64,
    id: String,
    message_id: String,
    wamid: String,
    occurred_at: i64,
    posted_at: i64,
    explanation: String,
    reverses: Option<String>,
    #[sqlx(flatten)]
    line: LineRow,
}

impl From<LineRow> for StatementLine {
    fn from(row: LineRow) -> Self {
        let money = |micros| Money {
            currency_code: row.currency.clone(),
            micros,
        };
        Self {
            rate: Some(money(row.rate_micros)),
            amount: Some(money(row.amount_micros)),
            number_id: row.number_id,
            country: row.country,
            market: row.market,
            category: row.category,
            pricing_type: row.pricing_type,
            messages: u64::try_from(row.messages).unwrap_or(0),
        }
    }
}

/// Adds what narrows a query down to a tenant, a month and a number.
fn narrow(query: &mut QueryBuilder<Sqlite>, filter: [(&str, Option<&str>); 3]) {
    for (column, value) in filter {
        if let Some(value) = value {
            query
                .push(format!(" AND {column} = "))
                .push_bind(value.to_owned());
        }
    }
}

impl Store {
    /// A month's bill, of one number or of all.
    pub(crate) async fn bill(
        &self,
        tenant: Option<&str>,
        month: Month,
        number: Option<&str>,
    ) -> Result<Bill, StorageError> {
        let mut tx = self.database.readers().begin().await?;
        let month = month.to_string();
        let filter = [
            ("tenant_id", tenant),
            ("month", Some(month.as_str())),
            ("number_id", number),
        ];
        let mut query = QueryBuilder::new(
            "SELECT number_id, country, market, category, pricing_type, currency, rate_micros, \
             COUNT(*) AS messages, SUM(amount_micros) AS amount_micros \
             FROM usage_record WHERE 1 = 1",
        );
        narrow(&mut query, filter);
        query.push(" GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 6, 4, 2, 3, 5, 7");
        let lines: Vec<LineRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        let mut query =
            QueryBuilder::new("SELECT message_id, reason, occurred_at FROM unrated WHERE 1 = 1");
        narrow(&mut query, filter);
        query
            .push(" ORDER BY occurred_at, number_id, wamid LIMIT ")
            .push_bind(MOST_UNRATED);
        let unrated: Vec<(String, String, i64)> =
            query.build_query_as().fetch_all(&mut *tx).await?;
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM unrated WHERE 1 = 1");
        narrow(&mut query, filter);
        let all: i64 = query.build_query_scalar().fetch_one(&mut *tx).await?;
        let message = |(message_id, reason, occurred_at)| UnratedMessage {
            message_id,
            reason,
            occurred_at: timestamp_opt(Some(Timestamp::from_micros(occurred_at))),
        };
        let mut unrated: Vec<UnratedMessage> = unrated.into_iter().map(message).collect();
        if all > MOST_UNRATED {
            unrated.push(UnratedMessage {
                message_id: String::new(),
                reason: format!("{} more messages are unrated", all - MOST_UNRATED),
                occurred_at: None,
            });
        }
        Ok(Bill {
            lines: lines.into_iter().map(Into::into).collect(),
            unrated,
        })
    }

    /// Journals with their positions, oldest first.
    pub(crate) async fn journals(
        &self,
        filter: JournalFilter<'_>,
    ) -> Result<Vec<(i64, Journal)>, StorageError> {
        let mut tx = self.database.readers().begin().await?;
        let mut query = QueryBuilder::new(
            "SELECT j.seq, j.id, j.posted_at, j.reverses, u.message_id, u.wamid, u.occurred_at, \
             u.explanation, u.number_id, u.country, u.market, u.category, u.pricing_type, \
             u.currency, u.rate_micros, u.amount_micros, 1 AS messages \
             FROM journal j JOIN usage_record u ON u.seq = j.usage_seq WHERE j.seq > ",
        );
        query.push_bind(filter.after);
        let month = filter.month.map(|month| month.to_string());
        let message = Some(filter.message_id).filter(|id| !id.is_empty());
        let columns = [
            ("j.tenant_id", filter.tenant),
            ("u.month", month.as_deref()),
            ("u.message_id", message),
        ];
        narrow(&mut query, columns);
        query
            .push(" ORDER BY j.seq LIMIT ")
            .push_bind(i64::try_from(filter.most).unwrap_or(i64::MAX));
        let rows: Vec<JournalRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        let mut journals: Vec<(i64, Journal)> = rows.into_iter().map(journal).collect();
        if journals.is_empty() {
            return Ok(journals);
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT journal_seq, account, currency, amount_micros FROM posting \
             WHERE journal_seq IN (",
        );
        let mut list = query.separated(", ");
        for (seq, _) in &journals {
            list.push_bind(*seq);
        }
        query.push(") ORDER BY journal_seq, leg");
        let legs = query.build_query_as().persistent(false);
        let legs: Vec<(i64, String, String, i64)> = legs.fetch_all(&mut *tx).await?;
        for (seq, account, currency_code, micros) in legs {
            let amount = Some(Money {
                currency_code,
                micros,
            });
            if let Ok(at) = journals.binary_search_by_key(&seq, |(seq, _)| *seq) {
                journals[at].1.postings.push(Posting { account, amount });
            }
        }
        Ok(journals)
    }

    /// How many journals there are.
    pub(crate) async fn journal_count(&self, tenant: Option<&str>) -> Result<u64, StorageError> {
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM journal WHERE 1 = 1");
        narrow(&mut query, [("tenant_id", tenant), ("", None), ("", None)]);
        let count: i64 = query
            .build_query_scalar()
            .fetch_one(self.database.readers())
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Service messages a number has used in a month.
    pub(crate) async fn service_used(
        &self,
        number: &str,
        month: Month,
    ) -> Result<u32, StorageError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM usage_record \
             WHERE number_id = $1 AND month = $2 AND counts = 1",
        )
        .bind(number)
        .bind(month.to_string())
        .fetch_one(self.database.readers())
        .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

fn journal(row: JournalRow) -> (i64, Journal) {
    let journal = Journal {
        id: row.id,
        message_id: row.message_id,
        whatsapp_message_id: row.wamid,
        occurred_at: timestamp_opt(Some(Timestamp::from_micros(row.occurred_at))),
        posted_at: timestamp_opt(Some(Timestamp::from_micros(row.posted_at))),
        explanation: row.explanation,
        postings: Vec::new(),
        line: Some(row.line.into()),
        reverses: row.reverses.unwrap_or_default(),
    };
    (row.seq, journal)
}
