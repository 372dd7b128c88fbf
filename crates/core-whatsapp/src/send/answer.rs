//! What the answer to a request means, by `whatsapp-cloud-api.md` 2.6 and `reliability.md` 2.3.
//! There is no idempotency key, so an answer that does not clearly say "sent" or "not sent" is
//! ambiguous and must not be retried at once.

use core_types::{PlatformError, WhatsAppMessageId};
use serde::Deserialize;

use super::{RetryClass, SendOutcome};
use crate::errors::{self, Action};
use crate::text::cut;

/// Codes that mean "not sent" even with a 5xx: throttling, and checks Meta makes before sending.
const NOT_SENT_WITH_5XX: [i64; 10] = [
    3, 4, 80_007, 130_429, 131_045, 131_048, 131_056, 131_057, 133_010, 133_016,
];

/// Longest piece of an unreadable answer kept for people, in bytes.
const EXCERPT_BYTES: usize = 300;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    messages: Vec<Message>,
    error: Option<GraphError>,
}

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    message_status: Option<String>,
}

#[derive(Deserialize)]
struct GraphError {
    code: Option<i64>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error_data: Option<ErrorData>,
    error_user_msg: Option<String>,
}

#[derive(Deserialize)]
struct ErrorData {
    details: Option<String>,
}

/// Reads the answer to a send request.
pub fn read_answer(http_status: u16, body: &[u8]) -> SendOutcome {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    match http_status {
        200..=299 => accepted(http_status, answer, body),
        400..=499 => match answer.and_then(graph_error) {
            Some(error) => refused(error, http_status),
            None => refused_without_reason(http_status, body),
        },
        500..=599 => match answer.and_then(graph_error) {
            Some(error) if NOT_SENT_WITH_5XX.contains(&error.code) => refused(error, http_status),
            Some(error) => SendOutcome::Ambiguous {
                cause: format!(
                    "Graph answered {http_status} with error {}: {}",
                    error.code, error.title
                ),
            },
            None => unreadable(http_status, body),
        },
        _ => unreadable(http_status, body),
    }
}

fn accepted(http_status: u16, answer: Option<Answer>, body: &[u8]) -> SendOutcome {
    let Some(answer) = answer else {
        return unreadable(http_status, body);
    };
    let message = answer.messages.into_iter().next();
    let id = message
        .as_ref()
        .and_then(|message| WhatsAppMessageId::new(message.id.as_deref()?).ok());
    match (id, message) {
        (Some(id), Some(message)) => SendOutcome::Accepted {
            id,
            held: message
                .message_status
                .is_some_and(|status| status != "accepted"),
        },
        _ => SendOutcome::Ambiguous {
            cause: format!("Graph answered {http_status} without a message id"),
        },
    }
}

fn graph_error(answer: Answer) -> Option<PlatformError> {
    let error = answer.error?;
    Some(PlatformError {
        code: error.code?,
        title: error.message,
        details: error
            .error_data
            .and_then(|data| data.details)
            .or(error.error_user_msg)
            .unwrap_or_default(),
    })
}

/// A 4xx, or a code that is certain: not sent. Only the code decides, never the status or title.
fn refused(error: PlatformError, http_status: u16) -> SendOutcome {
    let class = match error.code {
        130_429 => Some(RetryClass::Throughput),
        131_056 => Some(RetryClass::Pair),
        4 | 17 | 613 | 80_007 | 131_048 => Some(RetryClass::Limit),
        131_057 => Some(RetryClass::Maintenance),
        _ => None,
    };
    if let Some(class) = class {
        return SendOutcome::RetryLater { error, class };
    }
    match errors::lookup(error.code).map(|row| row.action) {
        Some(Action::Retry) => SendOutcome::RetryLater {
            error,
            class: RetryClass::Other,
        },
        Some(Action::StopNumber) => SendOutcome::StopNumber(error),
        None if http_status == 429 => SendOutcome::RetryLater {
            error,
            class: RetryClass::Limit,
        },
        None if http_status == 401 => SendOutcome::StopNumber(error),
        Some(Action::GiveUp | Action::MuchLater) | None => SendOutcome::Rejected(error),
    }
}

/// A 4xx that is not Graph's, for example from a proxy between.
fn refused_without_reason(http_status: u16, body: &[u8]) -> SendOutcome {
    let error = PlatformError {
        code: i64::from(http_status),
        title: format!("HTTP status {http_status} without Graph's reason"),
        details: excerpt(body),
    };
    match http_status {
        // The request may have arrived before the time was up.
        408 => unreadable(http_status, body),
        401 | 403 | 407 => SendOutcome::StopNumber(error),
        429 => SendOutcome::RetryLater {
            error,
            class: RetryClass::Limit,
        },
        _ => SendOutcome::Rejected(error),
    }
}

fn unreadable(http_status: u16, body: &[u8]) -> SendOutcome {
    SendOutcome::Ambiguous {
        cause: format!(
            "the answer with HTTP status {http_status} cannot be read: {}",
            excerpt(body)
        ),
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]);
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if clean.trim().is_empty() {
        "it is empty".to_owned()
    } else {
        cut(clean.trim(), EXCERPT_BYTES).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, code: i64) -> SendOutcome {
        let body = format!(
            r#"{{"error":{{"message":"(#{code}) x","type":"OAuthException","code":{code},
            "error_data":{{"messaging_product":"whatsapp","details":"why"}},"fbtrace_id":"A"}}}}"#
        );
        read_answer(status, body.as_bytes())
    }

    #[test]
    fn an_id_means_accepted() {
        let answer = |status: &str| {
            format!(
                r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"+1","wa_id":"1"}}],
                "messages":[{{"id":"wamid.A"{status}}}]}}"#
            )
        };
        let held = |status: &str| match read_answer(200, answer(status).as_bytes()) {
            SendOutcome::Accepted { id, held } => (id.to_string(), held),
            other => panic!("{other:?}"),
        };
        assert_eq!(held(""), ("wamid.A".to_owned(), false));
        assert!(!held(r#","message_status":"accepted""#).1);
        assert!(held(r#","message_status":"held_for_quality_assessment""#).1);
    }

    #[test]
    fn without_a_clear_word_it_is_ambiguous() {
        for (status, body) in [
            (200, ""),
            (200, "{}"),
            (200, r#"{"messages":[]}"#),
            (200, r#"{"messages":[{"id":""}]}"#),
            (200, "<html>"),
            (302, ""),
            (408, ""),
            (500, ""),
            (502, "<html>Bad Gateway</html>"),
            (504, "{}"),
        ] {
            let outcome = read_answer(status, body.as_bytes());
            assert!(
                matches!(outcome, SendOutcome::Ambiguous { .. }),
                "{status} {body}"
            );
        }
        for code in [1, 2, 131_000, 131_016, 133_004, 777_777, 131_026] {
            assert!(
                matches!(error(500, code), SendOutcome::Ambiguous { .. }),
                "{code}"
            );
        }
    }

    #[test]
    fn the_code_decides_what_a_4xx_means() {
        for status in [400, 429, 500] {
            for (code, expected) in [
                (4, RetryClass::Limit),
                (80_007, RetryClass::Limit),
                (130_429, RetryClass::Throughput),
                (131_048, RetryClass::Limit),
                (131_056, RetryClass::Pair),
                (131_057, RetryClass::Maintenance),
            ] {
                let SendOutcome::RetryLater { error, class } = error(status, code) else {
                    panic!("{code}");
                };
                assert_eq!(
                    (error.code, error.details.as_str(), class),
                    (code, "why", expected)
                );
            }
        }
        for code in [0, 10, 190, 200, 250, 368, 131_031, 131_042, 133_010] {
            assert!(
                matches!(error(400, code), SendOutcome::StopNumber(_)),
                "{code}"
            );
        }
        for code in [
            100, 131_009, 131_026, 131_047, 131_049, 132_000, 132_001, 132_015, 777_777,
        ] {
            assert!(
                matches!(error(400, code), SendOutcome::Rejected(_)),
                "{code}"
            );
        }
        let outcome = error(400, 131_016);
        assert!(matches!(
            outcome,
            SendOutcome::RetryLater {
                class: RetryClass::Other,
                ..
            }
        ));
    }

    #[test]
    fn a_4xx_without_graphs_reason_still_means_not_sent() {
        assert!(matches!(
            read_answer(404, b"nope"),
            SendOutcome::Rejected(_)
        ));
        assert!(matches!(read_answer(401, b""), SendOutcome::StopNumber(_)));
        assert!(matches!(
            read_answer(429, b""),
            SendOutcome::RetryLater { .. }
        ));
    }
}
