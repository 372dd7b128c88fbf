//! The live state in Redis: one hash tag per part, `fd:v1:{r<part>}:…`, changed by one script
//! under the part's fence.

use lib_storage::Storage;

use super::live::StoreError;
use super::{OutgoingRow, Stored};
use crate::write::Write;

/// The live state of all parts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LiveState {}

impl LiveState {
    /// Connects where there are servers; `None` when embedded.
    pub(crate) async fn connect(storage: &Storage) -> anyhow::Result<Option<Self>> {
        anyhow::ensure!(storage.servers().is_none(), "later");
        Ok(None)
    }
    pub(crate) fn part(&self, _part: u16) -> LiveKeys {
        LiveKeys {}
    }
}

/// The live state of one part. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LiveKeys {}

impl LiveKeys {
    pub(super) async fn forget_log(&self, _fence: i64) -> Result<(), StoreError> {
        Ok(())
    }
    pub(super) async fn load(&self, _fence: i64) -> Result<Stored, StoreError> {
        Ok(Stored::default())
    }
    pub(super) async fn commit(&self, _fence: i64, _writes: &[Write]) -> Result<(), StoreError> {
        Ok(())
    }
    pub(super) async fn outgoing_after(
        &self,
        _number: i64,
        _most: i64,
    ) -> Result<Vec<OutgoingRow>, StoreError> {
        Ok(Vec::new())
    }
}
