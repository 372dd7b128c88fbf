//! `FlowService`: drafts and published versions of one tenant's flows.

use std::num::NonZeroU32;
use std::sync::Arc;

use core_flow::{CompiledFlow, Problem};
use lib_platform::{Caller, Clock, Refusal, Role, caller, page};
use lib_proto::flow_runner as pb;
use lib_storage::{Database, Tx};
use pb::flow_service_server::FlowService;
use tonic::{Request, Response, Status};

use crate::cache::Cache;
use crate::check;
use crate::credential::Credentials;
use crate::store::{self, FlowRow, VersionRow};

mod credentials;
mod versions;

/// Answers `FlowService`.
pub(crate) struct Flows {
    database: Database,
    cache: Arc<Cache>,
    credentials: Arc<Credentials>,
    clock: Clock,
    /// Whether flows may run scripts.
    scripts: bool,
}

impl Flows {
    /// Flows in `database`; publications are told to `cache`.
    pub(crate) fn new(
        database: Database,
        cache: Arc<Cache>,
        credentials: Arc<Credentials>,
        clock: Clock,
        scripts: bool,
    ) -> Self {
        Self {
            database,
            cache,
            credentials,
            clock,
            scripts,
        }
    }

    async fn create(
        &self,
        caller: &Caller,
        asked: pb::CreateFlowRequest,
    ) -> Result<FlowRow, Refusal> {
        let tenant = writer(caller)?;
        check::id("id", &asked.id)?;
        check::name(&asked.name)?;
        check::draft(&asked.draft)?;
        let created_from = check::fingerprint(&asked.name, &asked.draft);
        let mut tx = self.database.begin().await?;
        if let Some(row) = store::flow(&mut tx, tenant, &asked.id).await? {
            // The answer to an earlier try may have been lost.
            return if row.created_from == created_from {
                Ok(row)
            } else {
                Err(Refusal::already_exists("flow", &asked.id))
            };
        }
        let row = FlowRow {
            id: asked.id,
            name: asked.name,
            draft: asked.draft,
            revision: 1,
            published_version: 0,
            created_from,
            updated_at: self.clock.now().as_micros(),
        };
        store::insert_flow(&mut tx, tenant, &row).await?;
        tx.commit().await?;
        Ok(row)
    }

    async fn update(
        &self,
        caller: &Caller,
        asked: pb::UpdateFlowRequest,
    ) -> Result<FlowRow, Refusal> {
        let tenant = writer(caller)?;
        check::name(&asked.name)?;
        check::draft(&asked.draft)?;
        let mut tx = self.database.begin().await?;
        let mut row = store::flow(&mut tx, tenant, &asked.id)
            .await?
            .ok_or_else(|| Refusal::not_found("flow", &asked.id))?;
        if row.name == asked.name && row.draft == asked.draft {
            return Ok(row);
        }
        unchanged_since(&row, &asked.etag)?;
        row.name = asked.name;
        row.draft = asked.draft;
        row.revision += 1;
        row.updated_at = self.clock.now().as_micros();
        store::update_flow(&mut tx, tenant, &row).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Publishing a draft that is published already gives that version again: a retry makes no
    /// second one.
    async fn publish(
        &self,
        caller: &Caller,
        asked: pb::PublishFlowRequest,
    ) -> Result<VersionRow, Refusal> {
        let tenant = writer(caller)?;
        check::note(&asked.note)?;
        let mut tx = self.database.begin().await?;
        let mut row = store::flow(&mut tx, tenant, &asked.id)
            .await?
            .ok_or_else(|| Refusal::not_found("flow", &asked.id))?;
        unchanged_since(&row, &asked.etag)?;
        let newest = store::version(&mut tx, tenant, &row.id, row.published_version).await?;
        if let Some(newest) = newest.filter(|newest| newest.revision == row.revision) {
            return Ok(newest);
        }
        row.published_version += 1;
        let compiled = self.allowed(compile(&row)?)?;
        let version = VersionRow {
            flow_id: row.id.clone(),
            version: row.published_version,
            revision: row.revision,
            definition: row.draft.clone(),
            author: caller.name(),
            note: asked.note,
            published_at: self.clock.now().as_micros(),
        };
        self.make_newest(tx, tenant, &row, &version, compiled)
            .await?;
        Ok(version)
    }

    /// A flow that may be run here.
    fn allowed(&self, flow: CompiledFlow) -> Result<CompiledFlow, Refusal> {
        if self.scripts || !flow.has_scripts() {
            return Ok(flow);
        }
        let message = "the flow has scripts, and this installation runs none; an operator who trusts \
                       its authors may allow them with `flow_runner.scripts`";
        Err(Refusal::precondition("SCRIPTS_OFF", message))
    }

    /// Stores what was published, and lets new sessions take it.
    async fn make_newest(
        &self,
        mut tx: Tx,
        tenant: &str,
        row: &FlowRow,
        version: &VersionRow,
        compiled: CompiledFlow,
    ) -> Result<(), Refusal> {
        store::insert_version(&mut tx, tenant, version).await?;
        store::update_flow(&mut tx, tenant, row).await?;
        tx.commit().await?;
        self.cache.published(tenant, &row.id, compiled.version());
        self.cache.keep(tenant, &row.id, Arc::new(compiled));
        Ok(())
    }

    async fn list(
        &self,
        caller: &Caller,
        asked: &pb::ListFlowsRequest,
    ) -> Result<pb::ListFlowsResponse, Refusal> {
        let tenant = caller.tenant()?.as_str();
        let size = page::size(asked.page_size)?;
        let after = page::after(&asked.page_token)?;
        let mut rows = store::flows(&self.database, tenant, &after, size + 1).await?;
        let next_page_token = page::cut(&mut rows, size, |row| row.id.clone());
        Ok(pb::ListFlowsResponse {
            flows: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        })
    }
}

/// The tenant of a caller who may write flows.
fn writer(caller: &Caller) -> Result<&str, Refusal> {
    caller.require(&[Role::FlowAuthor])?;
    Ok(caller.tenant()?.as_str())
}

/// Refuses a change that somebody else's change came before.
fn unchanged_since(row: &FlowRow, etag: &str) -> Result<(), Refusal> {
    let own = row.etag();
    if etag.is_empty() || etag == own {
        return Ok(());
    }
    let message = format!(
        "the flow was changed since: its etag is `{own}`, yours is `{etag}`; read it again and \
         repeat your change"
    );
    Err(Refusal::conflict(message).with("etag", own))
}

/// The draft as the next version, ready to run.
fn compile(row: &FlowRow) -> Result<CompiledFlow, Refusal> {
    let (definition, problems) = core_flow::check(&row.draft);
    let errors: Vec<&Problem> = problems
        .iter()
        .filter(|problem| problem.is_error())
        .collect();
    if let Some(refusal) = check::unpublishable(&errors) {
        return Err(refusal);
    }
    let version = u32::try_from(row.published_version)
        .ok()
        .and_then(NonZeroU32::new);
    let (Some(definition), Some(version)) = (definition, version) else {
        return Err(Refusal::internal(&"a draft without errors cannot be read"));
    };
    CompiledFlow::compile(&definition, version).map_err(|problem| {
        check::unpublishable(&[&problem]).unwrap_or_else(|| Refusal::internal(&problem))
    })
}

#[tonic::async_trait]
impl FlowService for Flows {
    async fn create_flow(
        &self,
        request: Request<pb::CreateFlowRequest>,
    ) -> Result<Response<pb::Flow>, Status> {
        let caller = caller(&request)?;
        let flow = self.create(&caller, request.into_inner()).await?;
        Ok(Response::new(flow.into()))
    }

    async fn get_flow(
        &self,
        request: Request<pb::GetFlowRequest>,
    ) -> Result<Response<pb::Flow>, Status> {
        let caller = caller(&request)?;
        let id = request.into_inner().id;
        let flow = store::flow(&self.database, caller.tenant()?.as_str(), &id)
            .await
            .map_err(Refusal::from)?;
        let flow = flow.ok_or_else(|| Refusal::not_found("flow", &id))?;
        Ok(Response::new(flow.into()))
    }

    async fn list_flows(
        &self,
        request: Request<pb::ListFlowsRequest>,
    ) -> Result<Response<pb::ListFlowsResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn update_flow(
        &self,
        request: Request<pb::UpdateFlowRequest>,
    ) -> Result<Response<pb::Flow>, Status> {
        let caller = caller(&request)?;
        let flow = self.update(&caller, request.into_inner()).await?;
        Ok(Response::new(flow.into()))
    }

    async fn check_flow(
        &self,
        request: Request<pb::CheckFlowRequest>,
    ) -> Result<Response<pb::CheckFlowResponse>, Status> {
        caller(&request)?;
        let (_, problems) = core_flow::check(&request.get_ref().definition);
        Ok(Response::new(pb::CheckFlowResponse {
            problems: problems.into_iter().map(check::problem_to_proto).collect(),
        }))
    }

    async fn publish_flow(
        &self,
        request: Request<pb::PublishFlowRequest>,
    ) -> Result<Response<pb::FlowVersion>, Status> {
        let caller = caller(&request)?;
        let version = self.publish(&caller, request.into_inner()).await?;
        Ok(Response::new(version.into()))
    }

    async fn get_flow_version(
        &self,
        request: Request<pb::GetFlowVersionRequest>,
    ) -> Result<Response<pb::FlowVersion>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let version = self.version(&caller, &asked.flow_id, asked.version).await?;
        Ok(Response::new(version.into()))
    }

    async fn roll_back_flow(
        &self,
        request: Request<pb::RollBackFlowRequest>,
    ) -> Result<Response<pb::FlowVersion>, Status> {
        let caller = caller(&request)?;
        let version = self.roll_back(&caller, request.into_inner()).await?;
        Ok(Response::new(version.into()))
    }

    async fn compare_flow_versions(
        &self,
        request: Request<pb::CompareFlowVersionsRequest>,
    ) -> Result<Response<pb::CompareFlowVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let answer = self.compare(&caller, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn put_credential(
        &self,
        request: Request<pb::PutCredentialRequest>,
    ) -> Result<Response<pb::Credential>, Status> {
        let caller = caller(&request)?;
        let kept = self.put(&caller, request.into_inner().credential).await?;
        Ok(Response::new(kept))
    }

    async fn list_credentials(
        &self,
        request: Request<pb::ListCredentialsRequest>,
    ) -> Result<Response<pb::ListCredentialsResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.all_credentials(&caller).await?))
    }

    async fn delete_credential(
        &self,
        request: Request<pb::DeleteCredentialRequest>,
    ) -> Result<Response<pb::DeleteCredentialResponse>, Status> {
        let caller = caller(&request)?;
        self.remove(&caller, &request.get_ref().name).await?;
        Ok(Response::new(pb::DeleteCredentialResponse {}))
    }

    async fn list_flow_versions(
        &self,
        request: Request<pb::ListFlowVersionsRequest>,
    ) -> Result<Response<pb::ListFlowVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let answer = self.versions(&caller, request.get_ref()).await?;
        Ok(Response::new(answer))
    }
}
