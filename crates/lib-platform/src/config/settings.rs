//! The settings of one process, read and checked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::config::key::Key;
use crate::config::kind::Value;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The documented default.
    Default,
    /// A line of the settings file: `frontdesk.toml:12`.
    File(String),
    /// A variable.
    Env(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Env(name) => f.write_str(name),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone)]
pub struct Given {
    /// The value.
    pub value: Value,
    /// As it may be shown.
    pub shown: String,
    /// Where it comes from.
    pub origin: Origin,
}

impl fmt::Debug for Given {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.shown, self.origin)
    }
}

/// The settings of one process. A key that was neither given nor has a default is not in it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(crate) given: BTreeMap<&'static str, Given>,
}

impl Settings {
    /// The setting `name`, if it has a value.
    pub fn get(&self, name: &str) -> Option<&Given> {
        self.given.get(name)
    }

    /// A text, choice or secret.
    pub fn text_opt(&self, name: &str) -> Option<&str> {
        match self.given.get(name).map(|given| &given.value) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text, choice or secret that must be there.
    ///
    /// # Errors
    /// When it has no value, or one of another kind.
    pub fn text(&self, name: &str) -> anyhow::Result<&str> {
        self.text_opt(name).ok_or_else(|| absent(name))
    }

    /// A number; bytes for sizes.
    ///
    /// # Errors
    /// When it has no value, or one of another kind.
    pub fn number(&self, name: &str) -> anyhow::Result<u64> {
        match self.given.get(name).map(|given| &given.value) {
            Some(Value::Number(number)) => Ok(*number),
            _ => Err(absent(name)),
        }
    }

    /// A number as the type wanted.
    ///
    /// # Errors
    /// When it has no value, one of another kind, or one too large.
    pub fn number_as<N: TryFrom<u64>>(&self, name: &str) -> anyhow::Result<N> {
        N::try_from(self.number(name)?).map_err(|_| anyhow::anyhow!("`{name}` is too large"))
    }

    /// A span of time.
    ///
    /// # Errors
    /// When it has no value, or one of another kind.
    pub fn duration(&self, name: &str) -> anyhow::Result<Duration> {
        match self.given.get(name).map(|given| &given.value) {
            Some(Value::Duration(span)) => Ok(*span),
            _ => Err(absent(name)),
        }
    }

    /// A switch; off when it has no value.
    pub fn flag(&self, name: &str) -> bool {
        matches!(
            self.given.get(name).map(|given| &given.value),
            Some(Value::Bool(true))
        )
    }

    /// Several secrets; none when there is no value.
    pub fn list(&self, name: &str) -> &[String] {
        match self.given.get(name).map(|given| &given.value) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// Sets what is not given, such as a default that only the machine knows.
    pub fn set_default(&mut self, key: &Key, value: String) {
        self.given.entry(key.name).or_insert_with(|| Given {
            shown: key.kind.shown(&value),
            value: Value::Text(value),
            origin: Origin::Default,
        });
    }

    /// All values as they may be shown, with where each comes from.
    pub fn shown(&self) -> BTreeMap<&'static str, String> {
        let shown = |given: &Given| format!("{} ({})", given.shown.replace('`', ""), given.origin);
        let all = self.given.iter();
        all.map(|(name, given)| (*name, shown(given))).collect()
    }

    /// One line of all values as they may be shown, for the log at start.
    pub fn line(&self) -> String {
        let words = self
            .given
            .iter()
            .map(|(name, given)| format!("{name}={}", given.shown));
        words.collect::<Vec<_>>().join(" ").replace('`', "")
    }
}

fn absent(name: &str) -> anyhow::Error {
    anyhow::anyhow!("the setting `{name}` has no value")
}
