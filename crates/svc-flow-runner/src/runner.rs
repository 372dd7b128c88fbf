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
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::cache::Cache;
use crate::call::{Asked, Caller, Outcome};
use crate::convert::{
    Given, Known, WireFacts, called_to_proto, failed, failure_to_proto, step_to_proto,
};
use crate::store;

/// Steps taken before other work of this thread gets its turn.
const STEPS_AT_A_TIME: usize = 64;

/// Steps with scripts at the same time.
const SCRIPTS_AT_ONCE: usize = 4;
/// How long a step with scripts may take: shorter than whoever asks waits.
const SCRIPTS_WITHIN: Duration = Duration::from_millis(2_000);

/// Answers `FlowRunnerService`.
pub(crate) struct Runner {
    database: Database,
    cache: Arc<Cache>,
    caller: Caller,
    /// Places for steps that may run scripts; none where no scripts are run.
    scripts: Option<Arc<Semaphore>>,
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

/// Takes a step.
fn taken(flow: &CompiledFlow, session: &[u8], given: &Given, facts: &Known) -> pb::Advanced {
    let session = (!session.is_empty()).then_some(session);
    match advance(flow, session, &given.input, facts, given.now) {
        Ok(step) => step_to_proto(flow.version(), step),
        Err(failure) => failure_to_proto(&failure),
    }
}

impl Runner {
    /// Steps on the flows in `database`, compiled ones kept in `cache`.
    pub(crate) fn new(
        database: Database,
        cache: Arc<Cache>,
        caller: Caller,
        metrics: &Metrics,
        scripts: bool,
    ) -> Self {
        let count = |outcome: &str| {
            let help = "Calls of flows to other systems, by how they ended";
            metrics.counter("frontdesk_flow_calls_total", help, &[("outcome", outcome)])
        };
        Self {
            database,
            cache,
            caller,
            scripts: scripts.then(|| Arc::new(Semaphore::new(SCRIPTS_AT_ONCE))),
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
        let facts = WireFacts(asked.facts);
        if self.scripts.is_some() && flow.has_scripts() {
            return Ok(self.aside(flow, asked.session, given, facts).await);
        }
        Ok(taken(&flow, &asked.session, &given, &facts))
    }

    /// A step that may run scripts: on a thread of its own, and not for long. One that does not come back
    /// keeps its thread, so there are few of them; then steps with scripts fail, and all others go on.
    async fn aside(
        &self,
        flow: Arc<CompiledFlow>,
        session: Vec<u8>,
        given: Given,
        facts: Known,
    ) -> pb::Advanced {
        let Some(places) = self.scripts.clone() else {
            return failed(Kind::Invalid, "no scripts are run here");
        };
        let late = || failed(Kind::Budget, "the flow's scripts take too long");
        let step = async {
            let place = places.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let _place = place;
                taken(&flow, &session, &given, &facts)
            })
            .await
        };
        match tokio::time::timeout(SCRIPTS_WITHIN, step).await {
            Ok(Ok(step)) => step,
            Ok(Err(_)) => failed(Kind::Invalid, "the step cannot be taken"),
            Err(_) => {
                tracing::warn!("a step with scripts takes too long");
                late()
            }
        }
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
        let read = match store::newest(&self.database, tenant, id).await {
            Ok(read) => read,
            Err(error) => {
                let known = self.cache.heard_last(tenant, id);
                return known.ok_or(Missing::Storage(error));
            }
        };
        let version = read.ok_or_else(|| {
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
        let flow = if self.scripts.is_some() {
            flow
        } else {
            flow.without_scripts()
        };
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
        let mut steps = request.into_inner().steps.into_iter();
        let mut results = Vec::with_capacity(steps.len());
        loop {
            let some: Vec<pb::Advance> = steps.by_ref().take(STEPS_AT_A_TIME).collect();
            if some.is_empty() {
                break;
            }
            // Those with scripts wait for their threads side by side.
            let taken =
                futures_util::future::join_all(some.into_iter().map(|step| self.step(step)));
            for result in taken.await {
                results.push(result.map_err(|error| {
                    tracing::warn!(%error, "flows cannot be read");
                    Refusal::unavailable("flows cannot be read now", Duration::from_secs(1))
                })?);
            }
            tokio::task::yield_now().await;
        }
        Ok(Response::new(pb::AdvanceResponse { results }))
    }
}
