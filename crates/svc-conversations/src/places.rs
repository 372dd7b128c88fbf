//! Which part a conversation belongs to. It never changes, so it is asked once.

use std::collections::HashMap;
use std::sync::Mutex;

use core_types::ConversationId;
use lib_storage::{Database, StorageError};

use crate::store::{load, part_of};

/// Conversations remembered; then it begins anew.
const MOST: usize = 200_000;

/// The parts of conversations.
pub(crate) struct Places {
    database: Database,
    known: Mutex<HashMap<ConversationId, u16>>,
}

impl Places {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            known: Mutex::default(),
        }
    }

    /// The parts of `ids`, in order; none for conversations that do not exist.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn of(
        &self,
        ids: &[Option<ConversationId>],
    ) -> Result<Vec<Option<u16>>, StorageError> {
        let mut parts = self.known(ids);
        let missing = ids.iter().zip(&parts).filter_map(|(id, part)| match part {
            None => id.as_ref(),
            Some(_) => None,
        });
        let mut missing: Vec<&ConversationId> = missing.collect();
        if missing.is_empty() {
            return Ok(parts);
        }
        missing.sort();
        missing.dedup();
        let found = load::numbers(&self.database, &missing).await?;
        if let Ok(mut known) = self.known.lock() {
            if known.len() > MOST {
                known.clear();
            }
            for (id, number) in found {
                known.insert(id, part_of(&number));
            }
        }
        parts = self.known(ids);
        Ok(parts)
    }

    fn known(&self, ids: &[Option<ConversationId>]) -> Vec<Option<u16>> {
        match self.known.lock() {
            Ok(known) => ids
                .iter()
                .map(|id| known.get(id.as_ref()?).copied())
                .collect(),
            Err(_) => vec![None; ids.len()],
        }
    }
}
