//! What the terminal programs share: the screen, a line editor that knows emoji, wrapping, times.

use std::io::{IsTerminal as _, stdout};

use core_types::Timestamp;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::DefaultTerminal;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Whether a person sits in front of this program.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && stdout().is_terminal()
}

/// The whole screen; given back when dropped.
pub(crate) struct Screen(pub(crate) DefaultTerminal);

impl Screen {
    /// Takes the screen.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn take() -> anyhow::Result<Self> {
        Ok(Self(ratatui::try_init()?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// One line of text under edit. Moves and deletes by what people see as one character.
#[derive(Debug, Default)]
pub(crate) struct LineEditor {
    text: Vec<String>,
    cursor: usize,
    history: Vec<String>,
    /// Position in the history; its length means the line under edit.
    recalled: usize,
}

impl LineEditor {
    /// The text.
    pub(crate) fn text(&self) -> String {
        self.text.concat()
    }

    /// Whether nothing is typed.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The part of the text that fits `width` columns around the cursor, and the cursor's column.
    pub(crate) fn visible(&self, width: usize) -> (String, usize) {
        let mut start = self.cursor;
        let mut used = 0;
        while start > 0 && used + self.text[start - 1].width() < width {
            start -= 1;
            used += self.text[start].width();
        }
        let mut shown = String::new();
        for part in &self.text[start..] {
            if shown.width() + part.width() > width {
                break;
            }
            shown.push_str(part);
        }
        (shown, used)
    }

    /// Takes the line out, to be acted on.
    pub(crate) fn take(&mut self) -> String {
        let line = self.text();
        if !line.trim().is_empty() {
            self.history.push(line.clone());
        }
        self.set("");
        line
    }

    fn set(&mut self, text: &str) {
        self.text = text.graphemes(true).map(str::to_owned).collect();
        self.cursor = self.text.len();
        if text.is_empty() {
            self.recalled = self.history.len();
        }
    }

    /// Inserts typed or pasted text; line ends become spaces.
    pub(crate) fn insert(&mut self, text: &str) {
        let before: String = self.text[..self.cursor].concat();
        let after: String = self.text[self.cursor..].concat();
        let before = before + &text.replace(['\r', '\n', '\t'], " ");
        // Segmented again as a whole: an emoji may arrive in several pieces.
        self.text = format!("{before}{after}")
            .graphemes(true)
            .map(str::to_owned)
            .collect();
        self.cursor = before.graphemes(true).count().min(self.text.len());
    }

    /// Handles an editing key; returns whether it was one.
    pub(crate) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') if control => self.text.truncate(self.cursor),
            KeyCode::Char('w') if control => self.delete_word(),
            KeyCode::Char(_) if control => return false,
            KeyCode::Char(typed) => self.insert(typed.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.text.remove(self.cursor);
            }
            KeyCode::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Up => self.recall(self.recalled.checked_sub(1)),
            KeyCode::Down => self.recall(Some(self.recalled + 1)),
            _ => return false,
        }
        true
    }

    fn delete_word(&mut self) {
        while self.cursor > 0 && self.text[self.cursor - 1].trim().is_empty() {
            self.cursor -= 1;
            self.text.remove(self.cursor);
        }
        while self.cursor > 0 && !self.text[self.cursor - 1].trim().is_empty() {
            self.cursor -= 1;
            self.text.remove(self.cursor);
        }
    }

    fn recall(&mut self, position: Option<usize>) {
        let Some(position) = position else { return };
        if position > self.history.len() {
            return;
        }
        self.recalled = position;
        let line = self.history.get(position).cloned().unwrap_or_default();
        self.set(&line);
        self.recalled = position;
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

/// `text` without control characters, so that nobody's message can steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{FFFD}'
            } else {
                c
            }
        })
        .collect()
}

/// The hour and minute of `at`, where the person is.
pub(crate) fn clock_time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(
        |_| "--:--".to_owned(),
        |at| {
            at.to_zoned(TimeZone::system())
                .strftime("%H:%M")
                .to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_one_step_and_one_backspace() {
        let mut line = LineEditor::default();
        for part in ["a", "🙋🏼\u{200d}♂️", "2", "\u{fe0f}", "\u{20e3}"] {
            line.insert(part);
        }
        assert_eq!(line.text.len(), 3, "{:?}", line.text);
        line.key(KeyEvent::from(KeyCode::Backspace));
        line.key(KeyEvent::from(KeyCode::Backspace));
        assert_eq!(line.text(), "a");
    }

    #[test]
    fn lines_wrap_at_words_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        assert_eq!(printable("\u{1b}[2Jhi\n"), "\u{FFFD}[2Jhi\n");
    }

    #[test]
    fn history_comes_back() {
        let mut line = LineEditor::default();
        line.insert("first");
        assert_eq!(line.take(), "first");
        line.key(KeyEvent::from(KeyCode::Up));
        assert_eq!(line.text(), "first");
        line.key(KeyEvent::from(KeyCode::Down));
        assert!(line.is_empty());
    }
}
