//! Queries that run on both engines: one text with `$1` placeholders, values, rows.
//!
//! Lists travel as one value and are written `each($1)`: rows of one column `c0`, or `each($1, 3)`:
//! rows of the columns `c0`, `c1`, `c2`. So a statement is the same for any number of keys and stays
//! prepared.
//!
//! Rows are looked up by such keys with `lookup(note n, n.id = j.c0)`, a join, or `id among($1)`, a
//! condition. On PostgreSQL both are written so that each key goes to the index, whatever the planner
//! believes of a table that is still young: a statement is planned once and then kept.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, ValueRef as _};

use crate::error::StorageError;
use crate::migration::Engine;

/// A value for a placeholder. Absent ones keep their type, which PostgreSQL needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number; truth is 0 or 1.
    Int(Option<i64>),
    /// Text. PostgreSQL keeps no NUL in text: see [`clean`].
    Text(Option<String>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
    /// A column of numbers, for PostgreSQL only; see [`crate::Insert`].
    Ints(Vec<Option<i64>>),
    /// A column of text, for PostgreSQL only.
    Texts(Vec<Option<String>>),
    /// A column of bytes, for PostgreSQL only.
    Blobs(Vec<Option<Vec<u8>>>),
}

impl Value {
    /// Rows turned into columns, each for one place of type array: for PostgreSQL only.
    pub fn columns<const COLUMNS: usize>(rows: Vec<[Self; COLUMNS]>) -> Vec<Self> {
        let mut columns: Vec<Vec<Self>> = (0..COLUMNS)
            .map(|_| Vec::with_capacity(rows.len()))
            .collect();
        for row in rows {
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        columns.into_iter().map(Self::column).collect()
    }

    /// Values of one kind as a column.
    pub(crate) fn column(values: Vec<Self>) -> Self {
        let (mut ints, mut texts, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
        for value in values {
            match value {
                Self::Int(value) => ints.push(value),
                Self::Text(value) => texts.push(value),
                Self::Bytes(value) => blobs.push(value),
                Self::Ints(_) | Self::Texts(_) | Self::Blobs(_) => {}
            }
        }
        match (ints.is_empty(), texts.is_empty()) {
            (false, _) => Self::Ints(ints),
            (true, false) => Self::Texts(texts),
            (true, true) => Self::Blobs(blobs),
        }
    }

    /// PostgreSQL's type of a column.
    pub(crate) fn array_type(&self) -> &'static str {
        match self {
            Self::Int(_) | Self::Ints(_) => "bigint[]",
            Self::Text(_) | Self::Texts(_) => "text[]",
            Self::Bytes(_) | Self::Blobs(_) => "bytea[]",
        }
    }
}

impl Serialize for Value {
    /// As JSON; bytes and columns have no place in it and become null.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
            Self::Bytes(_) | Self::Ints(_) | Self::Texts(_) | Self::Blobs(_) => {
                serializer.serialize_none()
            }
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident, $of:ident => $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($of: $from) -> Self {
                Self::$variant(Some($to))
            }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map(|$of| $to))
            }
        }
    )*};
}

value_from! {
    i64 => Int, n => n;
    i32 => Int, n => n.into();
    u32 => Int, n => n.into();
    u16 => Int, n => n.into();
    bool => Int, truth => truth.into();
    String => Text, text => clean(text);
    &str => Text, text => clean(text.to_owned());
    &String => Text, text => clean(text.clone());
    Vec<u8> => Bytes, bytes => bytes;
    &[u8] => Bytes, bytes => bytes.to_vec();
    &Vec<u8> => Bytes, bytes => bytes.clone();
}

/// Text as both engines keep it: PostgreSQL refuses U+0000, so it becomes U+FFFD.
pub fn clean(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

/// A list for `each($n)`: anything that serialises to a JSON array, of texts or numbers, or of
/// arrays of them for `each($n, columns)`.
pub fn list<T: Serialize>(items: &[T]) -> Value {
    // Texts and numbers always serialise.
    let text = serde_json::to_string(items).unwrap_or_default();
    Value::Text(Some(if text.contains("\\u0000") {
        without_escaped_nul(&text)
    } else {
        text
    }))
}

/// JSON with the escape of U+0000 turned into that of U+FFFD: see [`clean`]. An escaped backslash
/// before `u0000` is left alone.
fn without_escaped_nul(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (this, after) = if let Some(after) = escape.strip_prefix("\\u0000") {
            ("\\ufffd", after)
        } else {
            let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            escape.split_at(length)
        };
        out.push_str(this);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) text: Cow<'static, str>,
    pub(crate) values: Vec<Value>,
}

/// A statement without values yet.
pub fn sql(text: impl Into<Cow<'static, str>>) -> Query {
    Query {
        text: text.into(),
        values: Vec::new(),
    }
}

impl Query {
    /// The value of the next placeholder.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(crate) fn with(text: impl Into<Cow<'static, str>>, values: Vec<Value>) -> Self {
        Self {
            text: text.into(),
            values,
        }
    }

    /// The text as `engine` takes it.
    pub(crate) fn text(&self, engine: Engine) -> Cow<'static, str> {
        let mut text = self.text.clone();
        for (mark, written_out) in [
            ("lookup(", lookups as fn(&str, Engine) -> String),
            ("among(", memberships),
            ("each(", lists),
        ] {
            if text.contains(mark) {
                text = Cow::Owned(written_out(&text, engine));
            }
        }
        text
    }
}

/// Writes out every `lookup(table name, condition)`.
fn lookups(text: &str, engine: Engine) -> String {
    let mut out = String::with_capacity(text.len() + 80);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("lookup(") {
        out.push_str(before);
        let mut depth = 1;
        let end = after.find(|letter| {
            depth += match letter {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let (inside, after) = after.split_at(end.unwrap_or(after.len()));
        let (table, condition) = inside.split_once(',').unwrap_or((inside, "TRUE"));
        let (table, condition) = (table.trim(), condition.trim());
        let name = table.rsplit(' ').next().unwrap_or(table);
        // Writing to a String does not fail.
        let _ = match engine {
            Engine::Sqlite => write!(out, "JOIN {table} ON {condition}"),
            // OFFSET keeps the planner from turning it into a join of its own choice.
            Engine::Postgres => write!(
                out,
                "CROSS JOIN LATERAL (SELECT * FROM {table} WHERE {condition} OFFSET 0) {name}"
            ),
        };
        rest = after.strip_prefix(')').unwrap_or(after);
    }
    out.push_str(rest);
    out
}

/// Writes out every `among($n)`.
fn memberships(text: &str, engine: Engine) -> String {
    let mut out = String::with_capacity(text.len() + 80);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("among(") {
        let (place, after) = after.split_once(')').unwrap_or((after, ""));
        out.push_str(before);
        // Writing to a String does not fail.
        let _ = match engine {
            Engine::Sqlite => write!(out, "IN (SELECT value FROM json_each({place}))"),
            Engine::Postgres => write!(
                out,
                "= ANY(ARRAY(SELECT json_array_elements_text(CAST({place} AS json))))"
            ),
        };
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Writes out every `each($n)` and `each($n, columns)`.
fn lists(text: &str, engine: Engine) -> String {
    let mut out = String::with_capacity(text.len() + 80);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("each(") {
        out.push_str(before);
        if before.ends_with('_') {
            // Written out already, or written by hand.
            out.push_str("each(");
            rest = after;
            continue;
        }
        let (inside, after) = after.split_once(')').unwrap_or((after, ""));
        rest = after;
        let (place, columns) = match inside.split_once(',') {
            Some((place, columns)) => (place.trim(), columns.trim().parse().unwrap_or(1)),
            None => (inside.trim(), 0),
        };
        out.push_str("(SELECT ");
        let source = match engine {
            Engine::Sqlite => "json_each(",
            Engine::Postgres if columns == 0 => "json_array_elements_text(CAST(",
            Engine::Postgres => "json_array_elements(CAST(",
        };
        if columns == 0 {
            out.push_str("value AS c0");
        }
        for column in 0_usize..columns {
            let comma = if column > 0 { ", " } else { "" };
            // Writing to a String does not fail.
            let _ = match engine {
                Engine::Sqlite => {
                    write!(
                        out,
                        "{comma}json_extract(value, '$[{column}]') AS c{column}"
                    )
                }
                Engine::Postgres => write!(out, "{comma}value ->> {column} AS c{column}"),
            };
        }
        out.push_str(" FROM ");
        out.push_str(source);
        out.push_str(place);
        out.push_str(match engine {
            Engine::Sqlite => "))",
            Engine::Postgres => " AS json)) AS value)",
        });
    }
    out.push_str(rest);
    out
}

/// A row of an answer.
#[derive(Debug)]
pub enum Row {
    /// From SQLite.
    Sqlite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

/// A column: its place, from 0, or its name.
pub trait Column: Copy + sqlx::ColumnIndex<SqliteRow> + sqlx::ColumnIndex<PgRow> {}
impl<C: Copy + sqlx::ColumnIndex<SqliteRow> + sqlx::ColumnIndex<PgRow>> Column for C {}

/// What a column can be read as.
pub trait FromColumn: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// When the column is of another type or does not exist.
    fn from_column(row: &Row, column: impl Column) -> Result<Self, StorageError>;
}

macro_rules! from_column {
    ($($type:ty),*) => {$(
        impl FromColumn for $type {
            fn from_column(row: &Row, column: impl Column) -> Result<Self, StorageError> {
                Ok(match row {
                    Row::Sqlite(row) => row.try_get(column)?,
                    Row::Postgres(row) => row.try_get(column)?,
                })
            }
        }
    )*};
}

from_column!(i64, String, Vec<u8>);

impl FromColumn for bool {
    fn from_column(row: &Row, column: impl Column) -> Result<Self, StorageError> {
        Ok(i64::from_column(row, column)? != 0)
    }
}

impl FromColumn for u32 {
    fn from_column(row: &Row, column: impl Column) -> Result<Self, StorageError> {
        let number = i64::from_column(row, column)?;
        Self::try_from(number).map_err(|error| StorageError::corrupt("row", "-", error))
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(row: &Row, column: impl Column) -> Result<Self, StorageError> {
        let absent = match row {
            Row::Sqlite(row) => row.try_get_raw(column)?.is_null(),
            Row::Postgres(row) => row.try_get_raw(column)?.is_null(),
        };
        if absent {
            return Ok(None);
        }
        T::from_column(row, column).map(Some)
    }
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// When it is of another type or there is no such column.
    pub fn get<T: FromColumn>(&self, column: impl Column) -> Result<T, StorageError> {
        T::from_column(self, column)
    }

    /// A text column, without copying it.
    ///
    /// # Errors
    /// When it is not text or there is no such column.
    pub fn text(&self, column: impl Column) -> Result<&str, StorageError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A column of bytes, without copying it.
    ///
    /// # Errors
    /// When it is not bytes or there is no such column.
    pub fn bytes(&self, column: impl Column) -> Result<&[u8], StorageError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_out_for_each_engine() {
        let query = sql("SELECT c0 FROM each($1) j JOIN each($2, 2) k ON k.c0 = j.c0");
        assert_eq!(
            query.text(Engine::Sqlite),
            "SELECT c0 FROM (SELECT value AS c0 FROM json_each($1)) j JOIN \
             (SELECT json_extract(value, '$[0]') AS c0, json_extract(value, '$[1]') AS c1 \
             FROM json_each($2)) k ON k.c0 = j.c0"
        );
        assert_eq!(
            query.text(Engine::Postgres),
            "SELECT c0 FROM (SELECT value AS c0 FROM json_array_elements_text(CAST($1 AS json)) \
             AS value) j JOIN (SELECT value ->> 0 AS c0, value ->> 1 AS c1 \
             FROM json_array_elements(CAST($2 AS json)) AS value) k ON k.c0 = j.c0"
        );
    }

    #[test]
    fn keys_are_looked_up_by_index() {
        let query = sql("SELECT n.text FROM each($1) j lookup(note n, n.id = CAST(j.c0 AS TEXT))");
        assert_eq!(
            query.text(Engine::Sqlite),
            "SELECT n.text FROM (SELECT value AS c0 FROM json_each($1)) j \
             JOIN note n ON n.id = CAST(j.c0 AS TEXT)"
        );
        assert_eq!(
            query.text(Engine::Postgres),
            "SELECT n.text FROM (SELECT value AS c0 FROM \
             json_array_elements_text(CAST($1 AS json)) AS value) j CROSS JOIN LATERAL \
             (SELECT * FROM note n WHERE n.id = CAST(j.c0 AS TEXT) OFFSET 0) n"
        );
        let query = sql("DELETE FROM note WHERE id among($1)");
        assert_eq!(
            query.text(Engine::Sqlite),
            "DELETE FROM note WHERE id IN (SELECT value FROM json_each($1))"
        );
        assert_eq!(
            query.text(Engine::Postgres),
            "DELETE FROM note WHERE id = \
             ANY(ARRAY(SELECT json_array_elements_text(CAST($1 AS json))))"
        );
    }

    #[test]
    fn no_text_holds_a_nul() {
        assert_eq!(
            Value::from("a\0b"),
            Value::Text(Some("a\u{fffd}b".to_owned()))
        );
        let keys = list(&["a\0b", "\\u0000", "\\\0"]);
        let Value::Text(Some(text)) = keys else {
            panic!("a list is text");
        };
        let back: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, ["a\u{fffd}b", "\\u0000", "\\\u{fffd}"]);
    }
}
