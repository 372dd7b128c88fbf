//! The text of a definition, and where in it something is wrong.

use serde_json::error::Category;

use crate::problem::{Problem, nearest};

/// The text a definition is read from.
pub(crate) struct Source<'t> {
    text: &'t str,
    /// Byte offsets at which lines begin: found once, because a broken text has many problems.
    lines: Vec<usize>,
}

/// A part of the text, and what it is in the definition.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    /// The widget, empty for the flow as a whole.
    pub(crate) widget: &'p str,
    /// The field.
    pub(crate) field: &'p str,
    /// The part, a slice of the text.
    pub(crate) json: &'p str,
}

impl<'t> Source<'t> {
    /// A text to read from.
    pub(crate) fn new(text: &'t str) -> Self {
        let feeds = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0)
            .chain(feeds.map(|(offset, _)| offset + 1))
            .collect();
        Self { text, lines }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    /// Where `part`, a slice of the text, begins: `line 3, column 8`.
    pub(crate) fn position(&self, part: &str) -> String {
        let (line, column) = self.line_and_column(part);
        format!("line {line}, column {column}")
    }

    /// Line and column from 1. Columns count bytes, as serde_json's do.
    fn line_and_column(&self, part: &str) -> (usize, usize) {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied();
        (line, offset - start.unwrap_or(0).min(offset) + 1)
    }

    /// Serde would take a list of values for an object.
    pub(crate) fn must_be_object(&self, place: &Place<'_>) -> Result<(), Problem> {
        if !place.json.trim_ascii_start().starts_with(['[', '"']) {
            return Ok(());
        }
        let message = format!("{}: this is not an object", self.position(place.json));
        Err(Problem::error(
            place.widget,
            place.field,
            message,
            "write it as {\"…\": …}",
        ))
    }

    /// Puts serde's words into a problem: position in the whole text, what is wrong, what to do.
    pub(crate) fn explain(&self, place: &Place<'_>, error: &serde_json::Error) -> Problem {
        let (base_line, base_column) = self.line_and_column(place.json);
        let line = base_line + error.line().max(1) - 1;
        let column = match error.line() {
            0 | 1 => base_column + error.column().max(1) - 1,
            _ => error.column(),
        };
        let said = error.to_string();
        let what = said.rfind(" at line ").map_or(&*said, |end| &said[..end]);
        let remedy = match error.classify() {
            Category::Syntax if what.contains("recursion limit") => {
                "nest less deeply; a flow needs a handful of levels".to_owned()
            }
            Category::Syntax => {
                "write plain JSON: no comments, no trailing commas, texts in double quotes"
                    .to_owned()
            }
            Category::Eof => "the text ends too early; close every bracket and quote".to_owned(),
            Category::Data | Category::Io => remedy_for(what),
        };
        let message = format!("line {line}, column {column}: {}", shortened(what));
        Problem::error(place.widget, place.field, message, remedy)
    }
}

/// Serde's messages repeat input of any length.
fn shortened(what: &str) -> String {
    what.chars()
        .take(300)
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

fn remedy_for(what: &str) -> String {
    let words: Vec<&str> = what.split('`').skip(1).step_by(2).take(32).collect();
    let meant = || nearest(words.first()?, words.get(1..)?.iter().copied());
    if what.starts_with("unknown field") || what.starts_with("unknown variant") {
        return match meant() {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "remove it, or use one of the names docs/FLOWS.md describes".to_owned(),
        };
    }
    if what.starts_with("missing field") {
        return "add it; docs/FLOWS.md describes every field".to_owned();
    }
    if what.starts_with("duplicate") {
        return "keep one of the two".to_owned();
    }
    "give it the type and range docs/FLOWS.md describes".to_owned()
}
