//! Reading the ledger: statements, journals, counts. `tenant` is `None` for services, which see
//! all.

use std::fmt::Write as _;

use core_billing::Month;
use core_types::Timestamp;
use lib_proto::billing::{Journal, Posting, StatementLine, UnratedMessage};
use lib_proto::common::Money;
use lib_proto::timestamp_opt;
use lib_storage::query::Query;
use lib_storage::{Row, StorageError, Value, list, sql};

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

/// Builds a query whose conditions depend on what is asked for.
struct Narrowed {
    conditions: String,
    values: Vec<Value>,
}

impl Narrowed {
    /// Conditions for those columns that have a value; placeholders count from 1.
    fn by<const N: usize>(filter: [(&str, Option<&str>); N]) -> Self {
        let mut narrowed = Self {
            conditions: String::new(),
            values: Vec::new(),
        };
        for (column, value) in filter {
            if let Some(value) = value {
                narrowed.values.push(value.into());
                let place = narrowed.values.len();
                // Writing to a String does not fail.
                let _ = write!(narrowed.conditions, " AND {column} = ${place}");
            }
        }
        narrowed
    }

    /// Another value; returns its placeholder.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn query(self, text: String) -> Query {
        self.values.into_iter().fold(sql(text), Query::bind)
    }
}

/// A line from columns of these names.
fn line(row: &Row) -> Result<StatementLine, StorageError> {
    let currency: String = row.get("currency")?;
    let money = |micros| Money {
        currency_code: currency.clone(),
        micros,
    };
    Ok(StatementLine {
        rate: Some(money(row.get("rate_micros")?)),
        amount: Some(money(row.get("amount_micros")?)),
        number_id: row.get("number_id")?,
        country: row.get("country")?,
        market: row.get("market")?,
        category: row.get("category")?,
        pricing_type: row.get("pricing_type")?,
        messages: u64::try_from(row.get::<i64>("messages")?).unwrap_or(0),
    })
}

/// The order of a statement's lines.
fn line_order(line: &StatementLine) -> impl Ord + use<> {
    let micros = |money: &Option<Money>| money.as_ref().map_or(0, |money| money.micros);
    let currency = line.rate.as_ref().map(|rate| rate.currency_code.clone());
    (
        line.number_id.clone(),
        currency,
        line.category.clone(),
        line.country.clone(),
        line.market.clone(),
        line.pricing_type.clone(),
        micros(&line.rate),
    )
}

fn time(micros: i64) -> Option<prost_types::Timestamp> {
    timestamp_opt(Some(Timestamp::from_micros(micros)))
}

impl Store {
    /// A month's bill, of one number or of all. It is one statement, so that no message is between
    /// the lines and what is unrated.
    pub(crate) async fn bill(
        &self,
        tenant: Option<&str>,
        month: Month,
        number: Option<&str>,
    ) -> Result<Bill, StorageError> {
        let month = month.to_string();
        let mut narrowed = Narrowed::by([
            ("tenant_id", tenant),
            ("month", Some(month.as_str())),
            ("number_id", number),
        ]);
        let most = narrowed.bind(MOST_UNRATED);
        let conditions = &narrowed.conditions;
        let text = format!(
            "SELECT CAST(0 AS BIGINT) AS kind, number_id, country, market, category, \
             pricing_type, currency, rate_micros, COUNT(*) AS messages, \
             CAST(SUM(amount_micros) AS BIGINT) AS amount_micros \
             FROM usage_record WHERE 1 = 1{conditions} GROUP BY 2, 3, 4, 5, 6, 7, 8 \
             UNION ALL SELECT 1, number_id, message_id, reason, wamid, '', '', occurred_at, 0, 0 \
             FROM (SELECT number_id, message_id, reason, wamid, occurred_at \
             FROM unrated WHERE 1 = 1{conditions} \
             ORDER BY occurred_at, number_id, wamid LIMIT {most}) AS listed \
             UNION ALL SELECT 2, '', '', '', '', '', '', COUNT(*), 0, 0 \
             FROM unrated WHERE 1 = 1{conditions}"
        );
        let (mut lines, mut aside, mut all) = (Vec::new(), Vec::new(), 0);
        for row in narrowed.query(text).fetch_all(&self.database).await? {
            match row.get::<i64>("kind")? {
                0 => lines.push(line(&row)?),
                1 => {
                    let (number, wamid): (String, String) = (row.get(1)?, row.get(4)?);
                    let occurred_at: i64 = row.get(7)?;
                    let message = UnratedMessage {
                        message_id: row.get(2)?,
                        reason: row.get(3)?,
                        occurred_at: time(occurred_at),
                    };
                    aside.push(((occurred_at, number, wamid), message));
                }
                _ => all = row.get(7)?,
            }
        }
        lines.sort_by_cached_key(line_order);
        aside.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut unrated: Vec<UnratedMessage> = aside.into_iter().map(|(_, each)| each).collect();
        if all > MOST_UNRATED {
            unrated.push(UnratedMessage {
                message_id: String::new(),
                reason: format!("{} more messages are unrated", all - MOST_UNRATED),
                occurred_at: None,
            });
        }
        Ok(Bill { lines, unrated })
    }

    /// Journals with their positions, oldest first. Those of one tenant are always listed in the
    /// order in which they were kept; of several tenants only roughly, where several replicas write.
    pub(crate) async fn journals(
        &self,
        filter: JournalFilter<'_>,
    ) -> Result<Vec<(i64, Journal)>, StorageError> {
        let month = filter.month.map(|month| month.to_string());
        let message = Some(filter.message_id).filter(|id| !id.is_empty());
        let mut narrowed = Narrowed::by([
            ("j.tenant_id", filter.tenant),
            ("u.month", month.as_deref()),
            ("u.message_id", message),
        ]);
        let after = narrowed.bind(filter.after);
        let most = narrowed.bind(i64::try_from(filter.most).unwrap_or(i64::MAX));
        let conditions = &narrowed.conditions;
        let text = format!(
            "SELECT j.seq, j.id, j.posted_at, j.reverses, u.message_id, u.wamid, u.occurred_at, \
             u.explanation, u.number_id, u.country, u.market, u.category, u.pricing_type, \
             u.currency, u.rate_micros, u.amount_micros, CAST(1 AS BIGINT) AS messages \
             FROM journal j JOIN usage_record u ON u.seq = j.usage_seq \
             WHERE j.seq > {after}{conditions} ORDER BY j.seq LIMIT {most}"
        );
        let rows = narrowed.query(text).fetch_all(&self.database).await?;
        let mut journals: Vec<(i64, Journal)> =
            rows.iter().map(journal).collect::<Result<_, _>>()?;
        if journals.is_empty() {
            return Ok(journals);
        }
        // A journal that can be read has all its legs.
        let seqs: Vec<i64> = journals.iter().map(|(seq, _)| *seq).collect();
        let legs = sql(
            "SELECT p.journal_seq, p.account, p.currency, p.amount_micros FROM each($1) w \
             JOIN posting p ON p.journal_seq = CAST(w.c0 AS BIGINT) ORDER BY p.journal_seq, p.leg",
        );
        for row in legs.bind(list(&seqs)).fetch_all(&self.database).await? {
            let seq: i64 = row.get(0)?;
            let amount = Some(Money {
                currency_code: row.get(2)?,
                micros: row.get(3)?,
            });
            let account = row.get(1)?;
            if let Ok(at) = journals.binary_search_by_key(&seq, |(seq, _)| *seq) {
                journals[at].1.postings.push(Posting { account, amount });
            }
        }
        Ok(journals)
    }

    /// How many journals there are.
    pub(crate) async fn journal_count(&self, tenant: Option<&str>) -> Result<u64, StorageError> {
        let narrowed = Narrowed::by([("tenant_id", tenant)]);
        let conditions = &narrowed.conditions;
        let text = format!("SELECT COUNT(*) FROM journal WHERE 1 = 1{conditions}");
        let count: i64 = narrowed
            .query(text)
            .fetch_one(&self.database)
            .await?
            .get(0)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Service messages a number has used in a month.
    pub(crate) async fn service_used(
        &self,
        number: &str,
        month: Month,
    ) -> Result<u32, StorageError> {
        let count = sql("SELECT COUNT(*) FROM usage_record \
             WHERE number_id = $1 AND month = $2 AND counts = 1")
        .bind(number)
        .bind(month.to_string());
        let count: i64 = count.fetch_one(&self.database).await?.get(0)?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

fn journal(row: &Row) -> Result<(i64, Journal), StorageError> {
    let journal = Journal {
        id: row.get("id")?,
        message_id: row.get("message_id")?,
        whatsapp_message_id: row.get("wamid")?,
        occurred_at: time(row.get("occurred_at")?),
        posted_at: time(row.get("posted_at")?),
        explanation: row.get("explanation")?,
        postings: Vec::new(),
        line: Some(line(row)?),
        reverses: row.get::<Option<String>>("reverses")?.unwrap_or_default(),
    };
    Ok((row.get("seq")?, journal))
}
