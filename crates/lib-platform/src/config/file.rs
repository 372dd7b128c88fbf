//! Reading files: the settings file, and files that hold one secret. Devices, pipes and giants are
//! refused before anything is read of them.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use toml_edit::{Document, Item, Table, TableLike, Value};

use crate::config::problem::Problem;

/// One line of the settings file: a key and its text.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The key, tables joined by dots.
    pub(crate) name: String,
    /// What stands there.
    pub(crate) found: Found,
    /// `frontdesk.toml:12`.
    pub(crate) place: String,
}

/// What stands behind a key.
#[derive(Debug)]
pub(crate) enum Found {
    /// Text in quotes.
    Text(String),
    /// A list of texts in quotes.
    Texts(Vec<String>),
    /// A number, as written.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// Something no setting is made of; its name.
    Other(&'static str),
}

/// Reads a regular file of at most `most` bytes as UTF-8.
pub(crate) fn read(path: &Path, most: u64, what: &str) -> Result<String, Box<Problem>> {
    let shown = path.display().to_string();
    let wrong = |code, problem: String, remedy: &str| {
        Err(Box::new(Problem::new(code, problem, remedy).at(&shown)))
    };
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(error) => {
            return wrong(
                "config.file",
                format!("cannot read {what}: {error}"),
                "check the path and its permissions",
            );
        }
    };
    if about.is_dir() {
        return wrong(
            "config.file",
            format!("{what} is a directory"),
            "name a file",
        );
    }
    if !about.is_file() {
        return wrong(
            "config.size",
            format!("{what} is not a regular file"),
            "name a regular file, not a device or a pipe",
        );
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return wrong(
            "config.file",
            format!("cannot read {what}: {error}"),
            "check the path and its permissions",
        );
    }
    if bytes.len() as u64 > most {
        return wrong(
            "config.size",
            format!("{what} is larger than {most} bytes"),
            "name the right file",
        );
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text
            .strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            wrong(
                "config.file",
                format!("{what} is not UTF-8 text (at byte {at})"),
                "save it as UTF-8",
            )
        }
    }
}

/// Whether users other than owner and group may read it.
pub(crate) fn is_world_readable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| about.mode() & 0o004 != 0)
}

/// All keys of the settings file.
pub(crate) fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, Box<Problem>> {
    let shown = path.display().to_string();
    let document = Document::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let (line, column) = line_and_column(text, start);
        let first = error
            .message()
            .lines()
            .next()
            .unwrap_or("cannot be read")
            .to_owned();
        Box::new(
            Problem::new(
                "config.syntax",
                format!("not TOML: {first} (line {line}, column {column})"),
                "correct the line; `frontdesk config example` prints a file to start from",
            )
            .at(format!("{shown}:{line}:{column}")),
        )
    })?;
    let mut entries = Vec::new();
    let walk = Walk {
        text,
        shown: &shown,
    };
    walk.table(document.as_table(), "", &mut entries);
    Ok(entries)
}

struct Walk<'a> {
    text: &'a str,
    shown: &'a str,
}

impl Walk<'_> {
    fn table(&self, table: &Table, prefix: &str, entries: &mut Vec<Entry>) {
        self.like(table, prefix, entries);
    }

    fn like(&self, table: &dyn TableLike, prefix: &str, entries: &mut Vec<Entry>) {
        for (name, item) in table.iter() {
            let start = table
                .key(name)
                .and_then(toml_edit::Key::span)
                .or_else(|| item.span())
                .map_or(0, |span| span.start);
            let name = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}.{name}")
            };
            if let Some(inner) = item.as_table_like() {
                self.like(inner, &name, entries);
                continue;
            }
            let line = line_and_column(self.text, start).0;
            let place = format!("{}:{line}", self.shown);
            entries.push(Entry {
                name,
                found: self.found(item),
                place,
            });
        }
    }

    fn found(&self, item: &Item) -> Found {
        let Some(value) = item.as_value() else {
            return Found::Other("a list of tables");
        };
        match value {
            Value::String(text) => Found::Text(text.value().clone()),
            Value::Boolean(flag) => Found::Bool(*flag.value()),
            Value::Integer(_) | Value::Float(_) => {
                let written = value.span().and_then(|span| self.text.get(span));
                Found::Number(written.unwrap_or_default().to_owned())
            }
            Value::Array(items) => {
                let texts: Option<Vec<String>> = items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect();
                texts.map_or(
                    Found::Other("a list of other things than text"),
                    Found::Texts,
                )
            }
            Value::Datetime(_) => Found::Other("a date"),
            Value::InlineTable(_) => Found::Other("a table"),
        }
    }
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    (line, column)
}
