//! Gives a flow's own variables values.

use std::borrow::Cow;

use super::{MASK, MAX_HELD, Run};
use crate::compile::{Assigned, Assignments, Exit, Source};
use crate::step::Action;

impl<'f> Run<'f, '_> {
    /// Makes every assignment, or none of them.
    pub(super) fn assign(&mut self, assignments: &'f Assignments) -> &'f Exit {
        let before = self.waiting.variables.clone();
        let mut made = Vec::with_capacity(assignments.set.len());
        for assigned in &assignments.set {
            let Some(value) = self.computed(assigned) else {
                self.waiting.variables = before;
                return assignments.failed.as_ref().unwrap_or(&assignments.next);
            };
            let told = if assigned.masked && !value.is_empty() {
                MASK.to_owned()
            } else {
                value.clone()
            };
            self.waiting.set(assigned.key, Cow::Owned(value));
            made.push((assigned.name.to_string(), told));
        }
        for (name, value) in made {
            self.effect(Action::SetVariable { name, value });
        }
        &assignments.next
    }

    /// The value in the form in which it is kept, if it can be computed and there is room for it.
    fn computed(&self, assigned: &Assigned) -> Option<String> {
        let value = match &assigned.from {
            Source::Fixed(value) => Some(value.to_string()),
            Source::Text(text) => assigned.kind.kept(&self.render(text)),
            Source::Expression(expression) => {
                let value = self.computed_value(expression)?;
                assigned.kind.kept_value(&value)
            }
        }?;
        let others = self.waiting.variables.iter();
        let others = others.filter(|(key, _)| *key != assigned.key);
        let held: usize = others.map(|(_, held)| held.len()).sum();
        (held + value.len() <= MAX_HELD).then_some(value)
    }
}
