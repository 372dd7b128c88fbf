//! `ConversationLogService`: how other services write to the log. What belongs to another replica's
//! parts is handed on to it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use core_types::{ConversationId, EngagementId, MessageId};
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Clock, Lifecycle, caller, forward, trace};
use lib_proto::FieldError;
use lib_proto::conversations as pb;
use pb::conversation_log_service_client::ConversationLogServiceClient;
use pb::conversation_log_service_server::ConversationLogService;
use pb::receive_result::Outcome;
use tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::cache::conversation_of;
use crate::committer::{Answer, Committer, Unit, What, conversation_of_engagement};
use crate::door::Door;
use crate::outbox::Outbox;
use crate::publish::{News, Publisher};
use crate::shard::Shard;
use crate::store::part_of;
use crate::{convert, parse, refuse};

/// How long until what could not be decided is announced again.
const ANNOUNCE_AGAIN: Duration = Duration::from_millis(500);

/// The service.
pub(crate) struct Log {
    pub(crate) here: Here,
    pub(crate) door: Arc<Door>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) life: Lifecycle,
}

/// Answers for the parts of this replica. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Here {
    pub(crate) committer: Committer,
    pub(crate) clock: Clock,
}

impl Here {
    /// Submits the parts of a request that can be understood; the others keep their error.
    async fn submit(
        &self,
        parts: Vec<Result<Unit, FieldError>>,
    ) -> Result<Vec<Result<Answer, FieldError>>, Status> {
        let mut units = Vec::with_capacity(parts.len());
        let mut errors = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Ok(unit) => {
                    units.push(unit);
                    errors.push(None);
                }
                Err(error) => errors.push(Some(error)),
            }
        }
        let answers = self
            .committer
            .submit(units)
            .await
            .map_err(|_| refuse::unavailable("the service is stopping"))?;
        let mut answers = answers.into_iter();
        let missing = || Answer::Retry("there was no answer".to_owned());
        let all = errors.into_iter().map(|error| match error {
            Some(error) => Err(error),
            None => Ok(answers.next().unwrap_or_else(missing)),
        });
        Ok(all.collect())
    }

    async fn receive(self, items: Vec<pb::ReceivedItem>) -> Result<Vec<pb::ReceiveResult>, Status> {
        let now = self.clock.now();
        let parts = items.into_iter().map(|item| parse::item(item, now));
        let answers = self.submit(parts.collect()).await?;
        Ok(answers.into_iter().map(receive_result).collect())
    }

    /// Whether each attempt may be made; none for those that could not be decided.
    async fn start(self, keys: Vec<pb::AttemptKey>) -> Result<Vec<Option<bool>>, Status> {
        let parts = keys.into_iter().map(|key| {
            let (message, attempt) = parse::attempt_key(Some(key))?;
            Ok(unit(What::Start(message, attempt)))
        });
        let answers = self.submit(parts.collect()).await?;
        let decided = answers.into_iter().map(|answer| match answer {
            Ok(Answer::Retry(_) | Answer::Elsewhere) => None,
            answer => Some(matches!(answer, Ok(Answer::Granted(true)))),
        });
        Ok(decided.collect())
    }

    async fn finish(self, results: Vec<pb::AttemptResult>) -> Result<Vec<()>, Status> {
        let parts = results
            .into_iter()
            .map(|result| parse::result(result).map(unit));
        let mut done = Vec::new();
        for answer in self.submit(parts.collect()).await? {
            match answer {
                // Repeating the whole call is harmless, so one part that has to be repeated is
                // enough to ask for it.
                Ok(Answer::Retry(cause)) => return Err(refuse::unavailable(&cause).into()),
                Ok(Answer::Elsewhere) => return Err(forward::moving().into()),
                Ok(Answer::Refused(cause)) => {
                    tracing::error!(cause, "the end of an attempt was refused");
                }
                Ok(Answer::NotFound(_, id)) => {
                    tracing::warn!(message = id, "an attempt of an unknown message ended");
                }
                Ok(_) => {}
                Err(error) => return Err(refuse::field(&error).into()),
            }
            done.push(());
        }
        Ok(done)
    }

    async fn routing(
        self,
        records: Vec<pb::RoutingRecord>,
    ) -> Result<Vec<pb::RoutingRecordResult>, Status> {
        let parts = records
            .into_iter()
            .map(|record| parse::routing(record).map(unit));
        let answers = self.submit(parts.collect()).await?;
        answers.into_iter().map(routing_result).collect()
    }
}

/// The log of another replica.
fn there(channel: Channel) -> ConversationLogServiceClient<Channel> {
    ConversationLogServiceClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// The part of an item; none when it cannot be understood, which any replica can say.
fn part_of_item(item: &pb::ReceivedItem) -> Option<u16> {
    let fact = item.fact.as_ref()?;
    Some(part_of(if fact.number_id.is_empty() {
        &fact.waba_id
    } else {
        &fact.number_id
    }))
}

fn conversation_of_attempt(key: Option<&pb::AttemptKey>) -> Option<ConversationId> {
    conversation_of(&MessageId::new(&key?.message_id).ok()?)
}

fn conversation_of_record(record: &pb::RoutingRecord) -> Option<ConversationId> {
    conversation_of_engagement(&EngagementId::new(&record.engagement_id).ok()?)
}

fn unit(what: What) -> Unit {
    let traceparent = trace::current_traceparent().unwrap_or_default();
    Unit { what, traceparent }
}

fn receive_result(answer: Result<Answer, FieldError>) -> pb::ReceiveResult {
    let (outcome, cause) = match answer {
        Ok(Answer::Duplicate) => (Outcome::Duplicate, String::new()),
        Ok(Answer::Refused(cause)) => (Outcome::Refused, cause),
        Ok(Answer::Retry(cause)) => (Outcome::Retry, cause),
        Ok(Answer::Elsewhere) => (Outcome::Retry, forward::moving().to_string()),
        Ok(Answer::Rejected(rejection, _)) => (Outcome::Refused, rejection.to_string()),
        Ok(Answer::NotFound(kind, id)) => (Outcome::Refused, format!("there is no {kind} `{id}`")),
        Ok(_) => (Outcome::Taken, String::new()),
        Err(error) => (Outcome::Refused, error.to_string()),
    };
    pb::ReceiveResult {
        outcome: outcome.into(),
        cause,
    }
}

fn routing_result(answer: Result<Answer, FieldError>) -> Result<pb::RoutingRecordResult, Status> {
    let no = |reason: &str| pb::RoutingRecordResult {
        accepted: false,
        reason: reason.to_owned(),
        engagement: None,
    };
    Ok(match answer {
        Ok(Answer::Engagement(found)) => pb::RoutingRecordResult {
            accepted: true,
            reason: String::new(),
            engagement: Some(convert::engagement(&found.0, &found.1)),
        },
        Ok(Answer::Rejected(rejection, found)) => pb::RoutingRecordResult {
            engagement: found.map(|found| convert::engagement(&found.0, &found.1)),
            ..no(refuse::reason(&rejection))
        },
        Ok(Answer::NotFound(..)) => no("NOT_FOUND"),
        Ok(other) => return Err(refuse::answer(other).into()),
        Err(error) => return Err(refuse::field(&error).into()),
    })
}

/// Results of a call of which nothing may be missing.
fn whole<O>(results: Vec<Result<O, Status>>) -> Result<Vec<O>, Status> {
    results.into_iter().collect()
}

#[tonic::async_trait]
impl ConversationLogService for Log {
    async fn receive(
        &self,
        request: Request<pb::ReceiveRequest>,
    ) -> Result<Response<pb::ReceiveResponse>, Status> {
        caller(&request)?.require_service()?;
        let (metadata, _, request) = request.into_parts();
        let parts: Vec<Option<u16>> = request.items.iter().map(part_of_item).collect();
        let here = self.here.clone();
        let results = self.door.spread(
            &metadata,
            request.items,
            &parts,
            |items| Box::pin(here.clone().receive(items)),
            |channel, items| {
                let call = forward::request(&metadata, pb::ReceiveRequest { items });
                Box::pin(async move {
                    let answer = there(channel).receive(call).await?;
                    Ok(answer.into_inner().results)
                })
            },
        );
        let again = |status: Status| pb::ReceiveResult {
            outcome: Outcome::Retry.into(),
            cause: status.message().to_owned(),
        };
        let results = results.await.into_iter();
        Ok(Response::new(pb::ReceiveResponse {
            results: results.map(|it| it.unwrap_or_else(again)).collect(),
        }))
    }

    type WatchOutboxStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchOutboxResponse, Status>> + Send>>;

    async fn watch_outbox(
        &self,
        request: Request<pb::WatchOutboxRequest>,
    ) -> Result<Response<Self::WatchOutboxStream>, Status> {
        caller(&request)?.require_service()?;
        let request = request.into_inner();
        let shard = Shard::of(request.shard)?;
        tracing::debug!(sender = request.sender, "a sender follows the outbox");
        let stream = self.life.until_stopped(self.outbox.follow(shard));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn start_attempts(
        &self,
        request: Request<pb::StartAttemptsRequest>,
    ) -> Result<Response<pb::StartAttemptsResponse>, Status> {
        caller(&request)?.require_service()?;
        let (metadata, _, request) = request.into_parts();
        let (keys, sender) = (request.attempts, request.sender);
        let ids: Vec<_> = keys
            .iter()
            .map(|key| conversation_of_attempt(Some(key)))
            .collect();
        let parts = self.door.parts_of(&ids).await?;
        let here = self.here.clone();
        let decided = self.door.spread(
            &metadata,
            keys,
            &parts,
            |keys| Box::pin(here.clone().start(keys)),
            |channel, attempts| {
                let sender = sender.clone();
                let call = pb::StartAttemptsRequest { attempts, sender };
                let call = forward::request(&metadata, call);
                Box::pin(async move {
                    let answer = there(channel).start_attempts(call).await?.into_inner();
                    Ok(answer.granted.into_iter().map(Some).collect())
                })
            },
        );
        let decided = decided.await;
        let open = |it: &Result<Option<bool>, Status>| !matches!(it, Ok(Some(_)));
        if decided.iter().all(open) && !decided.is_empty() {
            // Nothing was granted: the whole call may be repeated.
            return Err(forward::moving().into());
        }
        let undecided = decided.iter().zip(ids).filter(|(it, _)| open(it));
        let undecided: Vec<ConversationId> = undecided.filter_map(|(_, id)| id).collect();
        if !undecided.is_empty() {
            // Repeating the call would not repeat what it granted, so the rest is announced anew.
            let publisher = Arc::clone(&self.publisher);
            self.life.spawn("announcing again", async move {
                tokio::time::sleep(ANNOUNCE_AGAIN).await;
                publisher.tell(News::Again(undecided));
            });
        }
        let granted = decided.into_iter().map(|it| matches!(it, Ok(Some(true))));
        Ok(Response::new(pb::StartAttemptsResponse {
            granted: granted.collect(),
        }))
    }

    async fn finish_attempts(
        &self,
        request: Request<pb::FinishAttemptsRequest>,
    ) -> Result<Response<pb::FinishAttemptsResponse>, Status> {
        caller(&request)?.require_service()?;
        let (metadata, _, request) = request.into_parts();
        let ids = request.results.iter();
        let ids: Vec<_> = ids
            .map(|result| conversation_of_attempt(result.attempt.as_ref()))
            .collect();
        let parts = self.door.parts_of(&ids).await?;
        let here = self.here.clone();
        let done = self.door.spread(
            &metadata,
            request.results,
            &parts,
            |results| Box::pin(here.clone().finish(results)),
            |channel, results| {
                let count = results.len();
                let call = forward::request(&metadata, pb::FinishAttemptsRequest { results });
                Box::pin(async move {
                    there(channel).finish_attempts(call).await?;
                    Ok(vec![(); count])
                })
            },
        );
        whole(done.await)?;
        Ok(Response::new(pb::FinishAttemptsResponse {}))
    }

    async fn record_routing(
        &self,
        request: Request<pb::RecordRoutingRequest>,
    ) -> Result<Response<pb::RecordRoutingResponse>, Status> {
        caller(&request)?.require_service()?;
        let (metadata, _, request) = request.into_parts();
        let ids = request.records.iter().map(conversation_of_record);
        let parts = self.door.parts_of(&ids.collect::<Vec<_>>()).await?;
        let here = self.here.clone();
        let results = self.door.spread(
            &metadata,
            request.records,
            &parts,
            |records| Box::pin(here.clone().routing(records)),
            |channel, records| {
                let call = forward::request(&metadata, pb::RecordRoutingRequest { records });
                Box::pin(async move {
                    let answer = there(channel).record_routing(call).await?;
                    Ok(answer.into_inner().results)
                })
            },
        );
        Ok(Response::new(pb::RecordRoutingResponse {
            results: whole(results.await)?,
        }))
    }
}
