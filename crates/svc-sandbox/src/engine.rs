//! The one task that changes the sandbox. Operations that have arrived together are done
//! together and written in one transaction; only then are callers answered, webhooks sent and
//! phones told. What was answered is therefore on disk.

use core_types::Timestamp;
use lib_platform::{Clock, Lifecycle, Refusal};
use tokio::sync::{mpsc, oneshot};

use crate::deliverer::Deliverer;
use crate::store::Store;
use crate::world::World;

/// Most operations in one transaction.
const GROUP: usize = 1_024;

type Reply = Box<dyn FnOnce() + Send>;
type Operation = Box<dyn FnOnce(&mut World) -> Reply + Send>;

/// The sandbox is stopping; the operation was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox is stopping")]
pub(crate) struct Stopped;

impl From<Stopped> for tonic::Status {
    fn from(stopped: Stopped) -> Self {
        Refusal::unavailable(stopped.to_string(), std::time::Duration::from_secs(1)).into()
    }
}

/// Hands operations to the task. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine(mpsc::UnboundedSender<Operation>);

impl Engine {
    /// An engine, and the queue its task works on.
    pub(crate) fn new() -> (Self, Queue) {
        let (operations, queue) = mpsc::unbounded_channel();
        (Self(operations), Queue(queue))
    }

    /// Does `operation` and waits until its changes are on disk.
    ///
    /// # Errors
    /// When the sandbox is stopping: nothing of it was kept.
    pub(crate) async fn with<R: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut World) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (reply, answer) = oneshot::channel();
        let operation: Operation = Box::new(move |world| {
            let result = operation(world);
            Box::new(move || {
                // Who asked may have gone; it is done all the same.
                let _ = reply.send(result);
            })
        });
        self.0.send(operation).map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Does `operation` without waiting for it.
    pub(crate) fn post(&self, operation: impl FnOnce(&mut World) + Send + 'static) {
        // Nobody waits, and at the end there is nothing left to do.
        let _ = self.0.send(Box::new(move |world| {
            operation(world);
            Box::new(|| {})
        }));
    }
}

/// Operations that wait to be done.
pub(crate) struct Queue(mpsc::UnboundedReceiver<Operation>);

/// Does operations and timers until `life` is stopped.
///
/// # Errors
/// When the database refuses: what is in memory is then ahead of what is on disk, and nothing may
/// go on from there.
pub(crate) async fn run(
    mut queue: Queue,
    mut world: World,
    store: Store,
    deliverer: Deliverer,
    clock: Clock,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let stopped = life.stopped();
    tokio::pin!(stopped);
    let mut operations: Vec<Operation> = Vec::with_capacity(GROUP);
    loop {
        let next = world.next_due();
        tokio::select! {
            biased;
            () = &mut stopped => return Ok(()),
            count = queue.0.recv_many(&mut operations, GROUP) => {
                if count == 0 {
                    return Ok(());
                }
            }
            () = wait_until(&clock, next) => {}
        }
        world.now = clock.now();
        world.tick();
        let replies: Vec<Reply> = operations
            .drain(..)
            .map(|operation| operation(&mut world))
            .collect();
        world.tick();
        world.gather();
        let posts = world.take_posts();
        let changes = world.take_changes()?;
        if !changes.is_empty() {
            store.commit(&changes).await?;
        }
        for reply in replies {
            reply();
        }
        world.tell_watchers(&changes.phone);
        for post in posts {
            deliverer.send(post);
        }
    }
}

async fn wait_until(clock: &Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
