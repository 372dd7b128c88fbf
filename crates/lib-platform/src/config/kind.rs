//! What a setting may be, and how its text is read.

use std::time::Duration;

/// What a setting may be.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `true` or `false`, nothing else.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number in decimal digits.
    Integer {
        /// Smallest value.
        least: u64,
        /// Largest value.
        most: u64,
    },
    /// A span of time with its unit: `250ms`, `5s`, `2m`, `1h`, `7d`.
    Duration {
        /// Shortest value.
        least: Duration,
        /// Longest value.
        most: Duration,
    },
    /// An amount of bytes with its unit: `512KiB`, `4MiB`, `4MB`, `1GiB`.
    Bytes {
        /// Smallest value.
        least: u64,
        /// Largest value.
        most: u64,
    },
    /// Text of a form.
    Text {
        /// The form in words, after "set it to …".
        form: &'static str,
        /// Says what is wrong with a text.
        check: fn(&str) -> Result<(), String>,
    },
    /// A secret; may stand in a file of its own.
    Secret {
        /// The form in words.
        form: &'static str,
        /// Says what is wrong, without the value.
        check: fn(&str) -> Result<(), String>,
        /// How much of it may be shown.
        shown: Shown,
    },
    /// Several secrets, separated by commas.
    Secrets {
        /// Most of them.
        most: usize,
        /// The form of one in words.
        form: &'static str,
        /// Says what is wrong with one, without the value.
        check: fn(&str) -> Result<(), String>,
    },
}

/// How much of a secret may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Never,
    /// It is a URL: all but the password.
    WithoutPassword,
}

/// A setting's value.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Integer`] and, in bytes, of [`Kind::Bytes`].
    Number(u64),
    /// Of [`Kind::Duration`].
    Duration(Duration),
    /// Of [`Kind::Choice`], [`Kind::Text`], [`Kind::Secret`].
    Text(String),
    /// Of [`Kind::Secrets`].
    List(Vec<String>),
}

/// What is wrong with a text: a stable code and a sentence.
pub(crate) struct Wrong(pub(crate) &'static str, pub(crate) String);

impl Kind {
    /// Whether the value must never be shown whole.
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret { .. } | Self::Secrets { .. })
    }

    /// The name of the kind, for lists of keys.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Choice(_) => "choice",
            Self::Integer { .. } => "integer",
            Self::Duration { .. } => "duration",
            Self::Bytes { .. } => "size",
            Self::Text { .. } => "text",
            Self::Secret { .. } => "secret",
            Self::Secrets { .. } => "secrets",
        }
    }

    /// What is accepted, in words that follow "set it to".
    pub fn form(&self) -> String {
        match self {
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                words.join(" or ")
            }
            Self::Integer { least, most } => {
                format!("a whole number from {least} to {most}, in decimal digits")
            }
            Self::Duration { least, most } => format!(
                "a time with its unit (`250ms`, `5s`, `2m`, `1h`, `7d`), {} to {}",
                duration_text(*least),
                duration_text(*most)
            ),
            Self::Bytes { least, most } => format!(
                "a size with its unit (`512KiB`, `4MiB`, `4MB`, `1GiB`), {least} to {most} bytes"
            ),
            Self::Text { form, .. } | Self::Secret { form, .. } => (*form).to_owned(),
            Self::Secrets { most, form, .. } => {
                format!("1 to {most} values separated by commas, each {form}")
            }
        }
    }

    /// Reads `text`.
    pub(crate) fn read(&self, text: &str) -> Result<Value, Wrong> {
        match self {
            Self::Bool => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(Wrong("config.type", "not `true` or `false`".to_owned())),
            },
            Self::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(_) => Err(Wrong("config.value", "not one of the choices".to_owned())),
            Self::Integer { least, most } => {
                within(integer(text)?, (*least, *most)).map(Value::Number)
            }
            Self::Bytes { least, most } => within(bytes(text)?, (*least, *most)).map(Value::Number),
            Self::Duration { least, most } => {
                let span = duration(text)?;
                if (*least..=*most).contains(&span) {
                    Ok(Value::Duration(span))
                } else {
                    Err(Wrong("config.range", "outside the range".to_owned()))
                }
            }
            Self::Text { check, .. } => match check(text) {
                Ok(()) => Ok(Value::Text(text.to_owned())),
                Err(wrong) => Err(Wrong("config.format", wrong)),
            },
            Self::Secret { check, .. } => match check(text) {
                Ok(()) => Ok(Value::Text(text.to_owned())),
                Err(wrong) => Err(Wrong("secret.format", wrong)),
            },
            Self::Secrets { most, check, .. } => secrets(text, *most, *check),
        }
    }

    /// `text` as messages may show it.
    pub(crate) fn shown(&self, text: &str) -> String {
        match self {
            Self::Secret {
                shown: Shown::WithoutPassword,
                ..
            } => crate::config::shape::masked(text),
            Self::Secret { .. } | Self::Secrets { .. } => {
                format!(
                    "(a secret of {} characters, not shown)",
                    text.chars().count()
                )
            }
            Self::Bytes { .. } => match bytes(text) {
                Ok(bytes) => format!("`{text}` ({bytes} bytes)"),
                Err(_) => format!("`{}`", text.escape_debug()),
            },
            _ => format!("`{}`", text.escape_debug()),
        }
    }
}

fn secrets(text: &str, most: usize, check: fn(&str) -> Result<(), String>) -> Result<Value, Wrong> {
    let list: Vec<String> = text.split(',').map(str::to_owned).collect();
    if list.len() > most {
        let problem = format!(
            "{} values; at most {most} may be active at once",
            list.len()
        );
        return Err(Wrong("secret.count", problem));
    }
    for (index, secret) in list.iter().enumerate() {
        check(secret).map_err(|wrong| {
            let which = if list.len() > 1 {
                format!("value {}: ", index + 1)
            } else {
                String::new()
            };
            Wrong("secret.format", format!("{which}{wrong}"))
        })?;
    }
    Ok(Value::List(list))
}

fn within(number: u64, (least, most): (u64, u64)) -> Result<u64, Wrong> {
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Wrong("config.range", "outside the range".to_owned()))
    }
}

/// Decimal digits, with single underscores between digits as TOML has them.
fn integer(text: &str) -> Result<u64, Wrong> {
    let wrong = || {
        Wrong(
            "config.type",
            "not a whole number in decimal digits".to_owned(),
        )
    };
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'_')
        && !text.starts_with('_')
        && !text.ends_with('_')
        && !text.contains("__");
    if !plain || text.is_empty() {
        return Err(wrong());
    }
    text.replace('_', "").parse().map_err(|_| wrong())
}

/// A number and its unit.
fn measured(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || Wrong("config.type", "not a time with its unit".to_owned());
    let (number, unit) = measured(text).ok_or_else(wrong)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

fn bytes(text: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong("config.type", "not a size with its unit".to_owned());
    let (number, unit) = measured(text).ok_or_else(wrong)?;
    let factor: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// A time as settings write it: the largest unit that divides it.
pub fn duration_text(span: Duration) -> String {
    let millis = span.as_millis();
    for (unit, size) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}
