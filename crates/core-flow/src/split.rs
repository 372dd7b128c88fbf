//! Cuts a text that outgrew WhatsApp's limit because of what its variables hold. Nothing is lost:
//! the pieces are sent one after the other.

use unicode_segmentation::UnicodeSegmentation as _;

/// `text` in pieces of at most `limit` characters each, without white space at their ends. Cut
/// after white space where that leaves at least half a piece, otherwise between graphemes; never
/// inside one, unless a single grapheme is longer than the limit. Blank text gives no piece.
pub(crate) fn split(text: &str, limit: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        // A character has at least one byte.
        let end = if rest.len() <= limit {
            rest.len()
        } else {
            cut(rest, limit)
        };
        let (piece, left) = rest.split_at(end);
        pieces.push(piece.trim_end().to_owned());
        rest = left.trim_start();
    }
    pieces
}

/// Where to cut: a byte offset above 0 with at most `limit` characters before it.
fn cut(text: &str, limit: usize) -> usize {
    let (mut chars, mut end, mut after_space) = (0, 0, 0);
    for (offset, grapheme) in text.grapheme_indices(true) {
        chars += grapheme.chars().count();
        if chars > limit {
            break;
        }
        end = offset + grapheme.len();
        if grapheme.chars().all(char::is_whitespace) && chars * 2 >= limit {
            after_space = end;
        }
    }
    match (end, after_space) {
        (0, _) => text
            .char_indices()
            .nth(limit.max(1))
            .map_or(text.len(), |(offset, _)| offset),
        // All of it fits after all: fewer characters than bytes.
        (end, _) if end == text.len() => end,
        (end, 0) => end,
        (_, after_space) => after_space,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_fit_and_nothing_is_lost() {
        assert_eq!(split("short", 10), ["short"]);
        assert_eq!(split("one two three four", 10), ["one two", "three four"]);
        assert_eq!(split("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert!(split(" \n ", 4).is_empty());
        assert_eq!(split("éééé", 4), ["éééé"]);
    }

    #[test]
    fn families_stay_together_unless_they_are_endless() {
        let family = "👨‍👩‍👧‍👦";
        assert_eq!(split(&family.repeat(2), 10), [family, family]);
        let zalgo = format!("a{}", "\u{0301}".repeat(50));
        let pieces = split(&zalgo, 20);
        assert!(pieces.iter().all(|piece| piece.chars().count() <= 20));
        assert_eq!(pieces.concat(), zalgo);
    }
}
