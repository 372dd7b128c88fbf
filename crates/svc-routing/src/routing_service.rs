//! `RoutingService`: queues, who waits and why, agents, past offers. Any user of a tenant may
//! look; administrators and supervisors may change.

use std::collections::BTreeSet;

use core_routing::Routing;
use core_types::{AgentId, EngagementId, QueueId, TenantId};
use lib_platform::{Refusal, Role, caller, forward, page};
use lib_proto::routing as pb;
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::routing_service_server::RoutingService;
use lib_proto::timestamp_to_proto;
use tonic::{Request, Response, Status};

use crate::convert::{agent_to_proto, past_offer_to_proto, queue_name};
use crate::hubs::{Hubs, OpenHub, Served};
use crate::order::{Change, Order};
use crate::queue_convert::{queue_from_proto, queue_to_proto};

/// The service.
pub(crate) struct RoutingApi {
    hubs: Hubs,
}

/// The hub of the caller's tenant; if another replica has it, the call goes there instead.
macro_rules! hub_or_forward {
    ($self:ident, $request:ident, $tenant:expr, $method:ident) => {
        match $self.hubs.of($tenant, $request.metadata()).await? {
            Served::Here(hub) => hub,
            Served::There(channel) => {
                let (metadata, _, body) = $request.into_parts();
                let request = forward::request(&metadata, body);
                return RoutingServiceClient::new(channel).$method(request).await;
            }
        }
    };
}

impl RoutingApi {
    pub(crate) fn new(hubs: Hubs) -> Self {
        Self { hubs }
    }
}

async fn set_queue(
    hub: &OpenHub,
    tenant: TenantId,
    queue: Option<pb::Queue>,
    change: Change,
) -> Result<Response<pb::Queue>, Status> {
    let queue = queue_from_proto(queue)?;
    let stored = hub
        .orders
        .ask(|reply| Order::SetQueue {
            tenant,
            queue,
            change,
            reply,
        })
        .await?;
    Ok(Response::new(queue_to_proto(&stored)))
}

/// The tenant of a caller who may look.
fn reader<T>(request: &Request<T>) -> Result<TenantId, Status> {
    Ok(caller(request)?.tenant()?.clone())
}

/// The tenant of a caller who may change queues.
fn manager<T>(request: &Request<T>) -> Result<TenantId, Status> {
    let caller = caller(request)?;
    caller.require(&[Role::Administrator, Role::Supervisor])?;
    Ok(caller.tenant()?.clone())
}

fn queue_id(field: &str, text: &str) -> Result<QueueId, Refusal> {
    QueueId::new(text).map_err(|error| Refusal::invalid(field, error.to_string()))
}

#[tonic::async_trait]
impl RoutingService for RoutingApi {
    async fn create_queue(
        &self,
        request: Request<pb::CreateQueueRequest>,
    ) -> Result<Response<pb::Queue>, Status> {
        let tenant = manager(&request)?;
        let hub = hub_or_forward!(self, request, &tenant, create_queue);
        set_queue(&hub, tenant, request.into_inner().queue, Change::Create).await
    }

    async fn update_queue(
        &self,
        request: Request<pb::UpdateQueueRequest>,
    ) -> Result<Response<pb::Queue>, Status> {
        let tenant = manager(&request)?;
        let hub = hub_or_forward!(self, request, &tenant, update_queue);
        set_queue(&hub, tenant, request.into_inner().queue, Change::Update).await
    }

    async fn get_queue(
        &self,
        request: Request<pb::GetQueueRequest>,
    ) -> Result<Response<pb::Queue>, Status> {
        let tenant = reader(&request)?;
        let hub = hub_or_forward!(self, request, &tenant, get_queue);
        let id = queue_id("id", &request.get_ref().id)?;
        let wanted = id.clone();
        let queue = hub
            .orders
            .look(&tenant, move |routing| {
                routing.queue(&wanted).map(queue_to_proto)
            })
            .await?;
        let queue = queue.ok_or_else(|| Refusal::not_found("queue", id.as_str()))?;
        Ok(Response::new(queue))
    }

    async fn list_queues(
        &self,
        request: Request<pb::ListQueuesRequest>,
    ) -> Result<Response<pb::ListQueuesResponse>, Status> {
        let tenant = reader(&request)?;
        let hub = hub_or_forward!(self, request, &tenant, list_queues);
        let size = page::size(request.get_ref().page_size)?;
        let after = page::after(&request.get_ref().page_token)?;
        let mut queues = hub
            .orders
            .look(&tenant, move |routing| {
                let rest = routing
                    .queues()
                    .filter(|queue| queue.id.as_str() > after.as_str());
                rest.take(size + 1).map(queue_to_proto).collect::<Vec<_>>()
            })
            .await?;
        let next_page_token = page::cut(&mut queues, size, |queue| queue.id.clone());
        Ok(Response::new(pb::ListQueuesResponse {
            queues,
            next_page_token,
        }))
    }

    async fn delete_queue(
        &self,
        request: Request<pb::DeleteQueueRequest>,
    ) -> Result<Response<pb::DeleteQueueResponse>, Status> {
        let tenant = manager(&request)?;
        let hub = hub_or_forward!(self, request, &tenant, delete_queue);
        let id = queue_id("id", &request.get_ref().id)?;
        hub.orders
            .ask(|reply| Order::DeleteQueue { tenant, id, reply })
            .await?;
        Ok(Response::new(pb::DeleteQueueResponse {}))
    }

    async fn get_queue_state(
        &self,
        request: Request<pb::GetQueueStateRequest>,
    ) -> Result<Response<pb::QueueState>, Status> {
        let tenant = reader(&request)?;
        let hub = hub_or_forward!(self, request, &tenant, get_queue_state);
        let id = queue_id("id", &request.get_ref().id)?;
        let wanted = id.clone();
        let state = hub
            .orders
            .look(&tenant, move |routing| queue_state(routing, &wanted))
            .await?;
        let state = state.ok_or_else(|| Refusal::not_found("queue", id.as_str()))?;
        Ok(Response::new(state))
    }

    async fn list_agents(
        &self,
        request: Request<pb::ListAgentsRequest>,
    ) -> Result<Response<pb::ListAgentsResponse>, Status> {
        let tenant = reader(&request)?;
        let hub = hub_or_forward!(self, request, &tenant, list_agents);
        let wanted = match request.get_ref().queue_id.as_str() {
            "" => None,
            text => Some(queue_id("queue_id", text)?),
        };
        let queue = wanted.clone();
        let agents = hub
            .orders
            .look(&tenant, move |routing| agents(routing, queue.as_ref()))
            .await?;
        match (agents, wanted) {
            (None, Some(id)) => Err(Refusal::not_found("queue", id.as_str()).into()),
            (agents, _) => Ok(Response::new(pb::ListAgentsResponse {
                agents: agents.unwrap_or_default(),
            })),
        }
    }

    async fn list_offers(
        &self,
        request: Request<pb::ListOffersRequest>,
    ) -> Result<Response<pb::ListOffersResponse>, Status> {
        let tenant = reader(&request)?;
        let hub = hub_or_forward!(self, request, &tenant, list_offers);
        let pb::ListOffersRequest {
            engagement_id,
            agent_id,
            page_size,
            page_token,
        } = request.into_inner();
        let size = page::size(page_size)?;
        let before = match page::after(&page_token)?.as_str() {
            "" => i64::MAX,
            text => text
                .parse()
                .map_err(|_| Refusal::invalid("page_token", "is not one this service gave out"))?,
        };
        let engagement = optional("engagement_id", &engagement_id, EngagementId::new)?;
        let agent = optional("agent_id", &agent_id, AgentId::new)?;
        let most = i64::try_from(size + 1).unwrap_or(i64::MAX);
        let mut rows = hub
            .store
            .offers(&tenant, engagement.as_ref(), agent.as_ref(), (before, most))
            .await
            .map_err(|error| Refusal::internal(&error))?;
        let next_page_token = page::cut(&mut rows, size, |(number, _)| number.to_string());
        let offers = hub
            .orders
            .look(&tenant, move |routing| {
                let offers = rows
                    .iter()
                    .map(|(_, row)| past_offer_to_proto(row, queue_name(routing, &row.offer)));
                offers.collect()
            })
            .await?;
        Ok(Response::new(pb::ListOffersResponse {
            offers,
            next_page_token,
        }))
    }

    async fn rebuild_routing(
        &self,
        request: Request<pb::RebuildRoutingRequest>,
    ) -> Result<Response<pb::RebuildRoutingResponse>, Status> {
        caller(&request)?.require_service()?;
        let (mut parts, others) = self.hubs.rebuild();
        if !forward::is_forwarded(request.metadata()) {
            for address in others {
                let channel = self.hubs.replica(&address)?;
                let request = forward::request(request.metadata(), *request.get_ref());
                let answer = RoutingServiceClient::new(channel)
                    .rebuild_routing(request)
                    .await?;
                parts += answer.into_inner().parts;
            }
        }
        Ok(Response::new(pb::RebuildRoutingResponse { parts }))
    }
}

fn optional<T, E: std::fmt::Display>(
    field: &str,
    text: &str,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<Option<T>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    match make(text.to_owned()) {
        Ok(id) => Ok(Some(id)),
        Err(error) => Err(Refusal::invalid(field, error.to_string())),
    }
}

/// A queue's state; also of one that does not exist, as long as somebody waits in it.
fn queue_state(routing: &Routing, id: &QueueId) -> Option<pb::QueueState> {
    let waiting: Vec<pb::WaitingEngagement> = routing
        .waiting_in(id)
        .into_iter()
        .map(|engagement| pb::WaitingEngagement {
            engagement_id: engagement.id.to_string(),
            queued_at: Some(timestamp_to_proto(engagement.queued_at)),
            priority: engagement.priority,
            offered_to: engagement
                .offer()
                .map(|offer| offer.agent.to_string())
                .unwrap_or_default(),
            explanation: routing.explain(engagement),
        })
        .collect();
    if waiting.is_empty() && routing.queue(id).is_none() {
        return None;
    }
    let ready = routing.ready_in(id).count();
    Some(pb::QueueState {
        queue_id: id.to_string(),
        waiting,
        ready_agents: u32::try_from(ready).unwrap_or(u32::MAX),
        free_capacity: routing.free_capacity_in(id),
    })
}

/// The agents of a queue, or all: those seen and those a queue names. `None` without that queue.
fn agents(routing: &Routing, queue: Option<&QueueId>) -> Option<Vec<pb::Agent>> {
    let ids: BTreeSet<&AgentId> = match queue {
        Some(id) => routing.queue(id)?.agents.iter().collect(),
        None => routing
            .agents()
            .map(|agent| &agent.id)
            .chain(routing.queues().flat_map(|queue| &queue.agents))
            .collect(),
    };
    let agents = ids.into_iter().map(|id| agent_to_proto(routing, id));
    Some(agents.collect())
}
