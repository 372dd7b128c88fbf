//! A text longer than its frame: shown from its end, scrolled up and down.

use std::cell::Cell;
use std::ops::Range;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Stylize as _;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph};

/// How far up somebody has scrolled. Drawing tells it how much there is to scroll, and keeps what
/// is read in its place when lines are added below.
#[derive(Debug, Default)]
pub(crate) struct Scroll {
    up: Cell<usize>,
    total: Cell<usize>,
    height: Cell<usize>,
}

impl Scroll {
    /// A page up.
    pub(crate) fn page_up(&self) {
        let page = self.height.get().saturating_sub(1).max(1);
        let most = self.total.get().saturating_sub(self.height.get());
        self.up.set((self.up.get() + page).min(most));
    }

    /// A page down.
    pub(crate) fn page_down(&self) {
        let page = self.height.get().saturating_sub(1).max(1);
        self.up.set(self.up.get().saturating_sub(page));
    }

    /// To the end.
    pub(crate) fn to_end(&self) {
        self.up.set(0);
    }

    /// The lines on show of `total`, and how many are below.
    fn range(&self, total: usize, height: usize) -> (Range<usize>, usize) {
        let mut up = self.up.get();
        if up > 0 {
            up += total.saturating_sub(self.total.get());
        }
        let up = up.min(total.saturating_sub(height));
        self.up.set(up);
        self.total.set(total);
        self.height.set(height);
        let end = total - up;
        (end.saturating_sub(height)..end, up)
    }

    /// Draws the lines inside the block, and says when there are more below.
    pub(crate) fn draw(
        &self,
        frame: &mut Frame<'_>,
        block: Block<'_>,
        lines: Vec<Line<'_>>,
        area: Rect,
    ) {
        let inner = block.inner(area);
        let (range, below) = self.range(lines.len(), usize::from(inner.height));
        let block = if below > 0 {
            let more = format!(" ↓ {below} more · PgDn ");
            block.title_bottom(Line::from(more.yellow()).right_aligned())
        } else {
            block
        };
        frame.render_widget(block, area);
        let shown = lines
            .into_iter()
            .skip(range.start)
            .take(range.len())
            .collect::<Vec<_>>();
        frame.render_widget(Paragraph::new(shown), inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_stays_in_place_when_lines_are_added() {
        let scroll = Scroll::default();
        assert_eq!(scroll.range(100, 10), (90..100, 0));
        scroll.page_up();
        assert_eq!(scroll.range(100, 10), (81..91, 9));
        assert_eq!(scroll.range(105, 10), (81..91, 14));
        scroll.page_down();
        scroll.page_down();
        assert_eq!(scroll.range(105, 10), (95..105, 0));
    }

    #[test]
    fn nobody_scrolls_out_of_sight() {
        let scroll = Scroll::default();
        scroll.range(12, 10);
        for _ in 0..50 {
            scroll.page_up();
        }
        assert_eq!(scroll.range(12, 10), (0..10, 2));
        assert_eq!(scroll.range(3, 10), (0..3, 0));
    }
}
