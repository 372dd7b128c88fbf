//! The inbox in the service's own SQLite file: one transaction, one flush to disk per group.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use core_types::Timestamp;
use futures_util::TryStreamExt as _;
use lib_storage::{Migration, SqliteFile, StorageError};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, Sqlite, Transaction};
use tokio::sync::watch;

use crate::inbox::{
    Counts, Delivery, Ending, Group, Inbox, InboxError, NewDelivery, NewParked, Outcome, Parked,
    Reading,
};

/// AUTOINCREMENT keeps ids from being given out again after the table ran empty: a reader's
/// position and the ids of parked items stay true.
const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "deliveries and parked items",
    sql: "CREATE TABLE delivery (
              id INTEGER PRIMARY KEY AUTOINCREMENT,
              admitted_at BIGINT NOT NULL,
              traceparent TEXT NOT NULL,
              attempts BIGINT NOT NULL DEFAULT 0,
              body BLOB NOT NULL
          );
          CREATE TABLE parked (
              sequence INTEGER PRIMARY KEY AUTOINCREMENT,
              id TEXT NOT NULL UNIQUE,
              delivery BIGINT NOT NULL,
              ordinal BIGINT NOT NULL,
              position TEXT NOT NULL,
              cause TEXT NOT NULL,
              number_id TEXT NOT NULL,
              admitted_at BIGINT NOT NULL,
              parked_at BIGINT NOT NULL,
              attempts BIGINT NOT NULL,
              traceparent TEXT NOT NULL,
              replayed BIGINT NOT NULL DEFAULT 0,
              payload BLOB NOT NULL
          );
          CREATE INDEX parked_by_number ON parked (replayed, number_id, sequence);",
}];

/// Rows per INSERT. A group is written with few statements, and few different ones, so that each
/// is prepared once.
const ROWS: [usize; 4] = [64, 16, 4, 1];

const PARKED_HEAD: &str = "sequence, id, delivery, ordinal, position, cause, number_id, \
                           admitted_at, parked_at, attempts, traceparent, replayed";

/// The embedded inbox. One process at a time.
#[derive(Clone, Debug)]
pub struct EmbeddedInbox {
    database: SqliteFile,
    inserts: Arc<[(usize, Arc<str>)]>,
    /// Kept beside the table: to count it takes longer than to add to it.
    counts: Arc<Mutex<Counts>>,
    /// The last id.
    arrivals: watch::Sender<u64>,
}

/// Reads it, woken by each commit.
#[derive(Debug)]
pub struct EmbeddedReading {
    inbox: EmbeddedInbox,
    after: u64,
    arrivals: watch::Receiver<u64>,
}

impl Reading for EmbeddedReading {
    async fn next(&mut self, most: u32, most_bytes: usize) -> Result<Vec<Delivery>, InboxError> {
        loop {
            let last = *self.arrivals.borrow_and_update();
            if last > self.after {
                let found = self.inbox.read(self.after, most, most_bytes).await?;
                self.after = found.last().map_or(last, |delivery| delivery.id);
                if !found.is_empty() {
                    return Ok(found);
                }
            } else if self.arrivals.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl EmbeddedInbox {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When it cannot be opened or was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self, StorageError> {
        let insert = |rows: usize| {
            let values = vec!["(?,?,?)"; rows].join(",");
            format!("INSERT INTO delivery (admitted_at, traceparent, body) VALUES {values}")
        };
        let database = SqliteFile::open(path, MIGRATIONS).await?;
        let counts = count(&database).await?;
        Ok(Self {
            database,
            inserts: ROWS.map(|rows| (rows, insert(rows).into())).into(),
            counts: Arc::new(Mutex::new(counts)),
            arrivals: watch::Sender::new(counts.admitted),
        })
    }

    async fn try_commit(&self, admit: &[NewDelivery], ends: &[Ending]) -> Result<(), InboxError> {
        // A delivery that is forgotten to be finished is handed on again, and taken once.
        let rederivable = admit.is_empty() && ends.iter().all(|end| end.park.is_empty());
        let mut tx = if rederivable {
            self.database.begin_rederivable().await?
        } else {
            self.database.begin().await?
        };
        let last = self.admit(&mut tx, admit).await?;
        let mut ended = 0;
        for end in ends {
            park(&mut tx, &end.park).await?;
            for (first, last) in runs(&end.finish) {
                let deleted = sqlx::query("DELETE FROM delivery WHERE id BETWEEN $1 AND $2")
                    .bind(first.cast_signed())
                    .bind(last.cast_signed())
                    .execute(&mut *tx)
                    .await?;
                ended += deleted.rows_affected();
            }
        }
        tx.commit().await?;
        let bytes: usize = admit.iter().map(|delivery| delivery.body.len()).sum();
        let ended_bytes: u64 = ends.iter().map(|end| end.bytes).sum();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.waiting = (counts.waiting + admit.len() as u64).saturating_sub(ended);
        counts.waiting_bytes = (counts.waiting_bytes + bytes as u64).saturating_sub(ended_bytes);
        if let Some(last) = last {
            counts.admitted = last;
            self.arrivals.send_replace(last);
        }
        Ok(())
    }

    fn counted(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn admit(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        mut rest: &[NewDelivery],
    ) -> Result<Option<u64>, InboxError> {
        let mut last = None;
        for (rows, insert) in self.inserts.iter() {
            while rest.len() >= *rows {
                let (now, later) = rest.split_at(*rows);
                rest = later;
                let mut query = sqlx::query(AssertSqlSafe(Arc::clone(insert)));
                for delivery in now {
                    query = query
                        .bind(delivery.admitted_at.as_micros())
                        .bind(delivery.traceparent.as_str())
                        .bind(&delivery.body[..]);
                }
                last = Some(query.execute(&mut **tx).await?.last_insert_rowid());
            }
        }
        Ok(last.map(i64::cast_unsigned))
    }
}

impl Inbox for EmbeddedInbox {
    type Reading = EmbeddedReading;

    async fn commit(&self, group: &Group) -> Outcome {
        let mut admitted = self.try_commit(&group.admit, &group.ends).await;
        let mut refused = admitted.as_ref().err().map(ToString::to_string);
        if group.admit.is_empty() {
            admitted = Ok(());
        } else if refused.is_some() && !group.ends.is_empty() {
            // What was admitted before must be able to end, and to make room, while nothing new
            // fits.
            let ended = self.try_commit(&[], &group.ends).await;
            refused = ended.err().map(|error| error.to_string());
        }
        let ended = |_| {
            refused
                .clone()
                .map_or(Ok(()), |why| Err(InboxError::NotKept(why)))
        };
        Outcome {
            admitted,
            ended: group.ends.iter().map(ended).collect(),
            counts: Some(self.counted()),
        }
    }

    async fn read(
        &self,
        after: u64,
        most: u32,
        most_bytes: usize,
    ) -> Result<Vec<Delivery>, InboxError> {
        let mut rows = sqlx::query(
            "SELECT id, admitted_at, traceparent, attempts, body FROM delivery \
             WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after.cast_signed())
        .bind(most)
        .fetch(self.database.readers());
        let (mut found, mut bytes) = (Vec::new(), 0);
        while bytes < most_bytes {
            let Some(row) = rows.try_next().await? else {
                break;
            };
            let body: Vec<u8> = row.try_get(4)?;
            bytes += body.len();
            found.push(Delivery {
                id: row.try_get::<i64, _>(0)?.cast_unsigned(),
                admitted_at: Timestamp::from_micros(row.try_get(1)?),
                traceparent: row.try_get(2)?,
                attempts: row.try_get(3)?,
                body: Bytes::from(body),
            });
        }
        Ok(found)
    }

    /// The process that starts does not know how the last one ended.
    async fn begin(
        &self,
        _fence: i64,
        window: u32,
        ceiling: u32,
    ) -> Result<EmbeddedReading, InboxError> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "UPDATE delivery SET attempts = attempts + 1 WHERE attempts < $2 \
             AND id IN (SELECT id FROM delivery ORDER BY id LIMIT $1)",
        )
        .bind(window)
        .bind(ceiling)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(EmbeddedReading {
            inbox: self.clone(),
            after: 0,
            arrivals: self.arrivals.subscribe(),
        })
    }

    async fn leave(&self, _fence: i64) -> Result<(), InboxError> {
        Ok(())
    }

    async fn claim(&self, _fence: i64, id: u64) -> Result<u32, InboxError> {
        let mut tx = self.database.begin().await?;
        let attempts: Option<u32> = sqlx::query_scalar(
            "UPDATE delivery SET attempts = attempts + 1 WHERE id = $1 RETURNING attempts",
        )
        .bind(id.cast_signed())
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(attempts.unwrap_or(0))
    }

    async fn release(&self, _fence: i64, id: u64) -> Result<(), InboxError> {
        let mut tx = self.database.begin().await?;
        sqlx::query("UPDATE delivery SET attempts = attempts - 1 WHERE id = $1 AND attempts > 0")
            .bind(id.cast_signed())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn parked(
        &self,
        numbers: Option<&[String]>,
        after: u64,
        most: usize,
    ) -> Result<Vec<Parked>, InboxError> {
        let numbers = numbers.map(|numbers| serde_json::json!(numbers).to_string());
        let sql = format!(
            "SELECT {PARKED_HEAD}, x'' FROM parked WHERE replayed = 0 AND sequence > $1 \
             AND ($2 IS NULL OR number_id IN (SELECT value FROM json_each($2))) \
             ORDER BY sequence LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(after.cast_signed())
            .bind(numbers)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(self.database.readers())
            .await?;
        rows.iter().map(parked_row).collect()
    }

    async fn parked_by_number(&self) -> Result<Vec<(String, u64)>, InboxError> {
        let rows = sqlx::query(
            "SELECT number_id, COUNT(*) FROM parked WHERE replayed = 0 GROUP BY number_id",
        )
        .fetch_all(self.database.readers())
        .await?;
        let count = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? as u64));
        rows.iter().map(count).collect()
    }

    async fn find_parked(&self, id: &str) -> Result<Option<Parked>, InboxError> {
        let sql = format!("SELECT {PARKED_HEAD}, payload FROM parked WHERE id = $1");
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(self.database.readers())
            .await?;
        row.as_ref().map(parked_row).transpose()
    }

    async fn replayed(&self, id: &str, instead: &[NewParked]) -> Result<(), InboxError> {
        let mut tx = self.database.begin().await?;
        sqlx::query("UPDATE parked SET replayed = 1, payload = x'' WHERE id = $1")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        park(&mut tx, instead).await?;
        Ok(tx.commit().await?)
    }

    async fn replay_failed(&self, id: &str, cause: &str) -> Result<(), InboxError> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "UPDATE parked SET attempts = attempts + 1, cause = $2 WHERE id = $1 AND replayed = 0",
        )
        .bind(id)
        .bind(cause)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    async fn counts(&self) -> Result<Counts, InboxError> {
        Ok(self.counted())
    }
}

async fn count(database: &SqliteFile) -> Result<Counts, StorageError> {
    let row = sqlx::query(
        "SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0), \
         COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'delivery'), 0) FROM delivery",
    )
    .fetch_one(database.readers())
    .await?;
    Ok(Counts {
        waiting: row.try_get::<i64, _>(0)? as u64,
        waiting_bytes: row.try_get::<i64, _>(1)? as u64,
        admitted: row.try_get::<i64, _>(2)? as u64,
    })
}

async fn park(tx: &mut Transaction<'static, Sqlite>, items: &[NewParked]) -> sqlx::Result<()> {
    for item in items {
        sqlx::query(
            "INSERT INTO parked (id, delivery, ordinal, position, cause, number_id, admitted_at, \
             parked_at, attempts, traceparent, payload) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
        )
        .bind(item.id())
        .bind(item.delivery.cast_signed())
        .bind(item.index)
        .bind(&item.position)
        .bind(&item.cause)
        .bind(&item.number_id)
        .bind(item.admitted_at.as_micros())
        .bind(item.parked_at.as_micros())
        .bind(item.attempts)
        .bind(&item.traceparent)
        .bind(&item.payload[..])
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn parked_row(row: &SqliteRow) -> Result<Parked, InboxError> {
    let payload: Vec<u8> = row.try_get(12)?;
    Ok(Parked {
        sequence: row.try_get::<i64, _>(0)?.cast_unsigned(),
        id: row.try_get(1)?,
        replayed: row.try_get::<i64, _>(11)? != 0,
        item: NewParked {
            delivery: row.try_get::<i64, _>(2)?.cast_unsigned(),
            index: row.try_get(3)?,
            position: row.try_get(4)?,
            cause: row.try_get(5)?,
            number_id: row.try_get(6)?,
            admitted_at: Timestamp::from_micros(row.try_get(7)?),
            parked_at: Timestamp::from_micros(row.try_get(8)?),
            attempts: row.try_get(9)?,
            traceparent: row.try_get(10)?,
            payload: Bytes::from(payload),
        },
    })
}

/// Ids as runs of neighbours: deliveries mostly end in order, so one statement ends many.
fn runs(ids: &[u64]) -> Vec<(u64, u64)> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if id <= *last + 1 => *last = id,
            _ => runs.push((id, id)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn neighbours_end_together() {
        assert_eq!(runs(&[3, 1, 2, 7, 9, 8, 20]), [(1, 3), (7, 9), (20, 20)]);
        assert!(runs(&[]).is_empty());
    }
}
