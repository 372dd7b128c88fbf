//! The widgets of a compiled flow: what the engine reads while it plays.

use std::time::Duration;

use core_types::{Content, InteractiveAction, Media, QueueId};

use super::call::Call;
use super::script::ScriptNode;
use super::template::TemplateMessage;
use crate::definition::{Accept, VariableType};
use crate::expression::Expression;
use crate::hours::Hours;
use crate::scope::{ValueKey, Variable};

/// A way out of a widget.
#[derive(Debug)]
pub(crate) struct Exit {
    /// Position of the widget it leads to; `None` ends the flow.
    pub(crate) target: Option<u16>,
    /// `Widget/exit`, as it stands in paths.
    pub(crate) label: Box<str>,
}

impl Exit {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.label.rsplit('/').next().unwrap_or_default()
    }
}

/// A widget.
#[derive(Debug)]
pub(crate) enum Node {
    Start {
        next: Exit,
    },
    Send {
        parts: Box<[Message]>,
        next: Exit,
        /// `None` when a failure changes nothing.
        failed: Option<Exit>,
    },
    Template(Box<TemplateMessage>),
    Collect(Box<Question>),
    Condition(Box<Switch>),
    Set(Box<Assignments>),
    Hours {
        hours: Box<Hours>,
        open: Exit,
        closed: Exit,
    },
    Split(Box<Ways>),
    Pause(Pause),
    Call(Box<Call>),
    Script(Box<ScriptNode>),
    End {
        label: Box<str>,
    },
    Route {
        queue: QueueId,
        priority: i32,
        label: Box<str>,
    },
}

/// One message of a Send Media widget.
#[derive(Debug)]
pub(crate) enum Message {
    Text(Text),
    Media {
        media: Box<Media>,
        caption: Option<Text>,
    },
    /// The same for everybody.
    Fixed(Box<Content>),
}

/// A text in segments.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) Box<[Segment]>);

/// A piece of a text.
#[derive(Debug)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Variable(Variable),
    Expression(Box<Expression>),
}

/// A Collect Input widget.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) prompt: Text,
    /// Said when asking again; `None` repeats the prompt.
    pub(crate) again: Option<Text>,
    pub(crate) retries: u8,
    /// WhatsApp's limit for the body, in characters.
    pub(crate) limit: usize,
    /// The buttons or list under the text.
    pub(crate) action: Option<InteractiveAction>,
    /// What counts where there are no choices.
    pub(crate) accept: Accept,
    /// Values of the choices, in the order of the definition.
    pub(crate) values: Box<[Box<str>]>,
    /// Normalised texts that mean a choice, sorted, with its position in `values`.
    pub(crate) keys: Box<[(Box<str>, u16)]>,
    /// `Widget.value`.
    pub(crate) variable: Box<str>,
    /// Whether anything reads the value; otherwise it is not kept.
    pub(crate) keep_value: bool,
    /// The same for the text.
    pub(crate) keep_text: bool,
    pub(crate) patience: Duration,
    pub(crate) matched: Exit,
    pub(crate) no_match: Exit,
    pub(crate) timeout: Exit,
    /// `Widget/retry`: stands in the path when the question is asked again.
    pub(crate) retry_label: Box<str>,
}

/// A Split widget.
#[derive(Debug)]
pub(crate) struct Ways {
    /// Mixed into the choice, so that two splits are independent of each other.
    pub(crate) name: Box<str>,
    /// Fact by which a scenario chooses the way.
    pub(crate) chosen: Box<str>,
    /// Each with the sum of the shares before it, the last first.
    pub(crate) exits: Box<[(u64, Exit)]>,
    /// The sum of all shares.
    pub(crate) all: u64,
}

/// A Wait widget.
#[derive(Debug)]
pub(crate) struct Pause {
    pub(crate) span: Duration,
    pub(crate) next: Exit,
    /// `None` when what the customer writes meanwhile changes nothing.
    pub(crate) message: Option<Exit>,
}

/// A Condition widget.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) branches: Box<[(Rule, Exit)]>,
    pub(crate) otherwise: Exit,
}

/// What has to hold for a branch.
#[derive(Debug)]
pub(crate) enum Rule {
    /// Every comparison.
    All(Box<[(Variable, Test)]>),
    /// One of them.
    Any(Box<[(Variable, Test)]>),
    /// What an expression says.
    Expression(Box<Expression>),
}

/// A Set Variables widget.
#[derive(Debug)]
pub(crate) struct Assignments {
    pub(crate) set: Box<[Assigned]>,
    pub(crate) next: Exit,
    /// `None` when a failure changes nothing.
    pub(crate) failed: Option<Exit>,
}

/// One of the flow's own variables, to be set.
#[derive(Debug)]
pub(crate) struct OwnPlace {
    pub(crate) key: ValueKey,
    /// `flow.count`.
    pub(crate) name: Box<str>,
    pub(crate) kind: VariableType,
    /// Whether its value is kept out of the record.
    pub(crate) masked: bool,
}

/// What one variable is set to.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) place: OwnPlace,
    pub(crate) from: Source,
}

/// Where the value of an assignment comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A value known already, in the form in which it is kept.
    Fixed(Box<str>),
    /// A text, read as the variable's type.
    Text(Text),
    Expression(Expression),
}

/// A comparison. Texts are normalised already.
#[derive(Debug)]
pub(crate) enum Test {
    Equals {
        other: Box<str>,
        /// Whether it is a number below zero: normalising takes signs away.
        below_zero: bool,
    },
    NotEquals {
        other: Box<str>,
        below_zero: bool,
    },
    Contains(Box<str>),
    StartsWith(Box<str>),
    GreaterThan(f64),
    LessThan(f64),
    Before(Box<str>),
    After(Box<str>),
    IsSet,
    IsEmpty,
}
