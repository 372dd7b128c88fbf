//! What the hub can be told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use core_routing::{Input, LogFact, Queue, Routing};
use core_types::{AgentId, QueueId, TenantId, Timestamp};
use lib_platform::Refusal;
use lib_proto::routing as pb;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::metrics::Census;
use crate::seat::Line;

/// Whether a queue is to be made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Create,
    Update,
}

/// The answer to a change of queues.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Looks at a tenant's state once everything that arrived with it is stored.
pub(crate) type Look = Box<dyn FnOnce(&Routing) + Send>;

/// One thing for the hub to do.
pub(crate) enum Order {
    /// Create or change a queue.
    SetQueue {
        tenant: TenantId,
        queue: Queue,
        change: Change,
        reply: Reply<Queue>,
    },
    /// Delete a queue.
    DeleteQueue {
        tenant: TenantId,
        id: QueueId,
        reply: Reply<()>,
    },
    /// Read.
    Look { tenant: TenantId, look: Look },
    /// An agent opened a desk.
    Open {
        tenant: TenantId,
        agent: AgentId,
        connection: u64,
        command_id: String,
        capacity: Option<u32>,
        line: Line,
    },
    /// A desk sent a command other than its first.
    Command {
        tenant: TenantId,
        agent: AgentId,
        connection: u64,
        command: pb::DeskCommand,
    },
    /// A desk is gone; `status` is what its stream still gets to see.
    Left {
        tenant: TenantId,
        agent: AgentId,
        connection: u64,
        status: Status,
    },
    /// The grace period is over that began when a desk was gone.
    Absent {
        tenant: TenantId,
        agent: AgentId,
        connection: u64,
    },
    /// Count what there is.
    Census {
        now: Timestamp,
        reply: oneshot::Sender<Census>,
    },
    /// The log says.
    Log {
        facts: Vec<(TenantId, LogFact)>,
        cursor: String,
        entries: usize,
    },
    /// The log was read to its end for the first time.
    CaughtUp,
    /// The log has answered our reports up to this number.
    Reported {
        answers: Vec<(TenantId, Input)>,
        up_to: i64,
    },
}

/// Hands orders to the hub. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Orders {
    sender: mpsc::Sender<Order>,
    connections: Arc<AtomicU64>,
}

/// The hub has ended.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<Gone> for Refusal {
    fn from(_: Gone) -> Self {
        Self::unavailable("routing is stopping; try again", Duration::from_secs(1))
    }
}

impl From<Gone> for Status {
    fn from(gone: Gone) -> Self {
        Refusal::from(gone).into()
    }
}

impl Orders {
    pub(crate) fn new(sender: mpsc::Sender<Order>) -> Self {
        Self {
            sender,
            connections: Arc::default(),
        }
    }

    /// A number no other desk of this process has.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Hands an order over; waits when too many wait already.
    pub(crate) async fn send(&self, order: Order) -> Result<(), Gone> {
        self.sender.send(order).await.map_err(|_| Gone)
    }

    /// Reads a tenant's state.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        look: impl FnOnce(&Routing) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        let look: Look = Box::new(move |routing| {
            // Who asked may have gone.
            let _ = reply.send(look(routing));
        });
        let tenant = tenant.clone();
        self.send(Order::Look { tenant, look }).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Sends an order that answers, and waits for the answer.
    pub(crate) async fn ask<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(order(reply)).await?;
        answer.await.map_err(|_| Gone)?
    }
}
