//! `FlowRunnerService`: takes steps. It keeps nothing between calls but compiled flows.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use core_flow::{Called, CompiledFlow, Session, advance};
use lib_platform::metrics::{Counter, Metrics};
use lib_platform::{Refusal, caller};
use lib_proto::common::FlowCalled;
use lib_proto::flow_runner as pb;
use lib_storage::{Database, StorageError};
use pb::flow_runner_service_server::FlowRunnerService;
use pb::step_failure::Kind;
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::cache::Cache;
use crate::call::{Asked, Caller, Outcome};
use crate::convert::{Given, WireFacts, called_to_proto, failed, failure_to_proto, step_to_proto};
use crate::store;

/// Steps taken before other work of this thread gets its turn.
const STEPS_AT_A_TIME: usize = 64;

/// Answers `FlowRunnerService`.
pub(crate) struct Runner {
    database: Database,
    cache: Arc<Cache>,
    caller: Caller,
    counted: Counted,
}

/// Calls by how they ended.
struct Counted {
    answered: Counter,
    failed: Counter,
    timed_out: Counter,
}

/// Why there is no flow to take a step on.
enum Missing {
    /// For this step only: the answer the step gets.
    Step(Box<pb::Advanced>),
    /// The database did not answer. Nothing has happened; the whole call can be repeated.
    Storage(StorageError),
}

impl Missing {
    fn step(kind: Kind, message: impl Into<String>) -> Self {
        Self::Step(Box::new(failed(kind, message)))
    }
}

impl From<StorageError> for Missing {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Runner {
    /// Steps on the flows in `database`, compiled ones kept in `cache`.
    pub(crate) fn new(
        database: Database,
        cache: Arc<Cache>,
        caller: Caller,
        metrics: &Metrics,
    ) -> Self {
        let count = |outcome: &str| {
            let help = "Calls of flows to other systems, by how they ended";
            metrics.counter("frontdesk_flow_calls_total", help, &[("outcome", outcome)])
        };
        Self {
            database,
            cache,
            caller,
            counted: Counted {
                answered: count("answered"),
                failed: count("failed"),
                timed_out: count("timed_out"),
            },
        }
    }

    /// Makes a call, and reads its answer as the flow wants it.
    async fn made(&self, asked: pb::CallRequest) -> Result<FlowCalled, Status> {
        let call = pb::FlowCall::decode(&*asked.call);
        let call = call.map_err(|_| Refusal::invalid("call", "is not one a step gave"))?;
        let widget = u16::try_from(call.widget);
        let widget = widget.map_err(|_| Refusal::invalid("call.widget", "is no widget"))?;
        let (tenant, flow) = (asked.tenant_id, asked.flow_id);
        let compiled = match self.cache.get(&tenant, &flow, asked.flow_version) {
            Some(compiled) => Ok(compiled),
            None => self.load(&tenant, &flow, asked.flow_version).await,
        };
        let compiled = compiled.map_err(|missing| match missing {
            Missing::Step(_) => Refusal::not_found("flow version", &flow),
            Missing::Storage(_) => {
                Refusal::unavailable("flows cannot be read now", Duration::from_secs(1))
            }
        })?;
        let asked = Asked {
            tenant,
            call,
            key: asked.idempotency_key,
        };
        let called = match self.caller.make(&asked).await {
            Outcome::Answered(status, body) => {
                self.counted.answered.inc();
                core_flow::read_answer(&compiled, widget, status, &body)
            }
            Outcome::Failed(reason) => {
                self.counted.failed.inc();
                tracing::debug!(flow, reason, "a call failed");
                Called::Failed(reason)
            }
            Outcome::TimedOut => {
                self.counted.timed_out.inc();
                return Err(Status::deadline_exceeded("the other system took too long"));
            }
        };
        Ok(called_to_proto(called))
    }

    async fn step(&self, asked: pb::Advance) -> Result<pb::Advanced, StorageError> {
        let given = match Given::from_proto(asked.input, asked.now) {
            Ok(given) => given,
            Err(error) => return Ok(failed(Kind::Invalid, error.to_string())),
        };
        let flow = match self
            .flow(&asked.tenant_id, &asked.flow_id, &asked.session)
            .await
        {
            Ok(flow) => flow,
            Err(Missing::Step(answer)) => return Ok(*answer),
            Err(Missing::Storage(error)) => return Err(error),
        };
        let session = (!asked.session.is_empty()).then_some(&*asked.session);
        let facts = WireFacts(asked.facts);
        Ok(
            match advance(&flow, session, &given.input, &facts, given.now) {
                Ok(step) => step_to_proto(flow.version(), step),
                Err(failure) => failure_to_proto(&failure),
            },
        )
    }

    /// The version a session runs on; the newest one where there is no session yet.
    async fn flow(
        &self,
        tenant: &str,
        id: &str,
        session: &[u8],
    ) -> Result<Arc<CompiledFlow>, Missing> {
        let version = if session.is_empty() {
            self.newest(tenant, id).await?
        } else {
            Session::version_of(session)
                .map_err(|error| Missing::step(Kind::Invalid, error.to_string()))?
        };
        match self.cache.get(tenant, id, version) {
            Some(flow) => Ok(flow),
            None => self.load(tenant, id, version).await,
        }
    }

    async fn newest(&self, tenant: &str, id: &str) -> Result<u32, Missing> {
        if let Some(version) = self.cache.newest(tenant, id) {
            return Ok(version);
        }
        let version = store::newest(&self.database, tenant, id)
            .await?
            .ok_or_else(|| {
                Missing::step(
                    Kind::NotFound,
                    format!("there is no published flow `{id}`; publish it, or bind another"),
                )
            })?;
        self.cache.published(tenant, id, version);
        // A publication may have come between the two.
        Ok(self
            .cache
            .newest(tenant, id)
            .map_or(version, |known| known.max(version)))
    }

    async fn load(
        &self,
        tenant: &str,
        id: &str,
        version: u32,
    ) -> Result<Arc<CompiledFlow>, Missing> {
        let row = store::version(&self.database, tenant, id, version.into()).await?;
        let (Some(row), Some(number)) = (row, NonZeroU32::new(version)) else {
            let message = format!("there is no version {version} of flow `{id}`");
            return Err(Missing::step(Kind::NotFound, message));
        };
        let unusable = |problem: &dyn std::fmt::Display| {
            tracing::error!(tenant, flow = id, version, %problem, "a published flow cannot be used");
            Missing::step(
                Kind::Invalid,
                format!("version {version} of flow `{id}` cannot be used: {problem}"),
            )
        };
        let definition = core_flow::parse(&row.definition).map_err(|problems| {
            let first = problems.first().map(ToString::to_string);
            unusable(&first.unwrap_or_default())
        })?;
        let flow =
            CompiledFlow::compile(&definition, number).map_err(|problem| unusable(&problem))?;
        let flow = Arc::new(flow);
        self.cache.keep(tenant, id, Arc::clone(&flow));
        Ok(flow)
    }
}

#[tonic::async_trait]
impl FlowRunnerService for Runner {
    async fn call(
        &self,
        request: Request<pb::CallRequest>,
    ) -> Result<Response<pb::CallResponse>, Status> {
        caller(&request)?.require_service()?;
        let called = self.made(request.into_inner()).await?;
        Ok(Response::new(pb::CallResponse {
            called: Some(called),
        }))
    }

    async fn advance(
        &self,
        request: Request<pb::AdvanceRequest>,
    ) -> Result<Response<pb::AdvanceResponse>, Status> {
        caller(&request)?.require_service()?;
        let steps = request.into_inner().steps;
        let mut results = Vec::with_capacity(steps.len());
        for (position, step) in steps.into_iter().enumerate() {
            if position > 0 && position % STEPS_AT_A_TIME == 0 {
                tokio::task::yield_now().await;
            }
            results.push(self.step(step).await.map_err(|error| {
                tracing::warn!(%error, "flows cannot be read");
                Refusal::unavailable("flows cannot be read now", Duration::from_secs(1))
            })?);
        }
        Ok(Response::new(pb::AdvanceResponse { results }))
    }
}
