//! Group work: what has arrived together is handled together, and a lone item never waits for
//! company. While one batch is under way the next gathers; that is all the waiting there is.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};

use crate::lifecycle::Lifecycle;

/// Hands items to a handler in batches. Cheap to clone.
pub struct Batcher<T, R> {
    queue: mpsc::Sender<(T, oneshot::Sender<R>)>,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

/// The batch was not handled: the handler is gone or gave too few answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the item was not handled")]
pub struct Unhandled;

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts a task that calls `handle` with 1 to `most` items at a time, in order of arrival. It
    /// must return one answer per item, in order; items without one get [`Unhandled`]. At most
    /// `waiting` items wait; beyond that [`Batcher::submit`] waits too.
    pub fn spawn<H, F>(
        life: &Lifecycle,
        name: &'static str,
        (most, waiting): (usize, usize),
        mut handle: H,
    ) -> Self
    where
        H: FnMut(Vec<T>) -> F + Send + 'static,
        F: Future<Output = Vec<R>> + Send,
    {
        let (queue, mut arrivals) = mpsc::channel::<(T, oneshot::Sender<R>)>(waiting);
        let stopped = life.stopped();
        life.spawn(name, async move {
            tokio::pin!(stopped);
            let mut gathered = Vec::with_capacity(most);
            loop {
                let count = tokio::select! {
                    count = arrivals.recv_many(&mut gathered, most) => count,
                    () = &mut stopped => break,
                };
                if count == 0 {
                    break;
                }
                let (items, replies): (Vec<T>, Vec<_>) = gathered.drain(..).unzip();
                for (reply, answer) in replies.into_iter().zip(handle(items).await) {
                    // Who asked may have gone; the work is done all the same.
                    let _ = reply.send(answer);
                }
            }
        });
        Self { queue }
    }

    /// Hands `item` over and waits for its answer.
    ///
    /// # Errors
    /// When the handler has stopped or gave no answer for it.
    pub async fn submit(&self, item: T) -> Result<R, Unhandled> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send((item, reply))
            .await
            .map_err(|_| Unhandled)?;
        answer.await.map_err(|_| Unhandled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_arrives_together_is_handled_together() {
        let life = Lifecycle::new();
        let batcher = Batcher::spawn(&life, "test", (100, 100), |items: Vec<u32>| async move {
            let size = items.len();
            items.into_iter().map(|item| (item, size)).collect()
        });
        assert_eq!(batcher.submit(1).await, Ok((1, 1)));
        let together = futures_util::future::join_all((0..10).map(|n| batcher.submit(n))).await;
        assert_eq!(together[9], Ok((9, 10)));
        life.stop();
        life.drained(std::time::Duration::from_secs(1)).await;
        assert_eq!(batcher.submit(1).await, Err(Unhandled));
    }
}
