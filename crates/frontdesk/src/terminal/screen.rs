//! The whole screen: taken, drawn on, given back.

use std::io::{Write as _, stdout};

use ratatui::backend::Backend as _;
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::cursor::{RestorePosition, SavePosition};
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::{DefaultTerminal, Frame};
use unicode_width::UnicodeWidthStr as _;

static BLANK: Cell = Cell::EMPTY;

/// The whole screen; given back when dropped.
///
/// Terminals disagree on how wide an emoji made of several characters is (a keycap, a flag, a
/// person with a skin tone). Drawing only what has changed then leaves pieces behind, so lines with
/// such an emoji are drawn anew as a whole, each piece at its own column.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
    shown: Buffer,
}

impl Screen {
    /// Takes the screen. Pasted text arrives as one piece from then on, so that its line ends are
    /// not taken for Enter.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let screen = Self {
            terminal: ratatui::try_init()?,
            shown: Buffer::default(),
        };
        execute!(stdout(), EnableBracketedPaste)?;
        Ok(screen)
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn draw(&mut self, paint: impl FnOnce(&mut Frame<'_>)) -> std::io::Result<()> {
        let now = self.terminal.draw(paint)?.buffer.clone();
        let lines = uncertain_lines(&self.shown, &now);
        if !lines.is_empty() {
            execute!(stdout(), SavePosition)?;
            let cells = lines.iter().flat_map(|line| whole_line(&now, *line));
            self.terminal.backend_mut().draw(cells)?;
            execute!(stdout(), RestorePosition)?;
        }
        self.shown = now;
        Ok(())
    }

    /// Calls for attention, in whichever way the terminal does that.
    pub(crate) fn ring() {
        let mut out = stdout();
        // Nobody is worse off without it.
        let _ = out.write_all(b"\x07").and_then(|()| out.flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone already.
        let _ = execute!(stdout(), DisableBracketedPaste);
        ratatui::restore();
    }
}

fn is_uncertain(cell: &Cell) -> bool {
    let symbol = cell.symbol();
    symbol.chars().nth(1).is_some() && symbol.width() > 1
}

fn line(buffer: &Buffer, y: u16) -> &[Cell] {
    let width = usize::from(buffer.area.width);
    let start = usize::from(y) * width;
    buffer.content.get(start..start + width).unwrap_or_default()
}

/// The lines that have changed and hold, or held, an emoji of uncertain width.
fn uncertain_lines(before: &Buffer, now: &Buffer) -> Vec<u16> {
    (0..now.area.height)
        .filter(|y| {
            let (before, now) = (line(before, *y), line(now, *y));
            before != now && before.iter().chain(now).any(is_uncertain)
        })
        .collect()
}

/// A line blanked, then drawn from left to right.
fn whole_line(buffer: &Buffer, y: u16) -> impl Iterator<Item = (u16, u16, &Cell)> {
    let blanks = (0..buffer.area.width).map(move |x| (x, y, &BLANK));
    let mut next = 0;
    let cells = (0..).zip(line(buffer, y)).filter(move |(x, cell)| {
        let covered = *x < next;
        if !covered {
            next = *x + cell.symbol().width().max(1);
        }
        !covered
    });
    blanks.chain(cells.map(move |(x, cell)| (u16::try_from(x).unwrap_or(u16::MAX), y, cell)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_uncertain_emoji_are_drawn_as_a_whole_when_they_change() {
        let before = Buffer::with_lines([
            "ab 1\u{fe0f}\u{20e3} cd",
            "👋 plain  ",
            "same 🙋🏼\u{200d}♂\u{fe0f}   ",
        ]);
        let now = Buffer::with_lines(["ab        ", "👋 changed", "same 🙋🏼\u{200d}♂\u{fe0f}   "]);
        assert_eq!(uncertain_lines(&before, &now), [0]);
        assert_eq!(uncertain_lines(&Buffer::default(), &before), [0, 2]);
        let drawn: Vec<u16> = whole_line(&before, 0)
            .skip(usize::from(before.area.width))
            .map(|(x, ..)| x)
            .collect();
        assert_eq!(
            drawn,
            [0, 1, 2, 3, 5, 6, 7, 8, 9],
            "the second half of 1️⃣ is not drawn"
        );
    }
}
