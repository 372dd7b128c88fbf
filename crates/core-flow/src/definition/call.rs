//! The widget that asks another system over HTTP, as it is written.

use serde::{Deserialize, Serialize};

/// How long a call may take unless a flow says otherwise, in seconds.
const PATIENCE: u32 = 10;

/// Settings of `http_call`. Sets `{{<widget>.status}}`: the answer's HTTP status, or nothing when
/// there was no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCall {
    /// `GET` by default.
    #[serde(default, skip_serializing_if = "Method::is_default")]
    pub method: Method,
    /// Where to: `https://…`. May hold `{{…}}` behind the host; what they hold is percent-encoded.
    pub url: String,
    /// Headers besides those of HTTP itself. Their values may hold `{{…}}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// Name of a credential kept by the installation; it signs the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What is sent: JSON, or a text as it stands. Texts in it may hold `{{…}}`; a text that is one
    /// `{{…}}` becomes what it stands for: a number, true or false, a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
    /// How long the answer may take, with all tries: 1 to 30 seconds, 10 by default.
    #[serde(default = "patience", skip_serializing_if = "is_patience")]
    pub timeout_seconds: u32,
    /// How often it is tried again, 0 to 3, when there was no answer or one of 502, 503 and 504.
    #[serde(default, skip_serializing_if = "is_none")]
    pub retries: u8,
    /// What is kept of the answer. All of it, or nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub save: Vec<Saving>,
}

/// One header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// What it says; may hold `{{…}}`.
    pub value: String,
}

/// Keeps a part of the answer in one of the flow's own variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saving {
    /// Which: `{{flow.price}}`.
    pub variable: String,
    /// Of `response.status`, `response.body` (what its JSON says) and `response.text`:
    /// `response.body.items[0].price`.
    pub expression: String,
}

/// What a call asks for (RFC 9110, section 9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// Does something; twice, if it is asked twice.
    Post,
    /// Puts something in its place.
    Put,
    /// Changes a part of something.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether asking twice is as good as asking once (RFC 9110, section 9.2.2).
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Put | Self::Delete)
    }

    /// Whether it carries a body.
    pub(crate) fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn patience() -> u32 {
    PATIENCE
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_patience(seconds: &u32) -> bool {
    *seconds == PATIENCE
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_none(number: &u8) -> bool {
    *number == 0
}

impl HttpCall {
    /// Every text of it that may hold `{{…}}`, with its place in the settings.
    pub(crate) fn texts(&self) -> Vec<(String, &str)> {
        let mut texts = vec![("url".to_owned(), self.url.as_str())];
        let headers = self.headers.iter().enumerate();
        texts.extend(
            headers.map(|(at, header)| (format!("headers[{at}].value"), header.value.as_str())),
        );
        if let Some(body) = &self.body {
            within(body, "body", &mut texts);
        }
        texts
    }
}

/// The texts of a JSON value. Its keys are none.
fn within<'v>(value: &'v serde_json::Value, place: &str, texts: &mut Vec<(String, &'v str)>) {
    match value {
        serde_json::Value::String(text) => texts.push((place.to_owned(), text)),
        serde_json::Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                within(item, &format!("{place}[{at}]"), texts);
            }
        }
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                within(field, &format!("{place}.{name}"), texts);
            }
        }
        _ => {}
    }
}
