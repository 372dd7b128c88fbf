//! A text with `{{variables}}`.

/// A text cut into pieces once, so that filling in never looks at what was filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    text: String,
    pieces: Vec<Piece>,
    variables: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// Index into `variables`.
    Variable(usize),
}

impl Pattern {
    /// Finds the variables: numbers, or names of lower-case letters, digits and underscores.
    /// Anything else in double braces is text. Numbers come in numerical order, names in the order
    /// they first stand.
    pub(super) fn new(text: &str) -> Self {
        let mut found: Vec<(usize, usize, String)> = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|open| at + open) {
            let Some(close) = text[open..].find("}}").map(|close| open + close) else {
                break;
            };
            let name = text[open + 2..close].trim();
            if is_name(name) {
                found.push((open, close + 2, name.to_owned()));
                at = close + 2;
            } else {
                at = open + 1;
            }
        }
        let mut variables: Vec<String> = Vec::new();
        for (_, _, name) in &found {
            if !variables.contains(name) {
                variables.push(name.clone());
            }
        }
        if variables.iter().all(|name| number(name).is_some()) {
            variables.sort_by_key(|name| number(name));
        }
        let mut pieces = Vec::new();
        let mut copied = 0;
        for (start, end, name) in found {
            pieces.push(Piece::Text(text[copied..start].to_owned()));
            let index = variables.iter().position(|variable| *variable == name);
            pieces.extend(index.map(Piece::Variable));
            copied = end;
        }
        pieces.push(Piece::Text(text[copied..].to_owned()));
        Self {
            text: text.to_owned(),
            pieces,
            variables,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The variables, each once.
    pub(super) fn variables(&self) -> &[String] {
        &self.variables
    }

    /// The text with `values` in the order of [`Pattern::variables`].
    pub(super) fn filled(&self, values: &[&str]) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Variable(index) => values.get(*index).copied().unwrap_or_default(),
            })
            .collect()
    }
}

/// The number of a positional variable.
pub(super) fn number(name: &str) -> Option<u32> {
    let digits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten()
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
