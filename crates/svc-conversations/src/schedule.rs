//! Times at which something is due for a conversation, in order, and a way to wait for the next.

use std::collections::{BTreeSet, HashMap};
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
        if times.of.get(id).copied() == due {
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
