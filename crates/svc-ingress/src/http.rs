//! Meta's side of the door: the verification GET and the signed POST. Between a POST and its 200
//! there is the signature check and one durable commit, and nothing else: no parsing, no look-up,
//! no other service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use core_whatsapp::signature::Verifier;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lib_platform::credential::token_digest;
use lib_platform::{Clock, trace};
use tracing::Instrument as _;

use crate::admission::Admission;
use crate::inbox::NewDelivery;

/// The path Meta is told.
pub(crate) const PATH: &str = "/webhooks/whatsapp";
/// Largest body taken in. Meta sends up to 3 MB.
pub(crate) const MAX_BODY_BYTES: usize = 4 << 20;
/// What a refused sender is told to wait. Meta follows its own schedule.
const RETRY_AFTER_SECONDS: &str = "5";
const SIGNATURE: &str = "x-hub-signature-256";
/// `sha256=` and 64 hexadecimal digits.
const SIGNATURE_LENGTH: usize = 7 + 64;
/// Version, trace id, parent id, flags.
const TRACEPARENT_LENGTH: usize = 55;

/// What the handlers need.
pub(crate) struct Door {
    pub(crate) verifier: Verifier,
    /// SHA-256 of the verify token: comparing digests tells a guesser nothing.
    pub(crate) verify_token: Option<[u8; 32]>,
    pub(crate) admission: Admission,
    pub(crate) clock: Clock,
    pub(crate) body_timeout: Duration,
    /// Posts answered 401 since the start.
    pub(crate) refused_signatures: Arc<AtomicU64>,
}

pub(crate) fn routes(door: Door) -> Router {
    let methods = get(verify).post(receive).fallback(other_method);
    Router::new()
        .route(PATH, methods)
        .with_state(Arc::new(door))
}

/// Why a request is not taken: a status and a word for the person who reads Meta's dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused(StatusCode, &'static str);

impl Refused {
    const fn signature(word: &'static str) -> Self {
        Self(StatusCode::UNAUTHORIZED, word)
    }

    const fn request(word: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, word)
    }
}

const TOO_LARGE: Refused = Refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");
const NOT_KEPT: Refused = Refused(StatusCode::SERVICE_UNAVAILABLE, "inbox_unavailable");

async fn other_method() -> Response {
    let allow = [(header::ALLOW, HeaderValue::from_static("GET, POST"))];
    (StatusCode::METHOD_NOT_ALLOWED, allow).into_response()
}

/// Meta asks whether this address expects it.
async fn verify(
    State(door): State<Arc<Door>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let outcome = query
        .map_err(|_| Refused::request("query_invalid"))
        .and_then(|Query(pairs)| challenge(&pairs, door.verify_token));
    match outcome {
        // A string is answered as `text/plain`.
        Ok(challenge) => challenge.into_response(),
        Err(Refused(status, word)) => (status, word).into_response(),
    }
}

/// The challenge to echo.
fn challenge(pairs: &[(String, String)], token: Option<[u8; 32]>) -> Result<String, Refused> {
    let one = |name: &str| {
        let mut values = pairs.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Ok(value.as_str()),
            (None, _) => Err(Refused::request("parameter_missing")),
            (Some(_), Some(_)) => Err(Refused::request("parameter_repeated")),
        }
    };
    if one("hub.mode")? != "subscribe" {
        return Err(Refused::request("mode_unsupported"));
    }
    let shown = token_digest(one("hub.verify_token")?);
    let challenge = one("hub.challenge")?;
    if token != Some(shown) {
        return Err(Refused(StatusCode::FORBIDDEN, "forbidden"));
    }
    // Meta sends digits. Anything that could mean something to a browser is not echoed.
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if challenge.is_empty() || challenge.len() > 256 || !challenge.bytes().all(harmless) {
        return Err(Refused::request("challenge_invalid"));
    }
    Ok(challenge.to_owned())
}

/// Meta delivers.
async fn receive(State(door): State<Arc<Door>>, request: Request) -> Response {
    let span = tracing::info_span!("webhook");
    let parent = request.headers().get(trace::HEADER);
    let parent = parent.and_then(|parent| parent.to_str().ok());
    // The server's own span carries the sender's trace only where that level is traced.
    if let (None, Some(parent)) = (trace::current_traceparent(), parent) {
        trace::continue_from(&span, parent);
    }
    // Where nothing is traced here, the sender's trace is passed on as it came.
    let traceparent = trace::traceparent(&span)
        .or_else(|| {
            parent
                .filter(|text| text.len() == TRACEPARENT_LENGTH)
                .map(str::to_owned)
        })
        .unwrap_or_default();
    let admitted = admit(&door, request, traceparent.clone());
    let outcome = admitted.instrument(span).await;
    let Err(Refused(status, word)) = outcome else {
        tracing::debug!(traceparent, "a webhook was admitted");
        return StatusCode::OK.into_response();
    };
    tracing::debug!(traceparent, %status, word, "a webhook was refused");
    match status {
        StatusCode::UNAUTHORIZED => {
            door.refused_signatures.fetch_add(1, Ordering::Relaxed);
            (status, word).into_response()
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            let retry = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
            (status, retry, word).into_response()
        }
        _ => (status, word).into_response(),
    }
}

async fn admit(door: &Door, request: Request, traceparent: String) -> Result<(), Refused> {
    let (head, body) = request.into_parts();
    let signature = signature(&head.headers)?;
    check_head(&head.headers)?;
    if !door.admission.has_room() {
        return Err(NOT_KEPT);
    }
    let body = read_body(body, door.body_timeout).await?;
    if !door.verifier.verify(Some(signature), &body) {
        return Err(Refused::signature("signature_mismatch"));
    }
    let delivery = NewDelivery {
        admitted_at: door.clock.now(),
        traceparent,
        body,
    };
    lib_platform::failpoint!("ingress.verified");
    let kept = door.admission.admit(delivery).await;
    lib_platform::failpoint!("ingress.kept");
    kept.map_err(|_| NOT_KEPT)
}

/// The one signature header, if it has the right form; no body is read for any other.
fn signature(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(SIGNATURE).iter();
    let (first, second) = (values.next(), values.next());
    let first = first.ok_or(Refused::signature("signature_missing"))?;
    if second.is_some() {
        return Err(Refused::signature("signature_ambiguous"));
    }
    match first.to_str() {
        Ok(text) if text.len() == SIGNATURE_LENGTH && text.starts_with("sha256=") => Ok(text),
        _ => Err(Refused::signature("signature_malformed")),
    }
}

/// The content type is not looked at: the signature decides, and a header must not lose events.
fn check_head(headers: &HeaderMap) -> Result<(), Refused> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Refused(status, "encoding_unsupported"));
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    match announced {
        Some(length) if length > MAX_BODY_BYTES as u64 => Err(TOO_LARGE),
        _ => Ok(()),
    }
}

async fn read_body(body: Body, patience: Duration) -> Result<Bytes, Refused> {
    let whole = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(patience, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
        Ok(Err(_)) => Err(Refused::request("body_incomplete")),
        Err(_) => Err(Refused(StatusCode::REQUEST_TIMEOUT, "body_timeout")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &[(&str, &str)]) -> Result<String, Refused> {
        let pairs: Vec<_> = query
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        challenge(&pairs, Some(token_digest("right")))
    }

    fn with<'a>(mode: &'a str, token: &'a str, challenge: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("hub.mode", mode),
            ("hub.verify_token", token),
            ("hub.challenge", challenge),
        ]
    }

    #[test]
    fn the_challenge_is_echoed_to_who_knows_the_token() {
        assert_eq!(
            ask(&with("subscribe", "right", "1158201444")).unwrap(),
            "1158201444"
        );
    }

    #[test]
    fn w12_to_w17_other_verifications_are_refused() {
        let long = "1".repeat(100_000);
        let refused = |query: &[(&str, &str)]| ask(query).unwrap_err();
        let markup = with("subscribe", "right", "<script>alert(1)</script>");
        assert_eq!(refused(&markup).1, "challenge_invalid");
        assert_eq!(
            refused(&with("subscribe", "right", &long)).1,
            "challenge_invalid"
        );
        assert_eq!(
            refused(&with("subscribe", "wrong", "1")),
            Refused(StatusCode::FORBIDDEN, "forbidden")
        );
        assert_eq!(
            refused(&with("unsubscribe", "right", "1")).1,
            "mode_unsupported"
        );
        assert_eq!(refused(&[]).1, "parameter_missing");
        let mut twice = with("subscribe", "right", "1").to_vec();
        twice.push(("hub.verify_token", "right"));
        assert_eq!(refused(&twice).1, "parameter_repeated");
        let pairs = with("subscribe", "", "1").map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert!(
            challenge(&pairs, None).is_err(),
            "no token is not an empty one"
        );
    }

    #[test]
    fn w01_to_w05_only_one_well_formed_signature_counts() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SIGNATURE, value.parse().unwrap());
            }
            headers
        };
        let good = format!("sha256={}", "aB".repeat(32));
        assert_eq!(signature(&headers(&[&good])), Ok(good.as_str()));
        let word = |values: &[&str]| signature(&headers(values)).unwrap_err().1;
        assert_eq!(word(&[]), "signature_missing");
        assert_eq!(word(&[&good, &good]), "signature_ambiguous");
        assert_eq!(word(&[&good[..70]]), "signature_malformed");
        assert_eq!(word(&["sha1=abc"]), "signature_malformed");
    }
}
