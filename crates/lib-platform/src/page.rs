//! Paging: sizes within bounds, and tokens that are opaque to callers.

use crate::refusal::Refusal;

/// Rows per page when the caller does not say.
const DEFAULT_SIZE: usize = 50;
/// Most rows per page.
const MAX_SIZE: usize = 500;

/// How many rows to return for a request's `page_size`: 0 means 50, more than 500 means 500.
///
/// # Errors
/// When it is negative.
pub fn size(page_size: i32) -> Result<usize, Refusal> {
    match usize::try_from(page_size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(Refusal::invalid(
            "page_size",
            "must not be negative; 0 means 50",
        )),
    }
}

/// A token for the page after `last`, the sort key of the last row.
pub fn token(last: &str) -> String {
    hex::encode(last)
}

/// The sort key inside a token; empty for the first page.
///
/// # Errors
/// When the token was not made by [`token`].
pub fn after(page_token: &str) -> Result<String, Refusal> {
    hex::decode(page_token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Refusal::invalid("page_token", "is not one this service gave out"))
}

/// Cuts `rows`, fetched with one row more than `size`, to the page, and makes the next token from
/// the last row kept.
pub fn cut<T>(rows: &mut Vec<T>, size: usize, key: impl Fn(&T) -> String) -> String {
    if rows.len() <= size {
        return String::new();
    }
    rows.truncate(size);
    rows.last().map(|row| token(&key(row))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_and_tokens_opaque() {
        assert_eq!(size(0).unwrap(), 50);
        assert_eq!(size(9_999).unwrap(), 500);
        assert!(size(-1).is_err());
        assert_eq!(after(&token("key/7")).unwrap(), "key/7");
        assert_eq!(after("").unwrap(), "");
        assert!(after("zz").is_err());
        let mut rows = vec![1, 2, 3];
        assert_eq!(after(&cut(&mut rows, 2, ToString::to_string)).unwrap(), "2");
        assert_eq!(rows, [1, 2]);
    }
}
