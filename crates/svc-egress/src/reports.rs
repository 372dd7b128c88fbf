//! The two things told to the log: which attempts begin, and how attempts ended. Both in batches of
//! what arrived together, and both until the log has answered.

use std::collections::BTreeSet;
use std::time::Duration;

use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{AuthorizedChannel, Batcher, Lifecycle};
use lib_proto::conversations::conversation_log_service_client::ConversationLogServiceClient;
use lib_proto::conversations::{
    AttemptKey, AttemptResult, FinishAttemptsRequest, StartAttemptsRequest,
};
use lib_storage::StorageError;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::spool::{Left, Spool};

/// Most attempts in one call.
const BATCH: usize = 500;
/// Attempts that may wait for a call.
const WAITING: usize = 20_000;

/// A client of the conversation log.
pub(crate) type Log = ConversationLogServiceClient<AuthorizedChannel>;

/// The answer to an attempt that wants to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    /// Whether it may be made.
    pub(crate) granted: bool,
    /// Just before the log was first asked: the attempt's lease counts from no earlier than this.
    pub(crate) asked: Instant,
}

/// Tells the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reports {
    start: Batcher<AttemptKey, Grant>,
    finish: Batcher<AttemptResult, bool>,
    log: Log,
    spool: Spool,
    life: Lifecycle,
}

/// A client of the conversation log over `channel`.
pub(crate) fn log(channel: AuthorizedChannel) -> Log {
    Log::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

impl Reports {
    /// Reports to `log` as `sender`; what cannot be reported before a stop goes to `spool`.
    pub(crate) fn new(log: Log, sender: String, spool: Spool, life: &Lifecycle) -> Self {
        let (starting, stopping) = (log.clone(), life.clone());
        let start = Batcher::spawn(
            life,
            "egress start attempts",
            (BATCH, WAITING),
            move |keys| start_attempts(starting.clone(), sender.clone(), keys, stopping.clone()),
        );
        let (finishing, stopping) = (log.clone(), life.clone());
        let finish = Batcher::spawn(
            life,
            "egress finish attempts",
            (BATCH, WAITING),
            move |results| finish_attempts(finishing.clone(), results, stopping.clone()),
        );
        Self {
            start,
            finish,
            log,
            spool,
            life: life.clone(),
        }
    }

    /// Asks whether an attempt may be made. `None` when we are stopping.
    pub(crate) async fn may_start(&self, key: AttemptKey) -> Option<Grant> {
        self.start.submit(key).await.ok()
    }

    /// Reports how an attempt ended; returns when that is stored, in the log or in the spool.
    pub(crate) async fn finished(&self, result: AttemptResult) {
        if self.finish.submit(result.clone()).await == Ok(true) {
            return;
        }
        if let Err(error) = self.spool.keep(&result).await {
            let message = result.attempt.map(|key| key.message_id);
            tracing::error!(%error, message, "an outcome is lost; the log will find it ambiguous");
        }
    }

    /// Reports what the last run left in the spool, and what other replicas leave there, until we
    /// stop.
    pub(crate) async fn keep_reporting_left_over(&self) {
        let left = Notify::new();
        left.notify_one();
        let report = async {
            loop {
                left.notified().await;
                if let Err(error) = self.report_left_over().await {
                    tracing::warn!(%error, "outcomes that were left behind cannot be reported");
                }
            }
        };
        tokio::select! {
            () = report => {}
            () = self.spool.heed(|| left.notify_one()) => {}
            () = self.life.stopped() => {}
        }
    }

    async fn report_left_over(&self) -> Result<(), StorageError> {
        let left = self.spool.all().await?;
        if left.is_empty() {
            return Ok(());
        }
        let results: Vec<AttemptResult> = left.iter().map(|left| left.result.clone()).collect();
        let stored = finish_attempts(self.log.clone(), results, self.life.clone()).await;
        let done = left.iter().zip(stored).filter(|(_, stored)| *stored);
        let done: Vec<&Left> = done.map(|(left, _)| left).collect();
        let reported: Vec<&AttemptResult> = done.iter().map(|left| &left.result).collect();
        self.spool.forget(&reported).await?;
        let senders: BTreeSet<&str> = done.iter().map(|left| left.sender.as_str()).collect();
        tracing::info!(
            count = reported.len(),
            ?senders,
            "reported outcomes left behind"
        );
        Ok(())
    }
}

async fn start_attempts(
    log: Log,
    sender: String,
    attempts: Vec<AttemptKey>,
    life: Lifecycle,
) -> Vec<Grant> {
    let asked = Instant::now();
    let request = StartAttemptsRequest { attempts, sender };
    let ask = || {
        let (mut log, request) = (log.clone(), request.clone());
        async move { log.start_attempts(request).await }
    };
    let granted = match until_answered("StartAttempts", &life, ask).await {
        Some(answer) => answer.into_inner().granted,
        None => vec![false; request.attempts.len()],
    };
    granted
        .into_iter()
        .map(|granted| Grant { granted, asked })
        .collect()
}

/// Whether each result is stored. When the log refuses a batch, one result it cannot take in must
/// not hold up the others: each is then told by itself.
async fn finish_attempts(log: Log, results: Vec<AttemptResult>, life: Lifecycle) -> Vec<bool> {
    let tell = |results: Vec<AttemptResult>| {
        let (log, life) = (log.clone(), life.clone());
        async move {
            let request = FinishAttemptsRequest { results };
            let call = || {
                let (mut log, request) = (log.clone(), request.clone());
                async move { log.finish_attempts(request).await }
            };
            let answer = until_answered("FinishAttempts", &life, call).await;
            answer.is_some()
        }
    };
    let count = results.len();
    if tell(results.clone()).await {
        return vec![true; count];
    }
    let mut stored = vec![false; count];
    if count > 1 && !life.is_stopping() {
        for (stored, result) in stored.iter_mut().zip(results) {
            *stored = tell(vec![result]).await;
        }
    }
    stored
}

/// Calls until there is an answer. `None` when we are stopping, or when the log refuses for good.
async fn until_answered<T, F: Future<Output = Result<T, Status>>>(
    what: &'static str,
    life: &Lifecycle,
    mut call: impl FnMut() -> F,
) -> Option<T> {
    let mut wait = Duration::from_millis(50);
    loop {
        match call().await {
            Ok(answer) => return Some(answer),
            Err(status) if is_final(status.code()) => {
                tracing::error!(code = ?status.code(), what, "the conversation log refuses");
                return None;
            }
            Err(status) => {
                let code = status.code();
                tracing::debug!(?code, what, "the conversation log does not answer");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = life.stopped() => return None,
        }
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}

fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::NotFound
    )
}
