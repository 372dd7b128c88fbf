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
    of: HashMap<ConversationId, Timestamp>,
    /// What could not be handled; it keeps its time in `of` but not its place in `order`.
    aside: HashSet<ConversationId>,
}

impl Schedule {
    /// A schedule that begins with these times.
    pub(crate) fn new(times: Vec<(ConversationId, Timestamp)>) -> Self {
        let schedule = Self::default();
        for (id, at) in times {
            schedule.set(&id, Some(at));
        }
        schedule
    }

    /// Sets when the conversation is due, or that it is not.
    pub(crate) fn set(&self, id: &ConversationId, due: Option<Timestamp>) {
        let Ok(mut times) = self.times.lock() else {
            return;
        };
        if !times.aside.remove(id) && times.of.get(id).copied() == due {
            return;
        }
        if let Some(old) = times.of.remove(id) {
            times.order.remove(&(old, id.clone()));
        }
        if let Some(at) = due {
            let first = times.order.first().is_none_or(|(next, _)| at < *next);
            times.order.insert((at, id.clone()));
            times.of.insert(id.clone(), at);
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
        if let Some(at) = times.of.get(id).copied() {
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
            if let Some(at) = times.of.get(&id).copied() {
                times.order.insert((at, id));
            }
        }
        self.sooner.notify_one();
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
        let schedule = Schedule::new((1..4).map(|n| (id(n), at)).collect());
        assert_eq!(schedule.due(at, 2), [id(1), id(2)]);
        schedule.set_aside(&id(1));
        schedule.set_aside(&id(2));
        assert_eq!(schedule.due(at, 2), [id(3)]);
        // Something happened to it: it may be handled again, or is no longer due.
        schedule.set(&id(1), Some(at));
        assert_eq!(schedule.due(at, 2), [id(1), id(3)]);
        schedule.set_aside(&id(3));
        schedule.set(&id(3), None);
        schedule.restore();
        assert_eq!(schedule.due(at, 9), [id(1), id(2)]);
    }
}
