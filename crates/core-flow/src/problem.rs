//! What is wrong with a definition, where, and what to do about it.

use std::fmt;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The flow cannot be published.
    Error,
    /// It can, but it will probably not do what was meant.
    Warning,
}

/// One problem of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The widget's name; empty for the flow as a whole.
    pub widget: String,
    /// The field as a path inside the widget or flow: `settings.parts[0].text`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// An error.
    pub(crate) fn error(
        widget: &str,
        field: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            widget: widget.to_owned(),
            field: field.into(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// A warning.
    pub(crate) fn warning(
        widget: &str,
        field: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(widget, field, message, remedy)
        }
    }

    /// Whether it keeps the flow from being published.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Where it is, as one path: `Menu.settings.prompt.text`, or `start` for the flow itself.
    pub fn place(&self) -> String {
        match (self.widget.is_empty(), self.field.is_empty()) {
            (true, _) => self.field.clone(),
            (false, true) => self.widget.clone(),
            (false, false) => format!("{}.{}", self.widget, self.field),
        }
    }
}

impl fmt::Display for Problem {
    /// `error: Menu.settings.prompt.text: the text is empty; write what the customer shall read`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = self.place();
        let colon = if place.is_empty() { "" } else { ": " };
        write!(f, "{word}: {place}{colon}{}; {}", self.message, self.remedy)
    }
}

/// Most problems told of one definition.
pub(crate) const MAX_PROBLEMS: usize = 500;

/// The first problems, and how many more there are: nobody mends a thousand at once.
pub(crate) fn capped(mut problems: Vec<Problem>) -> Vec<Problem> {
    if problems.len() > MAX_PROBLEMS {
        let more = problems.len() - MAX_PROBLEMS;
        let severity = problems[MAX_PROBLEMS].severity;
        problems.truncate(MAX_PROBLEMS);
        problems.push(Problem {
            severity,
            ..Problem::error(
                "",
                "",
                format!("there are {more} more problems"),
                "mend those above and check again",
            )
        });
    }
    problems
}

/// Longest piece of somebody's input repeated in a message, in characters.
const QUOTED: usize = 80;

/// `text` for use inside a message: without control characters and not too long.
pub(crate) fn quote(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    let mut quoted: String = text.chars().take(QUOTED).map(clean).collect();
    if text.chars().nth(QUOTED).is_some() {
        quoted.push('…');
    }
    quoted
}

/// The one of `known` that was probably meant by `word`, if any is near enough.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let tolerance = 1 + word.chars().count() / 4;
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= 64)
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * tolerance)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits between two words, letter case aside (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let fold = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (left, right) = (fold(left), fold(right));
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substitute = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["widgets", "name", "start"];
        assert_eq!(nearest("widgetz", known), Some("widgets"));
        assert_eq!(nearest("Start", known), Some("start"));
        assert_eq!(nearest("timeout", known), None);
    }

    #[test]
    fn quotes_are_short_and_visible() {
        assert_eq!(quote("a\u{0}b"), "a\u{FFFD}b");
        assert_eq!(quote(&"x".repeat(1_000)).chars().count(), QUOTED + 1);
    }
}
