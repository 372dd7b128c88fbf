//! Draws the desk.

use core_types::Timestamp;
use lib_proto::routing::AgentPresence;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph, Wrap};
use unicode_width::UnicodeWidthStr as _;

use crate::agent::conversation::{Fate, Open, Said};
use crate::agent::model::{Connection, Desk};
use crate::agent::panel::{self, Framed};
use crate::terminal::{clock_time, day, draw_editor, editor_height, one_line, shorten, span, wrap};

/// Columns for the author of a message.
const AUTHOR: usize = 8;

/// Draws everything; fits 80 by 24 and anything larger.
pub(crate) fn draw(frame: &mut Frame<'_>, desk: &Desk, now: Timestamp) {
    let width = usize::from(frame.area().width);
    let above = panel::offer(desk, now, width);
    let below = panel::below(desk, now, width);
    let foot = foot_lines(desk, width);
    let [bar, top, chat, bottom, input, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(above.as_ref().map_or(0, Framed::height)),
        Constraint::Min(4),
        Constraint::Length(below.as_ref().map_or(0, Framed::height)),
        Constraint::Length(editor_height(&desk.editor, frame.area().width)),
        Constraint::Length(u16::try_from(foot.len()).unwrap_or(1)),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(status_bar(desk, width)), bar);
    if let Some(offer) = above {
        offer.draw(frame, top);
    }
    match panel::over(desk, width) {
        Some(over) => over.draw(frame, chat),
        None => draw_chat(frame, desk, now, chat),
    }
    if let Some(below) = below {
        below.draw(frame, bottom);
    }
    draw_editor(frame, &desk.editor, hint(desk), input);
    frame.render_widget(Paragraph::new(foot), help);
}

fn status_bar(desk: &Desk, width: usize) -> Line<'static> {
    let presence = match (&desk.connection, desk.presence) {
        (Connection::Down(_), _) => "NO CONNECTION".red().bold(),
        (Connection::Elsewhere, _) => "OPENED ELSEWHERE".red().bold(),
        (Connection::Open, AgentPresence::Ready) => "READY".green().bold(),
        (Connection::Open, AgentPresence::Offline) => "OFFLINE".red().bold(),
        (Connection::Open, AgentPresence::NotReady | AgentPresence::Unspecified) => {
            "NOT READY".yellow().bold()
        }
    };
    let name = Span::from(format!(" {} ", shorten(desk.name_of(&desk.agent), 20))).bold();
    let load = format!("  {} of {}  ", desk.open.len(), desk.capacity);
    let mut parts = vec![name, presence, Span::from(load).dim()];
    let used: usize = parts.iter().map(Span::width).sum();
    let room = width.saturating_sub(used) / desk.open.len().max(1);
    for (number, open) in desk.open.iter().enumerate() {
        let unread = match open.unread {
            0 => String::new(),
            unread => format!(" •{unread}"),
        };
        let name = shorten(
            &open.label(),
            room.saturating_sub(unread.width() + 2).clamp(4, 24),
        );
        let label = Span::from(format!(" {name}{unread} "));
        parts.push(if number == desk.shown {
            label.reversed()
        } else if open.unread > 0 {
            label.yellow().bold()
        } else {
            label
        });
    }
    Line::from(parts)
}

fn draw_chat(frame: &mut Frame<'_>, desk: &Desk, now: Timestamp, area: Rect) {
    let block = Block::bordered().border_type(BorderType::Rounded);
    let Some(open) = desk.current() else {
        let text: Vec<Line<'_>> = idle(desk).into_iter().map(Line::from).collect();
        let text = Paragraph::new(text).wrap(Wrap { trim: true });
        frame.render_widget(text.block(block), area);
        return;
    };
    let block = block.title(chat_title(open, now));
    let lines = chat_lines(desk, open, usize::from(block.inner(area).width));
    open.scroll.draw(frame, block, lines, area);
}

/// What to say while there is no conversation.
fn idle(desk: &Desk) -> Vec<Span<'static>> {
    match (&desk.connection, desk.presence) {
        (Connection::Down(None), _) => vec!["Connecting …".dim()],
        (Connection::Down(Some(problem)), _) => vec![
            problem.clone().red(),
            "Trying again; what happens meanwhile will be here when the connection is back.".dim(),
        ],
        (Connection::Elsewhere, _) => vec![
            "This desk was opened in another terminal, and goes on there.".red(),
            "Enter takes it back; Ctrl-C leaves.".yellow(),
        ],
        (Connection::Open, AgentPresence::Ready) => {
            vec!["You are ready. The next customer will be offered to you here.".dim()]
        }
        (Connection::Open, _) => desk
            .resting
            .iter()
            .map(|reason| reason.clone().yellow())
            .chain(["Ctrl-R (or /ready) makes you ready for customers.".dim()])
            .collect(),
    }
}

fn chat_title(open: &Open, now: Timestamp) -> Line<'static> {
    let name = Span::from(format!(" {} · ", shorten(&open.label(), 30))).bold();
    let state = if open.in_wrap_up() {
        "wrap-up ".yellow()
    } else if !open.loaded {
        "… ".dim()
    } else {
        window(open, now)
    };
    Line::from(vec![name, state])
}

fn window(open: &Open, now: Timestamp) -> Span<'static> {
    match open.window_until() {
        Some(until) if until > now => {
            let left = until.since(now).as_secs();
            let text = format!("window open for {} ", span(left));
            if left < 3_600 {
                Span::from(text).yellow()
            } else {
                Span::from(text).green()
            }
        }
        Some(until) => {
            let ago = span(now.since(until).as_secs());
            Span::from(format!("window closed {ago} ago: /templates only ")).red()
        }
        None => "window closed: /templates only ".red(),
    }
}

fn chat_lines(desk: &Desk, open: &Open, width: usize) -> Vec<Line<'static>> {
    let rule = |text: &str| Line::from(format!("── {text} ──").dim()).centered();
    let mut lines = Vec::new();
    let (mut shown_day, mut engagement) = (String::new(), "");
    for (position, said) in open.said.iter().enumerate() {
        let today = day(said.at);
        if position > 0 && today != shown_day {
            lines.push(rule(&today));
        }
        shown_day = today;
        let begins = said.engagement == open.engagement.engagement_id;
        if position > 0 && begins && engagement != said.engagement {
            lines.push(rule("this conversation"));
        }
        engagement = &said.engagement;
        lines.extend(said_lines(desk, said, width));
    }
    lines
}

fn said_lines(desk: &Desk, said: &Said, width: usize) -> Vec<Line<'static>> {
    let author = shorten(author(desk, said), AUTHOR);
    let padding = " ".repeat(AUTHOR.saturating_sub(author.width()));
    let head = format!("{} {padding}{author} ", clock_time(said.at));
    let indent = " ".repeat(head.width());
    let style = if said.own {
        Style::new().fg(Color::Green)
    } else {
        Style::new()
    };
    let room = width.saturating_sub(head.width() + 3);
    let mut lines: Vec<Line<'static>> = wrap(&said.text, room)
        .into_iter()
        .enumerate()
        .map(|(number, text)| {
            let head = if number == 0 { &head } else { &indent };
            Line::from(vec![head.clone().dim(), Span::styled(text, style)])
        })
        .collect();
    if !said.own {
        return lines;
    }
    if let Some(line) = lines.last_mut() {
        line.push_span(fate_span(said.fate));
    }
    if said.fate >= Fate::Failed {
        let words = match said.fate {
            Fate::Failed => "not delivered",
            _ => "nobody knows yet whether it was sent",
        };
        let text = match &said.trouble {
            Some(trouble) => format!("{words}: {}", one_line(trouble)),
            None => words.to_owned(),
        };
        let wrapped = wrap(&text, room).into_iter();
        lines.extend(wrapped.map(|text| Line::from(vec![indent.clone().dim(), text.red()])));
    }
    lines
}

fn author<'a>(desk: &'a Desk, said: &'a Said) -> &'a str {
    if said.own {
        desk.name_of(&said.author)
    } else {
        "customer"
    }
}

fn fate_span(fate: Fate) -> Span<'static> {
    match fate {
        Fate::Waiting => " …".dim(),
        Fate::Accepted => " ·".dim(),
        Fate::Sent => " ✓".dim(),
        Fate::Delivered => " ✓✓".dim(),
        Fate::Read => " ✓✓".blue().bold(),
        Fate::Failed => " ✗".red(),
        Fate::Unknown => " ?".yellow(),
    }
}

/// What the empty editor says.
fn hint(desk: &Desk) -> &'static str {
    match desk.current() {
        _ if desk.connection == Connection::Elsewhere => "Enter takes the desk back",
        Some(open) if open.in_wrap_up() => "A number files it; add a note after --",
        Some(_) => "Write to the customer, or / for a command",
        None => "/ for a command, /help for all of them",
    }
}

/// What went wrong or happened, as long as it is; else what can be done.
fn foot_lines(desk: &Desk, width: usize) -> Vec<Line<'static>> {
    // Without a conversation on show, the connection has the whole place above.
    let connection = match &desk.connection {
        _ if desk.open.is_empty() => None,
        Connection::Down(Some(problem)) => Some(format!("{problem} Trying again …")),
        Connection::Elsewhere => Some(
            "This desk was opened in another terminal, and goes on there. Enter takes it back."
                .to_owned(),
        ),
        Connection::Down(None) | Connection::Open => None,
    };
    let connection = connection.map(|text| (text, Color::Red));
    let notice = desk.notice.clone().map(|text| (text, Color::Yellow));
    let lines: Vec<Line<'static>> = connection
        .into_iter()
        .chain(notice)
        .flat_map(|(text, colour)| {
            let wrapped = wrap(&text, width.saturating_sub(2)).into_iter();
            wrapped.map(move |line| Line::styled(format!(" {line}"), Style::new().fg(colour)))
        })
        .take(4)
        .collect();
    if !lines.is_empty() {
        return lines;
    }
    let keys = match desk.open.len() {
        _ if desk.connection == Connection::Elsewhere => " Enter takes it back · Ctrl-C leaves",
        0 => " Ctrl-R ready/away · /help · Ctrl-C leaves",
        1 => " /templates · /wrap · /done · /transfer · /help · Ctrl-R ready/away",
        _ => " Tab next · /templates · /wrap · /done · /transfer · /help · Ctrl-R ready/away",
    };
    vec![Line::from(keys.dim())]
}

#[cfg(test)]
mod tests;
