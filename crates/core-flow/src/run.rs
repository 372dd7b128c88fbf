//! A sprint: plays widgets until the session waits or ends.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::time::Duration;

use core_types::{Content, Interactive, Timestamp};
use minijinja::Value;

use crate::answer::Answer;
use crate::compile::{
    CompiledFlow, Exit, Message, Node, Question, Rule, Segment, Switch, Test, Text, Ways,
};
use crate::expression::{Expression, as_text};
use crate::limits::{
    CAPTION, MAX_ANSWER, MAX_EVALUATIONS, MAX_SENDS_PER_SPRINT, MAX_SESSION_BYTES, TEXT_BODY,
};
use crate::scope::{ValueField, ValueKey, Variable};
use crate::session::{Sent, Session, SessionError, State, Waiting};
use crate::split::split;
use crate::step::{Action, Effect, EffectKey, Facts, Failure, Step, Wait};

/// What stands in the record for a value that is kept out of it.
const MASK: &str = "•••";
/// Most bytes all variables of a session may hold: the rest of a session needs room as well.
const MAX_HELD: usize = MAX_SESSION_BYTES - (16 << 10);

mod assign;
mod budget;
mod call;
mod meaning;
mod script;
mod template;

pub use self::call::{read_answer, why_failed};

/// A sprint under way.
pub(crate) struct Run<'f, 's> {
    flow: &'f CompiledFlow,
    facts: &'s dyn Facts,
    now: Timestamp,
    sprint: u64,
    waiting: Waiting<'s>,
    effects: Vec<Effect>,
    sends: u32,
    /// Expressions evaluated so far.
    evaluated: Cell<u32>,
    path: Vec<&'f str>,
}

/// What became of waiting: the session waits, or there is nothing to wait for and it goes on.
type Halt<'f, 's> = Result<Step<'f>, Box<Onward<'f, 's>>>;

/// A sprint that goes on from an exit.
struct Onward<'f, 's> {
    run: Run<'f, 's>,
    exit: &'f Exit,
}

impl<'f, 's> Run<'f, 's> {
    pub(crate) fn new(
        flow: &'f CompiledFlow,
        (facts, now): (&'s dyn Facts, Timestamp),
        sprint: u64,
        mut waiting: Waiting<'s>,
    ) -> Self {
        waiting.sends.clear();
        Self {
            flow,
            facts,
            now,
            sprint,
            waiting,
            effects: Vec::new(),
            sends: 0,
            evaluated: Cell::new(0),
            path: Vec::new(),
        }
    }

    /// Plays from `exit` to the next wait or the end.
    pub(crate) fn play(mut self, mut exit: &'f Exit) -> Result<Step<'f>, Failure> {
        for _ in 0..self.flow.step_budget {
            self.has_budget()?;
            self.path.push(&exit.label);
            let Some(target) = exit.target else {
                return self.close(&exit.label);
            };
            // Targets are positions in this very flow.
            let Some(node) = self.node(target) else {
                return Err(SessionError::Bad("position").into());
            };
            exit = match node {
                Node::Start { next } => next,
                Node::Send {
                    parts,
                    next,
                    failed,
                } => {
                    self.send_all(target, parts, failed.is_some())?;
                    next
                }
                Node::Template(template) => {
                    self.send_template(target, template)?;
                    &template.next
                }
                Node::Condition(switch) => self.choose(switch),
                Node::Set(assignments) => self.assign(assignments),
                Node::Hours { hours, open, .. } if hours.is_open(self.now) => open,
                Node::Hours { closed, .. } => closed,
                Node::Split(ways) => match self.way(ways) {
                    Some(exit) => exit,
                    None => return Err(SessionError::Bad("position").into()),
                },
                Node::Collect(_) | Node::Pause(_) | Node::Call(_) | Node::Script(_) => {
                    self.waiting.widget = target;
                    self.waiting.retries = 0;
                    match self.halt(target, node)? {
                        Ok(step) => return Ok(step),
                        Err(onward) => {
                            self = onward.run;
                            onward.exit
                        }
                    }
                }
                Node::End { label } => {
                    self.path.push(label);
                    return self.close(label);
                }
                Node::Route {
                    queue,
                    priority,
                    label,
                } => {
                    self.path.push(label);
                    self.effect(Action::RouteTo {
                        queue: queue.clone(),
                        priority: *priority,
                    });
                    return self.finish();
                }
            };
        }
        Err(Failure::Budget(format!(
            "the flow passed {} widgets without a question",
            self.flow.step_budget
        )))
    }

    /// Waits at a widget that waits.
    fn halt(mut self, target: u16, node: &'f Node) -> Result<Halt<'f, 's>, Failure> {
        if matches!(node, Node::Call(_) | Node::Script(_)) {
            self.count_in_a_row()?;
        }
        match node {
            Node::Collect(question) => self.ask(question, &question.prompt).map(Ok),
            Node::Pause(pause) => self.rest(pause.span).map(Ok),
            Node::Call(call) => self.call(target, call),
            Node::Script(script) => self.script(target, script),
            _ => Err(SessionError::Bad("position").into()),
        }
    }

    /// The widget at `target`, in the language of the conversation.
    fn node(&self, target: u16) -> Option<&'f Node> {
        let node = self.flow.nodes.get(usize::from(target))?;
        match (&self.flow.language, node) {
            (Some(language), Node::Send { .. } | Node::Collect(_)) => {
                let language = self.computed_text(language);
                self.flow.in_language(&language).get(usize::from(target))
            }
            _ => Some(node),
        }
    }

    /// Takes an answer to the question the session waits at.
    pub(crate) fn hear(
        mut self,
        question: &'f Question,
        content: &Content,
        answer: Answer<'_>,
    ) -> Result<Step<'f>, Failure> {
        let question = match self.node(self.waiting.widget) {
            Some(Node::Collect(spoken)) => spoken,
            _ => question,
        };
        let Some(value) = question.matching(content, answer) else {
            if self.waiting.retries < question.retries {
                self.waiting.retries += 1;
                self.path.push(&question.retry_label);
                let again = question.again.as_ref().unwrap_or(&question.prompt);
                return self.ask(question, again);
            }
            return self.play(&question.no_match);
        };
        let position = self.waiting.widget;
        let mut keep = |field, text: &str| {
            let key = ValueKey { position, field };
            self.waiting.set(key, Cow::Owned(text.to_owned()));
        };
        if question.keep_value {
            keep(ValueField::Value, &value);
        }
        if question.keep_text {
            keep(ValueField::Text, &shortened(answer.text().trim()));
        }
        self.effect(Action::SetVariable {
            name: question.variable.to_string(),
            value: value.into_owned(),
        });
        self.play(&question.matched)
    }

    /// Sends the question and waits.
    fn ask(mut self, question: &'f Question, text: &'f Text) -> Result<Step<'f>, Failure> {
        let mut pieces = split(&self.render(text), question.limit);
        let last = match &question.action {
            Some(_) => pieces.pop(),
            None => None,
        };
        for body in pieces {
            self.send(plain(body))?;
        }
        if let (Some(action), Some(body)) = (&question.action, last) {
            self.send(Content::Interactive(Interactive {
                header: None,
                body,
                footer: None,
                action: action.clone(),
            }))?;
        }
        self.rest(question.patience)
    }

    /// Waits for so long at the widget the session stands at.
    fn rest(mut self, span: Duration) -> Result<Step<'f>, Failure> {
        self.waiting.until = Some(self.now.plus(span));
        let wait = Wait {
            wait: self.sprint,
            until: self.waiting.until,
        };
        let waiting = std::mem::take(&mut self.waiting);
        self.end(State::Waiting(waiting), Some(wait))
    }

    fn send_all(
        &mut self,
        widget: u16,
        parts: &'f [Message],
        matters: bool,
    ) -> Result<(), Failure> {
        let first = self.effects.len() as u32;
        for part in parts {
            match part {
                Message::Text(text) => {
                    for body in split(&self.render(text), TEXT_BODY) {
                        self.send(plain(body))?;
                    }
                }
                Message::Fixed(content) => self.send((**content).clone())?,
                Message::Media { media, caption } => {
                    let caption = caption.as_ref().map(|text| self.render(text));
                    let mut pieces = split(&caption.unwrap_or_default(), CAPTION).into_iter();
                    self.send(Message::with_caption(media, pieces.next()))?;
                    for body in pieces {
                        self.send(plain(body))?;
                    }
                }
            }
        }
        let count = self.effects.len() as u32 - first;
        if matters && count > 0 {
            self.waiting.sends.push(Sent {
                first,
                count,
                widget,
            });
        }
        Ok(())
    }

    fn send(&mut self, content: Content) -> Result<(), Failure> {
        self.sends += 1;
        if self.sends > MAX_SENDS_PER_SPRINT {
            return Err(Failure::Budget(format!(
                "the flow sent {MAX_SENDS_PER_SPRINT} messages without a question"
            )));
        }
        self.effect(Action::Send(Box::new(content)));
        Ok(())
    }

    fn effect(&mut self, action: Action) {
        let key = EffectKey {
            sprint: self.sprint,
            index: self.effects.len() as u32,
        };
        self.effects.push(Effect { key, action });
    }

    /// The way of this conversation: its id decides, so it is the same one each time.
    fn way(&self, ways: &'f Ways) -> Option<&'f Exit> {
        if let Some(chosen) = self.facts.fact(&ways.chosen) {
            let named = |(_, exit): &&(u64, Exit)| exit.name() == chosen;
            return ways.exits.iter().find(named).map(|(_, exit)| exit);
        }
        let whose = self.facts.fact("conversation.id").unwrap_or_default();
        let place = spread(&[&ways.name, whose]).checked_rem(ways.all)?;
        let own = ways.exits.iter().find(|(before, _)| *before <= place);
        own.map(|(_, exit)| exit)
    }

    fn choose(&self, switch: &'f Switch) -> &'f Exit {
        // Branches mostly ask for one variable: what is known of it is kept from test to test.
        let mut known: Option<(&Variable, &str, OnceCell<Cow<'_, str>>)> = None;
        let mut holds = |(variable, test): &'f (Variable, Test)| {
            if known.as_ref().is_none_or(|(of, ..)| *of != variable) {
                known = Some((variable, self.value(variable), OnceCell::new()));
            }
            let known = known.as_ref();
            known.is_some_and(|(_, value, plain)| test.holds(value, plain))
        };
        for (rule, exit) in &switch.branches {
            let met = match rule {
                Rule::All(tests) => tests.iter().all(&mut holds),
                Rule::Any(tests) => tests.iter().any(&mut holds),
                Rule::Expression(expression) => {
                    let value = self.computed_value(expression);
                    value.is_some_and(|value| value.is_true())
                }
            };
            if met {
                return exit;
            }
        }
        &switch.otherwise
    }

    /// What a variable holds; an unset one is empty.
    fn value(&self, variable: &Variable) -> &str {
        match variable {
            Variable::Answer(key) => self.waiting.get(*key).unwrap_or_default(),
            Variable::Own(position) => {
                let key = ValueKey {
                    position: *position,
                    field: ValueField::Own,
                };
                let default = || self.flow.defaults.get(usize::from(*position));
                let set = self.waiting.get(key);
                set.or_else(|| default().map(|text| &**text))
                    .unwrap_or_default()
            }
            Variable::Fact(name) => self.facts.fact(name).unwrap_or_default(),
            // Known only where an answer is read.
            Variable::Response(_) => "",
        }
    }

    fn render(&self, text: &'f Text) -> Cow<'f, str> {
        if let [Segment::Literal(literal)] = &*text.0 {
            return Cow::Borrowed(literal);
        }
        let mut rendered = String::new();
        for segment in &text.0 {
            rendered.push_str(&self.segment(segment));
        }
        Cow::Owned(rendered)
    }

    /// What a piece of a text says.
    fn segment<'a>(&'a self, segment: &'a Segment) -> Cow<'a, str> {
        match segment {
            Segment::Literal(literal) => Cow::Borrowed(literal),
            Segment::Variable(variable) => Cow::Borrowed(self.value(variable)),
            Segment::Expression(expression) => Cow::Owned(self.computed_text(expression)),
        }
    }

    /// What an expression gives; `None` where it cannot be computed, or nothing more may be.
    fn computed_value(&self, expression: &Expression) -> Option<Value> {
        let evaluated = self.evaluated.get() + 1;
        self.evaluated.set(evaluated);
        if evaluated > MAX_EVALUATIONS {
            return None;
        }
        expression.value(|variable| self.value(variable))
    }

    /// The same as a text; empty where it cannot be computed.
    fn computed_text(&self, expression: &Expression) -> String {
        let value = self.computed_value(expression);
        value.and_then(|value| as_text(&value)).unwrap_or_default()
    }

    /// The flow's part ends, and nobody else has one.
    fn close(mut self, reason: &str) -> Result<Step<'f>, Failure> {
        let reason = reason.to_owned();
        self.effect(Action::End { reason });
        self.finish()
    }

    fn finish(self) -> Result<Step<'f>, Failure> {
        self.end(State::Finished, None)
    }

    fn end(self, state: State<'_>, wait: Option<Wait>) -> Result<Step<'f>, Failure> {
        self.has_budget()?;
        let session = Session {
            version: self.flow.version,
            sprint: self.sprint,
            state,
        };
        let session = session.encode();
        if session.len() > MAX_SESSION_BYTES {
            return Err(Failure::Budget(format!(
                "the session's variables need more than {MAX_SESSION_BYTES} bytes"
            )));
        }
        Ok(Step {
            session,
            effects: self.effects,
            finished: wait.is_none(),
            wait,
            path: self.path,
        })
    }
}

/// A number that looks like chance and is the same for the same texts everywhere: FNV-1a, and the
/// last mixing of MurmurHash3, without which its low bits follow the last letters.
fn spread(texts: &[&str]) -> u64 {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for text in texts {
        for byte in text.bytes().chain([0xFF]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

fn plain(body: String) -> Content {
    Content::Text {
        body,
        preview_url: false,
    }
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_ANSWER) {
        Some((end, _)) => Cow::Owned(text[..end].to_owned()),
        None => Cow::Borrowed(text),
    }
}

impl<'s> Waiting<'s> {
    fn get(&self, key: ValueKey) -> Option<&str> {
        let found = self.variables.binary_search_by_key(&key, |(own, _)| *own);
        found.ok().map(|place| &*self.variables[place].1)
    }

    fn remove(&mut self, key: ValueKey) {
        self.variables.retain(|(own, _)| *own != key);
    }

    fn set(&mut self, key: ValueKey, value: Cow<'s, str>) {
        match self.variables.binary_search_by_key(&key, |(own, _)| *own) {
            Ok(place) => self.variables[place].1 = value,
            Err(place) => self.variables.insert(place, (key, value)),
        }
    }
}
