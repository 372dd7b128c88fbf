//! Starting and stopping: tasks are tracked, told to stop, and waited for.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// How long tasks may take to end after a stop, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// The life of one installation in this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<OnceLock<String>>,
    patience: Option<Duration>,
}

impl Lifecycle {
    /// A life that has just begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// A life within this one: it ends with `stop` too. Its tasks are waited for with the others,
    /// and its failures are this life's.
    pub(crate) fn within(&self, stop: CancellationToken) -> Self {
        Self {
            stop,
            ..self.clone()
        }
    }

    /// A life whose tasks may take `patience` to end after a stop; without this, 10 s.
    pub fn with_patience(patience: Duration) -> Self {
        Self {
            patience: Some(patience),
            ..Self::default()
        }
    }

    /// How long tasks may take to end after a stop.
    pub fn patience(&self) -> Duration {
        self.patience.unwrap_or(PATIENCE)
    }

    /// A life within this one that can also be stopped by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        self.within(self.stop.child_token())
    }

    /// Asks everything to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when it is asked to stop.
    pub fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.stop.clone().cancelled_owned()
    }

    /// Why a critical task ended before its time, if one did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// A token that is cancelled when it is asked to stop.
    pub(crate) fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Something without which the service is of no use has failed: everything stops and the
    /// process exits with an error.
    pub fn fail(&self, task: &str, problem: &str) {
        tracing::error!(task, problem, "a task failed; stopping");
        let _ = self.failure.set(format!("{task}: {problem}"));
        self.stop();
    }

    /// Runs a task that may end when it likes. It is waited for at the end, so it must watch
    /// [`Lifecycle::stopped`] or be short.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task.instrument(span(name)));
    }

    /// Runs a task without which the service is of no use: if it fails, or ends before it was
    /// asked to, everything stops and the process exits with an error.
    pub fn spawn_critical(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let life = self.clone();
        let run = async move {
            let outcome = tokio::spawn(task.in_current_span()).await;
            let problem = match outcome {
                Ok(Ok(())) if life.is_stopping() => return,
                Ok(Ok(())) => "ended before it was asked to".to_owned(),
                Ok(Err(error)) => format!("{error:#}"),
                Err(panic) => panic.to_string(),
            };
            life.fail(name, &problem);
        };
        self.tasks.spawn(run.instrument(span(name)));
    }

    /// Ends a server stream when stopping: an open stream would hold up the shutdown for ever.
    pub fn until_stopped<S: Stream>(&self, stream: S) -> impl Stream<Item = S::Item> + use<S> {
        stream.take_until(self.stopped())
    }

    /// Waits until every task has ended, at most `patience`. Returns whether all did.
    pub async fn drained(&self, patience: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait())
            .await
            .is_ok()
    }
}

/// The span of a task, for the log only. Its target keeps it out of traces (see `telemetry`): a task
/// that lives as long as the process would make one endless trace of all it ever does.
fn span(name: &'static str) -> tracing::Span {
    tracing::info_span!(target: "task", "task", name)
}
