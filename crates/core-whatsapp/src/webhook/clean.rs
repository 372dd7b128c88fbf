//! Makes the bytes of a body readable: UTF-8, without NUL and lone surrogates in texts. Only what
//! could not be stored or read anyway changes, so all else stays byte for byte.

use std::borrow::Cow;

/// What takes the place of what cannot be kept, as JSON escape.
const REPLACEMENT: &str = "\\ufffd";

/// The body as text: without byte order mark; invalid UTF-8, `\u0000` and lone surrogates replaced
/// by U+FFFD.
pub(super) fn text(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    match String::from_utf8_lossy(body) {
        Cow::Borrowed(text) => escapes(text),
        Cow::Owned(text) => match escapes(&text) {
            Cow::Owned(cleaned) => Cow::Owned(cleaned),
            Cow::Borrowed(_) => Cow::Owned(text),
        },
    }
}

/// Replaces `\u0000` and lone surrogates. Borrows when there are none.
fn escapes(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut cleaned = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        let start = at + found;
        // The escaped character is part of the escape, so `\\u0000` is a backslash and text.
        let Some(unit) = unit(bytes, start) else {
            at = start + 2;
            if at >= bytes.len() || !text.is_char_boundary(at) {
                at = next_boundary(text, start + 1);
            }
            continue;
        };
        let pair = (0xD800..0xDC00).contains(&unit)
            && self::unit(bytes, start + 6).is_some_and(|low| (0xDC00..0xE000).contains(&low));
        at = start + if pair { 12 } else { 6 };
        if !pair && (unit == 0 || (0xD800..0xE000).contains(&unit)) {
            cleaned.push_str(&text[copied..start]);
            cleaned.push_str(REPLACEMENT);
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    cleaned.push_str(&text[copied..]);
    Cow::Owned(cleaned)
}

/// The UTF-16 unit written as `\uXXXX` at `start`.
fn unit(bytes: &[u8], start: usize) -> Option<u16> {
    let digits = bytes.get(start..start + 6)?.strip_prefix(b"\\u")?;
    let mut raw = [0; 2];
    hex::decode_to_slice(digits, &mut raw).ok()?;
    Some(u16::from_be_bytes(raw))
}

fn next_boundary(text: &str, at: usize) -> usize {
    (at..=text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(text.len())
}

/// The text with raw control characters made harmless, or `None` when there are none. White space
/// becomes blanks, which means the same between JSON's tokens; the rest becomes U+FFFD.
pub(super) fn without_control_characters(text: &str) -> Option<String> {
    let control = |c: char| (c as u32) < 0x20;
    text.contains(control).then(|| {
        text.chars()
            .map(|c| match c {
                '\n' | '\r' | '\t' => ' ',
                c if control(c) => '\u{fffd}',
                c => c,
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_kept_changes() {
        for (from, to) in [
            (r"plain", r"plain"),
            (r"a\u0000b", r"a\ufffdb"),
            (r"\\u0000", r"\\u0000"),
            (r"\\\u0000", r"\\\ufffd"),
            (r"\ud83d\ude00", r"\ud83d\ude00"),
            (r"\ud83d", r"\ufffd"),
            (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
            (r"\ude00x", r"\ufffdx"),
            (r"\u00e9\n\", r"\u00e9\n\"),
            (r"\u12", r"\u12"),
            (r"\é\u0000", r"\é\ufffd"),
            (r"\ud83d\u", r"\ufffd\u"),
        ] {
            assert_eq!(text(from.as_bytes()), to);
        }
        assert_eq!(text(b"\xef\xbb\xbf{}"), "{}");
        assert_eq!(text(b"a\xffb\\u0000"), "a\u{fffd}b\\ufffd");
        assert!(matches!(text(br"\n\u00e9"), Cow::Borrowed(_)));
    }

    #[test]
    fn control_characters_are_mended_once() {
        assert_eq!(
            without_control_characters("a\0b\tc").unwrap(),
            "a\u{fffd}b c"
        );
        assert_eq!(without_control_characters("a b"), None);
    }
}
