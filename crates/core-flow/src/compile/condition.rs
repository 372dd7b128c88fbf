//! Conditions made ready to run: variables are looked up, what they are compared with is normalised.

use super::{Compiler, Rule, Switch, Test};
use crate::answer::normalise;
use crate::definition::{Compared, Condition, Operator, Widget};
use crate::interpolation::single;
use crate::problem::Problem;
use crate::scope::Variable;

impl Compiler<'_> {
    pub(super) fn switch(
        &mut self,
        widget: &Widget,
        settings: &Condition,
    ) -> Result<Switch, Problem> {
        let branches = settings.branches.iter().enumerate().map(|(index, branch)| {
            let exit = self.exit(widget, &branch.exit)?;
            if let Some(source) = &branch.expression {
                let field = format!("settings.branches[{index}].expression");
                let expression = self.expression(widget, &field, source)?;
                return Ok((Rule::Expression(Box::new(expression)), exit));
            }
            let tests = branch
                .comparisons(settings)
                .into_iter()
                .map(|(field, compared)| {
                    let field = format!("settings.branches[{index}]{field}");
                    self.comparison(widget, &field, compared)
                });
            let tests = tests.collect::<Result<_, Problem>>()?;
            let rule = if branch.one_is_enough() {
                Rule::Any(tests)
            } else {
                Rule::All(tests)
            };
            Ok((rule, exit))
        });
        Ok(Switch {
            branches: branches.collect::<Result<_, Problem>>()?,
            otherwise: self.exit(widget, "no_match")?,
        })
    }

    fn comparison(
        &mut self,
        widget: &Widget,
        field: &str,
        compared: Compared<'_>,
    ) -> Result<(Variable, Test), Problem> {
        let place = single(compared.variable).map_err(|message| {
            Problem::error(&widget.name, field, message, "write {{Widget.value}}")
        })?;
        let test = test(compared).ok_or_else(|| {
            let (message, remedy) = ("the value is not a number", "give a number to compare with");
            Problem::error(&widget.name, field, message, remedy)
        })?;
        Ok((self.variable(widget, field, place)?, test))
    }
}

/// A number as written by people; `None` for anything else, infinities included.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && text.chars().all(digits))
}

/// Whether a text is a number below zero.
pub(crate) fn is_below_zero(text: &str) -> bool {
    text.trim_start().starts_with('-') && number(text).is_some_and(|number| number < 0.0)
}

fn test(compared: Compared<'_>) -> Option<Test> {
    let value = compared.value.unwrap_or_default();
    let plain = || normalise(value).into();
    Some(match compared.operator {
        Operator::Equals => Test::Equals {
            other: plain(),
            below_zero: is_below_zero(value),
        },
        Operator::NotEquals => Test::NotEquals {
            other: plain(),
            below_zero: is_below_zero(value),
        },
        Operator::Contains => Test::Contains(plain()),
        Operator::StartsWith => Test::StartsWith(plain()),
        Operator::GreaterThan => Test::GreaterThan(number(value)?),
        Operator::LessThan => Test::LessThan(number(value)?),
        Operator::Before => Test::Before(value.into()),
        Operator::After => Test::After(value.into()),
        Operator::IsSet => Test::IsSet,
        Operator::IsEmpty => Test::IsEmpty,
    })
}
