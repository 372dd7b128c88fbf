//! Follows the log's outbox, part by part, for as long as the part is held, over restarts of the
//! log.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lib_platform::partition::{Held, part_of};
use lib_platform::{Lifecycle, trace};
use lib_proto::conversations::{OutboxIntent, Shard, WatchOutboxRequest, shard};
use tokio::sync::Semaphore;
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use crate::sender::Sender;

/// Before the first new try after a stream has ended.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The attempts in hand, so that an intent announced twice is worked on once. A later attempt of
/// the same message is another key: it may be announced before this one's task has ended.
type InHand = Arc<Mutex<BTreeSet<(String, u32)>>>;

/// Follows the outbox. Cheap to clone; clones share what is in hand.
#[derive(Clone)]
pub(crate) struct Outbox {
    sender: Arc<Sender>,
    life: Lifecycle,
    /// Into how many parts the numbers are cut.
    parts: u16,
    in_hand: InHand,
    room: Arc<Semaphore>,
    /// Whether a stream has broken and none stands again: told once, not for every part.
    broken: Arc<AtomicBool>,
}

/// An attempt in hand. Dropped, it no longer is.
struct Hand(InHand, (String, u32));

impl Hand {
    fn take(in_hand: &InHand, key: (String, u32)) -> Option<Self> {
        let new = lock(in_hand).insert(key.clone());
        new.then(|| Self(Arc::clone(in_hand), key))
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        lock(&self.0).remove(&self.1);
    }
}

impl Outbox {
    /// What `sender` has to do, in `parts` parts.
    pub(crate) fn new(sender: Arc<Sender>, life: Lifecycle, parts: u16) -> Self {
        Self {
            room: Arc::new(Semaphore::new(sender.max_in_hand())),
            sender,
            life,
            parts,
            in_hand: InHand::default(),
            broken: Arc::default(),
        }
    }

    /// Works on every announced intent of the part `held` until it is lost. What is under way then
    /// ends by itself and is reported.
    pub(crate) async fn follow(self, held: Held) -> anyhow::Result<()> {
        tokio::select! {
            () = self.keep_following(&held) => {}
            () = held.lost() => {}
        }
        Ok(())
    }

    async fn keep_following(&self, held: &Held) {
        let mut wait = FIRST_WAIT;
        loop {
            let ended = self.follow_once(held, &mut wait).await;
            if wait == FIRST_WAIT && !self.broken.swap(true, Ordering::Relaxed) {
                tracing::warn!(status = %ended, "the outbox cannot be followed; trying on");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    async fn follow_once(&self, held: &Held, wait: &mut Duration) -> Status {
        let request = WatchOutboxRequest {
            sender: self.sender.name().to_owned(),
            shard: (self.parts > 1).then(|| Shard {
                kind: shard::Kind::Number.into(),
                count: self.parts.into(),
                index: held.part.into(),
            }),
        };
        let mut stream: Streaming<_> = match self.sender.log().watch_outbox(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return status,
        };
        *wait = FIRST_WAIT;
        self.broken.store(false, Ordering::Relaxed);
        loop {
            match stream.message().await {
                Ok(Some(batch)) => {
                    for intent in batch.intents {
                        self.take(intent, held).await;
                    }
                }
                Ok(None) => return Status::unavailable("the log ended the stream"),
                Err(status) => return status,
            }
        }
    }

    async fn take(&self, intent: OutboxIntent, held: &Held) {
        if part_of(&intent.number_id, self.parts) != held.part {
            return;
        }
        let key = (intent.message_id.clone(), intent.attempt);
        let Some(hand) = Hand::take(&self.in_hand, key) else {
            return;
        };
        let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
            return;
        };
        let span = tracing::info_span!("send", message = hand.1.0, attempt = hand.1.1);
        trace::continue_from(&span, &intent.traceparent);
        let (sender, held) = (Arc::clone(&self.sender), held.clone());
        let work = async move {
            sender.send(intent, &held).await;
            drop((hand, permit));
        };
        self.life.spawn("egress send", work.instrument(span));
    }
}

fn lock(in_hand: &InHand) -> std::sync::MutexGuard<'_, BTreeSet<(String, u32)>> {
    // A set is whole after every operation.
    in_hand.lock().unwrap_or_else(PoisonError::into_inner)
}
