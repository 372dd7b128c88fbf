//! Conditions as they are written.

use serde::{Deserialize, Serialize};

/// Settings of `condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The variable that branches with an operator of their own compare: `{{Menu.value}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Tried in this order; the first that holds gives the exit.
    pub branches: Vec<Branch>,
}

/// One branch of a condition: a comparison of the condition's variable, several of any variables,
/// or an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// The exit taken. Several branches may share one.
    pub exit: String,
    /// How to compare the condition's variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// What to compare with; absent for `is_set` and `is_empty`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Holds when all of these do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<Comparison>,
    /// Holds when one of these does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<Comparison>,
    /// Holds when this expression does; one that cannot be computed does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// One of several comparisons of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// One variable: `{{Menu.value}}`.
    pub variable: String,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with; absent for `is_set` and `is_empty`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How a condition compares. Texts are compared normalised (see [`crate::normalise`]); an unset
/// variable is an empty text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The texts are the same.
    Equals,
    /// They are not.
    NotEquals,
    /// The variable holds the value somewhere.
    Contains,
    /// The variable begins with the value.
    StartsWith,
    /// Both are numbers and the variable's is greater.
    GreaterThan,
    /// Both are numbers and the variable's is less.
    LessThan,
    /// Both are days or both times of day, and the variable's is earlier.
    Before,
    /// Both are days or both times of day, and the variable's is later.
    After,
    /// The variable holds something.
    IsSet,
    /// The variable holds nothing.
    IsEmpty,
}

impl Operator {
    /// Whether the branch has a value to compare with.
    pub fn takes_value(self) -> bool {
        !matches!(self, Self::IsSet | Self::IsEmpty)
    }

    /// Whether it compares numbers.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::GreaterThan | Self::LessThan)
    }

    /// Whether it compares days or times of day.
    pub fn is_temporal(self) -> bool {
        matches!(self, Self::Before | Self::After)
    }
}

/// A comparison, whichever way it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compared<'d> {
    pub(crate) variable: &'d str,
    pub(crate) operator: Operator,
    pub(crate) value: Option<&'d str>,
}

impl Branch {
    /// How many of its four forms are used: one in a sound definition.
    pub(crate) fn forms(&self) -> usize {
        let own = self.operator.is_some() || self.value.is_some();
        usize::from(own)
            + usize::from(!self.all.is_empty())
            + usize::from(!self.any.is_empty())
            + usize::from(self.expression.is_some())
    }

    /// Whether one comparison that holds is enough.
    pub(crate) fn one_is_enough(&self) -> bool {
        !self.any.is_empty()
    }

    /// Its comparisons, each with its field inside the branch; those that lack a part are left out.
    pub(crate) fn comparisons<'d>(
        &'d self,
        condition: &'d Condition,
    ) -> Vec<(String, Compared<'d>)> {
        let own = condition.variable.as_deref().zip(self.operator);
        let own = own.map(|(variable, operator)| {
            let value = self.value.as_deref();
            let compared = Compared {
                variable,
                operator,
                value,
            };
            (String::new(), compared)
        });
        let listed = |name: &'static str, list: &'d [Comparison]| {
            list.iter().enumerate().map(move |(index, one)| {
                let compared = Compared {
                    variable: &one.variable,
                    operator: one.operator,
                    value: one.value.as_deref(),
                };
                (format!(".{name}[{index}]"), compared)
            })
        };
        own.into_iter()
            .chain(listed("all", &self.all))
            .chain(listed("any", &self.any))
            .collect()
    }
}
