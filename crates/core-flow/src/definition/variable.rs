//! A flow's own variables, and the widget that sets them, as they are written.

use serde::{Deserialize, Serialize};

/// One of a flow's own variables: `{{flow.<name>}}`. Each session has its own value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnVariable {
    /// Unique in the flow: a letter, then letters, digits and `_`; at most 64.
    pub name: String,
    /// What it can hold.
    pub r#type: VariableType,
    /// What it holds until it is set; nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether its values are kept out of the record of the conversation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

/// What a variable can hold, and the one form in which each value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableType {
    /// Any text of at most 4,096 characters.
    Text,
    /// A decimal number of at most 15 digits: `-2.5`.
    Number,
    /// An amount with two decimals: `59.90`.
    Currency,
    /// A number that stands for hundredths: `12.5`.
    Percent,
    /// `true` or `false`.
    Boolean,
    /// A day: `2026-11-30`.
    Date,
    /// A time of day: `14:30`.
    Time,
    /// An e-mail address.
    Email,
    /// A telephone number, with a `+` where the country's code is certain to be there.
    Phone,
    /// A web address.
    Url,
    /// Any JSON value, at most 16,384 bytes.
    Json,
    /// A JSON array, at most 16,384 bytes.
    List,
}

impl VariableType {
    /// The word in the definition's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Currency => "currency",
            Self::Percent => "percent",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Time => "time",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Url => "url",
            Self::Json => "json",
            Self::List => "list",
        }
    }
}

/// Settings of `set_variables`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetVariables {
    /// Made in this order; each sees what those before it set. All of them hold, or none does.
    pub set: Vec<Assignment>,
}

/// Gives one variable a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// One of the flow's own: `{{flow.<name>}}`.
    pub variable: String,
    /// A text, which may hold `{{…}}` and is read as the variable's type; an empty one takes the
    /// value away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What to compute instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}
