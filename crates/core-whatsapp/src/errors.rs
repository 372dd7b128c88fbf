//! Meta's error codes: what they mean, what a program does about them and what a person can.
//! Source: `whatsapp-cloud-api.md`, section 2.6.

mod features;
mod platform;

/// The first code of [`features`].
const FEATURES: i64 = 132_000;

/// What a program does with a request Meta refused with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the same request would fail again.
    GiveUp,
    /// Nothing from this number until a person has looked.
    StopNumber,
    /// Send again after a short, growing wait.
    Retry,
    /// Worth another try, but hours or days later; a person or campaign decides.
    MuchLater,
}

/// One code, or a range of codes with one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorRow {
    /// The code; the first of a range.
    pub code: i64,
    /// The last code of the range; equal to `code` for a single one.
    pub last: i64,
    /// What Meta means by it.
    pub meaning: &'static str,
    /// What a program does.
    pub action: Action,
    /// What a person can do about it; empty when there is nothing to do.
    pub remedy: &'static str,
}

const fn row(
    code: i64,
    last: i64,
    action: Action,
    meaning: &'static str,
    remedy: &'static str,
) -> ErrorRow {
    ErrorRow {
        code,
        last,
        meaning,
        action,
        remedy,
    }
}

/// The row of `code`, if it is a code Meta documents.
pub fn lookup(code: i64) -> Option<&'static ErrorRow> {
    let rows = if code < FEATURES {
        platform::ROWS
    } else {
        features::ROWS
    };
    let after = rows.partition_point(|row| row.code <= code);
    let row = &rows[after.checked_sub(1)?];
    (code <= row.last).then_some(row)
}

/// What a person can do about `code`; a general sentence when Meta does not document it.
pub fn remedy(code: i64) -> &'static str {
    match lookup(code) {
        Some(row) if !row.remedy.is_empty() => row.remedy,
        Some(row) => row.meaning,
        None => "Meta does not document this code; look it up with Meta's support",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_apart() {
        let all: Vec<_> = platform::ROWS.iter().chain(features::ROWS).collect();
        for pair in all.windows(2) {
            assert!(
                pair[0].last < pair[1].code,
                "{} {}",
                pair[0].code,
                pair[1].code
            );
        }
        assert!(
            all.iter()
                .all(|row| row.code <= row.last && !row.meaning.is_empty())
        );
        assert!(platform::ROWS.iter().all(|row| row.last < FEATURES));
    }

    #[test]
    fn codes_and_ranges_are_found() {
        assert_eq!(lookup(131_056).unwrap().action, Action::Retry);
        assert_eq!(lookup(190).unwrap().action, Action::StopNumber);
        assert_eq!(lookup(200).unwrap().code, 200);
        assert_eq!(lookup(299).unwrap().code, 200);
        assert_eq!(lookup(138_013).unwrap().last, 138_025);
        for unknown in [-1, 5, 300, 131_001, 9_999_999, i64::MAX, i64::MIN] {
            assert_eq!(lookup(unknown), None);
        }
        assert!(remedy(131_047).contains("template"));
        assert!(remedy(77).contains("does not document"));
    }
}
