//! A queue's settings and what is wrong with them.

use std::collections::BTreeSet;

use core_types::{AgentId, QueueId};
use serde::{Deserialize, Serialize};

/// How long an offer stands when the queue does not say, in seconds.
pub const DEFAULT_OFFER_SECONDS: u32 = 30;
/// Most agents of one queue.
pub const MAX_AGENTS: usize = 1_000;
/// Most dispositions of one queue.
pub const MAX_DISPOSITIONS: usize = 100;
/// Longest wrap-up, in seconds.
pub const MAX_WRAP_UP_SECONDS: u32 = 3_600;
/// Longest name and disposition, in characters.
const MAX_NAME: usize = 100;

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Which.
    pub id: QueueId,
    /// What people call it.
    pub name: String,
    /// Who serves it. Kept in the order given; the order has no meaning.
    pub agents: Vec<AgentId>,
    /// How long an offer stands, in seconds: 5 to 600.
    pub offer_seconds: u32,
    /// Wrap-up closes by itself after this many seconds; 0 means never.
    pub wrap_up_seconds: u32,
    /// What an agent may file an engagement under; empty means any text.
    pub dispositions: Vec<String>,
}

/// A field of a queue that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, such as `agent_ids[3]`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Queue {
    /// What is wrong with the settings (`reliability.md` 5.4); empty when nothing is.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut report = |field: &str, problem: String| {
            found.push(Violation {
                field: field.to_owned(),
                problem,
            });
        };
        if !is_queue_id(self.id.as_str()) {
            let rule = "must be 3 to 64 letters, digits, `-`, `_` or `.`, a letter or digit first";
            report("id", rule.to_owned());
        }
        if let Some(problem) = label_problem(&self.name) {
            report("name", problem);
        }
        if self.agents.len() > MAX_AGENTS {
            report("agent_ids", format!("at most {MAX_AGENTS} are allowed"));
        }
        let mut seen = BTreeSet::new();
        for (index, agent) in self.agents.iter().enumerate() {
            if !seen.insert(agent) {
                report(
                    &format!("agent_ids[{index}]"),
                    format!("`{agent}` is named twice"),
                );
            }
        }
        if !(5..=600).contains(&self.offer_seconds) {
            report("offer_seconds", "must be 5 to 600, or 0 for 30".to_owned());
        }
        if self.wrap_up_seconds > MAX_WRAP_UP_SECONDS {
            report(
                "wrap_up_seconds",
                format!("must be at most {MAX_WRAP_UP_SECONDS}; 0 means never"),
            );
        }
        if self.dispositions.len() > MAX_DISPOSITIONS {
            report(
                "dispositions",
                format!("at most {MAX_DISPOSITIONS} are allowed"),
            );
        }
        let mut seen = BTreeSet::new();
        for (index, disposition) in self.dispositions.iter().enumerate() {
            let field = format!("dispositions[{index}]");
            if let Some(problem) = label_problem(disposition) {
                report(&field, problem);
            } else if !seen.insert(disposition.trim().to_lowercase()) {
                report(&field, format!("`{disposition}` is there twice"));
            }
        }
        found
    }
}

fn is_queue_id(text: &str) -> bool {
    (3..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn label_problem(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        Some("must not be empty".to_owned())
    } else if text.chars().count() > MAX_NAME {
        Some(format!("must be at most {MAX_NAME} characters"))
    } else if text.chars().any(char::is_control) {
        Some("must not hold control characters".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue {
            id: QueueId::new("sales").unwrap(),
            name: "Sales <b>".to_owned(),
            agents: vec![AgentId::new("ana").unwrap()],
            offer_seconds: 30,
            wrap_up_seconds: 60,
            dispositions: vec!["Sold".to_owned()],
        }
    }

    #[test]
    fn every_bad_field_is_named() {
        assert_eq!(queue().violations(), []);
        let bad = Queue {
            id: QueueId::new("s!").unwrap(),
            name: "a\0b".to_owned(),
            agents: vec![AgentId::new("ana").unwrap(); 2],
            offer_seconds: 1,
            wrap_up_seconds: 86_400,
            dispositions: vec!["Sold".to_owned(), " sold".to_owned(), String::new()],
        };
        let fields: Vec<String> = bad.violations().into_iter().map(|v| v.field).collect();
        assert_eq!(
            fields,
            [
                "id",
                "name",
                "agent_ids[1]",
                "offer_seconds",
                "wrap_up_seconds",
                "dispositions[1]",
                "dispositions[2]"
            ]
        );
        for name in ["", "  ", &"x".repeat(101)] {
            let bad = Queue {
                name: name.to_owned(),
                ..queue()
            };
            assert_eq!(bad.violations()[0].field, "name");
        }
    }
}
