//! Many rows with few statements.

use std::fmt::Write as _;

use crate::database::Tx;
use crate::error::StorageError;
use crate::migration::Engine;
use crate::query::{Query, Value, list};

/// Most rows per statement on SQLite, a power of two: at 12 columns well under its 32,766
/// parameters.
const ROWS: usize = 256;

/// Rows to insert. On SQLite they are written in blocks whose sizes are powers of two, so that there
/// are few different statements and each is prepared once; on PostgreSQL they travel as one array
/// for each column, in one statement for any number of rows.
#[derive(Clone, Debug)]
pub struct Insert<const COLUMNS: usize> {
    into: &'static str,
    conflict: &'static str,
    rows: Vec<[Value; COLUMNS]>,
}

impl<const COLUMNS: usize> Insert<COLUMNS> {
    /// Rows for `into`, a table with its columns: `note (id, text)`.
    pub fn into(into: &'static str) -> Self {
        Self {
            into,
            conflict: "",
            rows: Vec::new(),
        }
    }

    /// What to do where a row is there already: `ON CONFLICT …`. On PostgreSQL one statement must
    /// not touch a row twice with `DO UPDATE`.
    #[must_use]
    pub fn on_conflict(mut self, conflict: &'static str) -> Self {
        self.conflict = conflict;
        self
    }

    /// One more row.
    pub fn row(&mut self, row: [Value; COLUMNS]) {
        self.rows.push(row);
    }

    /// Whether there is nothing to insert.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes all rows. Returns how many were written.
    ///
    /// # Errors
    /// When the database refuses one.
    pub async fn execute(self, tx: &mut Tx) -> Result<u64, StorageError> {
        if self.is_empty() {
            return Ok(0);
        }
        if tx.engine() == Engine::Postgres {
            let (text, values) = self.into_one(Engine::Postgres, 0);
            return Query::with(text, values).execute(tx).await;
        }
        let (mut rows, mut written) = (self.rows.into_iter(), 0);
        while let Some(size) = rows.len().checked_ilog2() {
            let count = ROWS.min(1 << size);
            let text = statement::<COLUMNS>(self.into, self.conflict, count);
            let values = rows.by_ref().take(count).flatten().collect();
            written += Query::with(text, values).execute(tx).await?;
        }
        Ok(written)
    }

    /// One statement for all rows, the same for any number of them, with places after `$first`.
    /// SQLite takes the rows as JSON, which has no bytes.
    pub(crate) fn into_one(self, engine: Engine, first: usize) -> (String, Vec<Value>) {
        let (into, conflict) = (self.into, self.conflict);
        let (source, values) = match engine {
            Engine::Sqlite => {
                let rows: Vec<&[Value]> = self.rows.iter().map(|row| &row[..]).collect();
                (rows_of_json::<COLUMNS>(first), vec![list(&rows)])
            }
            Engine::Postgres => columns_of_arrays(self.rows, first),
        };
        // SQLite needs the WHERE to tell ON CONFLICT from a join.
        let text = format!("INSERT INTO {into} SELECT {source} WHERE TRUE {conflict}");
        (text, values)
    }
}

fn rows_of_json<const COLUMNS: usize>(first: usize) -> String {
    let columns: Vec<String> = (0..COLUMNS)
        .map(|column| format!("json_extract(value, '$[{column}]')"))
        .collect();
    format!("{} FROM json_each(${})", columns.join(", "), first + 1)
}

fn columns_of_arrays<const COLUMNS: usize>(
    rows: Vec<[Value; COLUMNS]>,
    first: usize,
) -> (String, Vec<Value>) {
    let values = Value::columns(rows);
    let mut text = "* FROM UNNEST(".to_owned();
    for (n, value) in values.iter().enumerate() {
        let comma = if n > 0 { ", " } else { "" };
        // Writing to a String does not fail.
        let _ = write!(text, "{comma}${}::{}", first + n + 1, value.array_type());
    }
    text.push_str(") AS new");
    (text, values)
}

fn statement<const COLUMNS: usize>(into: &str, conflict: &str, rows: usize) -> String {
    let mut text = format!("INSERT INTO {into} VALUES ");
    for row in 0..rows {
        text.push_str(if row > 0 { ", (" } else { "(" });
        for column in 1..=COLUMNS {
            let comma = if column > 1 { ", " } else { "" };
            // Writing to a String does not fail.
            let _ = write!(text, "{comma}${}", row * COLUMNS + column);
        }
        text.push(')');
    }
    text.push(' ');
    text.push_str(conflict);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_counts_its_placeholders() {
        assert_eq!(
            statement::<2>("note (id, text)", "ON CONFLICT DO NOTHING", 2),
            "INSERT INTO note (id, text) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING"
        );
    }
}
