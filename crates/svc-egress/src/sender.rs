//! One message on its way: its turn, the log's grant, the request, the report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use core_types::{MessageId, Timestamp};
use core_whatsapp::send::{self, RetryClass};
use lib_platform::partition::Held;
use lib_platform::{Clock, Context, Lifecycle, trace};
use lib_proto::conversations::attempt_result::Outcome;
use lib_proto::conversations::{
    AttemptAccepted, AttemptAmbiguous, AttemptKey, AttemptNotSent, AttemptRejected, AttemptResult,
    OutboxIntent,
};
use lib_proto::{content_from_proto, identity_from_proto, required, timestamp_opt};

use crate::Config;
use crate::directory::Directory;
use crate::graph::{self, Fate, Graph, in_words, ours};
use crate::metrics::Instruments;
use crate::number::{Number, Numbers};
use crate::reports::{self, Grant, Log, Reports};
use crate::spool::Spool;

/// When a stopped number's messages are tried again.
const STOPPED_WAIT: Duration = Duration::from_secs(60);
/// How long a request under way may go on after the stop: less than tasks have to end in.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// Sends messages.
pub(crate) struct Sender {
    name: String,
    config: Config,
    graph: Graph,
    log: Log,
    reports: Reports,
    directory: Directory,
    numbers: Arc<Numbers>,
    clock: Clock,
    life: Lifecycle,
    instruments: Instruments,
}

/// How a message leaves the hand when no request was made for it.
enum Unsent {
    /// It never will be.
    Rejected(String),
    /// Later.
    NotSent(Duration, String),
}

impl Sender {
    /// A sender for the installation of `context`.
    pub(crate) fn new(
        config: Config,
        context: &Context,
        spool: Spool,
        numbers: Arc<Numbers>,
    ) -> anyhow::Result<Arc<Self>> {
        let log = reports::log(context.channel("conversations")?);
        let name = context.me.name.clone();
        Ok(Arc::new(Self {
            graph: Graph::new(&config)?,
            reports: Reports::new(log.clone(), name.clone(), spool, &context.life),
            name,
            directory: Directory::new(context.channel("accounts")?),
            log,
            numbers,
            clock: context.clock.clone(),
            life: context.life.clone(),
            instruments: Instruments::new(&context.metrics),
            config,
        }))
    }

    /// The name attempts are made under.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Most messages in hand at once.
    pub(crate) fn max_in_hand(&self) -> usize {
        self.config.max_in_hand
    }

    /// A client of the log.
    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }

    /// Reports what the last run, or another replica, could not; until we stop.
    pub(crate) async fn report_left_over(&self) {
        self.reports.keep_reporting_left_over().await;
    }

    /// Brings one message to its end, or leaves it to the log when its number is no longer ours.
    pub(crate) async fn send(&self, intent: OutboxIntent, held: &Held) {
        let number = self.numbers.get(&intent.number_id, &intent.tenant_id);
        number.begin_waiting();
        let ready = tokio::select! {
            ready = self.prepare(&number, &intent) => ready,
            () = held.lost() => { number.end_waiting(); return }
        };
        number.end_waiting();
        let key = AttemptKey {
            message_id: intent.message_id,
            attempt: intent.attempt,
        };
        let grant = match self.reports.may_start(key.clone()).await {
            Some(grant) if grant.granted => grant,
            // Not ours to send, or not now: the log knows better.
            _ => return,
        };
        let outcome = match ready {
            Ok(ready) => {
                lib_platform::failpoint!("egress.granted");
                let parent = trace::current_traceparent()
                    .or_else(|| (!intent.traceparent.is_empty()).then_some(intent.traceparent));
                let began = Instant::now();
                let fate = self
                    .request(&number, &ready, grant, parent.clone(), held)
                    .await;
                self.instruments.ended(&fate, began);
                drop(ready.permit);
                // Neither Meta's id of the message nor Meta's words: both may hold a phone number.
                let (class, code) = (fate.class(), fate.code());
                if matches!(fate, Fate::Ambiguous(_)) {
                    tracing::warn!(
                        traceparent = parent,
                        number_id = number.id,
                        message_id = key.message_id,
                        attempt = key.attempt,
                        class,
                        "nobody knows whether Meta took the message"
                    );
                } else {
                    tracing::debug!(traceparent = parent, class, code, "answered");
                }
                self.outcome(&number, &ready.token, fate, key.attempt)
            }
            Err(Unsent::Rejected(details)) => {
                number.count_rejected();
                rejected(&ours(details))
            }
            Err(Unsent::NotSent(wait, cause)) => self.not_sent(wait, cause),
        };
        lib_platform::failpoint!("egress.answered");
        let result = AttemptResult {
            attempt: Some(key),
            outcome: Some(outcome),
        };
        self.reports.finished(result).await;
    }

    /// Everything that can be done before the log is asked, so that little time is lost after.
    async fn prepare(&self, number: &Number, intent: &OutboxIntent) -> Result<Ready, Unsent> {
        let body = encode(intent).map_err(Unsent::Rejected)?;
        if number.recheck_is_due() {
            self.directory.forget(&number.id);
            self.token(number).await?;
        }
        let permit = number.turn().await.ok_or_else(|| stopped(number))?;
        let token = self.token(number).await?;
        Ok(Ready {
            body,
            token,
            permit,
        })
    }

    /// The number's token. Waits while the accounts service cannot be asked: nothing has begun yet.
    async fn token(&self, number: &Number) -> Result<Arc<str>, Unsent> {
        let mut wait = Duration::from_millis(50);
        loop {
            match self.directory.token(&number.id).await {
                Ok(Some(token)) => {
                    number.resume_with(&token);
                    return Ok(token);
                }
                Ok(None) => {
                    return Err(Unsent::Rejected(format!(
                        "number {} is not connected; create it in the accounts service",
                        number.id
                    )));
                }
                Err(status) => {
                    tracing::debug!(code = ?status.code(), "accounts does not answer");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    /// Makes the request, unless the attempt's lease has got too old meanwhile, or the number is
    /// another replica's: a process that was suspended must not send what others have taken over.
    async fn request(
        &self,
        number: &Number,
        ready: &Ready,
        grant: Grant,
        traceparent: Option<String>,
        held: &Held,
    ) -> Fate {
        let stop = async {
            self.life.stopped().await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        let body = ready.body.clone();
        if grant.asked.elapsed() > self.config.write_within() {
            return Fate::NotWritten("the attempt's time had run out before it began".to_owned());
        }
        if held.is_lost() {
            self.instruments.fenced();
            return Fate::NotWritten("the number moved to another replica".to_owned());
        }
        lib_platform::failpoint!("egress.write");
        self.graph
            .post(&number.id, &ready.token, body, traceparent, stop)
            .await
    }

    fn outcome(&self, number: &Number, token: &Arc<str>, fate: Fate, attempt: u32) -> Outcome {
        let pause = number.note(&fate, self.clock.now(), token);
        match fate {
            Fate::Accepted(id) => Outcome::Accepted(AttemptAccepted {
                whatsapp_message_id: id,
            }),
            Fate::Rejected(error) => rejected(&error),
            Fate::Wait(class, error) => {
                let wait = match class {
                    RetryClass::Pair => graph::pair_backoff(attempt),
                    _ => pause.unwrap_or_else(|| graph::backoff(attempt)),
                };
                self.not_sent(wait, in_words(&error))
            }
            Fate::NotWritten(cause) => self.not_sent(graph::backoff(attempt), cause),
            Fate::Stop(error) => {
                self.directory.forget(&number.id);
                self.not_sent(STOPPED_WAIT, in_words(&error))
            }
            Fate::Ambiguous(cause) => Outcome::Ambiguous(AttemptAmbiguous { cause }),
        }
    }

    fn not_sent(&self, wait: Duration, cause: String) -> Outcome {
        let retry_at: Timestamp = self.clock.now().plus(wait);
        Outcome::NotSent(AttemptNotSent {
            retry_at: timestamp_opt(Some(retry_at)),
            cause,
        })
    }
}

/// A message that can be sent as soon as the log agrees.
struct Ready {
    body: String,
    token: Arc<str>,
    permit: tokio::sync::OwnedSemaphorePermit,
}

fn stopped(number: &Number) -> Unsent {
    let cause = number.snapshot().stopped.unwrap_or_default();
    Unsent::NotSent(STOPPED_WAIT, format!("the number is stopped: {cause}"))
}

fn rejected(error: &core_types::PlatformError) -> Outcome {
    Outcome::Rejected(AttemptRejected {
        error: Some(error.into()),
    })
}

/// The request's body, or why there can be none.
fn encode(intent: &OutboxIntent) -> Result<String, String> {
    let message = MessageId::new(&intent.message_id).map_err(|error| error.to_string())?;
    let contact = required("contact", intent.contact.clone()).map_err(|error| error.to_string())?;
    let content = required("content", intent.content.clone())
        .and_then(content_from_proto)
        .map_err(|error| error.to_string())?;
    let reply_to = (!intent.reply_to.is_empty()).then_some(intent.reply_to.as_str());
    send::encode(
        &identity_from_proto(contact),
        &content,
        reply_to,
        &graph::callback_data(&message),
    )
    .map_err(|problem| problem.to_string())
}
