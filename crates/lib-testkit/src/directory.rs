//! A directory of the numbers a test says there are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lib_proto::accounts::directory_service_server::DirectoryService;
use lib_proto::accounts::{
    Caller, Number, NumberRecord, ResolveAccessTokenRequest, ResolveNumbersRequest,
    ResolveNumbersResponse, ResolveWabaRequest, ResolveWabaResponse,
};
use tonic::{Request, Response, Status};

/// The directory. Clones share the numbers.
#[derive(Clone, Debug)]
pub struct Directory(Arc<Mutex<Vec<NumberRecord>>>);

/// A number with nothing but an id, of a tenant.
pub fn number(tenant: &str, id: &str) -> NumberRecord {
    NumberRecord {
        number: Some(Number {
            id: id.to_owned(),
            ..Number::default()
        }),
        tenant_id: tenant.to_owned(),
        ..NumberRecord::default()
    }
}

impl Directory {
    /// Knows these.
    pub fn of(numbers: impl IntoIterator<Item = NumberRecord>) -> Self {
        Self(Arc::new(Mutex::new(numbers.into_iter().collect())))
    }

    /// Knows these instead from now on.
    pub fn set(&self, numbers: impl IntoIterator<Item = NumberRecord>) {
        *self.numbers() = numbers.into_iter().collect();
    }

    fn numbers(&self) -> MutexGuard<'_, Vec<NumberRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn resolve_numbers(
        &self,
        request: Request<ResolveNumbersRequest>,
    ) -> Result<Response<ResolveNumbersResponse>, Status> {
        lib_platform::caller(&request)?.require_service()?;
        let asked = request.into_inner().number_ids;
        let mut numbers = self.numbers().clone();
        numbers.retain(|record| {
            let id = record.number.as_ref().map(|number| &number.id);
            asked.is_empty() || id.is_some_and(|id| asked.contains(id))
        });
        Ok(Response::new(ResolveNumbersResponse { numbers }))
    }

    async fn resolve_waba(
        &self,
        request: Request<ResolveWabaRequest>,
    ) -> Result<Response<ResolveWabaResponse>, Status> {
        lib_platform::caller(&request)?.require_service()?;
        let asked = request.into_inner().waba_id;
        let numbers = self.numbers();
        let found = numbers.iter().find(|record| {
            let connector = record.connector.as_ref();
            connector.is_some_and(|connector| connector.waba_id == asked)
        });
        let found = found.ok_or_else(|| Status::not_found("there is no such account"))?;
        Ok(Response::new(ResolveWabaResponse {
            tenant_id: found.tenant_id.clone(),
            connector: found.connector.clone(),
            access_token: found.access_token.clone(),
        }))
    }

    async fn resolve_access_token(
        &self,
        _: Request<ResolveAccessTokenRequest>,
    ) -> Result<Response<Caller>, Status> {
        Err(Status::not_found("there is no such token"))
    }
}
