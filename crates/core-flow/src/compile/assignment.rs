//! Assignments made ready to run.

use super::{Assigned, Assignments, Compiler, OwnPlace, Source, Text};
use crate::definition::{SetVariables, VariableType, Widget};
use crate::expression::Kind;
use crate::interpolation::{Piece, Placeholder, pieces, single};
use crate::problem::Problem;
use crate::scope::{OWN, Unresolved, ValueField, ValueKey};

impl Compiler<'_> {
    pub(super) fn assignments(
        &mut self,
        widget: &Widget,
        settings: &SetVariables,
    ) -> Result<Assignments, Problem> {
        let set = settings.set.iter().enumerate().map(|(index, assignment)| {
            let field = |part: &str| format!("settings.set[{index}].{part}");
            let place = self.place_of(widget, &field("variable"), &assignment.variable)?;
            let from = match (&assignment.expression, &assignment.value) {
                (Some(source), _) => {
                    Source::Expression(self.expression(widget, &field("expression"), source)?)
                }
                (None, Some(text)) => self.source(widget, &field("value"), (text, place.kind))?,
                (None, None) => Source::Text(Text(Box::default())),
            };
            Ok(Assigned { place, from })
        });
        Ok(Assignments {
            set: set.collect::<Result<_, Problem>>()?,
            next: self.exit(widget, "next")?,
            failed: Some(self.exit(widget, "failed")?).filter(|exit| exit.target.is_some()),
        })
    }

    /// The own variable that `text` names, such as `{{flow.count}}`.
    pub(super) fn place_of(
        &self,
        widget: &Widget,
        field: &str,
        text: &str,
    ) -> Result<OwnPlace, Problem> {
        let named = single(text).map_err(|message| {
            let remedy = "write {{flow.name}}";
            Problem::error(&widget.name, field, message, remedy)
        })?;
        self.own_place(named)
            .map_err(|error| Problem::error(&widget.name, field, error.message, error.remedy))
    }

    /// Where an own variable is kept, and how.
    pub(super) fn own_place(&self, named: Placeholder<'_>) -> Result<OwnPlace, Unresolved> {
        let position = self.scope.to_set(named)?;
        Ok(OwnPlace {
            key: ValueKey {
                position,
                field: ValueField::Own,
            },
            name: format!("{OWN}.{}", named.field).into(),
            kind: self.scope.own_type(position),
            masked: self.scope.is_masked(position),
        })
    }

    /// A text that is one `{{…}}` and gives something other than a text is taken as what it gives: to
    /// read 2.125 again as people write numbers would make thousands of it.
    fn source(
        &mut self,
        widget: &Widget,
        field: &str,
        (text, kind): (&str, VariableType),
    ) -> Result<Source, Problem> {
        if !text.contains("{{")
            && let Some(value) = kind.literal(text)
        {
            return Ok(Source::Fixed(value.into()));
        }
        let alone = match pieces(text.trim()).as_deref() {
            Ok([Piece::Expression(source)]) => Some((*source).to_owned()),
            Ok([Piece::Placeholder(place)]) => {
                let kind = self.scope.variable(*place).map(|it| self.scope.kind(&it));
                let computed = kind.is_ok_and(|kind| kind != Kind::Text);
                computed.then(|| format!("{}.{}", place.scope, place.field))
            }
            _ => None,
        };
        Ok(match alone {
            Some(source) => Source::Expression(self.expression(widget, field, &source)?),
            None => Source::Text(self.text(widget, field, text)?),
        })
    }
}
