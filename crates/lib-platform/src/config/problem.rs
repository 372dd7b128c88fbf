//! A mistake in the settings: which key, what was given, what to do.

use std::fmt;

use serde::Serialize;

/// One mistake. Never holds a secret's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable name of the kind of mistake, such as `config.missing` or `secret.weak`.
    pub code: &'static str,
    /// The setting, as in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The setting, as in the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Where it was given: `FRONTDESK_GRPC_LISTEN`, or `frontdesk.toml:12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// A mistake that belongs to no single key.
    pub fn new(code: &'static str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            key: None,
            env: None,
            place: None,
            given: None,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// Says where it was given.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }
}

impl fmt::Display for Problem {
    /// Two lines: what is wrong and where; what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, &self.env) {
            (Some(key), Some(env)) => write!(f, "{key} ({env}): ")?,
            (Some(name), None) | (None, Some(name)) => write!(f, "{name}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.problem)?;
        if let Some(given) = &self.given {
            write!(f, "; given: {given}")?;
        }
        if let Some(place) = self
            .place
            .as_ref()
            .filter(|place| Some(*place) != self.env.as_ref())
        {
            write!(f, " [{place}]")?;
        }
        write!(f, "\n    {}", self.remedy)
    }
}
