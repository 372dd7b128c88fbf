//! Gives a flow's own variables values.

use std::borrow::Cow;

use super::{MASK, MAX_HELD, Run};
use crate::compile::{Assigned, Assignments, Exit, OwnPlace, Source};
use crate::scope::ValueKey;
use crate::step::Action;

impl<'f> Run<'f, '_> {
    /// Makes every assignment, or none of them.
    pub(super) fn assign(&mut self, assignments: &'f Assignments) -> &'f Exit {
        let before = self.waiting.variables.clone();
        let Some(made) = self.assign_each(&assignments.set) else {
            self.waiting.variables = before;
            return assignments.failed.as_ref().unwrap_or(&assignments.next);
        };
        for (place, value) in made {
            self.tell(place, value);
        }
        &assignments.next
    }

    /// Each is computed from what those before it have set.
    fn assign_each(&mut self, set: &'f [Assigned]) -> Option<Vec<(&'f OwnPlace, String)>> {
        let mut made = Vec::with_capacity(set.len());
        for assigned in set {
            let value = self.computed(assigned)?;
            let kept = Cow::Owned(value.clone());
            self.waiting.set(assigned.place.key, kept);
            if self.held() > MAX_HELD {
                return None;
            }
            made.push((&assigned.place, value));
        }
        Some(made)
    }

    /// The value in the form in which it is kept, if it can be computed.
    fn computed(&self, assigned: &Assigned) -> Option<String> {
        let kind = assigned.place.kind;
        match &assigned.from {
            Source::Fixed(value) => Some(value.to_string()),
            Source::Text(text) => kind.kept(&self.render(text)),
            Source::Expression(expression) => {
                let value = self.computed_value(expression)?;
                kind.kept_value(&value)
            }
        }
    }

    /// Keeps all of these values, or none where there is no room for them. Whether they are kept.
    pub(super) fn keep_all(
        &mut self,
        values: impl IntoIterator<Item = (ValueKey, String)>,
    ) -> bool {
        let before = self.waiting.variables.clone();
        for (key, value) in values {
            self.waiting.set(key, Cow::Owned(value));
        }
        let kept = self.held() <= MAX_HELD;
        if !kept {
            self.waiting.variables = before;
        }
        kept
    }

    /// Bytes of all that is kept.
    pub(super) fn held(&self) -> usize {
        let variables = self.waiting.variables.iter();
        variables.map(|(_, held)| held.len()).sum()
    }

    /// Puts a value that was set on the record, unless it is one that stays out of it.
    pub(super) fn tell(&mut self, place: &OwnPlace, value: String) {
        let hidden = place.masked && !value.is_empty();
        self.effect(Action::SetVariable {
            name: place.name.to_string(),
            value: if hidden { MASK.to_owned() } else { value },
        });
    }
}
