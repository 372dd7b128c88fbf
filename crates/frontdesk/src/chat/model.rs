//! What the phone shows: messages with their ticks, and the options one can tap.

use core_types::{
    Content, Interactive, InteractiveAction, InteractiveHeader, ReplyKind, Timestamp,
};

use crate::terminal::{LineEditor, Scroll, printable};

/// Something that happened on the phone.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A message from the business.
    Arrived {
        at: Timestamp,
        id: String,
        content: Content,
    },
    /// The customer's own message.
    Sent {
        at: Timestamp,
        id: String,
        content: Content,
    },
    /// The business's system has the customer's message.
    Taken { id: String },
    /// The business has read it.
    BusinessRead { id: String },
    /// What was typed could not be sent.
    NotSent { typed: String, problem: String },
    /// The connection stands; the business's name, if known.
    Online { business: Option<String> },
    /// The connection is gone; `hopeless` when waiting will not bring it back.
    Offline { problem: String, hopeless: bool },
}

/// How far the customer's message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tick {
    /// On its way: one tick.
    Sent,
    /// With the business's system: two ticks.
    Taken,
    /// Read: two blue ticks.
    Read,
}

/// One message on the screen.
#[derive(Debug)]
pub(crate) struct Bubble {
    pub(crate) at: Timestamp,
    id: String,
    pub(crate) header: Option<String>,
    pub(crate) text: String,
    pub(crate) footer: Option<String>,
    /// `None` for messages of the business.
    pub(crate) tick: Option<Tick>,
    pub(crate) options: Vec<TapOption>,
}

/// Something that can be tapped, by its number on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TapOption {
    pub(crate) kind: ReplyKind,
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) detail: Option<String>,
    /// Heading of the section that begins with this row.
    pub(crate) heading: Option<String>,
}

/// The phone.
#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) owner: String,
    /// Whom the customer writes to: a name, or the number's id while it is not known.
    pub(crate) business: String,
    pub(crate) bubbles: Vec<Bubble>,
    pub(crate) editor: LineEditor,
    /// A problem the person should know of.
    pub(crate) notice: Option<String>,
    pub(crate) online: bool,
    /// Why there is no connection, while there is none.
    pub(crate) offline: Option<String>,
    pub(crate) scroll: Scroll,
}

impl Phone {
    pub(crate) fn new(owner: String, number_id: String) -> Self {
        Self {
            owner,
            business: number_id,
            bubbles: Vec::new(),
            editor: LineEditor::default(),
            notice: None,
            online: false,
            offline: None,
            scroll: Scroll::default(),
        }
    }

    /// Takes in what happened; says whether that is new. A message is shown once, however often its
    /// event comes: after a broken connection the whole story comes again.
    pub(crate) fn apply(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Arrived { at, id, content } => self.add(at, id, &content, None),
            Happening::Sent { at, id, content } => self.add(at, id, &content, Some(Tick::Sent)),
            Happening::Taken { id } => self.tick(&id, Tick::Taken),
            Happening::BusinessRead { id } => self.tick(&id, Tick::Read),
            Happening::NotSent { typed, problem } => {
                self.notice = Some(format!("Not sent: {problem}."));
                if self.editor.is_empty() {
                    self.editor.set(&typed);
                }
                true
            }
            Happening::Online { business } => {
                self.online = true;
                self.offline = None;
                if let Some(name) = business {
                    self.business = printable(&name);
                }
                true
            }
            Happening::Offline { problem, .. } => {
                self.online = false;
                self.offline.replace(problem.clone()) != Some(problem)
            }
        }
    }

    fn add(&mut self, at: Timestamp, id: String, content: &Content, tick: Option<Tick>) -> bool {
        if self.bubbles.iter().any(|bubble| bubble.id == id) {
            return false;
        }
        let mut bubble = Bubble {
            at,
            id,
            header: None,
            text: printable(&content.summary()),
            footer: None,
            tick,
            options: options(content),
        };
        if let Content::Interactive(interactive) = content {
            bubble.header = interactive.header.as_ref().map(header);
            bubble.footer = footer(interactive);
        }
        self.bubbles.push(bubble);
        true
    }

    fn tick(&mut self, id: &str, tick: Tick) -> bool {
        let Some(bubble) = self.bubbles.iter_mut().find(|bubble| bubble.id == id) else {
            return false;
        };
        let further = bubble.tick.map(|now| now.max(tick));
        std::mem::replace(&mut bubble.tick, further) != further
    }

    /// The message whose options can be tapped by number: the business's newest with options, as
    /// long as the customer has written nothing since.
    pub(crate) fn tappable(&self) -> Option<usize> {
        let unanswered = self.bubbles.iter().enumerate().rev();
        unanswered
            .take_while(|(_, bubble)| bubble.tick.is_none())
            .find(|(_, bubble)| !bubble.options.is_empty())
            .map(|(position, _)| position)
    }

    /// The option a typed number stands for.
    pub(crate) fn option(&self, line: &str) -> Option<&TapOption> {
        let number: usize = line.trim().parse().ok()?;
        let options = &self.bubbles[self.tappable()?].options;
        options.get(number.checked_sub(1)?)
    }
}

fn header(header: &InteractiveHeader) -> String {
    match header {
        InteractiveHeader::Text(text) => printable(text),
        InteractiveHeader::Media(media) => format!("[{}]", media.kind.word()),
    }
}

fn footer(interactive: &Interactive) -> Option<String> {
    let action = match &interactive.action {
        InteractiveAction::Link { text, url } => Some(format!("{text}: {url}")),
        InteractiveAction::LocationRequest => Some("[asks where you are]".to_owned()),
        InteractiveAction::Buttons { .. } | InteractiveAction::List { .. } => None,
    };
    let parts: Vec<String> = interactive
        .footer
        .clone()
        .into_iter()
        .chain(action)
        .collect();
    (!parts.is_empty()).then(|| printable(&parts.join("\n")))
}

/// What can be tapped in `content`, in order.
pub(crate) fn options(content: &Content) -> Vec<TapOption> {
    let plain = |kind, id: &str, title: &str| TapOption {
        kind,
        id: id.to_owned(),
        title: printable(title),
        detail: None,
        heading: None,
    };
    match content {
        Content::Interactive(interactive) => match &interactive.action {
            InteractiveAction::Buttons { buttons } => buttons
                .iter()
                .map(|button| plain(ReplyKind::Button, &button.id, &button.title))
                .collect(),
            InteractiveAction::List { sections, .. } => sections
                .iter()
                .flat_map(|section| {
                    let titles =
                        std::iter::once(Some(section.title.clone())).chain(std::iter::repeat(None));
                    section.rows.iter().zip(titles)
                })
                .map(|(row, heading)| TapOption {
                    detail: row.description.as_deref().map(printable),
                    heading: heading
                        .filter(|heading| !heading.is_empty())
                        .map(|heading| printable(&heading)),
                    ..plain(ReplyKind::List, &row.id, &row.title)
                })
                .collect(),
            InteractiveAction::Link { .. } | InteractiveAction::LocationRequest => Vec::new(),
        },
        Content::Template(template) => template
            .buttons
            .iter()
            .filter(|button| button.kind == "quick_reply")
            .map(|button| plain(ReplyKind::TemplateButton, &button.value, &button.value))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
