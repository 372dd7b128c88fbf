//! The parts of the log this replica works on now. A part is open from the moment its deadlines are
//! loaded until it is lost.

use std::sync::Arc;

use lib_platform::partition::Held;
use lib_storage::Database;
use tokio::sync::{Mutex, watch};

use crate::committer::Writer;
use crate::outbox::Outbox;
use crate::publish::{News, Publisher};
use crate::store::{WORK, log, part_of};

/// How long to wait before what the database refused is tried again.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// The fences of the open parts at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Fences(Arc<Vec<Option<i64>>>);

impl Fences {
    /// Every part is open under `fence`.
    #[cfg(test)]
    pub(crate) fn all_at(fence: i64) -> Self {
        Self(Arc::new(vec![Some(fence); usize::from(WORK.parts)]))
    }

    /// The fence of a part, if it is open.
    pub(crate) fn of(&self, part: u16) -> Option<i64> {
        self.0.get(usize::from(part)).copied().flatten()
    }

    /// The part of a number or account and its fence, if it is open.
    pub(crate) fn of_key(&self, key: &str) -> Option<(u16, i64)> {
        let part = part_of(key);
        Some((part, self.of(part)?))
    }
}

/// Which parts are open.
pub(crate) struct Parts(watch::Sender<Fences>);

impl Parts {
    /// None is.
    pub(crate) fn new() -> Self {
        let none = vec![None; usize::from(WORK.parts)];
        Self(watch::Sender::new(Fences(Arc::new(none))))
    }

    /// The open parts now.
    pub(crate) fn now(&self) -> Fences {
        self.0.borrow().clone()
    }

    /// Tells when parts open or close.
    pub(crate) fn changes(&self) -> watch::Receiver<Fences> {
        self.0.subscribe()
    }

    /// Whether all of them are open.
    pub(crate) fn all_open(&self) -> bool {
        self.0.borrow().0.iter().all(Option::is_some)
    }

    fn open(&self, part: u16, fence: i64) {
        self.0.send_modify(|fences| {
            if let Some(place) = Arc::make_mut(&mut fences.0).get_mut(usize::from(part)) {
                *place = Some(fence);
            }
        });
    }

    /// Nothing of `part` is taken in any more under `fence`. Returns whether anything was.
    pub(crate) fn close(&self, part: u16, fence: i64) -> bool {
        self.0.send_if_modified(|fences| {
            let open = fences.of(part) == Some(fence);
            if open {
                Arc::make_mut(&mut fences.0)[usize::from(part)] = None;
            }
            open
        })
    }
}

/// What the work on a part needs.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) parts: Arc<Parts>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) database: Database,
    pub(crate) writer: Arc<Mutex<Writer>>,
}

impl Desk {
    /// Works on a part until it is lost.
    pub(crate) async fn hold(self, held: Held) -> anyhow::Result<()> {
        let part = held.part;
        let deadlines = loop {
            match log::timers(&self.database, part).await {
                Ok(deadlines) => break deadlines,
                Err(error) if error.is_passing() => {
                    tracing::warn!(part, %error, "the deadlines of a part cannot be read yet");
                }
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = held.lost() => return Ok(()),
            }
        };
        for (id, at) in deadlines {
            self.publisher.timers.set(&id, part, Some(at));
        }
        self.parts.open(part, held.fence);
        // Whoever had it before may have died between a commit and its announcement.
        let followed = self.outbox.is_followed();
        self.publisher.tell(News::Gained { part, followed });
        held.lost().await;
        self.parts.close(part, held.fence);
        // The batch under way ends first; no other touches the part.
        let mut writer = self.writer.lock().await;
        writer.cache.forget_part(part);
        self.publisher.timers.drop_part(part);
        Ok(())
    }
}
