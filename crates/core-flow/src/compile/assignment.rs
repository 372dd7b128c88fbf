//! Assignments made ready to run.

use super::{Assigned, Assignments, Compiler, Source, Text};
use crate::definition::{SetVariables, Widget};
use crate::interpolation::single;
use crate::problem::Problem;
use crate::scope::{OWN, ValueField, ValueKey};

impl Compiler<'_> {
    pub(super) fn assignments(
        &mut self,
        widget: &Widget,
        settings: &SetVariables,
    ) -> Result<Assignments, Problem> {
        let set = settings.set.iter().enumerate().map(|(index, assignment)| {
            let field = |part: &str| format!("settings.set[{index}].{part}");
            let place = single(&assignment.variable).map_err(|message| {
                let remedy = "write {{flow.name}}";
                Problem::error(&widget.name, field("variable"), message, remedy)
            })?;
            let position = self.scope.to_set(place).map_err(|error| {
                Problem::error(&widget.name, field("variable"), error.message, error.remedy)
            })?;
            let from = match (&assignment.expression, &assignment.value) {
                (Some(source), _) => {
                    Source::Expression(self.expression(widget, &field("expression"), source)?)
                }
                (None, Some(text)) => Source::Text(self.text(widget, &field("value"), text)?),
                (None, None) => Source::Text(Text(Box::default())),
            };
            Ok(Assigned {
                key: ValueKey {
                    position,
                    field: ValueField::Own,
                },
                name: format!("{OWN}.{}", place.field).into(),
                kind: self.scope.own_type(position),
                masked: self.scope.is_masked(position),
                from,
            })
        });
        Ok(Assignments {
            set: set.collect::<Result<_, Problem>>()?,
            next: self.exit(widget, "next")?,
            failed: Some(self.exit(widget, "failed")?).filter(|exit| exit.target.is_some()),
        })
    }
}
