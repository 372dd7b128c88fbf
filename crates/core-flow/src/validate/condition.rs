//! What is wrong with a condition: comparisons that cannot be made, or never hold.

use std::collections::BTreeSet;

use super::is_name;
use super::settings::Checker;
use crate::accept::is_moment;
use crate::answer::normalise;
use crate::compile::number;
use crate::definition::{Branch, Compared, Condition, Operator, Settings};
use crate::interpolation::single;
use crate::limits::{MAX_BRANCHES, MAX_COMPARISONS};
use crate::problem::quote;

/// A comparison without its place: variable, operator, and the value as it is compared.
type Same = (String, Operator, Option<String>);

/// A value in the form in which it is compared: numbers keep their signs.
fn as_compared(value: &str) -> String {
    number(value).map_or_else(|| normalise(value), |number| number.to_string())
}

impl Checker<'_, '_> {
    /// Every branch, in the order in which they are tried.
    pub(super) fn condition(&mut self, settings: &Condition) {
        let branches = &settings.branches;
        if !(1..=MAX_BRANCHES).contains(&branches.len()) {
            let message = format!("there are {} branches", branches.len());
            self.error("branches", message, format!("give 1 to {MAX_BRANCHES}"));
        }
        if !self.own_variable(settings) {
            return;
        }
        let mut seen: BTreeSet<(bool, Vec<Same>)> = BTreeSet::new();
        for (index, branch) in branches.iter().enumerate().take(MAX_BRANCHES) {
            let place = format!("branches[{index}]");
            self.branch(&place, branch);
            let mut all = Vec::new();
            for (field, compared) in branch.comparisons(settings) {
                self.comparison(&format!("{place}{field}"), compared, !field.is_empty());
                let value = compared.value.map(as_compared);
                all.push((
                    compared.variable.trim().to_owned(),
                    compared.operator,
                    value,
                ));
            }
            if !all.is_empty() && !seen.insert((branch.one_is_enough(), all)) {
                let message = "an earlier branch makes the same comparison";
                self.error(&place, message, "remove one of the two");
            }
        }
    }

    /// The variable of the condition itself. False when branches cannot be judged.
    fn own_variable(&mut self, settings: &Condition) -> bool {
        let mut branches = settings.branches.iter();
        let compared = branches.any(|branch| branch.operator.is_some());
        let Some(variable) = &settings.variable else {
            if compared {
                let remedy = "write one, such as {{Menu.value}}, or use all or any";
                self.error("variable", "there is no variable to compare", remedy);
            }
            return !compared;
        };
        if !compared && !settings.branches.is_empty() {
            let message = "no branch compares it";
            self.warning(
                "variable",
                message,
                "remove it, or give a branch an operator",
            );
        }
        self.variable_at("variable", variable)
    }

    fn variable_at(&mut self, field: &str, text: &str) -> bool {
        match single(text).map(|place| self.scope.variable(place)) {
            Err(message) => {
                let message = format!("the variable {message}");
                self.error(field, message, "write one, such as {{Menu.value}}");
                false
            }
            Ok(Err(unresolved)) => {
                self.error(field, unresolved.message, unresolved.remedy);
                false
            }
            Ok(Ok(_)) => true,
        }
    }

    fn branch(&mut self, place: &str, branch: &Branch) {
        if !is_name(&branch.exit) || branch.exit == "no_match" {
            let message = format!("`{}` cannot name a branch's exit", quote(&branch.exit));
            let remedy = "use letters, digits and _, and not no_match";
            self.error(&format!("{place}.exit"), message, remedy);
        }
        if branch.forms() != 1 {
            let message = "a branch compares in one way: with operator and value, all, any, or an \
                           expression";
            self.error(place, message, "keep one of them");
        } else if branch.operator.is_none() && branch.value.is_some() {
            let field = format!("{place}.operator");
            self.error(&field, "there is no operator", "add one, such as equals");
        }
        if let Some(source) = &branch.expression {
            self.expression(&format!("{place}.expression"), source);
        }
        for (name, list) in [("all", &branch.all), ("any", &branch.any)] {
            if list.len() > MAX_COMPARISONS {
                let message = format!("there are {} comparisons", list.len());
                let remedy = format!("use at most {MAX_COMPARISONS}, or several conditions");
                self.error(&format!("{place}.{name}"), message, remedy);
            }
        }
    }

    /// One comparison; the condition's `own` variable has been looked at already.
    fn comparison(&mut self, place: &str, compared: Compared<'_>, own: bool) {
        if own && !self.variable_at(&format!("{place}.variable"), compared.variable) {
            return;
        }
        self.operand(&format!("{place}.value"), compared.operator, compared.value);
        let plain = compared.value.map(normalise);
        if let (Operator::Equals, Some(plain)) = (compared.operator, plain)
            && let Some(possible) = self.possible_values(compared.variable)
            && !possible.contains(&plain)
        {
            let message = "the question has no choice with this value: it never holds";
            self.warning(place, message, "compare with the value of a choice");
        }
    }

    fn operand(&mut self, field: &str, operator: Operator, value: Option<&str>) {
        match value {
            None if operator.takes_value() => {
                self.error(field, "there is nothing to compare with", "add a value");
            }
            Some(_) if !operator.takes_value() => {
                self.error(field, "this operator takes no value", "remove it");
            }
            Some(value) if operator.is_numeric() && number(value).is_none() => {
                let message = format!("`{}` is not a number", quote(value));
                self.error(field, message, "give a decimal number such as 18 or 2.5");
            }
            Some(value) if operator.is_temporal() && !is_moment(value) => {
                let message = format!("`{}` is no day and no time of day", quote(value));
                self.error(field, message, "write 2026-11-30 or 14:30");
            }
            Some(value) if !operator.is_numeric() && normalise(value).is_empty() => {
                let message = "there is nothing to compare with";
                let remedy = "use is_empty to ask whether nothing is there";
                self.error(field, message, remedy);
            }
            Some(value) if value.contains("{{") => {
                let message = "variables are not filled in here";
                self.warning(field, message, "compare with a fixed text");
            }
            _ => {}
        }
    }

    /// The normalised values a variable can have, where a question with choices sets it.
    fn possible_values(&self, variable: &str) -> Option<BTreeSet<String>> {
        let place = single(variable)
            .ok()
            .filter(|place| place.field == "value")?;
        match self.scope.settings(place.scope)? {
            Settings::CollectInput(question) if !question.choices.is_empty() => {
                let choices = question.choices.iter();
                Some(choices.map(|choice| normalise(&choice.value)).collect())
            }
            _ => None,
        }
    }
}
