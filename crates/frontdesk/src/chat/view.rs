//! Draws the phone.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph};

use crate::chat::model::{self, Bubble, Happening, Phone, TapOption, Tick};
use crate::terminal::{clock_time, day, draw_editor, editor_height, printable, shorten, wrap};

/// Draws everything; fits 80 by 24 and anything larger.
pub(crate) fn draw(frame: &mut Frame<'_>, phone: &Phone) {
    let width = frame.area().width;
    let foot = foot_lines(phone, usize::from(width));
    let [chat, input, help] = Layout::vertical([
        Constraint::Min(5),
        Constraint::Length(editor_height(&phone.editor, width)),
        Constraint::Length(u16::try_from(foot.len()).unwrap_or(1)),
    ])
    .areas(frame.area());
    let title = format!(
        " {} · {} ",
        shorten(&phone.business, 40),
        shorten(&phone.owner, 30)
    );
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .title(title);
    let lines = if phone.bubbles.is_empty() && phone.online {
        let hint = format!("Write to {}: say “Hi”.", phone.business);
        vec![Line::from(hint.dim())]
    } else {
        bubbles(phone, usize::from(block.inner(chat).width))
    };
    phone.scroll.draw(frame, block, lines, chat);
    draw_editor(frame, &phone.editor, "Message", input);
    frame.render_widget(Paragraph::new(foot), help);
}

/// Problems first, each as long as it is; else what can be done.
fn foot_lines(phone: &Phone, width: usize) -> Vec<Line<'static>> {
    let offline = phone
        .offline
        .as_ref()
        .map(|problem| format!("{problem} Trying again …"));
    let problems: Vec<Line<'static>> = [offline, phone.notice.clone()]
        .into_iter()
        .flatten()
        .flat_map(|problem| wrap(&problem, width.saturating_sub(2)))
        .map(|line| Line::from(format!(" {line}").red()))
        .take(4)
        .collect();
    if !problems.is_empty() {
        return problems;
    }
    let hint = if phone.tappable().is_some() {
        " A number taps its option · or write · PgUp scrolls · Ctrl-C leaves"
    } else {
        " Enter sends · Alt-Enter new line · PgUp scrolls · Ctrl-C leaves"
    };
    vec![Line::from(hint.dim())]
}

fn bubbles(phone: &Phone, width: usize) -> Vec<Line<'static>> {
    let tappable = phone.tappable();
    let mut lines = Vec::new();
    let mut shown_day = String::new();
    for (position, bubble) in phone.bubbles.iter().enumerate() {
        let today = day(bubble.at);
        if position > 0 && today != shown_day {
            lines.push(Line::from(format!("── {today} ──").dim()).centered());
        }
        shown_day = today;
        lines.extend(bubble_lines(bubble, width, tappable == Some(position)));
    }
    lines
}

fn bubble_lines(bubble: &Bubble, width: usize, tappable: bool) -> Vec<Line<'static>> {
    let own = bubble.tick.is_some();
    let side = if own {
        Alignment::Right
    } else {
        Alignment::Left
    };
    let style = if own {
        Style::new().fg(Color::Green)
    } else {
        Style::new()
    };
    let widest = width * 3 / 4;
    let wrapped = |text: &str, style: Style| {
        wrap(text, widest)
            .into_iter()
            .map(move |text| Line::styled(text, style).alignment(side))
            .collect::<Vec<_>>()
    };
    let mut lines = Vec::new();
    if let Some(header) = &bubble.header {
        lines.extend(wrapped(header, style.bold()));
    }
    lines.extend(wrapped(&bubble.text, style));
    if let Some(footer) = &bubble.footer {
        lines.extend(wrapped(footer, style.dim()));
    }
    for (number, option) in bubble.options.iter().enumerate() {
        lines.extend(option_lines(number + 1, option, width, tappable));
    }
    let mut foot = vec![Span::from(clock_time(bubble.at)).dim()];
    foot.extend(bubble.tick.map(tick_span));
    lines.push(Line::from(foot).alignment(side));
    lines
}

/// An option with its number; only a dim title once it cannot be tapped any more.
fn option_lines(
    number: usize,
    option: &TapOption,
    width: usize,
    tappable: bool,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(heading) = &option.heading {
        lines.push(Line::from(format!("  {heading}").dim()));
    }
    let detail = option.detail.as_ref();
    if !tappable {
        lines.push(Line::from(format!("   ·  {}", option.title).dim()));
        return lines;
    }
    let number = format!("  [{number}] ");
    let detail = detail.map_or_else(String::new, |detail| {
        let room = width.saturating_sub(number.len() + option.title.chars().count() + 3);
        format!(" – {}", shorten(detail, room))
    });
    lines.push(Line::from(vec![
        Span::from(number).cyan().bold(),
        Span::from(option.title.clone()).cyan(),
        Span::from(detail).dim(),
    ]));
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

/// A happening as text, for pipes; `None` for what is not worth a line.
pub(crate) fn plain(happening: &Happening) -> Option<String> {
    let (at, sign, content) = match happening {
        Happening::Arrived { at, content, .. } => (at, '<', content),
        Happening::Sent { at, content, .. } => (at, '>', content),
        Happening::Offline { problem, .. } => return Some(format!("-- {problem}")),
        Happening::NotSent { .. }
        | Happening::Online { .. }
        | Happening::Taken { .. }
        | Happening::BusinessRead { .. } => return None,
    };
    let margin = "\n        ";
    let text = printable(&content.summary()).replace('\n', margin);
    let options = model::options(content).into_iter().zip(1..);
    let lines: Vec<String> = std::iter::once(text)
        .chain(options.map(|(option, number)| format!("[{number}] {}", option.title)))
        .collect();
    let text = lines.join(margin);
    Some(format!("{} {sign} {text}", clock_time(*at)))
}

#[cfg(test)]
mod tests {
    use core_types::{Button, Content, Interactive, InteractiveAction, Timestamp};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;

    use super::*;

    fn screen(phone: &Phone) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, phone)).unwrap();
        let buffer = terminal.backend().buffer();
        buffer.content().iter().map(Cell::symbol).collect()
    }

    fn arrived(id: usize, content: Content) -> Happening {
        Happening::Arrived {
            at: Timestamp::EPOCH,
            id: id.to_string(),
            content,
        }
    }

    fn text(body: String) -> Content {
        Content::Text {
            body,
            preview_url: false,
        }
    }

    #[test]
    fn the_last_message_is_on_an_80_by_24_screen() {
        let mut phone = Phone::new("Maria".into(), "1".into());
        for number in 0..40 {
            let body = format!("message {number} {}", "word ".repeat(30));
            phone.apply(arrived(number, text(body)));
        }
        let shown = screen(&phone);
        assert!(shown.contains("message 39") && !shown.contains("message 20"));
        phone.scroll.page_up();
        let shown = screen(&phone);
        assert!(!shown.contains("message 39") && shown.contains("more · PgDn"));
    }

    #[test]
    fn options_have_numbers_while_they_can_be_tapped() {
        let mut phone = Phone::new("Maria".into(), "1".into());
        let button = Button {
            id: "a".into(),
            title: "Roses 🌹".into(),
        };
        let question = Interactive {
            header: None,
            body: "Which?".into(),
            footer: None,
            action: InteractiveAction::Buttons {
                buttons: vec![button],
            },
        };
        let question = arrived(1, Content::Interactive(question));
        assert!(plain(&question).unwrap().ends_with("[1] Roses 🌹"));
        phone.apply(question);
        assert!(screen(&phone).contains("[1] Roses"));
        phone.apply(Happening::Sent {
            at: Timestamp::EPOCH,
            id: "2".into(),
            content: text("?".into()),
        });
        let shown = screen(&phone);
        assert!(!shown.contains("[1]") && shown.contains("Roses"));
    }

    #[test]
    fn a_problem_longer_than_the_screen_is_wide_is_shown_whole() {
        let mut phone = Phone::new("Maria".into(), "1".into());
        phone.notice = Some(format!("Not sent: {} the end.", "long ".repeat(30)));
        assert!(screen(&phone).contains("the end."));
    }
}
