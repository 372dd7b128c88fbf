//! What callers may store, and how a draft's problems are told to them.

use core_flow::{MAX_DEFINITION_BYTES, Problem, Severity};
use core_types::FlowId;
use lib_platform::Refusal;
use lib_proto::flow_runner::{FlowProblem, flow_problem};
use sha2::{Digest as _, Sha256};

/// Longest name, in characters.
const LONGEST_NAME: usize = 100;
/// Longest note, in characters.
const LONGEST_NOTE: usize = 1_000;
/// Most violations told in one refusal: they travel in a header, which must stay small.
const MOST_VIOLATIONS: usize = 10;
/// Longest sentence of one violation, in characters.
const LONGEST_VIOLATION: usize = 240;

/// A flow's id.
pub(crate) fn id(field: &str, text: &str) -> Result<(), Refusal> {
    FlowId::new(text)
        .map(|_| ())
        .map_err(|error| Refusal::invalid(field, error.to_string()))
}

/// A flow's name.
pub(crate) fn name(text: &str) -> Result<(), Refusal> {
    let visible = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if visible && text.chars().count() <= LONGEST_NAME {
        return Ok(());
    }
    let problem = format!("must be 1 to {LONGEST_NAME} visible characters");
    Err(Refusal::invalid("name", problem))
}

/// The note of a publication.
pub(crate) fn note(text: &str) -> Result<(), Refusal> {
    if text.chars().count() <= LONGEST_NOTE {
        return Ok(());
    }
    let problem = format!("must be at most {LONGEST_NOTE} characters");
    Err(Refusal::invalid("note", problem))
}

/// A draft may be wrong, that is what drafts are for, but not of any size.
pub(crate) fn draft(text: &str) -> Result<(), Refusal> {
    if text.len() <= MAX_DEFINITION_BYTES {
        return Ok(());
    }
    let problem = format!(
        "has {} bytes, at most {MAX_DEFINITION_BYTES} are kept; split the flow into several",
        text.len()
    );
    Err(Refusal::invalid("draft", problem))
}

/// What a flow is created from, in 32 bytes. The length keeps name and draft apart.
pub(crate) fn fingerprint(name: &str, draft: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update((name.len() as u64).to_be_bytes());
    digest.update(name);
    digest.update(draft);
    digest.finalize().to_vec()
}

/// Why a draft cannot be published: one field violation for each of the first errors.
pub(crate) fn unpublishable(errors: &[&Problem]) -> Option<Refusal> {
    let violation = |problem: &Problem| {
        let place = problem.place();
        let dot = if place.is_empty() { "" } else { "." };
        let said: String = format!("{}; {}", problem.message, problem.remedy)
            .chars()
            .take(LONGEST_VIOLATION)
            .collect();
        (format!("draft{dot}{place}"), said)
    };
    let (first, rest) = errors.split_first()?;
    let (field, said) = violation(first);
    let mut refusal = Refusal::invalid(field, said);
    for problem in rest.iter().take(MOST_VIOLATIONS - 1) {
        let (field, said) = violation(problem);
        refusal = refusal.and_field(field, said);
    }
    if errors.len() > MOST_VIOLATIONS {
        refusal = refusal.and_field("draft", "there are more errors; CheckFlow lists them");
    }
    Some(refusal)
}

/// A problem for the wire.
pub(crate) fn problem_to_proto(problem: Problem) -> FlowProblem {
    let severity = match problem.severity {
        Severity::Error => flow_problem::Severity::Error,
        Severity::Warning => flow_problem::Severity::Warning,
    };
    FlowProblem {
        severity: severity.into(),
        widget: problem.widget,
        field: problem.field,
        message: problem.message,
        remedy: problem.remedy,
    }
}
