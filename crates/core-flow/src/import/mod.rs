//! Flows of other systems, read as flows of ours, with a report of what became of each part: taken as it
//! is, taken in another way, or left out. Pure: what is read is text, and what comes out is a definition
//! that is checked like any other.

mod zoom;
mod zoom_file;
mod zoom_script;

use std::fmt;

use crate::definition::Definition;

pub use self::zoom::from_zoom;

/// A flow read from another system.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The flow.
    pub definition: Definition,
    /// What became of its parts, in their order.
    pub remarks: Vec<Remark>,
}

/// What became of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The widget, as the other system calls it; empty for the flow as a whole.
    pub widget: String,
    /// How it was taken.
    pub taken: Taken,
    /// In words.
    pub text: String,
}

/// How a part was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nearly: it does something else in some cases.
    Approximated,
    /// Not at all.
    LeftOut,
}

impl Taken {
    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approximated => "approximated",
            Self::LeftOut => "left out",
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.taken.word();
        let widget = if self.widget.is_empty() {
            "the flow"
        } else {
            &self.widget
        };
        write!(f, "{widget}: {word}: {}", self.text)
    }
}

/// Why a text is not read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImportError(pub(crate) String);
