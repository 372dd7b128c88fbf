//! `IngressService`: what is parked, and handing it on again.
//!
//! Parked items hold customers' words of every tenant. Services see all; an administrator sees the
//! items of the tenant's own numbers; what could not be read far enough to name a number is for
//! services only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use core_types::TenantId;
use core_whatsapp::webhook;
use lib_platform::{AuthorizedChannel, Caller, Clock, Refusal, Role, caller, page};
use lib_proto::accounts::ResolveNumbersRequest;
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use lib_proto::conversations::ReceivedItem;
use lib_proto::ingress::ingress_service_server::IngressService;
use lib_proto::ingress::{
    GetInboxRequest, GetParkedItemRequest, Inbox as InboxState, ListParkedItemsRequest,
    ListParkedItemsResponse, ParkedItem, ReplayParkedItemRequest, ReplayParkedItemResponse,
};
use lib_proto::timestamp_to_proto;
use tonic::{Request, Response, Status};

use crate::inbox::{Inbox, InboxError, NewParked, Parked, WHOLE_BODY};
use crate::pass::{LogClient, Verdict, together};
use crate::split::{Origin, split};

/// Most items of a replayed body in one call.
const REPLAY_BATCH: usize = 500;

pub(crate) struct Service<I> {
    pub(crate) inbox: I,
    pub(crate) log: LogClient,
    pub(crate) directory: DirectoryServiceClient<AuthorizedChannel>,
    pub(crate) clock: Clock,
    pub(crate) refused_signatures: Arc<AtomicU64>,
}

fn refuse(error: InboxError) -> Status {
    match error {
        InboxError::Redis(error) => {
            tracing::warn!(%error, "the inbox does not answer");
            let told = "the inbox does not answer; try again";
            Refusal::unavailable(told, Duration::from_secs(2)).into()
        }
        error => Refusal::internal(&error).into(),
    }
}

fn missing(id: &str) -> Status {
    Refusal::not_found("parked item", id).into()
}

impl<I: Inbox> Service<I> {
    /// The numbers whose items the caller may see; `None` means all.
    async fn visible(&self, caller: &Caller) -> Result<Option<Vec<String>>, Status> {
        caller.require(&[Role::Administrator])?;
        let Caller::User { tenant, .. } = caller else {
            return Ok(None);
        };
        let counts = self.inbox.parked_by_number().await.map_err(refuse)?;
        let numbers = counts.into_iter().map(|(number, _)| number).collect();
        Ok(Some(self.of_tenant(numbers, tenant).await?))
    }

    /// Those of `numbers` that belong to `tenant`.
    async fn of_tenant(
        &self,
        mut numbers: Vec<String>,
        tenant: &TenantId,
    ) -> Result<Vec<String>, Status> {
        numbers.retain(|number| !number.is_empty());
        if numbers.is_empty() {
            // An empty question would be answered with every number there is.
            return Ok(numbers);
        }
        let request = ResolveNumbersRequest {
            number_ids: numbers,
        };
        let resolved = self.directory.clone().resolve_numbers(request).await;
        let resolved = resolved.map_err(|status| {
            tracing::debug!(code = ?status.code(), "numbers could not be resolved");
            Refusal::unavailable(
                "the accounts service does not answer; try again",
                Duration::from_secs(2),
            )
        })?;
        let own = resolved.into_inner().numbers.into_iter();
        Ok(own
            .filter(|record| record.tenant_id == tenant.as_str())
            .filter_map(|record| record.number.map(|number| number.id))
            .collect())
    }

    /// The item, if there is one and the caller may know of it.
    async fn find(&self, caller: &Caller, id: &str) -> Result<Parked, Status> {
        caller.require(&[Role::Administrator])?;
        let found = self.inbox.find_parked(id).await.map_err(refuse)?;
        let parked = found.ok_or_else(|| missing(id))?;
        if let Caller::User { tenant, .. } = caller {
            let number = vec![parked.item.number_id.clone()];
            if self.of_tenant(number, tenant).await?.is_empty() {
                return Err(missing(id));
            }
        }
        Ok(parked)
    }

    async fn replay(&self, parked: &Parked) -> Result<Result<Vec<NewParked>, String>, Status> {
        let item = &parked.item;
        let origin = Origin {
            delivery: item.delivery,
            admitted_at: item.admitted_at,
            traceparent: item.traceparent.clone(),
            bytes: 0,
        };
        if item.position == WHOLE_BODY {
            return self.replay_body(origin, item).await;
        }
        let Ok(raw) = std::str::from_utf8(&item.payload) else {
            return Ok(Err("the item is not UTF-8 text".to_owned()));
        };
        let fact = match webhook::reread(raw) {
            Ok(fact) => fact,
            Err(problem) => return Ok(Err(problem.to_string())),
        };
        let received = origin.received(fact);
        let verdict = self.receive(&[&received]).await?.pop();
        Ok(match verdict {
            Some(Verdict::Taken | Verdict::Known) => Ok(Vec::new()),
            Some(Verdict::Refused(cause) | Verdict::Again { cause, .. }) => Err(cause),
            Some(Verdict::Untried) | None => Err("the conversation log gave no answer".to_owned()),
        })
    }

    /// Hands on a body that could not be split before, or was parked unread. Items that still
    /// cannot be taken are parked on their own.
    async fn replay_body(
        &self,
        origin: Origin,
        item: &NewParked,
    ) -> Result<Result<Vec<NewParked>, String>, Status> {
        let now = self.clock.now();
        let mut again = split(origin.clone(), &item.payload, 1, now);
        let unread = again
            .parked
            .iter()
            .position(|new| new.position == WHOLE_BODY);
        if let Some(unread) = unread {
            return Ok(Err(again.parked.swap_remove(unread).cause));
        }
        let mut instead = again.parked;
        for batch in again.items.chunks(REPLAY_BATCH) {
            let received: Vec<&ReceivedItem> = batch.iter().map(|item| &item.received).collect();
            let verdicts = self.receive(&received).await?;
            for (item, verdict) in batch.iter().zip(verdicts) {
                let cause = match verdict {
                    Verdict::Taken | Verdict::Known => continue,
                    Verdict::Refused(cause) | Verdict::Again { cause, .. } => cause,
                    Verdict::Untried => "the conversation log gave no answer".to_owned(),
                };
                instead.push(origin.park(item.clone(), cause, now, 1));
            }
        }
        Ok(Ok(instead))
    }

    async fn receive(&self, items: &[&ReceivedItem]) -> Result<Vec<Verdict>, Status> {
        let pass = together(&mut self.log.clone(), items).await;
        match pass.failure {
            None => Ok(pass.verdicts),
            Some(status) => {
                tracing::debug!(code = ?status.code(), "a replay could not be handed on");
                let refusal = Refusal::unavailable(
                    "the conversation log does not take items now; the item stays parked, try again",
                    Duration::from_secs(2),
                );
                Err(refusal.into())
            }
        }
    }
}

#[tonic::async_trait]
impl<I: Inbox> IngressService for Service<I> {
    async fn list_parked_items(
        &self,
        request: Request<ListParkedItemsRequest>,
    ) -> Result<Response<ListParkedItemsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let after = page::after(&request.page_token)?;
        let after = if after.is_empty() {
            0
        } else {
            let bad = || Refusal::invalid("page_token", "is not one this service gave out");
            after.parse().map_err(|_| bad())?
        };
        let numbers = self.visible(&caller).await?;
        let found = self.inbox.parked(numbers.as_deref(), after, size + 1).await;
        let mut rows = found.map_err(refuse)?;
        let next_page_token = page::cut(&mut rows, size, |row| row.sequence.to_string());
        Ok(Response::new(ListParkedItemsResponse {
            items: rows.into_iter().map(to_proto).collect(),
            next_page_token,
        }))
    }

    async fn get_parked_item(
        &self,
        request: Request<GetParkedItemRequest>,
    ) -> Result<Response<ParkedItem>, Status> {
        let caller = caller(&request)?;
        let id = request.into_inner().id;
        let parked = self.find(&caller, &id).await?;
        if parked.replayed {
            return Err(missing(&id));
        }
        Ok(Response::new(to_proto(parked)))
    }

    async fn replay_parked_item(
        &self,
        request: Request<ReplayParkedItemRequest>,
    ) -> Result<Response<ReplayParkedItemResponse>, Status> {
        let caller = caller(&request)?;
        let id = request.into_inner().id;
        let parked = self.find(&caller, &id).await?;
        let taken = |taken: bool, cause: String| {
            Ok(Response::new(ReplayParkedItemResponse { taken, cause }))
        };
        if parked.replayed {
            return taken(true, String::new());
        }
        match self.replay(&parked).await? {
            Ok(instead) => {
                let outcome = self.inbox.replayed(&id, &instead).await;
                outcome.map_err(refuse)?;
                tracing::info!(item = id, by = caller.name(), "a parked item was handed on");
                let cause = match instead.len() {
                    0 => String::new(),
                    more => format!("{more} of its items were parked on their own"),
                };
                taken(true, cause)
            }
            Err(cause) => {
                let outcome = self.inbox.replay_failed(&id, &cause).await;
                outcome.map_err(refuse)?;
                taken(false, cause)
            }
        }
    }

    async fn get_inbox(
        &self,
        request: Request<GetInboxRequest>,
    ) -> Result<Response<InboxState>, Status> {
        let caller = caller(&request)?;
        let visible = self.visible(&caller).await?;
        let oldest = self.inbox.read(0, 1, 1).await.map_err(refuse)?;
        let counts = self.inbox.counts().await.map_err(refuse)?;
        let parked = self.inbox.parked_by_number().await.map_err(refuse)?;
        let parked_items = parked
            .into_iter()
            .filter(|(number, _)| visible.as_ref().is_none_or(|own| own.contains(number)))
            .map(|(_, count)| count)
            .sum();
        let now = self.clock.now();
        let age = oldest
            .first()
            .map_or(Duration::ZERO, |oldest| now.since(oldest.admitted_at));
        Ok(Response::new(InboxState {
            waiting_deliveries: counts.waiting,
            oldest_age_millis: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            admitted_deliveries: counts.admitted,
            refused_signatures: self.refused_signatures.load(Ordering::Relaxed),
            parked_items,
        }))
    }
}

fn to_proto(parked: Parked) -> ParkedItem {
    let item = parked.item;
    ParkedItem {
        id: parked.id,
        delivery_id: item.delivery.to_string(),
        position: item.position,
        cause: item.cause,
        parked_at: Some(timestamp_to_proto(item.parked_at)),
        admitted_at: Some(timestamp_to_proto(item.admitted_at)),
        attempts: item.attempts,
        payload: item.payload.to_vec(),
        number_id: item.number_id,
    }
}
