//! Draws the phone.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Position};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph};

use crate::chat::model::{Bubble, Phone, Tick};
use crate::terminal::{clock_time, wrap};

/// Draws everything; fits 80 by 24 and anything larger.
pub(crate) fn draw(frame: &mut Frame<'_>, phone: &Phone) {
    let [chat, input, help] = Layout::vertical([
        Constraint::Min(5),
        Constraint::Length(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let title = format!(" {} writes to Demo Garden Centre ", phone.owner);
    let frame_block = Block::bordered()
        .border_type(BorderType::Rounded)
        .title(title);
    let inner = frame_block.inner(chat);
    let lines: Vec<Line<'_>> = phone
        .bubbles
        .iter()
        .flat_map(|bubble| bubble_lines(bubble, usize::from(inner.width)))
        .collect();
    let height = usize::from(inner.height);
    let end = lines
        .len()
        .saturating_sub(phone.scrolled)
        .max(height.min(lines.len()));
    let start = end.saturating_sub(height);
    frame.render_widget(frame_block, chat);
    frame.render_widget(Paragraph::new(lines[start..end].to_vec()), inner);

    let input_block = Block::bordered().border_type(BorderType::Rounded);
    let text_area = input_block.inner(input);
    let (text, cursor) = phone
        .editor
        .visible(usize::from(text_area.width).saturating_sub(1));
    let shown = if phone.editor.is_empty() {
        Line::from("Message".dim())
    } else {
        Line::from(text)
    };
    frame.render_widget(input_block, input);
    frame.render_widget(Paragraph::new(shown), text_area);
    let column = text_area
        .x
        .saturating_add(u16::try_from(cursor).unwrap_or(0));
    frame.set_cursor_position(Position::new(column, text_area.y));
    frame.render_widget(Paragraph::new(help_line(phone)), help);
}

fn help_line(phone: &Phone) -> Line<'static> {
    if let Some(notice) = &phone.notice {
        return Line::from(format!(" {notice}").red());
    }
    let has_options = phone
        .bubbles
        .last()
        .is_some_and(|last| !last.options.is_empty());
    let hint = if has_options {
        " Type a number to tap an option, or write · Enter sends · Esc leaves"
    } else {
        " Enter sends · PgUp scrolls · Esc leaves"
    };
    Line::from(hint.dim())
}

fn bubble_lines(bubble: &Bubble, width: usize) -> Vec<Line<'static>> {
    let own = bubble.tick.is_some();
    let side = if own {
        Alignment::Right
    } else {
        Alignment::Left
    };
    let colour = if own { Color::Green } else { Color::Reset };
    let mut lines: Vec<Line<'static>> = wrap(&bubble.text, width * 3 / 4)
        .into_iter()
        .map(|text| Line::styled(text, Style::new().fg(colour)).alignment(side))
        .collect();
    for (number, option) in bubble.options.iter().enumerate() {
        let label = format!("  [{}] {}", number + 1, option.title);
        lines.push(Line::styled(label, Style::new().fg(Color::Cyan)).alignment(side));
    }
    let mut foot = vec![Span::from(clock_time(bubble.at)).dim()];
    foot.extend(bubble.tick.map(tick_span));
    lines.push(Line::from(foot).alignment(side));
    lines
}

fn tick_span(tick: Tick) -> Span<'static> {
    match tick {
        Tick::Sent => Span::from(" ✓").dim(),
        Tick::Taken => Span::from(" ✓✓").dim(),
        Tick::Read => Span::styled(
            " ✓✓",
            Style::new().fg(Color::Blue).add_modifier(Modifier::BOLD),
        ),
    }
}

#[cfg(test)]
mod tests {
    use core_types::{Content, Timestamp};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;

    use super::*;
    use crate::chat::model::Happening;

    #[test]
    fn the_last_message_is_on_an_80_by_24_screen() {
        let mut phone = Phone::new("Maria".into());
        for number in 0..40 {
            let body = format!("message {number} {}", "word ".repeat(30));
            let content = Content::Text {
                body,
                preview_url: false,
            };
            let id = number.to_string();
            phone.apply(Happening::Arrived {
                at: Timestamp::EPOCH,
                id,
                content,
            });
        }
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &phone)).unwrap();
        let shown: String = terminal
            .backend()
            .buffer()
            .content()
            .iter()
            .map(Cell::symbol)
            .collect();
        assert!(shown.contains("message 39") && !shown.contains("message 20"));
        phone.scroll(10_000);
        terminal.draw(|frame| draw(frame, &phone)).unwrap();
    }
}
