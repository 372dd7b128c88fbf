//! What a live session did, taken again: the proof that the engine gives the same bytes, and the
//! conversation as a scenario, to be kept as a test or played on another version.

use std::collections::BTreeMap;

use core_types::{Content, Reply, Timestamp};

use crate::compile::{CompiledFlow, Node};
use crate::engine::advance;
use crate::lab::call::Answered;
use crate::lab::player::{answers, to_tap_on};
use crate::lab::scenario::{Act, Line, Said, Scenario};
use crate::lab::span::Span;
use crate::session::Session;
use crate::step::{Action, EffectKey, Failure, Input, Step};

/// One step of a live session, with all that went into it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The session before it; empty before the first.
    pub before: Vec<u8>,
    /// What the flow was told.
    pub input: Input,
    /// What was known then, by full name.
    pub facts: BTreeMap<String, String>,
    /// The time of the step.
    pub now: Timestamp,
    /// The session after it.
    pub after: Vec<u8>,
    /// The exits that were taken.
    pub path: Vec<String>,
}

/// A live session, taken again.
#[derive(Clone, Debug)]
pub struct Retraced {
    /// The conversation, from the customer's first message on.
    pub scenario: Scenario,
    /// For each step, how many lines of the scenario there are when it is over.
    pub ends: Vec<usize>,
    /// The first step, from 0, that the engine did not take in the same way: another session or
    /// other exits.
    pub difference: Option<usize>,
}

/// A step that cannot be taken again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {position}: {failure}", position = .position + 1)]
pub struct RetraceError {
    /// Which, from 0.
    pub position: usize,
    /// Why.
    #[source]
    pub failure: Failure,
}

/// Takes every step again on the version the session ran on.
///
/// # Errors
/// When the engine refuses a step.
pub fn retrace(
    flow: &CompiledFlow,
    title: &str,
    steps: &[Recorded],
) -> Result<Retraced, RetraceError> {
    let began = steps
        .first()
        .map_or(Timestamp::from_micros(0), |step| step.now);
    let mut tape = Tape {
        clock: began,
        lines: Vec::new(),
        sent: Vec::new(),
    };
    let (mut ends, mut difference) = (Vec::with_capacity(steps.len()), None);
    let mut splits = BTreeMap::new();
    for (position, recorded) in steps.iter().enumerate() {
        let before = Some(&*recorded.before).filter(|before| !before.is_empty());
        let step = advance(flow, before, &recorded.input, &recorded.facts, recorded.now)
            .map_err(|failure| RetraceError { position, failure })?;
        if difference.is_none() && (step.session != recorded.after || step.path != recorded.path) {
            difference = Some(position);
        }
        note_splits(flow, &step, &mut splits);
        tape.put(flow, recorded, &step);
        ends.push(tape.lines.len());
    }
    let contact = steps.first().map(|step| contact(&step.facts));
    let at = jiff::Timestamp::from_microsecond(began.as_micros());
    Ok(Retraced {
        scenario: Scenario {
            title: title.to_owned(),
            at: at.ok().map(|at| at.to_string()),
            contact: contact.unwrap_or_default(),
            splits,
            calls: Vec::new(),
            steps: tape.lines,
        },
        ends,
        difference,
    })
}

fn contact(facts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let known = facts.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("contact.")?;
        Some((name.to_owned(), value.clone()))
    });
    known.collect()
}

/// The ways that the conversation took at splits: in a scenario they are said, not drawn.
fn note_splits(flow: &CompiledFlow, step: &Step<'_>, splits: &mut BTreeMap<String, String>) {
    for label in &step.path {
        let Some((widget, exit)) = label.split_once('/') else {
            continue;
        };
        let mut nodes = flow.nodes.iter();
        if nodes.any(|node| matches!(node, Node::Split(ways) if *ways.name == *widget)) {
            splits.insert(widget.to_owned(), exit.to_owned());
        }
    }
}

/// A scenario while it is written.
struct Tape {
    /// How far the scenario's clock has come: whole seconds after its beginning.
    clock: Timestamp,
    lines: Vec<Line>,
    /// What was sent in the last sprint that sent anything.
    sent: Vec<(EffectKey, Content)>,
}

impl Tape {
    fn put(&mut self, flow: &CompiledFlow, recorded: &Recorded, step: &Step<'_>) {
        match &recorded.input {
            Input::Start(content) | Input::Message(content) => {
                self.pass(recorded.now, false);
                let said = self.said(content);
                self.lines.push(Line::Customer(said));
            }
            // A wait that is over needs no line: the time that passes ends it.
            Input::TimedOut { .. } => self.pass(recorded.now, true),
            Input::SendFailed { key } => {
                self.pass(recorded.now, false);
                let place = self.sent.iter().position(|(own, _)| own == key);
                let number = place.and_then(|place| u32::try_from(place + 1).ok());
                // A message of an earlier sprint: its failure changed nothing.
                let Some(number) = number else { return };
                self.lines.push(Line::Unsent(number));
            }
            Input::Called { called, .. } => {
                self.pass(recorded.now, false);
                let widget = Session::waits_at(&recorded.before).unwrap_or_default();
                let answered = Answered::of(flow, widget, called);
                self.lines.push(Line::Answer(Box::new(answered)));
            }
        }
        self.lines.extend(answers(step));
        let sent = step
            .effects
            .iter()
            .filter_map(|effect| match &effect.action {
                Action::Send(content) => Some((effect.key, (**content).clone())),
                Action::RouteTo { .. }
                | Action::SetVariable { .. }
                | Action::Call(_)
                | Action::End { .. } => None,
            });
        let sent: Vec<_> = sent.collect();
        if !sent.is_empty() {
            self.sent = sent;
        }
    }

    /// Time passes until `now`: whole seconds, rounded up where a wait has to be over.
    fn pass(&mut self, now: Timestamp, over: bool) {
        let gone = now
            .as_micros()
            .saturating_sub(self.clock.as_micros())
            .max(0)
            .unsigned_abs();
        let seconds = if over {
            gone.div_ceil(1_000_000)
        } else {
            gone / 1_000_000
        };
        if seconds > 0 {
            let span = Span::from_seconds(seconds);
            self.clock = self.clock.plus(span.duration());
            self.lines.push(Line::Wait(span));
        }
    }

    /// What the customer did, as people write it in scenarios.
    fn said(&self, content: &Content) -> Said {
        match content {
            Content::Text {
                body,
                preview_url: false,
            } => Said::Text(body.clone()),
            Content::Reply(reply) if self.is_on_show(reply) => {
                Said::Act(Box::new(Act::Tap(reply.title.clone())))
            }
            other => Said::Act(Box::new(Act::Content(Box::new(other.clone())))),
        }
    }

    /// Whether a tap on the title of `reply` is this reply.
    fn is_on_show(&self, reply: &Reply) -> bool {
        let mut shown = self.sent.iter().flat_map(to_tap_on);
        let first = shown.find(|(_, id, title)| *title == reply.title || *id == reply.title);
        first == Some((reply.kind, &*reply.id, &*reply.title)) && reply.data.is_none()
    }
}
