//! How far the log has been taken in: by the parts this replica follows, and by those others do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lib_platform::partition::part_of;
use lib_storage::StorageError;

use crate::store::Store;

/// How far the parts have come. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Progress {
    store: Store,
    here: Arc<Mutex<BTreeMap<u16, String>>>,
}

impl Progress {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            here: Arc::default(),
        }
    }

    /// Every entry of `part` up to `cursor` has had its effect.
    pub(crate) fn reached(&self, part: u16, cursor: &str) {
        self.lock().insert(part, cursor.to_owned());
    }

    /// Another replica follows `part` from now on.
    pub(crate) fn left(&self, part: u16) {
        self.lock().remove(&part);
    }

    /// The cursor up to which everything of `tenant`, or of all tenants, has had its effect. Of
    /// parts that other replicas follow it is what they have stored, about a second old at most.
    pub(crate) async fn of(&self, tenant: Option<&str>) -> Result<String, StorageError> {
        let parts = self.store.work.parts;
        let wanted = match tenant {
            Some(tenant) => {
                let part = part_of(tenant, parts);
                part..part + 1
            }
            None => 0..parts,
        };
        let mut known = self.lock().clone();
        if !wanted.clone().all(|part| known.contains_key(&part)) {
            for (part, seen) in self.store.seen().await? {
                known.entry(part).or_insert(seen);
            }
        }
        let cursors = wanted.map(|part| known.remove(&part).unwrap_or_default());
        Ok(cursors
            .min_by(|a, b| order(a).cmp(&order(b)))
            .unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u16, String>> {
        // A map is whole after every operation.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cursors of the log are decimal positions.
fn order(cursor: &str) -> (usize, &str) {
    (cursor.len(), cursor)
}

/// The later of two cursors.
pub(crate) fn later<'a>(a: &'a str, b: &'a str) -> &'a str {
    if order(a) < order(b) { b } else { a }
}
