//! What a customer's message says to a question, and when two texts are the same answer.

use std::borrow::Cow;

use core_types::{Content, ReplyKind};

/// What a message says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'c> {
    /// A text was written, perhaps under a picture.
    Written(&'c str),
    /// A button or row was tapped.
    Tapped {
        /// Its id.
        id: &'c str,
        /// What it says.
        title: &'c str,
    },
    /// Something without words: a sticker, a place, a voice note.
    Wordless,
    /// Not said to the question at all: a reaction, an edit or deletion of an earlier message, a
    /// notice by WhatsApp.
    Aside,
}

impl<'c> Answer<'c> {
    /// Reads a message.
    pub(crate) fn of(content: &'c Content) -> Self {
        match content {
            Content::Text { body, .. } => Self::Written(body),
            Content::Media(media) => match &media.caption {
                Some(caption) => Self::Written(caption),
                None => Self::Wordless,
            },
            Content::Reply(reply) => match reply.kind {
                ReplyKind::Button | ReplyKind::List | ReplyKind::TemplateButton => Self::Tapped {
                    id: &reply.id,
                    title: &reply.title,
                },
                ReplyKind::Form | ReplyKind::CallPermission | ReplyKind::Other => Self::Wordless,
            },
            Content::Reaction { .. }
            | Content::Edit { .. }
            | Content::Revoke { .. }
            | Content::System(_) => Self::Aside,
            Content::Location(_)
            | Content::Contacts { .. }
            | Content::Order { .. }
            | Content::Interactive(_)
            | Content::Template(_)
            | Content::Unsupported { .. }
            | Content::Unknown { .. } => Self::Wordless,
        }
    }

    /// What the customer wrote or saw on what was tapped.
    pub(crate) fn text(self) -> &'c str {
        match self {
            Self::Written(text) => text,
            Self::Tapped { id, title } if title.trim().is_empty() => id,
            Self::Tapped { title, .. } => title,
            Self::Wordless | Self::Aside => "",
        }
    }
}

/// The form in which answers are compared. In this order:
///
/// 1. Invisible characters go: variation selectors (U+FE0E, U+FE0F), the keycap (U+20E3), zero-width
///    and direction marks. So `1️⃣` is `1`; `🔟` becomes `10`.
/// 2. Every digit becomes an ASCII one: full-width `１`, circled `①`, superscript `¹`, mathematical
///    `𝟏`, and the decimal digits of other scripts (`١`, `१`, …). Other full-width forms become
///    their ASCII twins (`Ａ` → `A`).
/// 3. Letters become small.
/// 4. Runs of white space become one space; white space and punctuation at both ends go, so `1)`,
///    `#1`, ` 1.` and `*1*` are `1`. Where nothing would be left, the punctuation stays: `?` is an
///    answer. Emoji are not punctuation.
pub fn normalise(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if is_invisible(c) => {}
            '\u{1F51F}' => plain.push_str("10"),
            _ if c.is_whitespace() => {
                if !plain.ends_with(' ') {
                    plain.push(' ');
                }
            }
            _ => plain.extend(fold(c).to_lowercase()),
        }
    }
    let bare = plain.trim_matches(|c: char| c == ' ' || is_punctuation(c));
    if bare.is_empty() {
        plain.trim().to_owned()
    } else {
        bare.to_owned()
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{FE00}'..='\u{FE0F}' | '\u{20E3}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{00AD}' | '\u{061C}')
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c,
            '\u{A1}' | '\u{A7}' | '\u{AB}' | '\u{B6}' | '\u{B7}' | '\u{BB}' | '\u{BF}'
            | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205E}'
            | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301F}'
            | '\u{060C}' | '\u{061B}' | '\u{061F}' | '\u{06D4}' | '\u{0964}' | '\u{FF61}'..='\u{FF65}')
}

/// [`normalise`], without a copy where small letters and digits are all there is.
pub(crate) fn normalised(text: &str) -> Cow<'_, str> {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if text.bytes().all(small) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(normalise(text))
    }
}

/// `text` with the digits of any script as ASCII ones, and without invisible characters.
pub(crate) fn ascii_digits(text: &str) -> String {
    let visible = text.chars().filter(|c| !is_invisible(*c));
    visible.map(fold).collect()
}

/// First digit of each run of ten decimal digits (Unicode category Nd) in scripts people write to
/// businesses in.
const ZEROS: [u32; 34] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xAA50, 0xABF0,
];

/// A character's plain twin, or itself.
fn fold(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let code = u32::from(c);
    let digit = match code {
        0xFF01..=0xFF5E => return char::from_u32(code - 0xFEE0).unwrap_or(c),
        0x00B9 => Some(1),
        0x00B2 | 0x00B3 => Some(code - 0x00B0),
        0x2070 | 0x2074..=0x2079 => Some(code - 0x2070),
        0x2080..=0x2089 => Some(code - 0x2080),
        0x2460..=0x2468 => Some(code - 0x2460 + 1),
        0x2474..=0x247C => Some(code - 0x2474 + 1),
        0x2488..=0x2490 => Some(code - 0x2488 + 1),
        0x2776..=0x277E => Some(code - 0x2776 + 1),
        0x2780..=0x2788 => Some(code - 0x2780 + 1),
        0x278A..=0x2792 => Some(code - 0x278A + 1),
        0x24EA | 0x24FF => Some(0),
        0x1D7CE..=0x1D7FF => Some((code - 0x1D7CE) % 10),
        0x1FBF0..=0x1FBF9 => Some(code - 0x1FBF0),
        _ => ZEROS
            .iter()
            .find(|zero| (**zero..**zero + 10).contains(&code))
            .map(|zero| code - zero),
    };
    digit
        .and_then(|digit| char::from_digit(digit, 10))
        .unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_one_is_one() {
        for one in [
            "1",
            "1️⃣",
            " 1.",
            "１",
            "1)",
            "#1",
            "(1)",
            "*1*",
            "1\u{20E3}",
            "①",
            "¹",
            "𝟏",
            "١",
            "१",
            "1。",
            "\u{200F}1",
            "“1”",
            "1 .",
            "１．",
        ] {
            assert_eq!(normalise(one), "1", "{one:?}");
        }
        for other in ["2", "11", "1 2", "one", "", "1.5", "1a"] {
            assert_ne!(normalise(other), "1", "{other:?}");
        }
        assert_eq!(normalise("🔟"), "10");
    }

    #[test]
    fn words_lose_case_space_and_punctuation_but_not_emoji() {
        assert_eq!(normalise("  SALES!! "), "sales");
        assert_eq!(normalise("Talk \n to\u{3000}us"), "talk to us");
        assert_eq!(normalise("Ｓａｌｅｓ"), "sales");
        assert_eq!(normalise("Ärger"), "ärger");
        assert_eq!(normalise("👍"), "👍");
        assert_eq!(normalise("🧾 Sales"), "🧾 sales");
        assert_eq!(normalise(" ? "), "?");
        assert_eq!(normalise(" \u{200B}"), "");
    }

    #[test]
    fn what_is_not_copied_is_normalised_already() {
        for text in ["", "again", "1", "a1", "A", "a b", " a", "a.", "é", "١"] {
            assert_eq!(normalised(text), normalise(text), "{text}");
        }
        assert!(matches!(normalised("a1"), Cow::Borrowed("a1")));
    }
}
