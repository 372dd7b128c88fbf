//! `ConversationLogService`: how other services write to the log.

use std::pin::Pin;
use std::sync::Arc;

use lib_platform::{Clock, Lifecycle, caller, trace};
use lib_proto::FieldError;
use lib_proto::conversations as pb;
use pb::conversation_log_service_server::ConversationLogService;
use pb::receive_result::Outcome;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::committer::{Answer, Committer, Unit, What};
use crate::outbox::Outbox;
use crate::{convert, parse, refuse};

/// The service.
pub(crate) struct Log {
    pub(crate) committer: Committer,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) life: Lifecycle,
    pub(crate) clock: Clock,
}

impl Log {
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

#[tonic::async_trait]
impl ConversationLogService for Log {
    async fn receive(
        &self,
        request: Request<pb::ReceiveRequest>,
    ) -> Result<Response<pb::ReceiveResponse>, Status> {
        caller(&request)?.require_service()?;
        let now = self.clock.now();
        let items = request.into_inner().items;
        let parts = items.into_iter().map(|item| parse::item(item, now));
        let answers = self.submit(parts.collect()).await?;
        Ok(Response::new(pb::ReceiveResponse {
            results: answers.into_iter().map(receive_result).collect(),
        }))
    }

    type WatchOutboxStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchOutboxResponse, Status>> + Send>>;

    async fn watch_outbox(
        &self,
        request: Request<pb::WatchOutboxRequest>,
    ) -> Result<Response<Self::WatchOutboxStream>, Status> {
        caller(&request)?.require_service()?;
        tracing::debug!(
            sender = request.into_inner().sender,
            "a sender follows the outbox"
        );
        let stream = self.life.until_stopped(self.outbox.follow());
        Ok(Response::new(Box::pin(stream)))
    }

    async fn start_attempts(
        &self,
        request: Request<pb::StartAttemptsRequest>,
    ) -> Result<Response<pb::StartAttemptsResponse>, Status> {
        caller(&request)?.require_service()?;
        let keys = request.into_inner().attempts.into_iter();
        let parts = keys.map(|key| {
            let (message, attempt) = parse::attempt_key(Some(key))?;
            Ok(unit(What::Start(message, attempt)))
        });
        let answers = self.submit(parts.collect()).await?;
        let granted = answers
            .into_iter()
            .map(|answer| matches!(answer, Ok(Answer::Granted(true))));
        Ok(Response::new(pb::StartAttemptsResponse {
            granted: granted.collect(),
        }))
    }

    async fn finish_attempts(
        &self,
        request: Request<pb::FinishAttemptsRequest>,
    ) -> Result<Response<pb::FinishAttemptsResponse>, Status> {
        caller(&request)?.require_service()?;
        let results = request.into_inner().results.into_iter();
        let parts = results.map(|result| parse::result(result).map(unit));
        for answer in self.submit(parts.collect()).await? {
            match answer {
                // Repeating the whole call is harmless, so one part that has to be repeated is
                // enough to ask for it.
                Ok(Answer::Retry(cause)) => return Err(refuse::unavailable(&cause).into()),
                Ok(Answer::Refused(cause)) => {
                    tracing::error!(cause, "the end of an attempt was refused");
                }
                Ok(Answer::NotFound(_, id)) => {
                    tracing::warn!(message = id, "an attempt of an unknown message ended");
                }
                Ok(_) => {}
                Err(error) => return Err(refuse::field(&error).into()),
            }
        }
        Ok(Response::new(pb::FinishAttemptsResponse {}))
    }

    async fn record_routing(
        &self,
        request: Request<pb::RecordRoutingRequest>,
    ) -> Result<Response<pb::RecordRoutingResponse>, Status> {
        caller(&request)?.require_service()?;
        let records = request.into_inner().records.into_iter();
        let parts = records.map(|record| parse::routing(record).map(unit));
        let answers = self.submit(parts.collect()).await?;
        let results = answers.into_iter().map(routing_result);
        Ok(Response::new(pb::RecordRoutingResponse {
            results: results.collect::<Result<_, _>>()?,
        }))
    }
}
