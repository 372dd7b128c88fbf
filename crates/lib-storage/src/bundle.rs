//! Several writes in one statement, for writers whose time goes into waiting for answers: one round
//! trip on PostgreSQL, one hand-over to its thread on SQLite.

use crate::database::Tx;
use crate::error::StorageError;
use crate::insert::Insert;
use crate::migration::Engine;
use crate::query::{Query, Value};

/// Writes that do not depend on each other: they see the records as they were before the first of
/// them, in no promised order, and no two of them may touch the same row.
#[derive(Debug)]
pub struct Bundle {
    engine: Engine,
    texts: Vec<String>,
    values: Vec<Value>,
}

impl Bundle {
    /// An empty one for `tx`.
    pub fn new(tx: &Tx) -> Self {
        Self {
            engine: tx.engine(),
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
        let bundle = Bundle::new(&tx).insert(notes).insert(other);
        bundle.execute(&mut tx).await.unwrap();
        let mut other = Insert::<2>::into("other (id, n)")
            .on_conflict("ON CONFLICT (id) DO UPDATE SET n = excluded.n");
        other.row(["a".into(), i64::MIN.into()]);
        Bundle::new(&tx)
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
