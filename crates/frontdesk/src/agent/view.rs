//! Draws the desk.

use core_types::Timestamp;
use lib_proto::conversations::log_entry::Event;
use lib_proto::identity_from_proto;
use lib_proto::routing::desk_event;
use lib_proto::routing::{AgentPresence, Offer};
use lib_proto::timestamp_from_proto;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph, Wrap};

use crate::agent::link::News;
use crate::agent::model::{Desk, Fate, Open, Said};
use crate::terminal::{clock_time, printable, wrap};

/// Draws everything; fits 80 by 24 and anything larger.
pub(crate) fn draw(frame: &mut Frame<'_>, desk: &Desk, now: Timestamp) {
    let offer_height = if desk.offers.is_empty() { 0 } else { 5 };
    let [bar, offer, chat, input, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(offer_height),
        Constraint::Min(5),
        Constraint::Length(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(status_bar(desk)), bar);
    if let Some(first) = desk.offers.first() {
        draw_offer(frame, first, now, offer);
    }
    draw_chat(frame, desk, now, chat);
    draw_input(frame, desk, input);
    frame.render_widget(Paragraph::new(help_line(desk)), help);
}

fn status_bar(desk: &Desk) -> Line<'static> {
    let presence = if desk.connected {
        match desk.presence {
            AgentPresence::Ready => "READY".green().bold(),
            AgentPresence::NotReady | AgentPresence::Unspecified => "NOT READY".yellow().bold(),
            AgentPresence::Offline => "OFFLINE".red().bold(),
        }
    } else {
        "CONNECTING".red().bold()
    };
    let mut parts = vec![
        Span::from(format!(" {} ", desk.agent)).bold(),
        presence,
        Span::from("  "),
    ];
    for (number, open) in desk.open.iter().enumerate() {
        let unread = if open.unread > 0 {
            format!(" •{}", open.unread)
        } else {
            String::new()
        };
        let label = format!(" {}{unread} ", contact(open.engagement.contact.clone()));
        let label = Span::from(label);
        parts.push(if number == desk.shown {
            label.reversed()
        } else {
            label
        });
    }
    Line::from(parts)
}

fn contact(identity: Option<lib_proto::common::ContactIdentity>) -> String {
    printable(
        &identity
            .map(identity_from_proto)
            .unwrap_or_default()
            .label(),
    )
}

fn draw_offer(frame: &mut Frame<'_>, offer: &Offer, now: Timestamp, area: Rect) {
    let until = |at| timestamp_from_proto("at", at).ok().flatten().unwrap_or(now);
    let left = until(offer.expires_at).since(now).as_secs();
    let waited = now.since(until(offer.queued_at)).as_secs();
    let title = format!(" Offer from {} · {left} s left ", offer.queue_name);
    let block = Block::bordered()
        .border_type(BorderType::Thick)
        .border_style(Style::new().fg(Color::Yellow))
        .title(title);
    let lines = vec![
        Line::from(vec![
            Span::from(contact(offer.contact.clone())).bold(),
            Span::from(format!(" has waited {waited} s: ")),
            Span::from(format!("“{}”", printable(&offer.last_message_summary))).italic(),
        ]),
        Line::from(format!("Yours because: {}", offer.reason).dim()),
        Line::from("Enter accepts · Esc declines".yellow()),
    ];
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_chat(frame: &mut Frame<'_>, desk: &Desk, now: Timestamp, area: Rect) {
    let block = Block::bordered().border_type(BorderType::Rounded);
    let Some(open) = desk.current() else {
        let text = if desk.presence == AgentPresence::Ready {
            "You are ready. The next customer will be offered to you here."
        } else {
            "Ctrl-R makes you ready for customers."
        };
        let text = Paragraph::new(text.dim()).wrap(Wrap { trim: true });
        frame.render_widget(text.block(block), area);
        return;
    };
    let block = block.title(chat_title(open, now));
    let inner = block.inner(area);
    let width = usize::from(inner.width);
    let lines: Vec<Line<'_>> = open
        .said
        .iter()
        .flat_map(|said| said_lines(said, width))
        .collect();
    let height = usize::from(inner.height);
    let end = lines
        .len()
        .saturating_sub(desk.scrolled)
        .max(height.min(lines.len()));
    let start = end.saturating_sub(height);
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines[start..end].to_vec()), inner);
}

fn chat_title(open: &Open, now: Timestamp) -> Line<'static> {
    let name = contact(open.engagement.contact.clone());
    let state = if open.engagement.state == "wrap_up" {
        let choices = open.engagement.dispositions.join(", ");
        Span::from(format!("wrap-up: /done {choices} ")).yellow()
    } else {
        match open.window_until(now) {
            Some(until) => {
                let minutes = until.since(now).as_secs() / 60;
                Span::from(format!(
                    "window open {} h {:02} min ",
                    minutes / 60,
                    minutes % 60
                ))
                .green()
            }
            None => Span::from("window closed: templates only ").red(),
        }
    };
    Line::from(vec![Span::from(format!(" {name} · ")).bold(), state])
}

fn said_lines(said: &Said, width: usize) -> Vec<Line<'static>> {
    let head = format!("{} {:>8} ", clock_time(said.at), author(said));
    let indent = head.chars().count();
    let style = if said.own {
        Style::new().fg(Color::Green)
    } else {
        Style::new()
    };
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (number, text) in wrap(&said.text, width.saturating_sub(indent + 3))
        .into_iter()
        .enumerate()
    {
        let head = if number == 0 {
            head.clone()
        } else {
            " ".repeat(indent)
        };
        lines.push(Line::from(vec![
            Span::from(head).dim(),
            Span::styled(text, style),
        ]));
    }
    if let (true, Some(line)) = (said.own, lines.last_mut()) {
        line.push_span(fate_span(said.fate));
    }
    lines
}

fn author(said: &Said) -> String {
    let name = if said.own {
        said.author.as_str()
    } else {
        "customer"
    };
    name.chars().take(8).collect()
}

fn fate_span(fate: Fate) -> Span<'static> {
    match fate {
        Fate::Waiting => " …".dim(),
        Fate::Accepted => " ·".dim(),
        Fate::Sent => " ✓".dim(),
        Fate::Delivered => " ✓✓".dim(),
        Fate::Read => " ✓✓".blue().bold(),
        Fate::Failed => " ✗ not delivered".red(),
        Fate::Unknown => " ? outcome unknown".yellow(),
    }
}

fn draw_input(frame: &mut Frame<'_>, desk: &Desk, area: Rect) {
    let block = Block::bordered().border_type(BorderType::Rounded);
    let inner = block.inner(area);
    let (text, cursor) = desk
        .editor
        .visible(usize::from(inner.width).saturating_sub(1));
    let shown = if desk.editor.is_empty() {
        Line::from("Write to the customer, or / for a command".dim())
    } else {
        Line::from(text)
    };
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(shown), inner);
    let column = inner.x.saturating_add(u16::try_from(cursor).unwrap_or(0));
    frame.set_cursor_position(Position::new(column, inner.y));
}

fn help_line(desk: &Desk) -> Line<'static> {
    match &desk.notice {
        Some(notice) => Line::from(format!(" {notice}").yellow()),
        None => Line::from(
            " Ctrl-R ready/away · Tab next · /template /wrap /done /transfer /help · Ctrl-C leaves"
                .dim(),
        ),
    }
}

/// News as one line of text, for pipes; `None` for what is not worth a line.
pub(crate) fn plain(news: &News) -> Option<String> {
    match news {
        News::Broken(problem) => Some(format!("-- {problem}")),
        News::Desk(event) => match event.event.as_ref()? {
            desk_event::Event::Snapshot(snapshot) => Some(format!(
                "desk open: {} offers, {} engagements",
                snapshot.offers.len(),
                snapshot.engagements.len()
            )),
            desk_event::Event::Offered(offer) => {
                let who = contact(offer.contact.clone());
                Some(format!(
                    "offer: {who} in {}: {}",
                    offer.queue_name, offer.reason
                ))
            }
            desk_event::Event::OfferEnded(offer) => Some(format!("offer ended: {}", offer.outcome)),
            desk_event::Event::Assigned(engagement) => {
                Some(format!("assigned: {}", contact(engagement.contact.clone())))
            }
            desk_event::Event::WrapUp(_) => Some("wrap-up".to_owned()),
            desk_event::Event::Released(_) => Some("released".to_owned()),
            desk_event::Event::Presence(presence) => {
                let presence = AgentPresence::try_from(*presence).ok()?;
                Some(format!("presence: {presence:?}"))
            }
            desk_event::Event::CommandDone(_) => None,
        },
        News::Log(entry) => {
            let (sign, message) = match entry.event.as_ref()? {
                Event::MessageReceived(received) => ('<', received.message.as_ref()?),
                Event::MessageQueued(queued) => ('>', queued.message.as_ref()?),
                _ => return None,
            };
            let content = core_types::Content::try_from(message.content.clone()?).ok()?;
            Some(format!("{sign} {}", printable(&content.summary())))
        }
    }
}

#[cfg(test)]
mod tests {
    use lib_proto::routing::{DeskEngagement, DeskEvent};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;

    use super::*;

    fn screen(desk: &Desk, now: Timestamp) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, desk, now)).unwrap();
        terminal
            .backend()
            .buffer()
            .content()
            .iter()
            .map(Cell::symbol)
            .collect()
    }

    #[test]
    fn an_offer_shows_its_countdown_and_reason() {
        let now = Timestamp::from_seconds(1_000).unwrap();
        let at = |seconds| {
            let at = Timestamp::from_seconds(seconds).unwrap();
            Some(lib_proto::timestamp_to_proto(at))
        };
        let offer = Offer {
            queue_name: "Support".into(),
            reason: "longest idle of 2 ready agents".into(),
            queued_at: at(990),
            expires_at: at(1_023),
            last_message_summary: "2".into(),
            ..Default::default()
        };
        let mut desk = Desk::new("ana".into());
        let event = desk_event::Event::Offered(offer);
        desk.apply(News::Desk(Box::new(DeskEvent {
            sequence: 1,
            at: None,
            event: Some(event),
        })));
        let shown = screen(&desk, now);
        assert!(
            shown.contains("23 s left") && shown.contains("has waited 10 s"),
            "{shown}"
        );
        assert!(shown.contains("longest idle of 2 ready agents"));
    }

    #[test]
    fn a_closed_window_is_said_in_words() {
        let mut desk = Desk::new("ana".into());
        let engagement = DeskEngagement {
            engagement_id: "e".into(),
            ..Default::default()
        };
        let event = desk_event::Event::Assigned(engagement);
        desk.apply(News::Desk(Box::new(DeskEvent {
            sequence: 1,
            at: None,
            event: Some(event),
        })));
        assert!(screen(&desk, Timestamp::EPOCH).contains("window closed: templates only"));
    }
}
