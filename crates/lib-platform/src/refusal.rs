//! Errors for callers: a gRPC status with details a program can act on (`google.rpc`), never a
//! bare one. Services turn their typed errors into a [`Refusal`] at the edge.

use std::collections::HashMap;
use std::time::Duration;

use lib_storage::StorageError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain in `ErrorInfo`: says whose reasons these are.
const DOMAIN: &str = "frontdesk";

/// Why a call is refused, in the words the caller gets.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    code: Code,
    reason: &'static str,
    message: String,
    fields: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        let (fields, metadata) = (Vec::new(), Vec::new());
        Self {
            code,
            reason,
            message: message.into(),
            fields,
            metadata,
            retry_after: None,
        }
    }

    /// One field of the request cannot be used. `problem` says what is wrong and what is right.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        let (field, problem) = (field.into(), problem.into());
        let mut refusal = Self::new(
            Code::InvalidArgument,
            "INVALID_FIELD",
            format!("{field}: {problem}"),
        );
        refusal.fields.push((field, problem));
        refusal
    }

    /// There is no such thing, or the caller may not know of it.
    pub fn not_found(kind: &str, id: &str) -> Self {
        Self::new(
            Code::NotFound,
            "NOT_FOUND",
            format!("there is no {kind} `{id}`"),
        )
        .with("kind", kind)
        .with("id", id)
    }

    /// It is there already, with other content.
    pub fn already_exists(kind: &str, id: &str) -> Self {
        Self::new(
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            format!("{kind} `{id}` exists already"),
        )
        .with("kind", kind)
        .with("id", id)
    }

    /// The state of things forbids it. `reason` is stable, in capitals.
    pub fn precondition(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// Somebody changed it since the caller looked.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Code::Aborted, "CONFLICT", message)
    }

    /// The caller may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, "FORBIDDEN", message)
    }

    /// No credential, or one that is not accepted.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, "UNAUTHENTICATED", message)
    }

    /// Cannot be done now; worth another try after `retry_after`.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        let mut refusal = Self::new(Code::Unavailable, "UNAVAILABLE", message);
        refusal.retry_after = Some(retry_after);
        refusal
    }

    /// Too much at once.
    pub fn exhausted(message: impl Into<String>, retry_after: Duration) -> Self {
        let mut refusal = Self::new(Code::ResourceExhausted, "EXHAUSTED", message);
        refusal.retry_after = Some(retry_after);
        refusal
    }

    /// A fault of ours. The cause goes to the log, not to the caller.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            Code::Internal,
            "INTERNAL",
            "an error on our side; it has been logged",
        )
    }

    /// Says more exactly why. `reason` is stable, in capitals.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    /// Adds a fact programs can read from `ErrorInfo.metadata`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    /// Adds another field that cannot be used.
    #[must_use]
    pub fn and_field(mut self, field: impl Into<String>, problem: impl Into<String>) -> Self {
        self.fields.push((field.into(), problem.into()));
        self
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The stable reason.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl From<StorageError> for Refusal {
    /// A failed query is our fault, not the caller's; where the database is only away for a moment,
    /// the call may be repeated.
    fn from(error: StorageError) -> Self {
        if error.is_passing() {
            tracing::warn!(%error, "the records cannot be reached");
            Self::unavailable("the records cannot be reached now", Duration::from_secs(1))
        } else {
            Self::internal(&error)
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> = refusal.metadata.into_iter().collect();
        if refusal.code == Code::FailedPrecondition {
            details.add_precondition_failure_violation(refusal.reason, DOMAIN, &refusal.message);
        }
        details.set_error_info(refusal.reason, DOMAIN, metadata);
        for (field, problem) in refusal.fields {
            details.add_bad_request_violation(field, problem);
        }
        if let Some(delay) = refusal.retry_after {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(refusal.code, refusal.message, details)
    }
}

/// The stable reason inside a status made from a [`Refusal`], if there is one.
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}
