//! Many rows with few statements.

use crate::database::Tx;
use crate::error::StorageError;
use crate::query::{Query, Value};

/// Most rows per statement, a power of two: at 12 columns well under SQLite's 32,766 and
/// PostgreSQL's 65,535 parameters.
const ROWS: usize = 256;

/// Rows to insert. They are written in blocks whose sizes are powers of two, so that there are few
/// different statements and each is prepared once.
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
        let (mut rows, mut written) = (self.rows.into_iter(), 0);
        while let Some(size) = rows.len().checked_ilog2() {
            let count = ROWS.min(1 << size);
            let text = statement::<COLUMNS>(self.into, self.conflict, count);
            let values = rows.by_ref().take(count).flatten().collect();
            written += Query::with(text, values).execute(tx).await?;
        }
        Ok(written)
    }
}

fn statement<const COLUMNS: usize>(into: &str, conflict: &str, rows: usize) -> String {
    use std::fmt::Write as _;
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
