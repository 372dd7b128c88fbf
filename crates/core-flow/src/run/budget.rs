//! How much a flow may do without a word of the customer.

use std::borrow::Cow;

use super::Run;
use crate::limits::{MAX_EVALUATIONS, MAX_IN_A_ROW};
use crate::scope::{ValueField, ValueKey};
use crate::step::Failure;

/// Where a session counts scripts and calls in a row.
const IN_A_ROW: ValueKey = ValueKey {
    position: 0,
    field: ValueField::InARow,
};

impl Run<'_, '_> {
    /// The customer has written, or a wait is over: what asks others begins to count anew.
    pub(crate) fn anew(mut self) -> Self {
        self.waiting.remove(IN_A_ROW);
        self
    }

    /// What a widget waited with is given up; what a script has had is of no use any more.
    pub(crate) fn leave(mut self) -> Self {
        self.waiting.remove(ValueKey {
            position: self.waiting.widget,
            field: ValueField::Script,
        });
        self
    }

    /// One more script or call in a row.
    pub(super) fn count_in_a_row(&mut self) -> Result<(), Failure> {
        let before = self
            .waiting
            .get(IN_A_ROW)
            .and_then(|text| text.parse::<u32>().ok());
        let count = before.unwrap_or(0) + 1;
        if count > MAX_IN_A_ROW {
            return Err(Failure::Budget(format!(
                "the flow ran {MAX_IN_A_ROW} scripts and calls without a word of the customer"
            )));
        }
        self.waiting.set(IN_A_ROW, Cow::Owned(count.to_string()));
        Ok(())
    }

    /// Whether the sprint may compute more.
    pub(super) fn has_budget(&self) -> Result<(), Failure> {
        if self.evaluated.get() > MAX_EVALUATIONS {
            return Err(Failure::Budget(format!(
                "the flow computed {MAX_EVALUATIONS} expressions without a question"
            )));
        }
        Ok(())
    }
}
