//! Calls to other systems: what is asked for, and what the answer leads to. The call itself is made by
//! the shell, after the step that asks for it has been stored; nobody makes it a second time.

use std::borrow::Cow;

use super::{Halt, Onward, Run};
use crate::compile::{Body, Call, CompiledFlow, Node, Segment, Template, Text};
use crate::expression::Kind;
use crate::limits::{MAX_CALL_BODY, MAX_SCRIPT_ANSWER, MAX_URL};
use crate::scope::{ResponseField, ValueField, ValueKey, Variable};
use crate::step::{Action, Called, Failure, Payload, Request, Step};

/// What is said of an answer that cannot be used.
const UNUSABLE: &str = "what is to be kept of the answer is not in it, or not of its type";

impl<'f, 's> Run<'f, 's> {
    /// Asks for a call, and waits; or where to go when it is too large to be made.
    pub(super) fn call(mut self, widget: u16, call: &'f Call) -> Result<Halt<'f, 's>, Failure> {
        let Some(request) = self.request(widget, call) else {
            self.keep_status(call, None);
            let exit = &call.failed;
            return Ok(Err(Box::new(Onward { run: self, exit })));
        };
        self.effect(Action::Call(Box::new(request)));
        self.rest(call.patience).map(Ok)
    }

    /// Takes the outcome of the call the session waits for.
    pub(crate) fn called(mut self, call: &'f Call, called: &Called) -> Result<Step<'f>, Failure> {
        let exit = match called {
            Called::Answered { status, saved } => {
                self.keep_status(call, Some(*status));
                let saved = saved.as_ref().filter(|_| (200..300).contains(status));
                match saved {
                    Some(saved) if self.keep_saved(call, saved) => &call.next,
                    _ => &call.failed,
                }
            }
            Called::Failed(_) => {
                self.keep_status(call, None);
                &call.failed
            }
        };
        self.play(exit)
    }

    /// No answer came in time.
    pub(crate) fn call_timed_out(mut self, call: &'f Call) -> Result<Step<'f>, Failure> {
        self.keep_status(call, None);
        self.play(&call.timeout)
    }

    fn keep_status(&mut self, call: &Call, status: Option<u16>) {
        let text = status.map_or_else(String::new, |status| status.to_string());
        if call.keep_status {
            let key = ValueKey {
                position: self.waiting.widget,
                field: ValueField::Status,
            };
            self.waiting.set(key, Cow::Owned(text.clone()));
        }
        self.effect(Action::SetVariable {
            name: call.status.to_string(),
            value: text,
        });
    }

    /// Keeps everything, or nothing when there is no room for it.
    fn keep_saved(&mut self, call: &Call, saved: &[String]) -> bool {
        if saved.len() != call.save.len() {
            return false;
        }
        let values = call.save.iter().zip(saved);
        let values = values.map(|(kept, value)| (kept.place.key, value.clone()));
        if !self.keep_all(values) {
            return false;
        }
        for (kept, value) in call.save.iter().zip(saved) {
            self.tell(&kept.place, value.clone());
        }
        true
    }

    /// The call, with everything filled in.
    fn request(&self, widget: u16, call: &Call) -> Option<Request> {
        let url = self.address(&call.url);
        let headers = call.headers.iter().map(|(name, value)| {
            // A value may hold anything; a line end in a header would begin another one.
            let value = self.render(value).replace(|c: char| c.is_control(), " ");
            (name.to_string(), value)
        });
        let body = call.body.as_ref().map(|body| match body {
            Body::Text(text) => Payload {
                content_type: "text/plain; charset=utf-8".to_owned(),
                text: self.render(text).into_owned(),
            },
            Body::Json(template) => Payload {
                content_type: "application/json".to_owned(),
                text: self.json(template).to_string(),
            },
        });
        let length = body.as_ref().map_or(0, |body| body.text.len());
        if url.len() > MAX_URL || length > MAX_CALL_BODY || climbs(&url) {
            return None;
        }
        Some(Request {
            widget,
            method: call.method,
            url,
            headers: headers.collect(),
            body,
            credential: call.credential.as_ref().map(ToString::to_string),
            patience: call.patience,
            retries: call.retries,
        })
    }

    /// A URL; what variables hold cannot change its shape (RFC 3986, section 2.3).
    fn address(&self, text: &'f Text) -> String {
        let mut url = String::new();
        for segment in &text.0 {
            if let Segment::Literal(literal) = segment {
                url.push_str(literal);
                continue;
            }
            for byte in self.segment(segment).bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    url.push(char::from(byte));
                } else {
                    url.push('%');
                    url.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
                    url.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
                }
            }
        }
        url
    }

    fn json(&self, template: &Template) -> serde_json::Value {
        match template {
            Template::Fixed(value) => value.clone(),
            Template::Text(text) => self.render(text).into_owned().into(),
            Template::Value(Segment::Variable(variable), kind) => {
                let text = self.value(variable);
                typed(text, *kind)
            }
            Template::Value(Segment::Expression(expression), _) => {
                let value = self.computed_value(expression);
                value
                    .and_then(|value| serde_json::to_value(value).ok())
                    .unwrap_or_default()
            }
            Template::Value(Segment::Literal(literal), _) => (&**literal).into(),
            Template::List(items) => items.iter().map(|item| self.json(item)).collect(),
            Template::Map(fields) => {
                let fields = fields.iter();
                fields
                    .map(|(name, field)| (name.to_string(), self.json(field)))
                    .collect()
            }
        }
    }
}

/// Whether a part of the path is `.` or `..`, however written: whoever reads the address would leave
/// other parts out (WHATWG URL, path state).
fn climbs(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let mut parts = path.split(['/', '\\']).skip(3);
    parts.any(|part| {
        let plain = part.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

/// What a variable holds, as JSON; what a number, a truth or a list does not hold is null.
pub(super) fn typed(text: &str, kind: Kind) -> serde_json::Value {
    match kind {
        Kind::Text | Kind::Nothing => text.into(),
        Kind::Number | Kind::Boolean | Kind::List | Kind::Map | Kind::Any => {
            serde_json::from_str(text).unwrap_or_default()
        }
    }
}

/// Reads an answer as the HTTP Call widget at `widget` wants it: what the flow is to be told of it. Pure;
/// the shell calls it with what came over the wire. The body is read as JSON where something asks for
/// `response.body`.
pub fn read_answer(flow: &CompiledFlow, widget: u16, status: u16, body: &[u8]) -> Called {
    let call = match flow.nodes.get(usize::from(widget)) {
        Some(Node::Call(call)) => call,
        // A script reads its answers itself.
        Some(Node::Script(_)) => {
            let fits = body.len() <= MAX_SCRIPT_ANSWER;
            let saved = fits.then(|| vec![String::from_utf8_lossy(body).into_owned()]);
            return Called::Answered { status, saved };
        }
        _ => return Called::Failed("the flow makes no call there".to_owned()),
    };
    let text = String::from_utf8_lossy(body);
    let number = status.to_string();
    let value = |variable: &Variable| -> &str {
        match variable {
            Variable::Response(ResponseField::Status) => &number,
            Variable::Response(ResponseField::Body | ResponseField::Text) => &text,
            _ => "",
        }
    };
    let saved = call.save.iter().map(|kept| {
        let value = kept.from.value(value)?;
        kept.place.kind.kept_value(&value)
    });
    Called::Answered {
        status,
        saved: saved.collect(),
    }
}

/// Why an answer leads to the `failed` exit, in words; `None` when it does not.
pub fn why_failed(called: &Called) -> Option<String> {
    match called {
        Called::Failed(reason) => Some(reason.clone()),
        Called::Answered { status, .. } if !(200..300).contains(status) => {
            Some(format!("the answer has status {status}"))
        }
        Called::Answered { saved: None, .. } => Some(UNUSABLE.to_owned()),
        Called::Answered { .. } => None,
    }
}
