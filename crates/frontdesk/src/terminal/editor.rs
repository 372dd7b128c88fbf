//! A line editor that knows emoji. It grows by lines when the text is long.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Most rows of the text on show; longer text scrolls.
const ROWS: usize = 4;

/// Text under edit. Moves and deletes by what people see as one character.
#[derive(Debug, Default)]
pub(crate) struct LineEditor {
    text: Vec<String>,
    cursor: usize,
    history: Vec<String>,
    /// Position in the history; its length means the text under edit.
    recalled: usize,
    /// What was under edit when the history was opened.
    kept: String,
}

/// The rows to show, and where the cursor is among them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) rows: Vec<String>,
    pub(crate) row: usize,
    pub(crate) column: usize,
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

    /// The text in rows of `width` columns, the ones around the cursor.
    pub(crate) fn shown(&self, width: usize) -> Shown {
        let width = width.max(2);
        let (mut rows, mut column) = (vec![String::new()], 0);
        let mut cursor = (0, 0);
        for (position, part) in self.text.iter().enumerate() {
            if part != "\n" && column + part.width() > width {
                rows.push(String::new());
                column = 0;
            }
            if position == self.cursor {
                cursor = (rows.len() - 1, column);
            }
            if part == "\n" {
                rows.push(String::new());
                column = 0;
            } else if let Some(row) = rows.last_mut() {
                row.push_str(part);
                column += part.width();
            }
        }
        if self.cursor == self.text.len() {
            if column >= width {
                rows.push(String::new());
                column = 0;
            }
            cursor = (rows.len() - 1, column);
        }
        let first = (cursor.0 + 1).saturating_sub(ROWS);
        let rows = rows.into_iter().skip(first).take(ROWS).collect();
        Shown {
            rows,
            row: cursor.0 - first,
            column: cursor.1,
        }
    }

    /// Takes the text out, to be acted on.
    pub(crate) fn take(&mut self) -> String {
        let text = self.text();
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            self.history.push(text.clone());
        }
        self.set("");
        text
    }

    /// Replaces the text; the cursor is at its end.
    pub(crate) fn set(&mut self, text: &str) {
        self.text.clear();
        self.cursor = 0;
        self.insert(text);
        self.recalled = self.history.len();
    }

    /// Inserts typed or pasted text. Tabs become spaces, other control characters are dropped.
    pub(crate) fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.replace('\t', " ");
        let clean = text.chars().filter(|c| *c == '\n' || !c.is_control());
        let before = self.text[..self.cursor].concat() + &clean.collect::<String>();
        let after = self.text[self.cursor..].concat();
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
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Enter if alt => self.insert("\n"),
            KeyCode::Char('j') if control => self.insert("\n"),
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') if control => self.text.truncate(self.cursor),
            KeyCode::Char('w') if control => self.delete_word(),
            KeyCode::Left if control || alt => {
                self.cursor = self.word_before();
            }
            KeyCode::Right if control || alt => self.cursor = self.word_after(),
            KeyCode::Char(_) if control || alt => return false,
            KeyCode::Char(typed) => self.insert(typed.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if alt => self.delete_word(),
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

    fn is_space(&self, position: usize) -> bool {
        self.text[position].trim().is_empty()
    }

    fn word_before(&self) -> usize {
        let mut at = self.cursor;
        while at > 0 && self.is_space(at - 1) {
            at -= 1;
        }
        while at > 0 && !self.is_space(at - 1) {
            at -= 1;
        }
        at
    }

    fn word_after(&self) -> usize {
        let mut at = self.cursor;
        while at < self.text.len() && self.is_space(at) {
            at += 1;
        }
        while at < self.text.len() && !self.is_space(at) {
            at += 1;
        }
        at
    }

    fn delete_word(&mut self) {
        let start = self.word_before();
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }

    fn recall(&mut self, position: Option<usize>) {
        let Some(position) = position.filter(|position| *position <= self.history.len()) else {
            return;
        };
        if self.recalled >= self.history.len() {
            self.kept = self.text();
        }
        let line = self.history.get(position).unwrap_or(&self.kept).clone();
        self.set(&line);
        self.recalled = position;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(line: &mut LineEditor, code: KeyCode) {
        line.key(KeyEvent::from(code));
    }

    #[test]
    fn an_emoji_is_one_step_and_one_backspace() {
        let mut line = LineEditor::default();
        for part in ["a", "🙋🏼\u{200d}♂️", "2", "\u{fe0f}", "\u{20e3}"] {
            line.insert(part);
        }
        assert_eq!(line.text.len(), 3, "{:?}", line.text);
        press(&mut line, KeyCode::Backspace);
        press(&mut line, KeyCode::Backspace);
        assert_eq!(line.text(), "a");
    }

    #[test]
    fn history_comes_back_and_so_does_what_was_under_edit() {
        let mut line = LineEditor::default();
        line.insert("first");
        assert_eq!(line.take(), "first");
        line.insert("half");
        press(&mut line, KeyCode::Up);
        assert_eq!(line.text(), "first");
        press(&mut line, KeyCode::Down);
        assert_eq!(line.text(), "half");
    }

    #[test]
    fn pasted_lines_stay_lines_and_bring_no_control_characters() {
        let mut line = LineEditor::default();
        line.insert("one\r\ntwo\tthree\u{1b}[2J");
        assert_eq!(line.text(), "one\ntwo three[2J");
    }

    #[test]
    fn long_text_is_shown_in_rows_around_the_cursor() {
        let mut line = LineEditor::default();
        line.insert("abcd👋");
        let shown = line.shown(5);
        assert_eq!(shown.rows, ["abcd", "👋"]);
        assert_eq!((shown.row, shown.column), (1, 2));
        line.insert(&"\nx".repeat(9));
        let shown = line.shown(5);
        assert_eq!((shown.rows.len(), shown.row, shown.column), (ROWS, 3, 1));
        press(&mut line, KeyCode::Home);
        let shown = line.shown(5);
        assert_eq!((shown.row, shown.column), (0, 0));
    }

    #[test]
    fn the_cursor_never_leaves_a_full_row() {
        let mut line = LineEditor::default();
        line.insert("abcde");
        let shown = line.shown(5);
        assert_eq!(shown.rows, ["abcde", ""]);
        assert_eq!((shown.row, shown.column), (1, 0));
    }
}
