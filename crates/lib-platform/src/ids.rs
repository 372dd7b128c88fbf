//! Where new ids come from: time-ordered random UUIDs, or a counted sequence that gives the same
//! ids in every run of a demo or test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// Makes ids. Cheap to clone; clones share the sequence.
#[derive(Clone, Debug)]
pub struct IdSource(Option<Arc<AtomicU64>>);

impl IdSource {
    /// UUID version 7: unique over machines, ordered by time.
    pub fn random() -> Self {
        Self(None)
    }

    /// `…-000001`, `…-000002`, …: the same in every run.
    pub fn counted() -> Self {
        Self(Some(Arc::new(AtomicU64::new(0))))
    }

    /// A new id that starts with `prefix`, such as `eng-0198…`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where ids are made"
    )]
    pub fn next(&self, prefix: &str) -> String {
        match &self.0 {
            None => format!("{prefix}-{}", Uuid::now_v7().simple()),
            Some(count) => {
                format!("{prefix}-{:06}", count.fetch_add(1, Ordering::Relaxed) + 1)
            }
        }
    }
}
