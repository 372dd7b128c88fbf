//! What names mean inside one flow: widgets as targets of exits, and variables.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::definition::{Definition, Settings};
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

/// Widget names that would be taken for a group of facts, now or later.
pub(crate) const RESERVED: [&str; 10] = [
    "contact",
    "conversation",
    "engagement",
    "flow",
    "global",
    "message",
    "number",
    "referral",
    "session",
    "system",
];

/// A variable as the engine knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variable {
    /// What a question was answered with.
    Answer(AnswerKey),
    /// A fact from outside, by its full name.
    Fact(Box<str>),
}

/// One value of one question. Stored in sessions: numbers are never given a new meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AnswerKey {
    /// Position of the widget in the definition.
    pub(crate) widget: u16,
    /// Which value.
    pub(crate) field: AnswerField,
}

/// The values of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AnswerField {
    /// `value`: the choice's value, or the text where any text will do.
    Value = 0,
    /// `text`: what the customer wrote or tapped.
    Text = 1,
}

impl AnswerField {
    /// The name after the dot.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Text => "text",
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
        Self {
            guesses: Cell::new(GUESSES),
            widgets,
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
        let full = format!("{scope}.{field}");
        if let Some((position, settings)) = self.widgets.get(scope) {
            if !matches!(settings, Settings::CollectInput(_)) {
                return Err(Unresolved {
                    message: format!("`{scope}` is a {}: it has no values", settings.kind()),
                    remedy: "use the name of a collect_input widget".to_owned(),
                });
            }
            let field = [AnswerField::Value, AnswerField::Text]
                .into_iter()
                .find(|known| known.name() == field)
                .ok_or_else(|| Unresolved {
                    message: format!("`{full}` is not a variable"),
                    remedy: format!("use {scope}.value or {scope}.text"),
                })?;
            return Ok(Variable::Answer(AnswerKey {
                widget: *position,
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
