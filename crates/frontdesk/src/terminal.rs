//! What the terminal programs share: the screen, a line editor that knows emoji, scrolling,
//! wrapping, times.

mod editor;
mod screen;
mod scroll;
mod trouble;

use std::io::{ErrorKind, IsTerminal as _, Write as _, stdout};

use core_types::Timestamp;
use jiff::Zoned;
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Stylize as _;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Paragraph};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

pub(crate) use self::editor::LineEditor;
pub(crate) use self::screen::Screen;
pub(crate) use self::scroll::Scroll;
pub(crate) use self::trouble::{Trouble, sentence};

/// Whether a person sits in front of this program.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && stdout().is_terminal()
}

/// Prints a line for a program that reads it; says whether that program still reads.
///
/// # Errors
/// When standard output fails for another reason.
pub(crate) fn print_line(line: &str) -> std::io::Result<bool> {
    match writeln!(stdout(), "{line}") {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// The height of the editor's frame in a screen of `width` columns.
pub(crate) fn editor_height(editor: &LineEditor, width: u16) -> u16 {
    let rows = editor.shown(usize::from(width.saturating_sub(2))).rows;
    u16::try_from(rows.len()).unwrap_or(1) + 2
}

/// Draws the editor with its cursor, or the hint while nothing is typed.
pub(crate) fn draw_editor(frame: &mut Frame<'_>, editor: &LineEditor, hint: &str, area: Rect) {
    let block = Block::bordered().border_type(BorderType::Rounded);
    let inner = block.inner(area);
    let shown = editor.shown(usize::from(inner.width));
    let lines: Vec<Line<'_>> = if editor.is_empty() {
        vec![Line::from(hint.dim())]
    } else {
        shown.rows.into_iter().map(Line::from).collect()
    };
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines), inner);
    let offset = |start: u16, by: usize| start.saturating_add(u16::try_from(by).unwrap_or(0));
    let cursor = Position::new(offset(inner.x, shown.column), offset(inner.y, shown.row));
    if inner.contains(cursor) {
        frame.set_cursor_position(cursor);
    }
}

/// `text` in lines of at most `width` columns, broken at spaces where possible.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_inclusive(' ') {
            if line.width() + word.trim_end().width() > width && !line.is_empty() {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
            }
            for part in word.graphemes(true) {
                if line.width() + part.width() <= width {
                    line.push_str(part);
                } else if part != " " {
                    lines.push(std::mem::take(&mut line));
                    line.push_str(part);
                }
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// `text` without characters that act instead of being seen, so that nobody's message can steer the
/// terminal or turn the direction of what others wrote.
pub(crate) fn printable(text: &str) -> String {
    let shown = text.chars().filter_map(|c| match c {
        '\n' => Some(c),
        '\t' => Some(' '),
        '\r' => None,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some('\u{FFFD}'),
        c if c.is_control() => Some('\u{FFFD}'),
        c => Some(c),
    });
    shown.collect()
}

/// At most `width` columns of `text`, with an ellipsis where something was left out.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for part in text.graphemes(true) {
        if short.width() + part.width() + 1 > width {
            break;
        }
        short.push_str(part);
    }
    short.push('…');
    short
}

/// `text` on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn local(at: Timestamp) -> Option<Zoned> {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
    Some(at.to_zoned(TimeZone::system()))
}

/// The hour and minute of `at`, where the person is.
pub(crate) fn clock_time(at: Timestamp) -> String {
    local(at).map_or_else(|| "--:--".to_owned(), |at| at.strftime("%H:%M").to_string())
}

/// The day of `at`, where the person is.
pub(crate) fn day(at: Timestamp) -> String {
    local(at).map_or_else(String::new, |at| at.strftime("%A %-d %B %Y").to_string())
}

/// Seconds as people say them: `50 s`, `4 min`, `2 h 05 min`, `3 d`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wrap_at_words_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
        assert_eq!(wrap("👋👋👋", 4), ["👋👋", "👋"]);
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        assert_eq!(printable("\u{1b}[2Jhi\r\n\t"), "\u{FFFD}[2Jhi\n ");
        assert_eq!(printable("a\u{202e}b"), "a\u{FFFD}b");
    }

    #[test]
    fn texts_are_shortened_by_columns() {
        assert_eq!(shorten("Maria", 5), "Maria");
        assert_eq!(shorten("Maria 👋👋", 8), "Maria …");
    }

    #[test]
    fn spans_are_said_as_people_say_them() {
        let said = [59, 61, 3_900, 90_000].map(span);
        assert_eq!(said, ["59 s", "1 min", "1 h 05 min", "1 d"]);
    }
}
