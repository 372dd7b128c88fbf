//! Spans of time as people write them: `30s`, `1h30m`, `7d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The units, longest first, in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// Longest span, in seconds: ten years.
const LONGEST: u64 = 10 * 366 * 86_400;

/// A span of whole seconds, at most ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// A text that is no span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no span of time; write 30s, 10m, 1h30m or 7d, at most ten years")]
pub struct SpanError(String);

impl Span {
    /// So many seconds; more than ten years are ten years.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds.min(LONGEST))
    }

    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError(crate::problem::quote(text));
        let (mut seconds, mut digits) = (0_u64, String::new());
        for c in text.trim().chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let unit = UNITS.iter().find(|(name, _)| *name == c);
            let (count, (_, unit)) = digits.parse::<u64>().ok().zip(unit).ok_or_else(wrong)?;
            let part = count.checked_mul(*unit).ok_or_else(wrong)?;
            seconds = seconds.checked_add(part).ok_or_else(wrong)?;
            digits.clear();
        }
        let whole = digits.is_empty() && !text.trim().is_empty() && seconds <= LONGEST;
        whole.then_some(Self(seconds)).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (name, unit) in UNITS {
            if left >= unit {
                write!(f, "{}{name}", left / unit)?;
                left %= unit;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, seconds) in [("30s", 30), ("1h30m", 5_400), ("7d", 604_800), ("0s", 0)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.duration().as_secs(), seconds);
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m30s");
        for bad in [
            "",
            "5",
            "5x",
            "s",
            "99999999999999999999d",
            "11y",
            "4000d",
            "-1s",
        ] {
            let error = bad.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains("1h30m"), "{error}");
        }
    }
}
