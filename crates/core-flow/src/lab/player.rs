//! Plays a flow on the production engine, with a clock that only scenarios turn.

use std::collections::BTreeMap;

use core_types::{
    Content, InteractiveAction, Location, Media, MediaKind, Reply, ReplyKind, Timestamp,
};

use crate::compile::{CompiledFlow, Node};
use crate::engine::advance;
use crate::lab::call::{Answered, ShownCall, Stub, request_line};
use crate::lab::coverage::Coverage;
use crate::lab::scenario::{Act, Line, Routed, Said, Scenario};
use crate::lab::shown::Shown;
use crate::lab::span::Span;
use crate::scope::FACTS;
use crate::step::{Action, EffectKey, Failure, Input, Request, Step, Wait};

/// Waits that may end within one span: a flow that asks again for as long as the customer is
/// silent must not be played for ever.
const MOST_WAITS: u32 = 10_000;
/// Calls that may be answered one after another: a flow that is right has no loop of them.
const MOST_CALLS: u32 = 1_000;

/// A flow being played.
#[derive(Debug)]
pub struct Player<'f> {
    flow: &'f CompiledFlow,
    facts: BTreeMap<String, String>,
    now: Timestamp,
    session: Option<Vec<u8>>,
    wait: Option<Wait>,
    finished: bool,
    /// What was sent in the last sprint that sent anything, with its keys.
    sent: Vec<(EffectKey, Content)>,
    /// The call it waits for.
    asked: Option<Request>,
    stubs: Vec<Stub>,
    taken: Coverage,
}

/// A scenario as it was played.
#[derive(Debug)]
pub struct Played {
    /// The scenario with the flow's real answers in place of the written ones.
    pub lines: Vec<Line>,
    /// The exits that were taken.
    pub taken: Coverage,
    /// The session at the end, as it would be stored.
    pub session: Vec<u8>,
}

/// Why a scenario cannot be played on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlayerError {
    /// The engine refused the step.
    #[error("the step cannot be taken: {0}")]
    Step(#[from] Failure),
    /// Something happens after the flow's part is over.
    #[error("the flow's part is over; remove what happens after it")]
    Over,
    /// Something happens before the customer has written.
    #[error("nothing has begun; the first line is what the customer writes")]
    NotBegun,
    /// There is nothing to tap on with that name.
    #[error("there is nothing to tap on called `{wanted}`; {shown}")]
    NothingToTap {
        /// The title or id.
        wanted: String,
        /// What there is.
        shown: String,
    },
    /// Something of a customer that flows do not know.
    #[error("`contact: {0}` is not known of a customer; {known} are", known = FACTS.join(", "))]
    NoSuchFact(String),
    /// A scenario chooses at a split that is not there.
    #[error("there is no split `{0}` to choose at; `splits` names split widgets")]
    NoSuchSplit(String),
    /// A scenario chooses a way that is not there.
    #[error("the split {split} has no such way; it has {exits}")]
    NoSuchWay {
        /// The split.
        split: String,
        /// Its ways.
        exits: String,
    },
    /// A place that is none.
    #[error("`{0}` is no place; write latitude,longitude in degrees, such as 52.52,13.405")]
    NoPlace(String),
    /// There is no such message.
    #[error("the flow sent {sent} messages last; `unsent` counts them from 1")]
    NoSuchMessage {
        /// How many there are.
        sent: usize,
    },
    /// Nothing was asked.
    #[error("the flow waits for no answer; `answer` follows a `call`")]
    NothingAsked,
    /// The flow goes on by itself for too long.
    #[error("the flow ended {MOST_WAITS} waits within one span; lead a timeout to an end")]
    Endless,
}

impl<'f> Player<'f> {
    /// A conversation that has not begun, of a customer of whom `contact` is known
    /// (`display_name` is `{{contact.display_name}}`).
    pub fn new(flow: &'f CompiledFlow, contact: &BTreeMap<String, String>, now: Timestamp) -> Self {
        let facts = contact.iter();
        let facts = facts.map(|(name, value)| (format!("contact.{name}"), value.clone()));
        Self {
            flow,
            facts: facts.collect(),
            now,
            session: None,
            wait: None,
            finished: false,
            sent: Vec::new(),
            asked: None,
            stubs: Vec::new(),
            taken: Coverage::default(),
        }
    }

    /// From now on the split called `split` takes `exit`.
    ///
    /// # Errors
    /// When there is no such split or exit.
    pub fn choose(&mut self, split: &str, exit: &str) -> Result<(), PlayerError> {
        let named = self.flow.nodes.iter().find_map(|node| match node {
            Node::Split(ways) if *ways.name == *split => Some(ways),
            _ => None,
        });
        let Some(ways) = named else {
            return Err(PlayerError::NoSuchSplit(crate::problem::quote(split)));
        };
        let mut exits: Vec<&str> = ways.exits.iter().map(|(_, exit)| exit.name()).collect();
        if !exits.contains(&exit) {
            exits.reverse();
            return Err(PlayerError::NoSuchWay {
                split: split.to_owned(),
                exits: exits.join(", "),
            });
        }
        self.facts.insert(format!("split.{split}"), exit.to_owned());
        Ok(())
    }

    /// From now on these calls are answered at once, by the first that fits.
    pub fn answer_calls(&mut self, stubs: &[Stub]) {
        self.stubs.extend_from_slice(stubs);
    }

    /// The call the flow waits for.
    pub fn asked(&self) -> Option<&Request> {
        self.asked.as_ref()
    }

    /// Whether the flow's part is over.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The time in the conversation.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When the flow goes on by itself.
    pub fn waits_until(&self) -> Option<Timestamp> {
        self.wait.and_then(|wait| wait.until)
    }

    /// The session as it would be stored; nothing before it has begun.
    pub fn session(&self) -> Option<&[u8]> {
        self.session.as_deref()
    }

    /// The exits taken so far.
    pub fn taken(&self) -> &Coverage {
        &self.taken
    }

    /// Lets the customer do something; what the flow answers.
    ///
    /// # Errors
    /// When that cannot happen now.
    pub fn customer(&mut self, said: &Said) -> Result<Vec<Line>, PlayerError> {
        if self.finished {
            return Err(PlayerError::Over);
        }
        let content = match said {
            Said::Text(body) => text(body),
            Said::Act(act) => self.act(act)?,
        };
        let input = match self.session {
            Some(_) => Input::Message(content),
            None => Input::Start(content),
        };
        self.step(&input)
    }

    /// Lets time pass; what the flow does meanwhile.
    ///
    /// # Errors
    /// When nothing has begun, or the flow never stops.
    pub fn wait(&mut self, span: Span) -> Result<Vec<Line>, PlayerError> {
        let target = self.now.plus(span.duration());
        let mut lines = Vec::new();
        for _ in 0..MOST_WAITS {
            match self.wait {
                Some(Wait {
                    wait,
                    until: Some(until),
                }) if until <= target => {
                    self.now = self.now.max(until);
                    lines.extend(self.step(&Input::TimedOut { wait })?);
                }
                _ => {
                    self.now = target;
                    return Ok(lines);
                }
            }
        }
        Err(PlayerError::Endless)
    }

    /// WhatsApp refuses a message, counted from 1 in what the flow said last.
    ///
    /// # Errors
    /// When there is no such message.
    pub fn unsent(&mut self, number: u32) -> Result<Vec<Line>, PlayerError> {
        if self.session.is_none() {
            return Err(PlayerError::NotBegun);
        }
        let place = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        let Some((key, _)) = place.and_then(|place| self.sent.get(place)) else {
            return Err(PlayerError::NoSuchMessage {
                sent: self.sent.len(),
            });
        };
        let input = Input::SendFailed { key: *key };
        self.step(&input)
    }

    /// The other system answers the call the flow waits for.
    ///
    /// # Errors
    /// When it waits for none.
    pub fn answer(&mut self, answered: &Answered) -> Result<Vec<Line>, PlayerError> {
        let wait = self.wait.map(|wait| wait.wait);
        let (Some(request), Some(wait)) = (&self.asked, wait) else {
            return Err(PlayerError::NothingAsked);
        };
        let called = answered.told(self.flow, request.widget);
        self.step(&Input::Called { wait, called })
    }

    fn step(&mut self, input: &Input) -> Result<Vec<Line>, PlayerError> {
        let mut lines = self.take(input)?;
        for _ in 0..MOST_CALLS {
            let line = self.asked.as_ref().map(request_line);
            let stub = line.and_then(|line| self.stubs.iter().find(|stub| stub.matches(&line)));
            let Some(answer) = stub.map(|stub| stub.answer.clone()) else {
                return Ok(lines);
            };
            let called = self
                .asked
                .as_ref()
                .zip(self.wait)
                .map(|(request, wait)| Input::Called {
                    wait: wait.wait,
                    called: answer.told(self.flow, request.widget),
                });
            match called {
                Some(input) => lines.extend(self.take(&input)?),
                None => return Ok(lines),
            }
        }
        Err(PlayerError::Endless)
    }

    fn take(&mut self, input: &Input) -> Result<Vec<Line>, PlayerError> {
        let step = advance(
            self.flow,
            self.session.as_deref(),
            input,
            &self.facts,
            self.now,
        )?;
        let lines = answers(&step);
        for label in &step.path {
            self.taken.count(label);
        }
        // A step without effect leaves the session where it waits.
        if self.wait != step.wait {
            self.asked = None;
        }
        let mut sent = Vec::new();
        for effect in step.effects {
            match effect.action {
                Action::Send(content) => sent.push((effect.key, *content)),
                Action::Call(request) => self.asked = Some(*request),
                Action::RouteTo { .. } | Action::SetVariable { .. } | Action::End { .. } => {}
            }
        }
        if !sent.is_empty() {
            self.sent = sent;
        }
        self.session = Some(step.session);
        self.wait = step.wait;
        self.finished = step.finished;
        Ok(lines)
    }

    fn act(&self, act: &Act) -> Result<Content, PlayerError> {
        Ok(match act {
            Act::Tap(name) => self.tap(name)?,
            Act::Image(caption) => media(MediaKind::Image, Some(caption)),
            Act::Place(text) => place(text)?,
            Act::Sticker(_) => media(MediaKind::Sticker, None),
            Act::Content(content) => (**content).clone(),
        })
    }

    /// A tap on what was shown last under this title or id.
    fn tap(&self, wanted: &str) -> Result<Content, PlayerError> {
        let shown: Vec<(ReplyKind, &str, &str)> = self.sent.iter().flat_map(to_tap_on).collect();
        let found = shown
            .iter()
            .find(|(_, id, title)| *title == wanted || *id == wanted);
        let Some((kind, id, title)) = found else {
            let titles: Vec<&str> = shown.iter().map(|(_, _, title)| *title).collect();
            return Err(PlayerError::NothingToTap {
                wanted: crate::problem::quote(wanted),
                shown: match titles.as_slice() {
                    [] => "nothing was shown to tap on".to_owned(),
                    titles => format!("there are: {}", titles.join(", ")),
                },
            });
        };
        Ok(Content::Reply(Reply {
            kind: *kind,
            id: (*id).to_owned(),
            title: (*title).to_owned(),
            data: None,
        }))
    }
}

/// Plays a scenario from its start, from `now` on.
///
/// # Errors
/// With the position of the line, from 0, at which it cannot go on, and why.
pub fn play(
    flow: &CompiledFlow,
    scenario: &Scenario,
    now: Timestamp,
) -> Result<Played, (usize, PlayerError)> {
    let mut player = Player::new(flow, &scenario.contact, now);
    for name in scenario.contact.keys() {
        if !FACTS.contains(&format!("contact.{name}").as_str()) {
            return Err((0, PlayerError::NoSuchFact(crate::problem::quote(name))));
        }
    }
    player.answer_calls(&scenario.calls);
    for (split, exit) in &scenario.splits {
        player.choose(split, exit).map_err(|error| (0, error))?;
    }
    let mut lines = Vec::with_capacity(scenario.steps.len());
    for (position, line) in scenario.steps.iter().enumerate() {
        let answers = match line {
            Line::Customer(said) => player.customer(said),
            Line::Wait(span) => player.wait(*span),
            Line::Unsent(number) => player.unsent(*number),
            Line::Answer(answered) => player.answer(answered),
            Line::Flow(_) | Line::Call(_) | Line::Set(_) | Line::Route(_) | Line::End(_) => {
                continue;
            }
        };
        lines.push(line.clone());
        lines.extend(answers.map_err(|error| (position, error))?);
    }
    let Some(session) = player.session else {
        return Err((0, PlayerError::NotBegun));
    };
    Ok(Played {
        lines,
        taken: player.taken,
        session,
    })
}

/// What a step did, as a scenario writes it.
pub(super) fn answers(step: &Step<'_>) -> Vec<Line> {
    let effects = step.effects.iter();
    let line = effects.map(|effect| match &effect.action {
        Action::Send(content) => Line::Flow(Shown::from(&**content)),
        Action::Call(request) => Line::Call(ShownCall::from(&**request)),
        Action::SetVariable { name, value } => {
            Line::Set(BTreeMap::from([(name.clone(), value.clone())]))
        }
        Action::RouteTo { queue, priority } => Line::Route(Routed {
            queue: queue.to_string(),
            priority: *priority,
        }),
        Action::End { reason } => Line::End(reason.clone()),
    });
    line.collect()
}

pub(super) fn to_tap_on((_, content): &(EffectKey, Content)) -> Vec<(ReplyKind, &str, &str)> {
    let message = match content {
        Content::Interactive(message) => message,
        // Its title is the template's own; here stands what a tap sends back.
        Content::Template(template) => {
            let replies = template.buttons.iter();
            let replies = replies.filter(|button| button.kind == "quick_reply");
            return replies
                .map(|button| (ReplyKind::TemplateButton, &*button.value, &*button.value))
                .collect();
        }
        _ => return Vec::new(),
    };
    match &message.action {
        InteractiveAction::Buttons { buttons } => buttons
            .iter()
            .map(|button| (ReplyKind::Button, &*button.id, &*button.title))
            .collect(),
        InteractiveAction::List { sections, .. } => sections
            .iter()
            .flat_map(|section| &section.rows)
            .map(|row| (ReplyKind::List, &*row.id, &*row.title))
            .collect(),
        InteractiveAction::Link { .. } | InteractiveAction::LocationRequest => Vec::new(),
    }
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.to_owned(),
        preview_url: false,
    }
}

fn place(text: &str) -> Result<Content, PlayerError> {
    let degrees = |text: &str, most: f64| {
        let degrees: f64 = text.trim().parse().ok()?;
        (degrees.abs() <= most).then_some(degrees)
    };
    let both = text
        .split_once(',')
        .and_then(|(north, east)| degrees(north, 90.0).zip(degrees(east, 180.0)));
    let (latitude, longitude) =
        both.ok_or_else(|| PlayerError::NoPlace(crate::problem::quote(text)))?;
    Ok(Content::Location(Location {
        latitude,
        longitude,
        name: None,
        address: None,
        url: None,
    }))
}

fn media(kind: MediaKind, caption: Option<&str>) -> Content {
    Content::Media(Media {
        kind,
        id: Some("1".to_owned()),
        link: None,
        mime_type: None,
        sha256: None,
        caption: caption.map(str::to_owned),
        filename: None,
        voice: false,
        animated: false,
    })
}
