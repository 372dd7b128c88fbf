//! Follows the log's outbox for as long as we run, over restarts of the log.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lib_platform::{Lifecycle, trace};
use lib_proto::conversations::{OutboxIntent, WatchOutboxRequest};
use tokio::sync::Semaphore;
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use crate::sender::Sender;

/// Before the first new try after a stream has ended.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The attempts in hand, so that an intent announced twice is worked on once. A later attempt of
/// the same message is another key: it may be announced before this one's task has ended.
type InHand = Arc<Mutex<BTreeSet<(String, u32)>>>;

/// Works on every announced intent until told to stop.
pub(crate) async fn follow(sender: Arc<Sender>, life: Lifecycle) {
    let in_hand = InHand::default();
    let room = Arc::new(Semaphore::new(sender.max_in_hand()));
    let mut wait = FIRST_WAIT;
    loop {
        let ended = tokio::select! {
            ended = follow_once(&sender, &life, &in_hand, &room, &mut wait) => ended,
            () = life.stopped() => return,
        };
        if wait == FIRST_WAIT {
            tracing::warn!(status = %ended, "the outbox cannot be followed; trying on");
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = life.stopped() => return,
        }
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}

async fn follow_once(
    sender: &Arc<Sender>,
    life: &Lifecycle,
    in_hand: &InHand,
    room: &Arc<Semaphore>,
    wait: &mut Duration,
) -> Status {
    let request = WatchOutboxRequest {
        sender: sender.name().to_owned(),
        ..WatchOutboxRequest::default()
    };
    let mut stream: Streaming<_> = match sender.log().watch_outbox(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status,
    };
    *wait = FIRST_WAIT;
    loop {
        match stream.message().await {
            Ok(Some(batch)) => {
                for intent in batch.intents {
                    take(sender, life, in_hand, room, intent).await;
                }
            }
            Ok(None) => return Status::unavailable("the log ended the stream"),
            Err(status) => return status,
        }
    }
}

async fn take(
    sender: &Arc<Sender>,
    life: &Lifecycle,
    in_hand: &InHand,
    room: &Arc<Semaphore>,
    intent: OutboxIntent,
) {
    let key = (intent.message_id.clone(), intent.attempt);
    let new = lock(in_hand).insert(key.clone());
    if !new {
        return;
    }
    let Ok(permit) = Arc::clone(room).acquire_owned().await else {
        return;
    };
    let span = tracing::info_span!("send", message = key.0, attempt = key.1);
    trace::continue_from(&span, &intent.traceparent);
    let (sender, in_hand) = (Arc::clone(sender), Arc::clone(in_hand));
    let work = async move {
        sender.send(intent).await;
        lock(&in_hand).remove(&key);
        drop(permit);
    };
    life.spawn("egress send", work.instrument(span));
}

fn lock(in_hand: &InHand) -> std::sync::MutexGuard<'_, BTreeSet<(String, u32)>> {
    // A set is whole after every operation.
    in_hand.lock().unwrap_or_else(PoisonError::into_inner)
}
