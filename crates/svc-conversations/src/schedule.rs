//! Times at which something is due for a conversation, in order, and a way to wait for the next.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use core_types::{ConversationId, Timestamp};
use lib_platform::Clock;
use tokio::sync::Notify;

/// One due time per conversation.
#[derive(Default)]
pub(crate) struct Schedule {
    times: Mutex<Times>,
    sooner: Notify,
}

#[derive(Default)]
struct Times {
    order: BTreeSet<(Timestamp, ConversationId)>,
    /// The time of each, and the part it belongs to.
    of: HashMap<ConversationId, (Timestamp, u16)>,
    /// What could not be handled; it keeps its time in `of` but not its place in `order`.
    aside: HashSet<ConversationId>,
}

impl Schedule {
    /// Sets when the conversation of `part` is due, or that it is not.
    pub(crate) fn set(&self, id: &ConversationId, part: u16, due: Option<Timestamp>) {
        let Ok(mut times) = self.times.lock() else {
            return;
        };
        if !times.aside.remove(id) && times.of.get(id).map(|(at, _)| *at) == due {
            return;
        }
        if let Some((old, _)) = times.of.remove(id) {
            times.order.remove(&(old, id.clone()));
        }
        if let Some(at) = due {
            let first = times.order.first().is_none_or(|(next, _)| at < *next);
            times.order.insert((at, id.clone()));
            times.of.insert(id.clone(), (at, part));
            if first {
                self.sooner.notify_one();
            }
        }
    }

    /// Sets a conversation aside that cannot be handled now, so that others get their turn. It
    /// comes back when it is set again, or with [`Self::restore`].
    pub(crate) fn set_aside(&self, id: &ConversationId) {
        let Ok(mut times) = self.times.lock() else {
            return;
        };
        if let Some((at, _)) = times.of.get(id).copied() {
            times.order.remove(&(at, id.clone()));
            times.aside.insert(id.clone());
        }
    }

    /// Everything that was set aside is due again.
    pub(crate) fn restore(&self) {
        let Ok(mut times) = self.times.lock() else {
            return;
        };
        for id in std::mem::take(&mut times.aside) {
            if let Some((at, _)) = times.of.get(&id).copied() {
                times.order.insert((at, id));
            }
        }
        self.sooner.notify_one();
    }

    /// Nothing of `part` is due any more.
    pub(crate) fn drop_part(&self, part: u16) {
        let Ok(mut times) = self.times.lock() else {
            return;
        };
        let Times { order, of, aside } = &mut *times;
        of.retain(|id, (at, own)| {
            if *own == part {
                order.remove(&(*at, id.clone()));
                aside.remove(id);
            }
            *own != part
        });
    }

    /// At most `most` conversations due at `now`.
    pub(crate) fn due(&self, now: Timestamp, most: usize) -> Vec<ConversationId> {
        let Ok(times) = self.times.lock() else {
            return Vec::new();
        };
        let due = times.order.iter().take_while(|(at, _)| *at <= now);
        due.take(most).map(|(_, id)| id.clone()).collect()
    }

    /// Waits until something is due by `clock`.
    pub(crate) async fn wait(&self, clock: &Clock) {
        loop {
            let next = match self.times.lock() {
                Ok(times) => times.order.first().map(|(at, _)| *at),
                Err(_) => None,
            };
            match next {
                Some(at) if at <= clock.now() => return,
                Some(at) => tokio::select! {
                    () = clock.sleep_until(at) => {}
                    () = self.sooner.notified() => {}
                },
                None => self.sooner.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_lets_others_by_and_comes_back() {
        let id = |n: u8| ConversationId::new(format!("cnv-{n}")).unwrap();
        let at = Timestamp::EPOCH;
        let schedule = Schedule::default();
        for n in 1..4 {
            schedule.set(&id(n), u16::from(n), Some(at));
        }
        assert_eq!(schedule.due(at, 2), [id(1), id(2)]);
        schedule.set_aside(&id(1));
        schedule.set_aside(&id(2));
        assert_eq!(schedule.due(at, 2), [id(3)]);
        // Something happened to it: it may be handled again, or is no longer due.
        schedule.set(&id(1), 1, Some(at));
        assert_eq!(schedule.due(at, 2), [id(1), id(3)]);
        schedule.set_aside(&id(3));
        schedule.set(&id(3), 3, None);
        schedule.restore();
        assert_eq!(schedule.due(at, 9), [id(1), id(2)]);
        schedule.set_aside(&id(1));
        schedule.drop_part(1);
        schedule.restore();
        assert_eq!(schedule.due(at, 9), [id(2)]);
    }
}
