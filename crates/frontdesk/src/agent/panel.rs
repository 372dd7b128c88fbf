//! Boxes around the conversation: the offer above it, wrap-up and a template's preview below it,
//! help and the list of templates in its place.

use core_types::Timestamp;
use lib_proto::routing::Offer;
use lib_proto::templates::Template;
use lib_proto::timestamp_from_proto;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph};

use crate::agent::command::HELP;
use crate::agent::conversation::{Open, contact};
use crate::agent::model::{Desk, Panel};
use crate::agent::template;
use crate::terminal::{one_line, printable, shorten, span, wrap};

/// A titled box of lines.
pub(crate) struct Framed {
    title: String,
    colour: Color,
    lines: Vec<Line<'static>>,
}

impl Framed {
    /// Rows it takes with its frame.
    pub(crate) fn height(&self) -> u16 {
        u16::try_from(self.lines.len())
            .unwrap_or(u16::MAX)
            .saturating_add(2)
    }

    pub(crate) fn draw(self, frame: &mut Frame<'_>, area: Rect) {
        let block = Block::bordered()
            .border_type(BorderType::Thick)
            .border_style(Style::new().fg(self.colour))
            .title(self.title);
        frame.render_widget(Paragraph::new(self.lines).block(block), area);
    }
}

/// The first offer, if there is one.
pub(crate) fn offer(desk: &Desk, now: Timestamp, width: usize) -> Option<Framed> {
    let offer = desk.offers.first()?;
    let room = width.saturating_sub(2);
    let time = |at| timestamp_from_proto("at", at).ok().flatten().unwrap_or(now);
    let left = time(offer.expires_at).since(now).as_secs();
    let waited = span(now.since(time(offer.queued_at)).as_secs());
    let count = match desk.offers.len() {
        1 => String::new(),
        several => format!(" · 1 of {several}"),
    };
    let name = shorten(&contact(offer.contact.as_ref()), 30);
    let head = format!(" has waited {waited}: ");
    let said = one_line(&printable(&offer.last_message_summary));
    let used = Span::from(name.as_str()).width() + Span::from(head.as_str()).width() + 2;
    let mut lines = vec![Line::from(vec![
        Span::from(name).bold(),
        Span::from(head),
        format!("“{}”", shorten(&said, room.saturating_sub(used))).italic(),
    ])];
    lines.extend(
        wrap(&because(offer), room)
            .into_iter()
            .take(2)
            .map(|line| Line::from(line.dim())),
    );
    lines.push(Line::from("Enter accepts · Esc declines".yellow()));
    Some(Framed {
        title: format!(" Offer from {} · {left} s left{count} ", offer.queue_name),
        colour: if left <= 10 {
            Color::Red
        } else {
            Color::Yellow
        },
        lines,
    })
}

fn because(offer: &Offer) -> String {
    format!("Yours because: {}", printable(&offer.reason))
}

/// What belongs below the conversation: how to file it, or the template being filled in.
pub(crate) fn below(desk: &Desk, now: Timestamp, width: usize) -> Option<Framed> {
    if let Some((template, values)) = desk.drafted() {
        return Some(draft(template, &values, width));
    }
    let open = desk.current().filter(|open| open.in_wrap_up())?;
    Some(wrap_up(open, now, width))
}

fn wrap_up(open: &Open, now: Timestamp, width: usize) -> Framed {
    let until = timestamp_from_proto("wrap_up_until", open.engagement.wrap_up_until);
    let left = until.ok().flatten().map_or_else(String::new, |until| {
        let left = until.since(now).as_secs();
        format!(" · closes by itself in {}:{:02}", left / 60, left % 60)
    });
    let choices = if open.engagement.dispositions.is_empty() {
        "Any word files it.".to_owned()
    } else {
        open.choices()
    };
    let mut lines: Vec<Line<'static>> = wrap(&choices, width.saturating_sub(2))
        .into_iter()
        .map(|line| Line::from(line.bold()))
        .collect();
    lines.push(Line::from(
        "Type a number to file it, and a note after --  (2 -- calls back)".dim(),
    ));
    Framed {
        title: format!(" Wrap-up{left} "),
        colour: Color::Yellow,
        lines,
    }
}

fn draft(template: &Template, values: &[String], width: usize) -> Framed {
    let room = width.saturating_sub(2);
    let mut lines: Vec<Line<'static>> = wrap(&template::preview(template, values), room)
        .into_iter()
        .take(5)
        .map(Line::from)
        .collect();
    let takes = format!("Takes {}", template::takes(template));
    lines.extend(
        wrap(&takes, room)
            .into_iter()
            .take(2)
            .map(|line| Line::from(line.dim())),
    );
    let complete = template::needed(template).len() == values.len();
    let state = if complete {
        "Enter sends it"
    } else {
        "not complete"
    };
    Framed {
        title: format!(" {} · {state} ", template.name),
        colour: if complete { Color::Green } else { Color::Cyan },
        lines,
    }
}

/// What is shown in place of the conversation.
pub(crate) fn over(desk: &Desk, width: usize) -> Option<Framed> {
    match desk.panel? {
        Panel::Help => Some(Framed {
            title: " Keys and commands · Esc closes ".to_owned(),
            colour: Color::Cyan,
            lines: help_lines(),
        }),
        Panel::Templates => Some(Framed {
            title: " Templates · type a number to fill one in · Esc closes ".to_owned(),
            colour: Color::Cyan,
            lines: template_lines(&desk.templates, width.saturating_sub(2)),
        }),
    }
}

fn help_lines() -> Vec<Line<'static>> {
    HELP.iter()
        .map(|(command, meaning)| {
            Line::from(vec![
                Span::from(format!(" {command:<29} ")).cyan(),
                Span::from(*meaning),
            ])
        })
        .collect()
}

fn template_lines(templates: &[Template], room: usize) -> Vec<Line<'static>> {
    if templates.is_empty() {
        return vec![Line::from("There are no approved templates.".dim())];
    }
    let mut lines = Vec::new();
    for (number, template) in templates.iter().enumerate() {
        lines.push(Line::from(vec![
            Span::from(format!("[{}] ", number + 1)).cyan().bold(),
            Span::from(template.name.clone()).bold(),
            Span::from(format!(
                "  {}, {}",
                template.language,
                template.category.to_lowercase()
            ))
            .dim(),
        ]));
        let body = one_line(&printable(&template.body));
        lines.push(Line::from(format!(
            "    {}",
            shorten(&body, room.saturating_sub(4))
        )));
        let takes = format!("    takes {}", template::takes(template));
        lines.push(Line::from(shorten(&takes, room).dim()));
    }
    lines
}

/// A panel as text, for pipes.
pub(crate) fn plain(desk: &Desk) -> Option<String> {
    let over = over(desk, 100)?;
    let lines = over.lines.iter().map(Line::to_string);
    Some(lines.collect::<Vec<_>>().join("\n"))
}
