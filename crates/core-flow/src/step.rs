//! What goes into a step and what comes out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use core_types::{Content, QueueId, Timestamp};

use crate::definition::Method;
use crate::session::SessionError;

/// What happened to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The customer's first message: begins a session. It is not taken as an answer.
    Start(Content),
    /// The customer wrote.
    Message(Content),
    /// A wait is over. Without effect unless it is the wait the session is in.
    TimedOut {
        /// The wait, as in [`Wait::wait`].
        wait: u64,
    },
    /// A message this session sent could not be sent. Takes the `failed` exit of the widget that
    /// sent it while the customer has not answered since; later it is without effect.
    SendFailed {
        /// The message, as in [`Effect::key`].
        key: EffectKey,
    },
    /// A call this session asked for has come to something. Without effect unless it is the wait
    /// the session is in.
    Called {
        /// The wait, as in [`Wait::wait`].
        wait: u64,
        /// What came of it.
        called: Called,
    },
}

/// Facts from outside, by full name: `contact.display_name`.
pub trait Facts {
    /// The fact called `name`, if it is known.
    fn fact(&self, name: &str) -> Option<&str>;
}

impl Facts for BTreeMap<String, String> {
    fn fact(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// One step taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<'f> {
    /// The session to store.
    pub session: Vec<u8>,
    /// What to do, in order.
    pub effects: Vec<Effect>,
    /// Set while the session waits.
    pub wait: Option<Wait>,
    /// Whether the flow's part is over.
    pub finished: bool,
    /// Widgets passed and the exits taken, in order: `Menu/match`. `Menu/retry` means it asked
    /// again, `Route/routed` that the engagement went to a queue.
    pub path: Vec<&'f str>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// The same whenever the same step is computed again.
    pub key: EffectKey,
    /// What to do.
    pub action: Action,
}

/// Names an effect within its session: `<sprint>.<index>`, such as `2.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectKey {
    /// The sprint, from 1.
    pub sprint: u64,
    /// The position among the sprint's effects, from 0.
    pub index: u32,
}

/// What an effect does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a message to the customer.
    Send(Box<Content>),
    /// Put the engagement into a queue.
    RouteTo {
        /// Which.
        queue: QueueId,
        /// Higher is served first; 0 is normal.
        priority: i32,
    },
    /// A variable got a value; for the record.
    SetVariable {
        /// `Menu.value`.
        name: String,
        /// Its value.
        value: String,
    },
    /// Ask another system. The session waits for what comes of it; it is asked at most once.
    Call(Box<Request>),
    /// The flow ended without a queue.
    End {
        /// The exit it ended at: `Menu/timeout`.
        reason: String,
    },
}

/// A call to another system over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Position of the widget that asks; [`crate::read_answer`] wants it.
    pub widget: u16,
    /// What it asks for.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<Payload>,
    /// Name of the credential that signs it.
    pub credential: Option<String>,
    /// How long all tries may take.
    pub patience: Duration,
    /// How often it may be tried again.
    pub retries: u8,
}

/// What a call sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// `application/json`, or `text/plain; charset=utf-8`.
    pub content_type: String,
    /// The body.
    pub text: String,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// There was an answer.
    Answered {
        /// Its HTTP status.
        status: u16,
        /// What the widget keeps of it, in its order, each in the form of its variable; `None` when
        /// that is not in it.
        saved: Option<Vec<String>>,
    },
    /// There was none, for this reason.
    Failed(String),
}

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Names this wait; comes back in [`Input::TimedOut`].
    pub wait: u64,
    /// When it ends by itself; `None` means never.
    pub until: Option<Timestamp>,
}

/// A step that cannot be taken. Nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The session's bytes, or the input for it, cannot be used with this flow.
    #[error("{0}")]
    Invalid(String),
    /// The step ran over a limit.
    #[error("{0}")]
    Budget(String),
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.sprint, self.index)
    }
}

/// A text that is not the key of an effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the key of an effect; keys look like `2.0`")]
pub struct EffectKeyError(String);

impl FromStr for EffectKey {
    type Err = EffectKeyError;

    fn from_str(text: &str) -> Result<Self, EffectKeyError> {
        text.split_once('.')
            .and_then(|(sprint, index)| {
                Some(Self {
                    sprint: sprint.parse().ok()?,
                    index: index.parse().ok()?,
                })
            })
            .ok_or_else(|| EffectKeyError(crate::problem::quote(text)))
    }
}
