//! What may be sent now, for egress: all that waits, then what is new. At least once; an attempt
//! is made only when it was granted, so that every replica may announce everything.

use std::collections::VecDeque;
use std::sync::Arc;

use core_types::Timestamp;
use futures_util::stream;
use lib_platform::{Clock, Lifecycle, Refusal};
use lib_proto::conversations as pb;
use lib_storage::{Database, StorageError};
use tokio::sync::broadcast;
use tokio_stream::Stream;
use tonic::Status;

use crate::schedule::Schedule;
use crate::shard::Shard;
use crate::store::outbox::{self, Ready};

/// Intents per answer.
const PAGE: usize = 500;
/// Announcements a sender may be behind before everything is announced to it again.
const BEHIND: usize = 256;

type Intents = Arc<Vec<pb::OutboxIntent>>;

/// Announces what may be sent.
pub(crate) struct Outbox {
    database: Database,
    clock: Clock,
    live: broadcast::Sender<Intents>,
    /// Times from which on a conversation's next message may go.
    retries: Schedule,
}

impl Outbox {
    pub(crate) fn new(database: Database, clock: Clock) -> Self {
        Self {
            database,
            clock,
            live: broadcast::Sender::new(BEHIND),
            retries: Schedule::default(),
        }
    }

    /// Whether anybody wants to know.
    pub(crate) fn is_followed(&self) -> bool {
        self.live.receiver_count() > 0
    }

    /// Announces what may go at `now`, and remembers when the rest may.
    pub(crate) fn take(&self, ready: Vec<Ready>, now: Timestamp) {
        let mut intents = Vec::with_capacity(ready.len());
        for ready in ready {
            let later = (ready.at > now).then_some(ready.at);
            self.retries.set(&ready.conversation, 0, later);
            if later.is_none() {
                intents.push(ready.intent);
            }
        }
        if self.is_followed() {
            for chunk in intents.chunks(PAGE) {
                // Nobody listens: a sender that comes is told everything.
                let _ = self.live.send(Arc::new(chunk.to_vec()));
            }
        }
    }

    /// Announces messages whose time has come, until the service stops.
    pub(crate) async fn run(self: Arc<Self>, life: Lifecycle) -> anyhow::Result<()> {
        let stopped = life.stopped();
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = self.retries.wait(&self.clock) => {}
                () = &mut stopped => return Ok(()),
            }
            let due = self.retries.due(self.clock.now(), PAGE);
            match outbox::of(&self.database, &due).await {
                Ok(ready) => {
                    for id in &due {
                        self.retries.set(id, 0, None);
                    }
                    self.take(ready, self.clock.now());
                }
                Err(error) => {
                    tracing::warn!(%error, "messages to be sent again cannot be read now");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Everything that may be sent, then what is new; of one shard.
    pub(crate) fn follow(
        self: &Arc<Self>,
        shard: Shard,
    ) -> impl Stream<Item = Result<pb::WatchOutboxResponse, Status>> + Send + use<> {
        let follower = Follower {
            live: self.live.subscribe(),
            outbox: Arc::clone(self),
            shard,
            refill: Some(String::new()),
            pending: VecDeque::new(),
        };
        stream::unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(intents)) => {
                    Some((Ok(pb::WatchOutboxResponse { intents }), Some(follower)))
                }
                Ok(None) => None,
                Err(error) => Some((Err(Refusal::from(error).into()), None)),
            }
        })
    }
}

struct Follower {
    outbox: Arc<Outbox>,
    live: broadcast::Receiver<Intents>,
    shard: Shard,
    /// While everything is announced: the conversation it has come to.
    refill: Option<String>,
    pending: VecDeque<Intents>,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Vec<pb::OutboxIntent>>, StorageError> {
        loop {
            let intents = if let Some(intents) = self.pending.pop_front() {
                // Many followers hear of each intent and one takes it: only that one copies it.
                let own = intents.iter().filter(|intent| self.takes(intent));
                own.cloned().collect()
            } else if let Some(after) = self.refill.take() {
                self.stored(&after).await?
            } else {
                match self.live.recv().await {
                    Ok(intents) => self.pending.push_back(intents),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.refill = Some(String::new());
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(None),
                }
                continue;
            };
            if !intents.is_empty() {
                return Ok(Some(intents));
            }
        }
    }

    /// The next page of what is stored.
    async fn stored(&mut self, after: &str) -> Result<Vec<pb::OutboxIntent>, StorageError> {
        let (outbox, now) = (&self.outbox, self.outbox.clock.now());
        if after.is_empty() {
            // Nobody may have followed when it was put off.
            for (id, at) in outbox::later(&outbox.database, now).await? {
                outbox.retries.set(&id, 0, Some(at));
            }
        }
        let page = outbox::page(&outbox.database, after, now, PAGE).await?;
        if page.len() == PAGE {
            self.refill = page.last().map(|ready| ready.conversation.to_string());
        }
        let intents = page.into_iter().map(|ready| ready.intent);
        Ok(intents.filter(|intent| self.takes(intent)).collect())
    }

    fn takes(&self, intent: &pb::OutboxIntent) -> bool {
        self.shard.takes(&intent.tenant_id, &intent.number_id, "")
    }
}
