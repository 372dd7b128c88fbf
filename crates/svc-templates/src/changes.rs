//! What Meta's account webhooks say about a template, and what the template is after it.

use core_types::AccountFact;

use crate::store::Record;

/// A change of one template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The template's name.
    pub(crate) name: String,
    /// Its language, in the underscore form.
    pub(crate) language: String,
    /// What changed.
    pub(crate) kind: ChangeKind,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// The status.
    Status {
        /// Meta's event word.
        event: String,
        /// Why; empty when Meta gives no reason.
        reason: String,
        /// The category with it; empty when Meta does not say.
        category: String,
    },
    /// The quality: Meta's word.
    Quality(String),
    /// The category in force: Meta's word.
    Category(String),
    /// Something that has to be read again.
    Components,
}

/// What a template is after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// This.
    Now(Box<Record>),
    /// It is no more.
    Gone,
    /// Only Meta can tell.
    Unclear,
}

/// The change a fact tells of, if it tells of one.
pub(crate) fn change(fact: &AccountFact) -> Option<Change> {
    let attribute = |key: &str| fact.attributes.get(key).cloned().unwrap_or_default();
    let kind = match fact.field.as_str() {
        "message_template_status_update" => ChangeKind::Status {
            event: fact.event.to_uppercase(),
            reason: attribute("reason"),
            category: attribute("category").to_uppercase(),
        },
        "message_template_quality_update" => {
            ChangeKind::Quality(attribute("quality").to_uppercase())
        }
        // An announcement names the category that still is in force, so it may be applied as well.
        "template_category_update" => ChangeKind::Category(attribute("category").to_uppercase()),
        "message_template_components_update" => ChangeKind::Components,
        _ => return None,
    };
    let change = Change {
        name: attribute("template_name"),
        language: attribute("language"),
        kind,
    };
    (!change.name.is_empty()).then_some(change)
}

/// What `record` is after a change.
pub(crate) fn apply(mut record: Record, kind: &ChangeKind) -> Applied {
    match kind {
        ChangeKind::Status {
            event,
            reason,
            category,
        } => {
            match event.as_str() {
                "APPROVED" | "REJECTED" | "PENDING" | "PAUSED" | "DISABLED" | "IN_APPEAL"
                | "PENDING_DELETION" | "LIMIT_EXCEEDED" | "ARCHIVED" => {
                    record.status.clone_from(event);
                }
                "REINSTATED" => "APPROVED".clone_into(&mut record.status),
                "DELETED" => return Applied::Gone,
                // FLAGGED and LOCKED do not say whether it may still be sent.
                _ => return Applied::Unclear,
            }
            if !category.is_empty() {
                record.category.clone_from(category);
            }
            record.rejected_reason = if reason == "NONE" {
                String::new()
            } else {
                reason.clone()
            };
        }
        ChangeKind::Quality(score) if !score.is_empty() => record.quality.clone_from(score),
        ChangeKind::Category(category) if !category.is_empty() => {
            record.category.clone_from(category);
        }
        ChangeKind::Quality(_) | ChangeKind::Category(_) | ChangeKind::Components => {
            return Applied::Unclear;
        }
    }
    Applied::Now(Box::new(record))
}
