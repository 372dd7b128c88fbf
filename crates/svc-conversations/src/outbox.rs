//! What may be sent now, for egress: all that waits, then what is new. At least once; an attempt
//! is made only when it was granted.

use std::collections::VecDeque;
use std::sync::Arc;

use core_types::{ConversationId, Timestamp};
use futures_util::stream;
use lib_platform::{Clock, Lifecycle, Refusal};
use lib_proto::conversations as pb;
use lib_storage::{SqliteFile, StorageError};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::Stream;
use tonic::Status;

use crate::schedule::Schedule;
use crate::store::load;
use crate::store::log::{self, Ready};

/// Intents per answer.
const PAGE: usize = 500;
/// Announcements a sender may be behind before everything is announced to it again.
const BEHIND: usize = 256;

type Intents = Arc<Vec<pb::OutboxIntent>>;

/// Announces what may be sent.
pub(crate) struct Outbox {
    database: SqliteFile,
    clock: Clock,
    live: broadcast::Sender<Intents>,
}

impl Outbox {
    pub(crate) fn new(database: SqliteFile, clock: Clock) -> Self {
        Self {
            database,
            clock,
            live: broadcast::Sender::new(BEHIND),
        }
    }

    /// Announces changes and messages whose time has come, until the service stops.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut changes: mpsc::UnboundedReceiver<Vec<ConversationId>>,
        retries: Arc<Schedule>,
        life: Lifecycle,
    ) -> anyhow::Result<()> {
        let stopped = life.stopped();
        tokio::pin!(stopped);
        loop {
            let ready = tokio::select! {
                changed = changes.recv() => {
                    let Some(mut ready) = changed else {
                        stopped.await;
                        return Ok(());
                    };
                    while let Ok(more) = changes.try_recv() {
                        ready.extend(more);
                    }
                    ready
                }
                () = retries.wait(&self.clock) => {
                    let due = retries.due(self.clock.now(), PAGE);
                    for id in &due {
                        retries.set(id, None);
                    }
                    due
                },
                () = &mut stopped => return Ok(()),
            };
            if self.live.receiver_count() == 0 {
                continue;
            }
            let found = log::ready_of(&self.database, &ready, self.clock.now()).await?;
            for chunk in self.intents(found).await?.chunks(PAGE) {
                // Nobody listens: a sender that comes is told everything.
                let _ = self.live.send(Arc::new(chunk.to_vec()));
            }
        }
    }

    async fn intents(&self, ready: Vec<Ready>) -> Result<Vec<pb::OutboxIntent>, StorageError> {
        let ids: Vec<&ConversationId> = ready.iter().map(|it| &it.stored.conversation).collect();
        let owners = load::conversations(&self.database, &ids).await?;
        let owners: std::collections::HashMap<_, _> = owners
            .into_iter()
            .map(|owner| (owner.id.clone(), owner))
            .collect();
        let intents = ready.into_iter().filter_map(|ready| {
            let owner = owners.get(&ready.stored.conversation)?;
            let message = &ready.stored.message;
            let reply_to = message
                .context
                .as_ref()
                .and_then(|context| context.message_id.as_ref());
            Some(pb::OutboxIntent {
                message_id: message.id.to_string(),
                conversation_id: owner.id.to_string(),
                tenant_id: owner.tenant.to_string(),
                number_id: owner.number_id.to_string(),
                contact: Some((&owner.contact).into()),
                content: Some((&message.content).into()),
                attempt: ready.attempt,
                reply_to: reply_to.map(ToString::to_string).unwrap_or_default(),
                traceparent: ready.stored.traceparent.clone(),
            })
        });
        Ok(intents.collect())
    }

    async fn page(&self, after: &str, now: Timestamp) -> Result<Vec<pb::OutboxIntent>, Status> {
        let failed = |error: StorageError| Status::from(Refusal::internal(&error));
        let ready = log::ready(&self.database, after, now, PAGE)
            .await
            .map_err(failed)?;
        self.intents(ready).await.map_err(failed)
    }

    /// Everything that may be sent, then what is new.
    pub(crate) fn follow(
        self: &Arc<Self>,
    ) -> impl Stream<Item = Result<pb::WatchOutboxResponse, Status>> + Send + use<> {
        let follower = Follower {
            live: self.live.subscribe(),
            outbox: Arc::clone(self),
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
                Err(status) => Some((Err(status), None)),
            }
        })
    }
}

struct Follower {
    outbox: Arc<Outbox>,
    live: broadcast::Receiver<Intents>,
    /// While everything is announced: the conversation it has come to.
    refill: Option<String>,
    pending: VecDeque<Intents>,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Vec<pb::OutboxIntent>>, Status> {
        loop {
            if let Some(intents) = self.pending.pop_front() {
                return Ok(Some(intents.to_vec()));
            }
            if let Some(after) = self.refill.take() {
                let now = self.outbox.clock.now();
                let page = self.outbox.page(&after, now).await?;
                if page.len() == PAGE {
                    self.refill = page.last().map(|intent| intent.conversation_id.clone());
                }
                if !page.is_empty() {
                    return Ok(Some(page));
                }
                continue;
            }
            match self.live.recv().await {
                Ok(intents) => self.pending.push_back(intents),
                Err(broadcast::error::RecvError::Lagged(_)) => self.refill = Some(String::new()),
                Err(broadcast::error::RecvError::Closed) => return Ok(None),
            }
        }
    }
}
