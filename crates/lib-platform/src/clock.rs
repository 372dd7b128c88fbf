//! Time enters here and nowhere else. A virtual clock stands still until told to move, so that
//! days pass in milliseconds in demos and tests.

use std::sync::Arc;
use std::time::Duration;

use core_types::Timestamp;
use tokio::sync::watch;

/// Where a service gets the time. Cheap to clone; clones share a virtual clock.
#[derive(Clone, Debug)]
pub struct Clock(Inner);

#[derive(Clone, Debug)]
enum Inner {
    System,
    Virtual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        Self(Inner::System)
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn virtual_at(start: Timestamp) -> Self {
        Self(Inner::Virtual(Arc::new(watch::Sender::new(start))))
    }

    /// Whether [`Clock::advance`] moves it.
    pub fn is_virtual(&self) -> bool {
        matches!(self.0, Inner::Virtual(_))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::System => system_now(),
            Inner::Virtual(now) => *now.borrow(),
        }
    }

    /// Moves a virtual clock and wakes who waited for a time it passes; returns the new time. The
    /// system clock cannot be moved and is left alone.
    pub fn advance(&self, by: Duration) -> Timestamp {
        if let Inner::Virtual(now) = &self.0 {
            now.send_modify(|now| *now = now.plus(by));
        }
        self.now()
    }

    /// Waits until `deadline`; returns at once when it has passed.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        match &self.0 {
            // The wall clock may be set while we sleep: look again at least once a minute.
            Inner::System => loop {
                let left = deadline.since(system_now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(Duration::from_secs(60))).await;
            },
            Inner::Virtual(now) => {
                let mut changes = now.subscribe();
                // The sender lives in self, so the channel cannot close while we wait.
                let _ = changes.wait_for(|now| *now >= deadline).await;
            }
        }
    }

    /// Waits for `span` of this clock's time.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now().plus(span)).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where wall time enters"
)]
fn system_now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::EPOCH.plus(since_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_virtual_clock_moves_only_when_told() {
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_000).unwrap());
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move {
                clock.sleep(Duration::from_secs(3_600)).await;
                clock.now()
            })
        };
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3_599));
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.unwrap().as_seconds(), 4_600);
    }
}
