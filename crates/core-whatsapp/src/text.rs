//! Small rules about texts.

use crate::send::LimitProblem;

/// Number of characters as WhatsApp counts them: Unicode scalar values.
pub(crate) fn characters(text: &str) -> usize {
    text.chars().count()
}

/// The first `bytes` bytes of `text`, cut at a character.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Collects what is wrong with a message, field by field.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<LimitProblem>);

impl Findings {
    pub(crate) fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(LimitProblem {
            field: field.into(),
            problem: problem.into(),
        });
    }

    /// `text` must have at least one visible character and at most `most` characters.
    pub(crate) fn required(&mut self, field: &str, text: &str, most: usize) {
        if text.trim().is_empty() {
            self.add(field, "must not be empty");
        } else {
            self.at_most(field, text, most);
        }
    }

    /// `text` must have at most `most` characters.
    pub(crate) fn at_most(&mut self, field: &str, text: &str, most: usize) {
        // A text of at most `most` bytes cannot have more characters.
        if text.len() > most {
            let long = characters(text);
            if long > most {
                self.add(
                    field,
                    format!("has {long} characters; at most {most} are allowed"),
                );
            }
        }
    }

    /// `address` must be an absolute web address.
    pub(crate) fn web_address(&mut self, field: &str, address: &str) {
        let rest = address
            .strip_prefix("https://")
            .or_else(|| address.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
        if host.is_none_or(str::is_empty) {
            self.add(field, "must be an address that starts with https://");
        } else if address.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.add(field, "must not hold white space");
        }
        self.at_most(field, address, 2_000);
    }
}
