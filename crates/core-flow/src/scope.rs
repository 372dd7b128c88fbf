//! What names mean inside one flow: widgets as targets of exits, and variables.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{Accept, Definition, OwnVariable, Settings, VariableType};
use crate::expression::Kind;
use crate::interpolation::Placeholder;
use crate::problem::nearest;

/// Facts a flow may ask for, as `{{contact.display_name}}`. A fact that is not known for a
/// customer is an empty text: since 2026 a customer may have no visible phone number.
pub const FACTS: [&str; 4] = [
    "contact.display_name",
    "contact.username",
    "contact.phone",
    "contact.user_id",
];

/// The group of a flow's own variables: `{{flow.count}}`.
pub(crate) const OWN: &str = "flow";

/// The group of what is known of the answer to a call: `response.body`.
pub(crate) const RESPONSE: &str = "response";

/// Widget names that would be taken for a group of facts, now or later.
pub(crate) const RESERVED: [&str; 11] = [
    "contact",
    "conversation",
    "engagement",
    "flow",
    "global",
    "message",
    "number",
    "referral",
    RESPONSE,
    "session",
    "system",
];

/// A variable as the engine knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variable {
    /// What a question was answered with.
    Answer(ValueKey),
    /// One of the flow's own, by its position in the definition.
    Own(u16),
    /// A fact from outside, by its full name.
    Fact(Box<str>),
    /// A part of the answer to a call; only where an answer is read.
    Response(ResponseField),
}

/// What is known of the answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ResponseField {
    /// Its HTTP status.
    Status,
    /// What its JSON says.
    Body,
    /// Its bytes as text.
    Text,
}

/// One value that a session keeps. Stored in sessions: numbers are never given a new meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ValueKey {
    /// Position in the definition: of the widget, or of the flow's own variable.
    pub(crate) position: u16,
    /// Which value.
    pub(crate) field: ValueField,
}

/// Which value a position stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueField {
    /// `value`: the choice's value, or the text where any text will do.
    Value = 0,
    /// `text`: what the customer wrote or tapped.
    Text = 1,
    /// One of the flow's own variables.
    Own = 2,
    /// `status`: how a call was answered.
    Status = 3,
    /// What a script that waits has had so far. No variable.
    Script = 4,
    /// How many scripts and calls there were since the customer wrote or time passed. No variable.
    InARow = 5,
}

impl ValueField {
    /// The name after the dot.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Text => "text",
            Self::Own => OWN,
            Self::Status => "status",
            Self::Script => "script",
            Self::InARow => "in_a_row",
        }
    }
}

/// See [`Scope`].
const GUESSES: u32 = 50;

/// The names of one flow.
pub(crate) struct Scope<'d> {
    /// How many more names are compared with all others to guess what was meant: a definition
    /// full of unknown names must not cost their number squared.
    guesses: Cell<u32>,
    widgets: BTreeMap<&'d str, (u16, &'d Settings)>,
    own: &'d [OwnVariable],
    own_names: BTreeMap<&'d str, u16>,
    /// The flow's own variables that something read, and those that something set.
    read: RefCell<BTreeSet<u16>>,
    /// Whether what is read is the answer to a call: nothing else is known there.
    in_response: Cell<bool>,
    set: RefCell<BTreeSet<u16>>,
}

/// A name that means nothing, in the words of a problem.
#[derive(Debug)]
pub(crate) struct Unresolved {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl<'d> Scope<'d> {
    /// The names of `definition`. Of widgets with one name, the first counts.
    pub(crate) fn new(definition: &'d Definition) -> Self {
        let mut widgets = BTreeMap::new();
        for (position, widget) in (0_u16..).zip(&definition.widgets) {
            widgets
                .entry(widget.name.as_str())
                .or_insert((position, &widget.settings));
        }
        let mut own_names = BTreeMap::new();
        for (position, variable) in (0_u16..).zip(&definition.variables) {
            own_names.entry(variable.name.as_str()).or_insert(position);
        }
        Self {
            guesses: Cell::new(GUESSES),
            widgets,
            own: &definition.variables,
            own_names,
            read: RefCell::default(),
            in_response: Cell::new(false),
            set: RefCell::default(),
        }
    }

    /// The position of the widget called `name`.
    pub(crate) fn target(&self, name: &str) -> Result<u16, Unresolved> {
        self.widgets
            .get(name)
            .map(|(position, _)| *position)
            .ok_or_else(|| Unresolved {
                message: format!("there is no widget `{}`", crate::problem::quote(name)),
                remedy: self.suggestion(name, "name one that exists, or null"),
            })
    }

    /// The settings of the widget called `name`.
    pub(crate) fn settings(&self, name: &str) -> Option<&'d Settings> {
        self.widgets.get(name).map(|(_, settings)| *settings)
    }

    /// What `{{scope.field}}` stands for.
    pub(crate) fn variable(&self, place: Placeholder<'_>) -> Result<Variable, Unresolved> {
        let Placeholder { scope, field } = place;
        if self.in_response.get() {
            return of_response(scope, field);
        }
        if scope == OWN {
            let position = self.own(field)?;
            self.read.borrow_mut().insert(position);
            return Ok(Variable::Own(position));
        }
        let full = format!("{scope}.{field}");
        if let Some((position, settings)) = self.widgets.get(scope) {
            let fields: &[ValueField] = match settings {
                Settings::CollectInput(_) => &[ValueField::Value, ValueField::Text],
                Settings::HttpCall(_) => &[ValueField::Status],
                Settings::Script(_) => &[ValueField::Value],
                _ => {
                    return Err(Unresolved {
                        message: format!("`{scope}` is a {}: it has no values", settings.kind()),
                        remedy: "use the name of a collect_input widget".to_owned(),
                    });
                }
            };
            let mut known = fields.iter().copied();
            let field = known.find(|known| known.name() == field);
            let field = field.ok_or_else(|| {
                let fields = fields
                    .iter()
                    .map(|field| format!("{scope}.{}", field.name()));
                let fields: Vec<String> = fields.collect();
                Unresolved {
                    message: format!("`{full}` is not a variable"),
                    remedy: format!("use {}", fields.join(" or ")),
                }
            })?;
            return Ok(Variable::Answer(ValueKey {
                position: *position,
                field,
            }));
        }
        if FACTS.contains(&full.as_str()) {
            return Ok(Variable::Fact(full.into()));
        }
        let remedy = match nearest(&full, FACTS) {
            Some(meant) => format!("did you mean {{{{{meant}}}}}?"),
            None => self.suggestion(
                scope,
                &format!(
                    "use a collect_input widget's value, or {}",
                    FACTS.join(", ")
                ),
            ),
        };
        Err(Unresolved {
            message: format!("`{full}` is not a variable"),
            remedy,
        })
    }

    /// Looks something up where the answer to a call is read, and nothing else is known.
    pub(crate) fn of_response<T>(&self, look: impl FnOnce(&Self) -> T) -> T {
        self.in_response.set(true);
        let found = look(self);
        self.in_response.set(false);
        found
    }

    /// The flow's own variable that `{{flow.name}}` stands for, to be set.
    pub(crate) fn to_set(&self, place: Placeholder<'_>) -> Result<u16, Unresolved> {
        let Placeholder { scope, field } = place;
        if scope != OWN {
            return Err(Unresolved {
                message: format!("`{scope}.{field}` cannot be set"),
                remedy: "set one of the flow's own variables, such as {{flow.count}}".to_owned(),
            });
        }
        let position = self.own(field)?;
        self.set.borrow_mut().insert(position);
        Ok(position)
    }

    fn own(&self, name: &str) -> Result<u16, Unresolved> {
        let known = self.own_names.get(name).copied();
        known.ok_or_else(|| {
            let left = self.guesses.get().checked_sub(1);
            let meant = left.and_then(|left| {
                self.guesses.set(left);
                nearest(name, self.own_names.keys().copied().take(200))
            });
            Unresolved {
                message: format!("the flow has no variable `{}`", crate::problem::quote(name)),
                remedy: match meant {
                    Some(meant) => format!("did you mean {{{{{OWN}.{meant}}}}}?"),
                    None => "add it to the flow's `variables`".to_owned(),
                },
            }
        })
    }

    /// The type of the flow's own variable at `position`.
    pub(crate) fn own_type(&self, position: u16) -> VariableType {
        let own = self.own.get(usize::from(position));
        own.map_or(VariableType::Text, |own| own.r#type)
    }

    /// Whether the values of the flow's own variable at `position` are kept out of records.
    pub(crate) fn is_masked(&self, position: u16) -> bool {
        self.own
            .get(usize::from(position))
            .is_some_and(|own| own.masked)
    }

    /// Whether something read the flow's own variable at `position`, and whether something set it.
    pub(crate) fn is_used(&self, position: u16) -> (bool, bool) {
        let (read, set) = (self.read.borrow(), self.set.borrow());
        (read.contains(&position), set.contains(&position))
    }

    /// Something reads, or sets, variables by names that it computes.
    pub(crate) fn may_use_all(&self, to_set: bool) {
        let used = if to_set { &self.set } else { &self.read };
        used.borrow_mut().extend(self.own_names.values());
    }

    /// What a variable is in an expression.
    pub(crate) fn kind(&self, variable: &Variable) -> Kind {
        match variable {
            Variable::Fact(_) | Variable::Response(ResponseField::Text) => Kind::Text,
            Variable::Response(ResponseField::Status) => Kind::Number,
            Variable::Response(ResponseField::Body) => Kind::Any,
            Variable::Answer(key) if key.field == ValueField::Status => Kind::Number,
            Variable::Own(position) => match self.own_type(*position) {
                VariableType::Number | VariableType::Currency | VariableType::Percent => {
                    Kind::Number
                }
                VariableType::Boolean => Kind::Boolean,
                VariableType::Json => Kind::Any,
                VariableType::List => Kind::List,
                VariableType::Text
                | VariableType::Date
                | VariableType::Time
                | VariableType::Email
                | VariableType::Phone
                | VariableType::Url => Kind::Text,
            },
            Variable::Answer(key) => {
                let mut widgets = self.widgets.values();
                let asked = widgets.find(|(position, _)| *position == key.position);
                match asked {
                    Some((_, Settings::CollectInput(question)))
                        if key.field == ValueField::Value
                            && question.choices.is_empty()
                            && matches!(question.accept, Accept::Number { .. }) =>
                    {
                        Kind::Number
                    }
                    _ => Kind::Text,
                }
            }
        }
    }

    fn suggestion(&self, name: &str, otherwise: &str) -> String {
        let Some(left) = self.guesses.get().checked_sub(1) else {
            return otherwise.to_owned();
        };
        self.guesses.set(left);
        match nearest(name, self.widgets.keys().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => otherwise.to_owned(),
        }
    }
}

fn of_response(scope: &str, field: &str) -> Result<Variable, Unresolved> {
    let fields = [
        ("status", ResponseField::Status),
        ("body", ResponseField::Body),
        ("text", ResponseField::Text),
    ];
    let known = fields.iter().find(|(name, _)| *name == field);
    match known {
        Some((_, field)) if scope == RESPONSE => Ok(Variable::Response(*field)),
        _ => Err(Unresolved {
            message: format!("`{scope}.{field}` is not known where an answer is read"),
            remedy: "use response.status, response.body or response.text".to_owned(),
        }),
    }
}
