//! The widget that runs JavaScript, as it is written.

use serde::{Deserialize, Serialize};

/// Settings of `script`. `main` is called; what it gives back chooses the exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The script: one text, or its lines.
    pub code: Code,
    /// Exits besides `next` and `failed`, taken when `main` gives back their name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<String>,
}

/// A script's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Code {
    /// In one piece.
    Text(String),
    /// Line by line.
    Lines(Vec<String>),
}

impl Code {
    /// The whole text.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Lines(lines) => lines.join("\n"),
        }
    }
}
