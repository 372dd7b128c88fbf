//! What the expression language has besides minijinja's own: filters for numbers as people write and
//! read them. And the names of everything it has: what is not named here is refused when a flow is
//! checked.

use minijinja::{Environment, Error, ErrorKind, Value};

use super::check::Kind;
use crate::accept;

/// Most decimals a number is written with.
const MAX_DECIMALS: usize = 10;

/// A filter: `value | name(arguments)`.
pub(super) struct Filter {
    pub(super) name: &'static str,
    /// What it takes.
    pub(super) takes: &'static [Kind],
    /// Fewest and most arguments.
    pub(super) arguments: (usize, usize),
    /// What it gives.
    pub(super) gives: Kind,
}

const fn filter(
    name: &'static str,
    takes: &'static [Kind],
    arguments: (usize, usize),
    gives: Kind,
) -> Filter {
    Filter {
        name,
        takes,
        arguments,
        gives,
    }
}

const TEXT: &[Kind] = &[Kind::Text];
const NUMBER: &[Kind] = &[Kind::Number];
const LIST: &[Kind] = &[Kind::List];
const MANY: &[Kind] = &[Kind::Text, Kind::List, Kind::Map];
const ANY: &[Kind] = &[];

/// Every filter.
pub(super) const FILTERS: [Filter; 28] = [
    filter("abs", NUMBER, (0, 0), Kind::Number),
    filter("bool", ANY, (0, 0), Kind::Boolean),
    filter("capitalize", TEXT, (0, 0), Kind::Text),
    filter("decimals", NUMBER, (1, 1), Kind::Text),
    filter("default", ANY, (1, 1), Kind::Any),
    filter("first", MANY, (0, 0), Kind::Any),
    filter("float", ANY, (0, 1), Kind::Number),
    filter("int", ANY, (0, 2), Kind::Number),
    filter("join", LIST, (0, 1), Kind::Text),
    filter("last", MANY, (0, 0), Kind::Any),
    filter("length", MANY, (0, 0), Kind::Number),
    filter("list", MANY, (0, 0), Kind::List),
    filter("lower", TEXT, (0, 0), Kind::Text),
    filter("map", LIST, (0, 2), Kind::List),
    filter("max", LIST, (0, 0), Kind::Any),
    filter("min", LIST, (0, 0), Kind::Any),
    filter("number", TEXT, (0, 0), Kind::Number),
    filter("replace", TEXT, (2, 2), Kind::Text),
    filter("reverse", &[Kind::Text, Kind::List], (0, 0), Kind::Any),
    filter("round", NUMBER, (0, 2), Kind::Number),
    filter("sort", LIST, (0, 2), Kind::List),
    filter("split", TEXT, (0, 1), Kind::List),
    filter("string", ANY, (0, 0), Kind::Text),
    filter("sum", LIST, (0, 0), Kind::Number),
    filter("title", TEXT, (0, 0), Kind::Text),
    filter("trim", TEXT, (0, 1), Kind::Text),
    filter("unique", LIST, (0, 0), Kind::List),
    filter("upper", TEXT, (0, 0), Kind::Text),
];

/// Every test, with how many arguments it takes: `value is name`.
pub(super) const TESTS: [(&str, usize); 10] = [
    ("boolean", 0),
    ("divisibleby", 1),
    ("endingwith", 1),
    ("even", 0),
    ("mapping", 0),
    ("none", 0),
    ("number", 0),
    ("odd", 0),
    ("startingwith", 1),
    ("string", 0),
];

pub(super) fn extend(language: &mut Environment<'static>) {
    language.add_filter("decimals", decimals);
    language.add_filter("number", number);
    language.add_filter("default", default);
    language.add_filter("string", string);
}

/// `flow.city | default("nowhere")`: for nothing and for an empty text, which is what variables hold
/// that were never set.
fn default(value: &Value, other: Value) -> Value {
    let empty = super::is_nothing(value) || value.as_str() == Some("");
    if empty { other } else { value.clone() }
}

/// `flow.vip | string`: as texts show it.
fn string(value: &Value) -> String {
    super::as_text(value).unwrap_or_default()
}

/// `3 | decimals(2)`: `3.00`.
fn decimals(number: f64, decimals: usize) -> Result<String, Error> {
    if decimals > MAX_DECIMALS || !number.is_finite() {
        let message = format!("decimals takes 0 to {MAX_DECIMALS}");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(format!("{number:.decimals$}"))
}

/// `"1.234,50" | number`: 1234.5; nothing where the text is no number.
fn number(value: &Value) -> Value {
    if value.is_number() {
        return value.clone();
    }
    let number = value.as_str().and_then(|text| accept::number(text.trim()));
    number.map_or(Value::from(()), |number| {
        super::known(&number, Kind::Number)
    })
}
