//! Calls to other systems in scenarios: what the flow asked for, and what it was answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::compile::{Call, CompiledFlow, Node};
use crate::run::read_answer;
use crate::step::{Called, Request};

/// A call as a scenario writes it: `GET https://shop.example.com/items`, or with what was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ShownCall {
    /// Method and address.
    Bare(String),
    /// More than that.
    Full(Box<CallParts>),
}

/// A call in full.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallParts {
    /// Method and address.
    pub request: String,
    /// Headers of the flow's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Name of the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// What a call is answered with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// The HTTP status; 200 where something is answered and nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The body, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The body, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// In place of a body: what is kept of it, by the variable's name. So stands what a live
    /// conversation was answered, of which nothing else is known any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub saved: BTreeMap<String, String>,
    /// There is no answer, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// There is one, and what is to be kept is not in it or not of its type.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unusable: bool,
}

/// A call that is answered in the same way whenever it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stub {
    /// Method and address; `*` stands for any characters.
    pub request: String,
    /// The answer.
    pub answer: Answered,
}

impl From<&Request> for ShownCall {
    fn from(request: &Request) -> Self {
        let bare = request_line(request);
        let body = request.body.as_ref().map(|body| {
            let json = serde_json::from_str(&body.text).ok();
            json.unwrap_or_else(|| Value::from(body.text.clone()))
        });
        if body.is_none() && request.headers.is_empty() && request.credential.is_none() {
            return Self::Bare(bare);
        }
        Self::Full(Box::new(CallParts {
            request: bare,
            headers: request.headers.iter().cloned().collect(),
            credential: request.credential.clone(),
            body,
        }))
    }
}

/// `GET https://…`.
pub(super) fn request_line(request: &Request) -> String {
    format!("{} {}", request.method.name(), request.url)
}

impl Stub {
    /// Whether it answers a call that begins with `line`.
    pub(super) fn matches(&self, line: &str) -> bool {
        fits(&self.request, line)
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Answered {
    /// What the flow is told of it, where the widget at `widget` asked.
    pub(super) fn told(&self, flow: &CompiledFlow, widget: u16) -> Called {
        if let Some(reason) = &self.failed {
            return Called::Failed(reason.clone());
        }
        let status = self.status.unwrap_or(200);
        if self.unusable {
            return Called::Answered {
                status,
                saved: None,
            };
        }
        let call = flow.nodes.get(usize::from(widget));
        if let (Some(Node::Call(call)), false) = (call, self.saved.is_empty()) {
            return Called::Answered {
                status,
                saved: self.kept(call),
            };
        }
        let body = match (&self.body, &self.text) {
            (Some(body), _) => body.to_string(),
            (None, text) => text.clone().unwrap_or_default(),
        };
        read_answer(flow, widget, status, body.as_bytes())
    }

    fn kept(&self, call: &Call) -> Option<Vec<String>> {
        let all = call.save.iter().map(|kept| {
            let value = self.saved.get(&*kept.place.name).map_or("", String::as_str);
            // A value is read again: the version played may have another type for it.
            if value.is_empty() {
                Some(String::new())
            } else {
                kept.place.kind.literal(value)
            }
        });
        all.collect()
    }

    /// What a live session was told, where the widget at `widget` asked.
    pub(super) fn of(flow: &CompiledFlow, widget: u16, called: &Called) -> Self {
        let (status, saved) = match called {
            Called::Failed(reason) => {
                return Self {
                    failed: Some(reason.clone()),
                    ..Self::default()
                };
            }
            Called::Answered {
                status,
                saved: None,
            } => {
                return Self {
                    status: Some(*status),
                    unusable: true,
                    ..Self::default()
                };
            }
            Called::Answered {
                status,
                saved: Some(saved),
            } => (*status, saved.as_slice()),
        };
        let node = flow.nodes.get(usize::from(widget));
        if let (Some(Node::Script(_)), [text]) = (node, saved) {
            return Self {
                status: Some(status),
                text: Some(text.clone()),
                ..Self::default()
            };
        }
        let names = match node {
            Some(Node::Call(call)) => &*call.save,
            _ => &[],
        };
        let saved = names.iter().zip(saved);
        Self {
            status: Some(status),
            saved: saved
                .map(|(kept, value)| (kept.place.name.to_string(), value.clone()))
                .collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, wanted) in [
            ("GET https://a/b", "GET https://a/b", true),
            ("GET https://a/b", "GET https://a/bc", false),
            ("GET https://a/*", "GET https://a/b?c=d", true),
            ("* https://a/*/x", "PUT https://a/7/x", true),
            ("* https://a/*/x", "PUT https://a/7/y", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
    }
}
