//! The one form in which a flow's own variables keep what they hold, by type: read from what people
//! or systems write, or from what an expression gives.

use minijinja::Value;

use crate::accept;
use crate::definition::VariableType;
use crate::expression::{as_json, as_text, is_list, is_nothing};
use crate::limits::{MAX_ANSWER, MAX_JSON};

/// Most digits of a number that is kept.
const MAX_DIGITS: usize = 15;
/// Decimals of an amount.
const CENTS: usize = 2;

impl VariableType {
    /// `text` in the form in which it is kept; `None` where it is not of this type. Nothing stays
    /// nothing.
    pub(crate) fn kept(self, text: &str) -> Option<String> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Some(String::new());
        }
        match self {
            Self::Text => text
                .chars()
                .nth(MAX_ANSWER)
                .is_none()
                .then(|| text.to_owned()),
            Self::Number | Self::Percent => accept::number(trimmed),
            Self::Currency => accept::number(trimmed).and_then(|number| amount(&number)),
            Self::Boolean => match trimmed.to_ascii_lowercase().as_str() {
                word @ ("true" | "false") => Some(word.to_owned()),
                _ => None,
            },
            Self::Date => accept::date(trimmed, false),
            Self::Time => accept::time(trimmed),
            Self::Email => accept::email(trimmed),
            Self::Phone => accept::phone(trimmed),
            Self::Url => accept::url(trimmed),
            Self::Json | Self::List => {
                let value: serde_json::Value = serde_json::from_str(trimmed).ok()?;
                let fits = self == Self::Json || value.is_array();
                let compact = value.to_string();
                (fits && compact.len() <= MAX_JSON).then_some(compact)
            }
        }
    }

    /// The same of a text in a definition, where a number is written as programs write it: `2.125` is
    /// two and an eighth, whoever reads it.
    pub(crate) fn literal(self, text: &str) -> Option<String> {
        let trimmed = text.trim();
        let plain = trimmed.strip_prefix('-').unwrap_or(trimmed);
        let (whole, rest) = plain.split_once('.').unwrap_or((plain, "0"));
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = digits(whole) && digits(rest) && whole.len() + rest.len() <= MAX_DIGITS;
        match (self, trimmed.parse::<f64>()) {
            (Self::Number | Self::Percent | Self::Currency, Ok(number)) if fits => {
                self.kept_value(&Value::from(number))
            }
            _ => self.kept(text),
        }
    }

    /// What an expression gave, in the form in which it is kept; `None` where it is not of this type.
    pub(crate) fn kept_value(self, value: &Value) -> Option<String> {
        if is_nothing(value) {
            return Some(String::new());
        }
        match self {
            Self::Json => as_json(value, MAX_JSON),
            Self::List => is_list(value).then(|| as_json(value, MAX_JSON)).flatten(),
            Self::Number | Self::Percent | Self::Currency if !value.is_number() => None,
            Self::Currency => amount(&as_text(value)?),
            // The expression's numbers are written as programs write them: `1.234` is no thousand.
            Self::Number | Self::Percent => as_text(value).filter(|text| {
                let digits = text.trim_start_matches(['-', '0', '.']).bytes();
                digits.filter(u8::is_ascii_digit).count() <= MAX_DIGITS
            }),
            Self::Text
            | Self::Boolean
            | Self::Date
            | Self::Time
            | Self::Email
            | Self::Phone
            | Self::Url => self.kept(&as_text(value)?),
        }
    }
}

/// A decimal number with two decimals, half a cent rounded away from zero, as invoices do it. Done
/// on the digits: 0.285 has no exact binary form.
fn amount(number: &str) -> Option<String> {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let up = rest
        .as_bytes()
        .get(CENTS)
        .is_some_and(|digit| *digit >= b'5');
    let cents: String = rest.chars().chain("00".chars()).take(CENTS).collect();
    let all: u64 = format!("{whole}{cents}").parse().ok()?;
    let all = all + u64::from(up);
    let sign = if all == 0 { "" } else { sign };
    Some(format!("{sign}{}.{:02}", all / 100, all % 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_in_the_form_of_their_type() {
        let cases = [
            (VariableType::Text, " as it is ", Some(" as it is ")),
            (VariableType::Number, "1.234,50", Some("1234.5")),
            (VariableType::Number, "many", None),
            (VariableType::Currency, "59.9", Some("59.90")),
            (VariableType::Currency, "1.005", Some("1005.00")),
            (VariableType::Boolean, "TRUE", Some("true")),
            (VariableType::Boolean, "yes", None),
            (VariableType::Date, "24.12.2026", Some("2026-12-24")),
            (VariableType::Time, "2 pm", Some("14:00")),
            (VariableType::Phone, "0049 30 1234567", Some("+49301234567")),
            (VariableType::Json, " { \"a\" : [1] } ", Some("{\"a\":[1]}")),
            (VariableType::Json, "{", None),
            (VariableType::List, "[1, 2]", Some("[1,2]")),
            (VariableType::List, "{}", None),
            (VariableType::Email, "  ", Some("")),
        ];
        for (kind, text, kept) in cases {
            assert_eq!(kind.kept(text).as_deref(), kept, "{} {text}", kind.name());
        }
        let long = "x".repeat(MAX_ANSWER + 1);
        assert_eq!(VariableType::Text.kept(&long), None);
        let large = format!("[{}1]", "1,".repeat(MAX_JSON));
        assert_eq!(VariableType::Json.kept(&large), None);
    }

    #[test]
    fn amounts_are_rounded_on_their_digits() {
        let cases = [
            ("0.285", "0.29"),
            ("-0.285", "-0.29"),
            ("1.005", "1.01"),
            ("2", "2.00"),
            ("-0.001", "0.00"),
            ("999999999999999", "999999999999999.00"),
        ];
        for (number, kept) in cases {
            assert_eq!(amount(number).as_deref(), Some(kept), "{number}");
        }
    }

    #[test]
    fn values_of_expressions_are_kept_in_the_form_of_their_type() {
        let kept = |kind: VariableType, value: Value| kind.kept_value(&value);
        assert_eq!(
            kept(VariableType::Number, Value::from(1.234)).as_deref(),
            Some("1.234")
        );
        assert_eq!(kept(VariableType::Number, Value::from("1")), None);
        assert_eq!(
            kept(VariableType::Currency, Value::from(19.99 * 3.0)).as_deref(),
            Some("59.97")
        );
        assert_eq!(
            kept(VariableType::Text, Value::from(3)).as_deref(),
            Some("3")
        );
        assert_eq!(
            kept(VariableType::Boolean, Value::from(true)).as_deref(),
            Some("true")
        );
        assert_eq!(kept(VariableType::Boolean, Value::from(1)), None);
        assert_eq!(kept(VariableType::Date, Value::from("soon")), None);
        assert_eq!(
            kept(VariableType::List, Value::from(vec![1, 2])).as_deref(),
            Some("[1,2]")
        );
        assert_eq!(kept(VariableType::List, Value::from("x")), None);
        assert_eq!(
            kept(VariableType::Json, Value::from("x")).as_deref(),
            Some("\"x\"")
        );
        assert_eq!(
            kept(VariableType::Number, Value::from(())).as_deref(),
            Some("")
        );
        assert_eq!(kept(VariableType::Number, Value::from(f64::NAN)), None);
        assert_eq!(kept(VariableType::Number, Value::from(1e15)), None);
    }
}
