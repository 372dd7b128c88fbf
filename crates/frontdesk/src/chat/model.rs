//! What the phone shows: messages with their ticks, and the options one can tap.

use core_types::{Content, InteractiveAction, ReplyKind, Timestamp};

use crate::terminal::{LineEditor, printable};

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
    /// The connection is gone, for the reason given.
    Offline(String),
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
    pub(crate) text: String,
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
}

/// The phone.
#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) owner: String,
    pub(crate) bubbles: Vec<Bubble>,
    pub(crate) editor: LineEditor,
    /// A problem the person should know of.
    pub(crate) notice: Option<String>,
    /// Lines scrolled up from the end.
    pub(crate) scrolled: usize,
}

impl Phone {
    pub(crate) fn new(owner: String) -> Self {
        Self {
            owner,
            bubbles: Vec::new(),
            editor: LineEditor::default(),
            notice: None,
            scrolled: 0,
        }
    }

    /// Scrolls up, or down when negative.
    pub(crate) fn scroll(&mut self, lines: isize) {
        self.scrolled = self.scrolled.saturating_add_signed(lines);
    }

    /// Takes in what happened. A message is shown once, however often its event comes: after a
    /// broken connection the whole story comes again.
    pub(crate) fn apply(&mut self, happening: Happening) {
        match happening {
            Happening::Arrived { at, id, content } => self.add(at, id, &content, None),
            Happening::Sent { at, id, content } => self.add(at, id, &content, Some(Tick::Sent)),
            Happening::Taken { id } => self.tick(&id, Tick::Taken),
            Happening::BusinessRead { id } => self.tick(&id, Tick::Read),
            Happening::Offline(problem) => {
                self.notice = Some(format!("{problem}; trying again"));
                return;
            }
        }
        self.notice = None;
    }

    fn add(&mut self, at: Timestamp, id: String, content: &Content, tick: Option<Tick>) {
        if self.bubbles.iter().any(|bubble| bubble.id == id) {
            return;
        }
        let text = printable(&content.summary());
        self.bubbles.push(Bubble {
            at,
            id,
            text,
            tick,
            options: options(content),
        });
        self.scrolled = 0;
    }

    fn tick(&mut self, id: &str, tick: Tick) {
        if let Some(bubble) = self.bubbles.iter_mut().find(|bubble| bubble.id == id) {
            bubble.tick = bubble.tick.map(|now| now.max(tick));
        }
    }

    /// The option a typed number stands for, when the business's last message has options and the
    /// customer has not answered since.
    pub(crate) fn option(&self, line: &str) -> Option<&TapOption> {
        let last = self.bubbles.last().filter(|bubble| bubble.tick.is_none())?;
        let number: usize = line.trim().parse().ok()?;
        last.options.get(number.checked_sub(1)?)
    }
}

fn options(content: &Content) -> Vec<TapOption> {
    match content {
        Content::Interactive(interactive) => match &interactive.action {
            InteractiveAction::Buttons { buttons } => buttons
                .iter()
                .map(|button| TapOption {
                    kind: ReplyKind::Button,
                    id: button.id.clone(),
                    title: button.title.clone(),
                })
                .collect(),
            InteractiveAction::List { sections, .. } => sections
                .iter()
                .flat_map(|section| &section.rows)
                .map(|row| TapOption {
                    kind: ReplyKind::List,
                    id: row.id.clone(),
                    title: row.title.clone(),
                })
                .collect(),
            InteractiveAction::Link { .. } | InteractiveAction::LocationRequest => Vec::new(),
        },
        Content::Template(template) => template
            .buttons
            .iter()
            .filter(|button| button.kind == "quick_reply")
            .map(|button| TapOption {
                kind: ReplyKind::TemplateButton,
                id: button.value.clone(),
                title: button.value.clone(),
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use core_types::{Button, Interactive};

    use super::*;

    fn arrived(id: &str, content: Content) -> Happening {
        Happening::Arrived {
            at: Timestamp::EPOCH,
            id: id.into(),
            content,
        }
    }

    fn text(body: &str) -> Content {
        Content::Text {
            body: body.into(),
            preview_url: false,
        }
    }

    fn buttons() -> Content {
        let button = |id: &str| Button {
            id: id.into(),
            title: format!("Title {id}"),
        };
        Content::Interactive(Interactive {
            header: None,
            body: "Choose".into(),
            footer: None,
            action: InteractiveAction::Buttons {
                buttons: vec![button("a"), button("b")],
            },
        })
    }

    #[test]
    fn a_number_taps_only_while_options_are_on_show() {
        let mut phone = Phone::new("Maria".into());
        assert!(phone.option("1").is_none());
        phone.apply(arrived("w1", buttons()));
        assert_eq!(phone.option(" 2 ").unwrap().id, "b");
        assert!(phone.option("3").is_none() && phone.option("0").is_none());
        let sent = Happening::Sent {
            at: Timestamp::EPOCH,
            id: "w2".into(),
            content: text("x"),
        };
        phone.apply(sent);
        assert!(phone.option("2").is_none());
    }

    #[test]
    fn a_story_told_again_changes_nothing_and_ticks_only_grow() {
        let mut phone = Phone::new("Maria".into());
        for _ in 0..2 {
            let sent = Happening::Sent {
                at: Timestamp::EPOCH,
                id: "w".into(),
                content: text("Hi"),
            };
            phone.apply(sent);
            phone.apply(Happening::BusinessRead { id: "w".into() });
            phone.apply(Happening::Taken { id: "w".into() });
        }
        assert_eq!(phone.bubbles.len(), 1);
        assert_eq!(phone.bubbles[0].tick, Some(Tick::Read));
    }
}
