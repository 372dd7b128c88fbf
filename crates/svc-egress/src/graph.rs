//! One request to the Graph API, and what its fate tells about the message.

use std::time::Duration;

use core_types::{MessageId, PlatformError};
use core_whatsapp::send::{self, RetryClass, SendOutcome};
use lib_platform::{outbound, trace};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use crate::Config;

/// A client for one Graph API. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    http: reqwest::Client,
    base: String,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    /// Meta took the message.
    Accepted(String),
    /// Meta refused it for good.
    Rejected(PlatformError),
    /// It was not sent, because something asked us to wait.
    Wait(RetryClass, PlatformError),
    /// It was not sent: no byte of the request was written.
    NotWritten(String),
    /// It was not sent, and nothing will be until a person looks: token refused, account
    /// restricted.
    Stop(PlatformError),
    /// Nobody knows whether it was sent.
    Ambiguous(String),
}

impl Fate {
    /// What became of it, in a word that is safe to log.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Rejected(_) => "rejected",
            Self::Wait(..) => "retry",
            Self::NotWritten(_) => "not_sent",
            Self::Stop(_) => "stop",
            Self::Ambiguous(_) => "ambiguous",
        }
    }

    /// Meta's error code, if Meta gave one; 0 where the refusal is our own.
    pub(crate) fn code(&self) -> Option<i64> {
        match self {
            Self::Rejected(error) | Self::Wait(_, error) | Self::Stop(error) => Some(error.code),
            Self::Accepted(_) | Self::NotWritten(_) | Self::Ambiguous(_) => None,
        }
    }
}

impl Graph {
    /// A client for the Graph API of `config`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            http: outbound::client(config.http_timeout)?,
            base: format!(
                "{}/{}",
                config.graph_url.trim_end_matches('/'),
                config.graph_version
            ),
        })
    }

    /// Posts `body` from `number`. `give_up` is how long to wait for the answer at most.
    pub(crate) async fn post(
        &self,
        number: &str,
        token: &str,
        body: String,
        traceparent: Option<String>,
        give_up: impl Future<Output = ()>,
    ) -> Fate {
        let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {token}")) else {
            return Fate::Stop(ours("the stored access token is not plain text"));
        };
        bearer.set_sensitive(true);
        let mut request = self
            .http
            .post(format!("{}/{number}/messages", self.base))
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(parent) = traceparent {
            request = request.header(trace::HEADER, parent);
        }
        tokio::select! {
            fate = answered(request) => fate,
            () = give_up => Fate::Ambiguous("stopped before Graph had answered".to_owned()),
        }
    }
}

async fn answered(request: reqwest::RequestBuilder) -> Fate {
    let response = match request.send().await {
        Ok(response) => response,
        // Name look-up, connection and TLS come before the first byte of a request.
        Err(error) if error.is_connect() || error.is_builder() => {
            return Fate::NotWritten(describe(error));
        }
        Err(error) => return Fate::Ambiguous(describe(error)),
    };
    let status = response.status().as_u16();
    match response.bytes().await {
        Ok(bytes) => match send::read_answer(status, &bytes) {
            SendOutcome::Accepted { id, .. } => Fate::Accepted(id.to_string()),
            SendOutcome::Rejected(error) => Fate::Rejected(error),
            SendOutcome::RetryLater { error, class } => Fate::Wait(class, error),
            SendOutcome::StopNumber(error) => Fate::Stop(error),
            SendOutcome::Ambiguous { cause } => Fate::Ambiguous(cause),
        },
        Err(error) => Fate::Ambiguous(format!(
            "Graph's answer ({status}) broke off: {}",
            describe(error)
        )),
    }
}

/// The whole chain of causes, without the address.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A refusal of our own, before Meta was asked.
pub(crate) fn ours(details: impl Into<String>) -> PlatformError {
    PlatformError {
        code: 0,
        title: "not sent to Meta".to_owned(),
        details: details.into(),
    }
}

/// An error of Meta's as one line.
pub(crate) fn in_words(error: &PlatformError) -> String {
    let PlatformError {
        code,
        title,
        details,
    } = error;
    if details.is_empty() {
        format!("error {code}: {title}")
    } else {
        format!("error {code}: {title} ({details})")
    }
}

/// What is attached to a message so that its statuses lead back to it.
pub(crate) fn callback_data(message: &MessageId) -> String {
    format!("v1.{message}")
}

/// How long to wait before attempt `attempt + 1` after a failure that will pass: 1 s, 2 s, 4 s, …,
/// at most a minute.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}

/// How long to wait after Meta's pair limit: 4^X seconds, X from 0 (Meta's own rule), at most
/// 17 minutes.
pub(crate) fn pair_backoff(attempt: u32) -> Duration {
    Duration::from_secs(4_u64.pow(attempt.saturating_sub(1).min(5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let seconds =
            |wait: fn(u32) -> Duration| [0, 1, 2, 3, 7, u32::MAX].map(|n| wait(n).as_secs());
        assert_eq!(seconds(backoff), [1, 1, 2, 4, 60, 60]);
        assert_eq!(seconds(pair_backoff), [1, 1, 4, 16, 1_024, 1_024]);
    }
}
