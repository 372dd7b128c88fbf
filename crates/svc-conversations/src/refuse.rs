//! Why a call is refused, in the words callers get.

use std::time::Duration;

use core_conversation::Rejection;
use lib_platform::Refusal;
use lib_proto::FieldError;

use crate::committer::Answer;

/// How long callers should wait before they try again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long callers should wait until some messages of a full outbox may have left.
const DRAINED: Duration = Duration::from_secs(30);

/// The service is stopping, or cannot work now.
pub(crate) fn unavailable(cause: &str) -> Refusal {
    Refusal::unavailable(cause, AGAIN)
}

/// A field of the request cannot be used.
pub(crate) fn field(error: &FieldError) -> Refusal {
    Refusal::invalid(error.field.clone(), error.problem.clone())
}

/// An id that is not one.
pub(crate) fn id<T>(field: &str, result: Result<T, core_types::IdError>) -> Result<T, Refusal> {
    result.map_err(|error| Refusal::invalid(field, error.to_string()))
}

/// The state of the conversation forbids it.
pub(crate) fn rejected(rejection: &Rejection) -> Refusal {
    let message = rejection.to_string();
    match rejection {
        Rejection::WindowClosed { closed_at } => {
            let refusal = Refusal::precondition("WINDOW_CLOSED", message);
            match closed_at {
                Some(at) => refusal.with("closed_at", at.to_string()),
                None => refusal,
            }
        }
        Rejection::OutboxFull { most } => Refusal::exhausted(message, DRAINED)
            .because("OUTBOX_FULL")
            .with("most", most.to_string()),
        Rejection::StaleEpoch { seen, current } => Refusal::precondition("STALE_EPOCH", message)
            .with("seen", seen.to_string())
            .with("current", current.to_string()),
        other => Refusal::precondition(reason(other), message),
    }
}

/// The stable word for a rejection.
pub(crate) fn reason(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::WindowClosed { .. } => "WINDOW_CLOSED",
        Rejection::OutboxFull { .. } => "OUTBOX_FULL",
        Rejection::StaleEpoch { .. } => "STALE_EPOCH",
        Rejection::AlreadyAssigned => "ALREADY_ASSIGNED",
        Rejection::NotAssigned => "NOT_ASSIGNED",
        Rejection::Closed => "CLOSED",
        Rejection::NotFound => "NOT_FOUND",
        Rejection::UnknownMessage => "UNKNOWN_MESSAGE",
    }
}

/// Why a unit did not take effect; [`Answer::Done`] and its like mean a bug of ours.
pub(crate) fn answer(answer: Answer) -> Refusal {
    match answer {
        Answer::Rejected(rejection, _) => rejected(&rejection),
        Answer::NotFound(kind, id) => Refusal::not_found(kind, &id),
        Answer::Retry(cause) => unavailable(&cause),
        Answer::Elsewhere => lib_platform::forward::moving(),
        Answer::Refused(cause) => Refusal::internal(&cause),
        Answer::KeyReused => Refusal::precondition(
            "IDEMPOTENCY_KEY_REUSED",
            "the idempotency key was used for another message; take a new one",
        ),
        Answer::Done
        | Answer::Duplicate
        | Answer::Granted(_)
        | Answer::Sent(_)
        | Answer::Engagement(_) => Refusal::internal(&"the answer does not fit the request"),
    }
}
