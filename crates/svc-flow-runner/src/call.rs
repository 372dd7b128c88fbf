//! Calls to other systems that flows ask for. Whom a flow may ask is bounded here: a service on the
//! inside of the network answers nobody's flow unless an operator has named its host.

mod addresses;

use std::sync::Arc;
use std::time::Duration;

use core_flow::MAX_RESPONSE;
use lib_platform::outbound;
use lib_proto::flow_runner as pb;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use tokio::time::Instant;

pub(crate) use self::addresses::Guard;
use crate::credential::Credentials;

/// Between two tries; doubled each time.
const PAUSE: Duration = Duration::from_millis(200);
/// Answers of a system that is there and cannot answer now (RFC 9110, section 15.6).
const TRY_AGAIN: [StatusCode; 3] = [
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];
/// Longest time any call takes.
const MOST: Duration = Duration::from_secs(30);

/// What came of a call.
pub(crate) enum Outcome {
    /// An answer, with its body.
    Answered(u16, Vec<u8>),
    /// None, and why.
    Failed(String),
    /// None in time.
    TimedOut,
}

/// Makes calls.
pub(crate) struct Caller {
    http: reqwest::Client,
    guard: Guard,
    credentials: Arc<Credentials>,
}

/// A call of one tenant's flow.
pub(crate) struct Asked {
    pub(crate) tenant: String,
    pub(crate) call: pb::FlowCall,
    /// The same for each try.
    pub(crate) key: String,
}

impl Caller {
    /// A caller that reaches public addresses, and of `private_hosts` any.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(
        private_hosts: &[String],
        credentials: Arc<Credentials>,
    ) -> anyhow::Result<Self> {
        let guard = Guard::new(private_hosts);
        let http = outbound::client_through(MOST, guard.clone())?;
        Ok(Self {
            http,
            guard,
            credentials,
        })
    }

    /// Makes a call, with as many tries as it may have.
    pub(crate) async fn make(&self, asked: &Asked) -> Outcome {
        let patience = Duration::from_secs(asked.call.timeout_seconds.into()).min(MOST);
        let until = Instant::now() + patience;
        match tokio::time::timeout_at(until, self.tries(asked)).await {
            Ok(Ok((status, body))) => Outcome::Answered(status, body),
            Ok(Err(reason)) => Outcome::Failed(reason),
            Err(_) => Outcome::TimedOut,
        }
    }

    async fn tries(&self, asked: &Asked) -> Result<(u16, Vec<u8>), String> {
        let (method, url) = self.target(&asked.call)?;
        let mut pause = PAUSE;
        let mut renewed = false;
        for left in (0..=asked.call.retries).rev() {
            let outcome = self.once(asked, &method, &url).await;
            let again = match &outcome {
                Ok((StatusCode::UNAUTHORIZED, _)) if !renewed => {
                    // A token that was taken back before its time is asked for anew, once.
                    renewed = true;
                    let known = self
                        .credentials
                        .forget(&asked.tenant, &asked.call.credential);
                    // A POST that is refused may have been done in part.
                    if known && (method.is_idempotent() || asked.call.retries > 0) {
                        let again = self.once(asked, &method, &url).await;
                        return again.map(plain).map_err(Failed::reason);
                    }
                    false
                }
                Ok((status, _)) => TRY_AGAIN.contains(status),
                Err(Failed::ForGood(_)) => false,
                Err(Failed::Now(_)) => true,
            };
            if !again || left == 0 {
                return outcome.map(plain).map_err(Failed::reason);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err("it was not tried".to_owned())
    }

    /// Method and address, when they may be used at all.
    fn target(&self, call: &pb::FlowCall) -> Result<(reqwest::Method, Url), String> {
        let method = call.method.parse();
        let method = method.map_err(|_| format!("`{}` is no HTTP method", call.method))?;
        let url = Url::parse(&call.url).map_err(|error| format!("the address: {error}"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(format!("`{}` is not http or https", url.scheme()));
        }
        self.guard.may_ask(&url)?;
        Ok((method, url))
    }

    async fn once(
        &self,
        asked: &Asked,
        method: &reqwest::Method,
        url: &Url,
    ) -> Result<(StatusCode, Vec<u8>), Failed> {
        let call = &asked.call;
        let mut request = self.http.request(method.clone(), url.clone());
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let mut headers = headers(asked, *method != reqwest::Method::GET)?;
        if !call.credential.is_empty() {
            let signed = self.credentials.sign(&asked.tenant, &call.credential, url);
            let (name, value) = signed.await.map_err(Failed::ForGood)?;
            headers.insert(name, value);
        }
        request = request.headers(headers);
        let mut answer = request.send().await.map_err(|error| Failed::of(&error))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| Failed::of(&error))? {
            if body.len() + chunk.len() > MAX_RESPONSE {
                let reason = format!("the answer has more than {MAX_RESPONSE} bytes");
                return Err(Failed::ForGood(reason));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }
}

/// The headers of a call, each once: what a flow says of its body stands before what we would.
fn headers(asked: &Asked, keyed: bool) -> Result<HeaderMap, Failed> {
    let call = &asked.call;
    let mut headers = HeaderMap::new();
    let mut own = Vec::new();
    if call.body.is_some() {
        own.push(("content-type", call.content_type.as_str()));
    }
    if keyed {
        own.push(("idempotency-key", asked.key.as_str()));
    }
    let given = call.headers.iter();
    let given = given.map(|header| (header.name.as_str(), header.value.as_str()));
    for (name, value) in own.into_iter().chain(given) {
        let header = HeaderName::try_from(name)
            .ok()
            .zip(HeaderValue::from_str(value).ok());
        let unusable = || Failed::ForGood(format!("the header `{name}` cannot be sent"));
        let (name, value) = header.ok_or_else(unusable)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Why there is no answer.
enum Failed {
    /// It would not be better a moment later.
    ForGood(String),
    /// It may be.
    Now(String),
}

impl Failed {
    /// In words that hold neither the address nor what was sent.
    fn of(error: &reqwest::Error) -> Self {
        let refused = addresses::refusal(error);
        match refused {
            Some(reason) => Self::ForGood(reason),
            None if error.is_connect() => Self::Now("the host cannot be reached".to_owned()),
            None if error.is_builder() => {
                Self::ForGood("a header or the address cannot be sent".to_owned())
            }
            None => Self::Now("the connection broke before there was a whole answer".to_owned()),
        }
    }

    fn reason(self) -> String {
        match self {
            Self::ForGood(reason) | Self::Now(reason) => reason,
        }
    }
}

fn plain((status, body): (StatusCode, Vec<u8>)) -> (u16, Vec<u8>) {
    (status.as_u16(), body)
}
