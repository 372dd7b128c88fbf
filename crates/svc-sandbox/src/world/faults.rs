//! Scripted faults: which rule applies to a request.

use super::{Document, World};
use crate::state::{Fault, Mode, Pace, Rule};

impl World {
    /// The fault of the first rule that matches a request, if one does. Uses the rule up.
    pub(super) fn fault_for(&mut self, body: &str) -> Option<Fault> {
        for index in 0..self.settings.rules.len() {
            let rule = &self.settings.rules[index];
            let (per_thousand, used_up) = (rule.per_thousand, rule.left == Some(0));
            if used_up || !body.contains(&rule.body_contains) || !self.draw(per_thousand) {
                continue;
            }
            let rule = &mut self.settings.rules[index];
            rule.left = rule.left.map(|left| left - 1);
            let fault = rule.fault.clone();
            self.touch(Document::Settings);
            return Some(fault);
        }
        None
    }

    /// Replaces the rules, and the pace and the mode where given.
    pub(crate) fn set_faults(&mut self, rules: Vec<Rule>, pace: Option<Pace>, mode: Option<Mode>) {
        self.settings.rules = rules;
        if let Some(pace) = pace {
            self.settings.pace = pace;
        }
        if let Some(mode) = mode {
            self.settings.mode = mode;
        }
        self.touch(Document::Settings);
    }

    /// How webhooks are delivered now.
    pub(crate) fn mode(&self) -> &Mode {
        &self.settings.mode
    }

    /// How fast statuses follow now.
    pub(crate) fn pace(&self) -> &Pace {
        &self.settings.pace
    }
}
