//! Values of expressions: from the texts in which variables are kept, and back.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::check::Kind;

/// From here on a number has more digits than variables keep.
const TOO_LARGE: f64 = 1e15;

/// What a variable that holds `text` is in an expression. Nothing is an empty text where the
/// variable holds texts, and `none` elsewhere.
pub(super) fn known(text: &str, kind: Kind) -> Value {
    let nothing = Value::from(());
    match kind {
        Kind::Number => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => Value::from(whole),
            (_, Ok(number)) => Value::from(number),
            _ => nothing,
        },
        Kind::Boolean => text.parse::<bool>().map_or(nothing, Value::from),
        Kind::List if text.is_empty() => Value::from(Vec::<Value>::new()),
        Kind::List | Kind::Map | Kind::Any => {
            let json = serde_json::from_str::<serde_json::Value>(text);
            json.map_or(nothing, |json| from_json(&json))
        }
        Kind::Text | Kind::Nothing => Value::from(text),
    }
}

/// A JSON value as one of expressions.
pub(crate) fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(yes) => Value::from(*yes),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(()),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => {
            Value::from(items.iter().map(from_json).collect::<Vec<_>>())
        }
        serde_json::Value::Object(fields) => {
            let fields = fields.iter();
            Value::from_pairs(fields.map(|(name, value)| (name.as_str(), from_json(value))))
        }
    }
}

/// Whether it is nothing at all.
pub(crate) fn is_nothing(value: &Value) -> bool {
    value.is_none() || value.is_undefined()
}

/// Whether it is a list.
pub(crate) fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// A value as a text: numbers without an exponent and with at most 15 digits, lists and maps as
/// JSON, nothing as an empty text. `None` for what has no text.
pub(crate) fn as_text(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Some(String::new()),
        ValueKind::String => value.as_str().map(str::to_owned),
        ValueKind::Bool => Some(value.is_true().to_string()),
        ValueKind::Number => number(value),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            as_json(value, crate::limits::MAX_JSON)
        }
        _ => None,
    }
}

/// A number in decimal digits. What computing with binary fractions adds behind the 15th digit is
/// left away: 0.1 + 0.2 is 0.3.
fn number(value: &Value) -> Option<String> {
    if let Some(whole) = value.as_i64() {
        return Some(whole.to_string());
    }
    let number = f64::try_from(value.clone()).ok()?;
    if !number.is_finite() || number.abs() >= TOO_LARGE {
        return None;
    }
    let rounded: f64 = format!("{number:.14e}").parse().ok()?;
    // -0 is 0.
    Some((rounded + 0.0).to_string())
}

/// A value as JSON of at most `most` bytes. Written no further: a list that is repeated is as long as
/// its number says only while somebody looks at it, and fuel does not count any more here.
pub(crate) fn as_json(value: &Value, most: usize) -> Option<String> {
    let mut paper = Paper {
        written: Vec::new(),
        most,
    };
    serde_json::to_writer(&mut paper, value).ok()?;
    String::from_utf8(paper.written).ok()
}

/// Room for so many bytes.
struct Paper {
    written: Vec<u8>,
    most: usize,
}

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.written.len() + bytes.len() > self.most {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
