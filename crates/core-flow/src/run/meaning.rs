//! What an answer means to a question, and whether a comparison holds.

use std::borrow::Cow;
use std::cell::OnceCell;

use core_types::Content;

use crate::accept::accepted;
use crate::answer::{Answer, normalise, normalised};
use crate::compile::{Question, Test, is_below_zero, number};

/// Longest text compared with choices, in characters; a longer one is no choice.
const LONGEST_CHOICE: usize = 512;

impl Question {
    /// The value an answer stands for, if it is one.
    pub(super) fn matching<'a>(
        &'a self,
        content: &Content,
        answer: Answer<'a>,
    ) -> Option<Cow<'a, str>> {
        if self.values.is_empty() {
            return accepted(&self.accept, content, answer).map(Cow::Owned);
        }
        let choice = match answer {
            Answer::Written(text) => self.choice(text),
            Answer::Tapped { id, title } => self.choice(id).or_else(|| self.choice(title)),
            Answer::Wordless | Answer::Aside => None,
        }?;
        let value = self.values.get(usize::from(choice))?;
        Some(Cow::Borrowed(value))
    }

    fn choice(&self, text: &str) -> Option<u16> {
        let look = |key: &str| {
            let found = self.keys.binary_search_by(|(own, _)| (**own).cmp(key));
            found.ok().map(|place| self.keys[place].1)
        };
        if text.chars().nth(LONGEST_CHOICE).is_some() {
            return None;
        }
        // Most answers need no normalising.
        look(text).or_else(|| look(&normalise(text)))
    }
}

impl Test {
    /// Whether it holds for `value`; `plain` keeps the normalised value from test to test.
    pub(super) fn holds<'v>(&self, value: &'v str, plain: &OnceCell<Cow<'v, str>>) -> bool {
        let plain = || &**plain.get_or_init(|| normalised(value));
        match self {
            Self::Equals { other, below_zero } => {
                (value == &**other || plain() == &**other) && is_below_zero(value) == *below_zero
            }
            Self::NotEquals { other, below_zero } => {
                (value != &**other && plain() != &**other) || is_below_zero(value) != *below_zero
            }
            Self::Contains(other) => plain().contains(&**other),
            Self::StartsWith(other) => plain().starts_with(&**other),
            Self::GreaterThan(other) => number(value).is_some_and(|value| value > *other),
            Self::LessThan(other) => number(value).is_some_and(|value| value < *other),
            Self::Before(other) => same_measure(value, other) && value < &**other,
            Self::After(other) => same_measure(value, other) && value > &**other,
            Self::IsSet => !value.trim().is_empty(),
            Self::IsEmpty => value.trim().is_empty(),
        }
    }
}

/// Whether both are days (`2026-11-30`) or both times of day (`14:30`), as answers keep them: then
/// their order is that of their letters.
fn same_measure(one: &str, other: &str) -> bool {
    let shape = |text: &str| {
        let digits = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
        text.bytes().map(digits).collect::<Vec<u8>>()
    };
    one.len() == other.len() && shape(one) == shape(other)
}
