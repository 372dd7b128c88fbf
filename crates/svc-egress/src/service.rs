//! `EgressService`: what every number is doing, for people who look after it. A number is looked
//! after by the replica that has its part; the others ask that one.

use std::collections::BTreeSet;
use std::sync::Arc;

use core_types::TenantId;
use lib_platform::forward::{self, Replicas};
use lib_platform::partition::{Holder, Shares, part_of};
use lib_platform::{Caller, Refusal, Role, caller};
use lib_proto::egress::egress_service_client::EgressServiceClient;
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
    shares: Shares,
    parts: u16,
    replicas: Replicas,
}

impl Egress {
    /// Shows `numbers` of the parts this replica has in `shares`, of `parts`.
    pub(crate) fn new(numbers: Arc<Numbers>, shares: Shares, parts: u16) -> Self {
        Self {
            numbers,
            shares,
            parts,
            replicas: Replicas::default(),
        }
    }

    /// Where another replica that looks after a number is.
    fn elsewhere(&self, number: &str) -> Option<String> {
        match self.shares.holder(part_of(number, self.parts)) {
            Holder::There(other) => Some(other.address),
            Holder::Here(_) | Holder::Nobody => None,
        }
    }

    /// Every other replica that looks after numbers.
    fn others(&self) -> BTreeSet<String> {
        let holders = (0..self.parts).map(|part| self.shares.holder(part));
        let other = |holder| match holder {
            Holder::There(other) => Some(other.address),
            Holder::Here(_) | Holder::Nobody => None,
        };
        holders.filter_map(other).collect()
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
        let ours = numbers
            .iter()
            .filter(|number| self.elsewhere(&number.id).is_none());
        let mut states: Vec<NumberState> = ours.map(|number| state(number)).collect();
        if !forward::is_forwarded(request.metadata()) {
            for address in self.others() {
                let channel = self.replicas.channel(&address)?;
                let request = forward::request(request.metadata(), *request.get_ref());
                let mut other = EgressServiceClient::new(channel);
                let answer = other.list_number_states(request).await?;
                states.extend(answer.into_inner().states);
            }
            states.sort_by(|a, b| a.number_id.cmp(&b.number_id));
        }
        Ok(Response::new(ListNumberStatesResponse { states }))
    }

    async fn resume_number(
        &self,
        request: Request<ResumeNumberRequest>,
    ) -> Result<Response<NumberState>, Status> {
        let caller = caller(&request)?;
        caller.require(&[])?;
        let forwarded = forward::is_forwarded(request.metadata());
        if let Some(address) = self.elsewhere(&request.get_ref().number_id) {
            if forwarded {
                return Err(forward::moving().into());
            }
            let channel = self.replicas.channel(&address)?;
            let request = forward::request(request.metadata(), request.get_ref().clone());
            return EgressServiceClient::new(channel)
                .resume_number(request)
                .await;
        }
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
