//! Several writes in one statement, for writers whose time goes into waiting for answers: one round
//! trip on PostgreSQL, one hand-over to its thread on SQLite. On PostgreSQL that statement can be the
//! whole transaction, with its fences.

use std::fmt::Write as _;

use crate::database::{Database, Target, Tx};
use crate::error::StorageError;
use crate::insert::Insert;
use crate::migration::Engine;
use crate::query::{Query, Row, Value};

/// SQLSTATE of a division by zero, by which a statement fails whose fences do not stand.
const DIVISION_BY_ZERO: &str = "22012";
/// Stands in the last part of a statement for "the fences stand, and the rest is written".
const READY: &str = "{ready}";

/// Writes that do not depend on each other: they see the records as they were before the first of
/// them, in no promised order, and no two of them may touch the same row.
#[derive(Debug)]
pub struct Bundle {
    engine: Engine,
    texts: Vec<String>,
    values: Vec<Value>,
}

impl Bundle {
    /// An empty one for `engine`.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            texts: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Rows to insert: numbers and text, not bytes. Nothing when there are none.
    #[must_use]
    pub fn insert<const COLUMNS: usize>(mut self, insert: Insert<COLUMNS>) -> Self {
        if !insert.is_empty() {
            let (text, values) = insert.into_one(self.engine, self.values.len());
            self.texts.push(text);
            self.values.extend(values);
        }
        self
    }

    /// `statement`, an `INSERT`, `UPDATE` or `DELETE` with places from `$1`.
    #[must_use]
    pub fn and(mut self, statement: Query) -> Self {
        let text = statement.text(self.engine);
        self.texts.push(moved(&text, self.values.len()));
        self.values.extend(statement.values);
        self
    }

    /// Does all of it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn execute(self, tx: &mut Tx) -> Result<(), StorageError> {
        let text = match (self.engine, &self.texts[..]) {
            (_, []) => return Ok(()),
            (_, [one]) => one.clone(),
            (Engine::Sqlite, many) => many.join(";\n"),
            (Engine::Postgres, many) => {
                let named = |(n, text): (usize, &String)| format!("w{n} AS ({text})");
                let named: Vec<String> = many.iter().enumerate().map(named).collect();
                format!("WITH {} SELECT 1", named.join(",\n"))
            }
        };
        Query::with(text, self.values).execute(tx).await?;
        Ok(())
    }
}

/// The leases a statement shows: of which work, which parts, with which fences.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The work.
    pub work: &'a str,
    /// Parts with the fences they were claimed with.
    pub parts: &'a [(u16, i64)],
}

impl Bundle {
    /// Does all of it and then `last`, as one statement, for PostgreSQL only: on a database it is a
    /// transaction of its own. Returns the row `last` answers with.
    ///
    /// `last` is more parts of a `WITH` and a final `SELECT`; in one of them, that what follows
    /// depends on, it says `{ready}` where a condition may stand. What comes before happens before:
    /// a lock that `last` takes is held for as short as can be.
    ///
    /// # Errors
    /// [`StorageError::Fenced`] when a lease is another's by now; nothing is written then. Others
    /// when the database refuses.
    pub async fn finish_with<'a>(
        mut self,
        on: impl Into<Target<'a>>,
        database: &Database,
        shown: Shown<'_>,
        last: Query,
    ) -> Result<Row, StorageError> {
        let first = self.values.len();
        let held = format!(
            "held AS (SELECT l.part FROM UNNEST(${}::bigint[], ${}::bigint[]) h(part, fence) \
             CROSS JOIN LATERAL (SELECT part FROM lease WHERE work = ${} AND part = h.part \
             AND fence = h.fence AND owner <> '' FOR SHARE) l)",
            first + 1,
            first + 2,
            first + 3,
        );
        // Fails where one is missing: a statement has no other way to undo itself.
        let mut ready = format!(
            "1 / CAST((SELECT count(*) FROM held) = ${}::bigint AS int) = 1",
            first + 4
        );
        // In order, as their owner prolongs them too: otherwise the two could wait for each other.
        let mut parts = shown.parts.to_vec();
        parts.sort_unstable();
        let (parts, fences) = parts
            .iter()
            .map(|(part, fence)| (Some(i64::from(*part)), Some(*fence)))
            .unzip();
        self.values.extend([
            Value::Ints(parts),
            Value::Ints(fences),
            shown.work.into(),
            (shown.parts.len() as i64).into(),
        ]);
        let mut text = format!("WITH {held}");
        for (n, part) in self.texts.iter().enumerate() {
            // Writing to a String does not fail.
            let _ = write!(text, ",\nw{n} AS ({part} RETURNING 1)");
            let _ = write!(ready, " AND (SELECT count(*) FROM w{n}) >= 0");
        }
        let rest = moved(&last.text(self.engine), self.values.len());
        text.push_str(",\n");
        text.push_str(&rest.replace(READY, &ready));
        self.values.extend(last.values);
        match Query::with(text, self.values).fetch_one(on).await {
            Err(StorageError::Query(sqlx::Error::Database(refused)))
                if refused.code().as_deref() == Some(DIVISION_BY_ZERO) =>
            {
                let mut tx = database.begin_concurrent().await?;
                tx.require_fence(shown.work, shown.parts).await?;
                Err(StorageError::Query(sqlx::Error::Database(refused)))
            }
            answer => answer,
        }
    }
}

/// `text` with every place `$n` moved by `by`.
fn moved(text: &str, by: usize) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        out.push('$');
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = after.split_at(digits);
        match number.parse::<usize>() {
            Ok(place) => out.push_str(&(place + by).to_string()),
            Err(_) => out.push_str(number),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::sql;

    #[test]
    fn places_are_moved_and_paths_left_alone() {
        assert_eq!(
            moved("SELECT json_extract($1, '$[0]') WHERE a = $12", 3),
            "SELECT json_extract($4, '$[0]') WHERE a = $15"
        );
    }

    #[tokio::test]
    async fn a_bundle_is_all_of_its_writes() {
        let folder = tempfile::tempdir().unwrap();
        let migrations = [crate::Migration {
            version: 1,
            name: "notes",
            sql: "CREATE TABLE note (id TEXT PRIMARY KEY, n BIGINT, text TEXT);
                  CREATE TABLE other (id TEXT PRIMARY KEY, n BIGINT NOT NULL);",
        }];
        let path = folder.path().join("t.db");
        let database = crate::Database::open_file(&path, &migrations)
            .await
            .unwrap();
        let mut tx = database.begin().await.unwrap();
        let mut notes = Insert::<3>::into("note (id, n, text)");
        for n in 0..7_i64 {
            let text = (n != 3).then(|| format!("\"{n}\" ü\u{1f600}"));
            notes.row([format!("n{n}").into(), n.into(), text.into()]);
        }
        let mut other = Insert::<2>::into("other (id, n)")
            .on_conflict("ON CONFLICT (id) DO UPDATE SET n = excluded.n");
        other.row(["a".into(), i64::MAX.into()]);
        let bundle = Bundle::new(tx.engine()).insert(notes).insert(other);
        bundle.execute(&mut tx).await.unwrap();
        let mut other = Insert::<2>::into("other (id, n)")
            .on_conflict("ON CONFLICT (id) DO UPDATE SET n = excluded.n");
        other.row(["a".into(), i64::MIN.into()]);
        Bundle::new(tx.engine())
            .and(
                sql("DELETE FROM note WHERE id IN (SELECT c0 FROM each($1) j)")
                    .bind(crate::list(&["n0", "n1"])),
            )
            .insert(other)
            .execute(&mut tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let rows = sql("SELECT id, n, text FROM note ORDER BY n");
        let rows = rows.fetch_all(&database).await.unwrap();
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[0].text(2).unwrap(), "\"2\" ü\u{1f600}");
        assert_eq!(rows[1].get::<Option<String>>(2).unwrap(), None);
        let row = sql("SELECT n FROM other")
            .fetch_one(&database)
            .await
            .unwrap();
        assert_eq!(row.get::<i64>(0).unwrap(), i64::MIN);
    }
}
