//! `EgressService`: what every number is doing, for people who look after it.

use std::sync::Arc;

use core_types::TenantId;
use lib_platform::{Caller, Refusal, Role, caller};
use lib_proto::egress::egress_service_server::EgressService;
use lib_proto::egress::{
    ListNumberStatesRequest, ListNumberStatesResponse, NumberState, ResumeNumberRequest,
};
use lib_proto::timestamp_opt;
use tonic::{Request, Response, Status};

use crate::number::{Number, Numbers};

/// The service.
pub(crate) struct Egress {
    numbers: Arc<Numbers>,
}

impl Egress {
    /// Shows `numbers`.
    pub(crate) fn new(numbers: Arc<Numbers>) -> Self {
        Self { numbers }
    }
}

/// The tenant whose numbers a caller may see; services see all.
fn visible(caller: &Caller) -> Result<Option<&TenantId>, Refusal> {
    match caller {
        Caller::Service { .. } => Ok(None),
        Caller::User { .. } => caller.tenant().map(Some),
    }
}

#[tonic::async_trait]
impl EgressService for Egress {
    async fn list_number_states(
        &self,
        request: Request<ListNumberStatesRequest>,
    ) -> Result<Response<ListNumberStatesResponse>, Status> {
        let caller = caller(&request)?;
        caller.require(&[Role::Supervisor])?;
        let numbers = self.numbers.list(visible(&caller)?);
        Ok(Response::new(ListNumberStatesResponse {
            states: numbers.iter().map(|number| state(number)).collect(),
        }))
    }

    async fn resume_number(
        &self,
        request: Request<ResumeNumberRequest>,
    ) -> Result<Response<NumberState>, Status> {
        let caller = caller(&request)?;
        caller.require(&[])?;
        let id = request.into_inner().number_id;
        let number = self
            .numbers
            .find(&id, visible(&caller)?)
            .ok_or_else(|| Refusal::not_found("number that has sent since the start", &id))?;
        number.resume();
        Ok(Response::new(state(&number)))
    }
}

fn state(number: &Number) -> NumberState {
    let snapshot = number.snapshot();
    NumberState {
        number_id: number.id.clone(),
        stopped: snapshot.stopped.is_some(),
        cause: snapshot.stopped.unwrap_or_default(),
        accepted: snapshot.counts.accepted,
        rejected: snapshot.counts.rejected,
        ambiguous: snapshot.counts.ambiguous,
        waiting: snapshot.counts.waiting,
        paused_until: timestamp_opt(snapshot.paused_until),
    }
}
