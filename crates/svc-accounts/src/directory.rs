//! `DirectoryService`: look-ups that cross tenants, for services of this installation only.

use lib_platform::{Refusal, caller};
use lib_proto::accounts::directory_service_server::DirectoryService;
use lib_proto::accounts::{
    Caller, ResolveAccessTokenRequest, ResolveNumbersRequest, ResolveNumbersResponse,
    ResolveWabaRequest, ResolveWabaResponse,
};
use lib_storage::Database;
use tonic::{Request, Response, Status};

use crate::store;

/// Length of a SHA-256.
const SHA256_BYTES: usize = 32;

/// The service.
pub(crate) struct Directory {
    database: Database,
}

impl Directory {
    /// Answers from `database`.
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn resolve_numbers(
        &self,
        request: Request<ResolveNumbersRequest>,
    ) -> Result<Response<ResolveNumbersResponse>, Status> {
        caller(&request)?.require_service()?;
        let ids = request.into_inner().number_ids;
        let numbers = store::number_records(&self.database, &ids)
            .await
            .map_err(Refusal::from)?;
        Ok(Response::new(ResolveNumbersResponse { numbers }))
    }

    async fn resolve_waba(
        &self,
        request: Request<ResolveWabaRequest>,
    ) -> Result<Response<ResolveWabaResponse>, Status> {
        caller(&request)?.require_service()?;
        let waba_id = request.into_inner().waba_id;
        let found = store::connector_of_waba(&self.database, &waba_id).await;
        let owned = found
            .map_err(Refusal::from)?
            .ok_or_else(|| Refusal::not_found("connector of the account", &waba_id))?;
        Ok(Response::new(ResolveWabaResponse {
            tenant_id: owned.tenant_id,
            connector: Some(owned.connector),
            access_token: owned.graph_token,
        }))
    }

    async fn resolve_access_token(
        &self,
        request: Request<ResolveAccessTokenRequest>,
    ) -> Result<Response<Caller>, Status> {
        caller(&request)?.require_service()?;
        let sha256 = request.into_inner().sha256;
        if sha256.len() != SHA256_BYTES {
            return Err(Refusal::invalid("sha256", "must have 32 bytes").into());
        }
        let found = store::token_owner(&self.database, &sha256)
            .await
            .map_err(Refusal::from)?;
        // The digest is as good as a name of the token: it is not echoed.
        let (tenant_id, user) =
            found.ok_or_else(|| Refusal::not_found("access token", "(its digest is unknown)"))?;
        Ok(Response::new(Caller {
            tenant_id,
            user_id: user.id,
            roles: user.roles,
            service: false,
        }))
    }
}
