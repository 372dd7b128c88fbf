//! Errors in Meta's shape, with the HTTP statuses of `whatsapp-cloud-api.md`, 2.6.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::state::PlatformFault;

/// Why the Graph API refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphError {
    pub(crate) status: u16,
    pub(crate) code: i64,
    pub(crate) subcode: Option<i64>,
    /// `OAuthException` or `GraphMethodException`.
    kind: &'static str,
    message: String,
    details: Option<String>,
    trace: String,
}

impl GraphError {
    fn new(status: u16, code: i64, message: String, details: Option<&str>) -> Self {
        Self {
            status,
            code,
            subcode: None,
            kind: "OAuthException",
            message,
            details: details.map(ToOwned::to_owned),
            trace: String::new(),
        }
    }

    /// A refusal by the messages endpoint: the code decides title and HTTP status.
    pub(crate) fn message(code: i64, details: &str) -> Self {
        let message = format!("(#{code}) {}", title(code));
        Self::new(status(code), code, message, Some(details))
    }

    /// A refusal written by a script.
    pub(crate) fn scripted(status: u16, fault: &PlatformFault) -> Self {
        let message = format!("(#{}) {}", fault.code, fault.title);
        Self::new(status, fault.code, message, Some(&fault.details))
    }

    /// Code 100: a parameter is missing, misspelled or not supported.
    pub(crate) fn parameter(problem: &str) -> Self {
        Self::new(400, 100, format!("(#100) {problem}"), None)
    }

    /// A template cannot be created or changed: code 100 with Meta's subcode.
    pub(crate) fn template(subcode: i64, problem: &str) -> Self {
        let message = "Invalid parameter".to_owned();
        let error = Self::new(400, 100, message, Some(problem));
        Self {
            subcode: Some(subcode),
            ..error
        }
    }

    /// No token, or one that is not accepted.
    pub(crate) fn unauthorized() -> Self {
        let message = "Invalid OAuth access token - Cannot parse access token".to_owned();
        Self::new(401, 190, message, None)
    }

    /// The token belongs to another account.
    pub(crate) fn forbidden() -> Self {
        let message = "(#10) Application does not have permission for this action".to_owned();
        Self::new(403, 10, message, None)
    }

    /// There is no object with this id.
    pub(crate) fn no_object(id: &str) -> Self {
        let message = format!(
            "Unsupported request. Object with ID '{id}' does not exist, cannot be loaded due to \
             missing permissions, or does not support this operation"
        );
        Self {
            kind: "GraphMethodException",
            ..Self::new(400, 33, message, None)
        }
    }

    /// The path is none of the Graph API's.
    pub(crate) fn no_path(path: &str) -> Self {
        Self::new(400, 2_500, format!("Unknown path components: {path}"), None)
    }

    /// The sandbox is about to stop: nothing was done.
    pub(crate) fn stopping() -> Self {
        Self::new(
            503,
            2,
            "(#2) Service temporarily unavailable".to_owned(),
            None,
        )
    }

    /// What `fbtrace_id` says.
    pub(crate) fn traced(self, trace: String) -> Self {
        Self { trace, ..self }
    }

    /// One sentence for people.
    pub(crate) fn sentence(&self) -> &str {
        self.details.as_deref().unwrap_or(&self.message)
    }

    /// The body.
    pub(crate) fn body(&self) -> Value {
        let mut error = json!({
            "message": self.message,
            "type": self.kind,
            "code": self.code,
            "fbtrace_id": self.trace,
        });
        match (self.subcode, &self.details) {
            (Some(subcode), details) => {
                error["error_subcode"] = json!(subcode);
                error["is_transient"] = json!(false);
                error["error_user_title"] = json!("The template was not accepted");
                error["error_user_msg"] = json!(details);
            }
            (None, Some(details)) => {
                error["error_data"] = json!({"messaging_product": "whatsapp", "details": details});
            }
            (None, None) => {}
        }
        json!({"error": error})
    }
}

impl IntoResponse for GraphError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        (status, axum::Json(self.body())).into_response()
    }
}

/// Meta's HTTP status of a code.
pub(crate) fn status(code: i64) -> u16 {
    match code {
        0 | 190 => 401,
        2 | 133_004 => 503,
        3 | 131_000 | 131_016 | 131_045 | 131_057 | 133_000 => 500,
        10 | 200..=299 | 368 | 130_497 | 131_005 | 131_031 => 403,
        132_001 => 404,
        _ => 400,
    }
}

/// Meta's title of a code.
pub(crate) fn title(code: i64) -> &'static str {
    match code {
        2 | 131_016 => "Service unavailable",
        100 => "Invalid parameter",
        130_429 => "Rate limit hit",
        131_000 => "Something went wrong",
        131_008 => "Required parameter is missing",
        33 | 131_009 => "Parameter value is not valid",
        131_021 => "Recipient cannot be sender",
        131_026 => "Message undeliverable",
        131_047 => "Re-engagement message",
        131_048 => "Spam rate limit hit",
        131_049 => "This message was not delivered to maintain healthy ecosystem engagement.",
        131_050 => "User has stopped marketing messages from your business",
        131_051 => "Unsupported message type",
        131_056 => "(Business Account, Consumer Account) pair rate limit hit",
        131_062 => "Business-scoped user ID recipients are not supported for this message",
        132_000 => "Number of parameters does not match the expected number of params",
        132_001 => "Template name does not exist in the translation",
        132_005 => "Translated text too long",
        132_007 => "Template format character policy violated",
        132_012 => "Parameter format does not match format in the created template",
        132_015 => "Template is paused",
        132_016 => "Template is disabled",
        132_018 => "There is an issue with the template's parameters",
        133_010 => "Account not registered",
        _ => "Error",
    }
}
