//! `SandboxService`: for administrators and for services.

use core_types::ContactIdentity;
use jiff::tz::TimeZone;
use lib_platform::{Refusal, Role, caller};
use lib_proto::sandbox::sandbox_service_server::SandboxService;
use lib_proto::sandbox::{
    AdvanceClockRequest, ClockState, CreateAccountRequest, CreateAccountResponse,
    CreateTemplateRequest, CreateTemplateResponse, DeliverRawRequest, DeliverRawResponse, Delivery,
    GetClockRequest, GraphSend, ListDeliveriesRequest, ListDeliveriesResponse,
    ListGraphSendsRequest, ListGraphSendsResponse, SetFaultsRequest, SetFaultsResponse,
};
use lib_proto::timestamp_opt;
use serde_json::Value;
use tonic::{Request, Response, Status};

use super::faults;
use crate::deliverer::Deliverer;
use crate::graph::{Graph, clock_not_virtual, list_limit};
use crate::state::{self, Account, TemplateStatus};
use crate::store::DeliveryRow;
use crate::world::{NewAccount, NewTemplate};

pub(super) struct Sandbox {
    pub(super) graph: Graph,
    pub(super) deliverer: Deliverer,
}

fn allowed<T>(request: &Request<T>) -> Result<(), Status> {
    Ok(caller(request)?.require(&[Role::Administrator])?)
}

fn storage(error: &lib_storage::StorageError) -> Status {
    Refusal::internal(error).into()
}

#[tonic::async_trait]
impl SandboxService for Sandbox {
    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Result<Response<CreateAccountResponse>, Status> {
        allowed(&request)?;
        let new = new_account(request.into_inner())?;
        let account = new.account.clone();
        let unverified = self
            .graph
            .engine
            .with(move |world| world.create_account(new))
            .await??;
        if unverified {
            self.deliverer.verify(account);
        }
        Ok(Response::new(CreateAccountResponse {}))
    }

    async fn create_template(
        &self,
        request: Request<CreateTemplateRequest>,
    ) -> Result<Response<CreateTemplateResponse>, Status> {
        allowed(&request)?;
        let request = request.into_inner();
        let definition: Value = serde_json::from_str(&request.definition)
            .map_err(|error| Refusal::invalid("definition", format!("is not JSON: {error}")))?;
        let review = match request.review.as_str() {
            "" => None,
            word => Some(TemplateStatus::from_word(word).ok_or_else(|| {
                let words = TemplateStatus::ALL.map(TemplateStatus::word).join(", ");
                Refusal::invalid("review", format!("must be empty or one of {words}"))
            })?),
        };
        let new = NewTemplate {
            account: request.waba_id,
            definition,
            review,
            review_follows: false,
        };
        let created = self.graph.engine.with(move |world| -> Result<_, Refusal> {
            if world.account(&new.account).is_none() {
                return Err(Refusal::not_found("account", &new.account));
            }
            let name = new.definition["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            world
                .create_template(new)
                .map_err(|error| match error.subcode {
                    Some(2_388_023 | 2_388_024) => Refusal::already_exists("template", &name),
                    _ => Refusal::invalid("definition", error.sentence()),
                })
        });
        Ok(Response::new(CreateTemplateResponse {
            template_id: created.await??.id,
        }))
    }

    async fn set_faults(
        &self,
        request: Request<SetFaultsRequest>,
    ) -> Result<Response<SetFaultsResponse>, Status> {
        allowed(&request)?;
        let mode = self.graph.engine.with(|world| world.mode().clone()).await?;
        let (rules, pace, mode) = faults::from_proto(request.into_inner(), &mode)?;
        self.graph
            .engine
            .with(move |world| world.set_faults(rules, pace, mode))
            .await?;
        Ok(Response::new(SetFaultsResponse {}))
    }

    async fn advance_clock(
        &self,
        request: Request<AdvanceClockRequest>,
    ) -> Result<Response<ClockState>, Status> {
        allowed(&request)?;
        if !self.graph.clock.is_virtual() {
            return Err(clock_not_virtual().into());
        }
        let by = faults::span("by", request.into_inner().by)?;
        self.graph.clock.advance(by.unwrap_or_default());
        // What has become due is done when this returns.
        self.graph.engine.with(|_| ()).await?;
        Ok(Response::new(self.clock()))
    }

    async fn get_clock(
        &self,
        request: Request<GetClockRequest>,
    ) -> Result<Response<ClockState>, Status> {
        caller(&request)?;
        Ok(Response::new(self.clock()))
    }

    async fn list_graph_sends(
        &self,
        request: Request<ListGraphSendsRequest>,
    ) -> Result<Response<ListGraphSendsResponse>, Status> {
        allowed(&request)?;
        let ListGraphSendsRequest { offset, limit } = request.into_inner();
        let page = self.graph.store.sends(offset, list_limit(limit)).await;
        let (sends, total) = page.map_err(|error| storage(&error))?;
        let sends = sends.into_iter().map(send).collect();
        Ok(Response::new(ListGraphSendsResponse { sends, total }))
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        allowed(&request)?;
        let ListDeliveriesRequest { offset, limit } = request.into_inner();
        let page = self.graph.store.deliveries(offset, list_limit(limit)).await;
        let (deliveries, total) = page.map_err(|error| storage(&error))?;
        let deliveries = deliveries.into_iter().map(delivery).collect();
        Ok(Response::new(ListDeliveriesResponse { deliveries, total }))
    }

    async fn deliver_raw(
        &self,
        request: Request<DeliverRawRequest>,
    ) -> Result<Response<DeliverRawResponse>, Status> {
        allowed(&request)?;
        let body = request.into_inner().body;
        let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
        let named = parsed["entry"][0]["id"].as_str().map(ToOwned::to_owned);
        let to = self
            .graph
            .engine
            .with(move |world| world.raw_post(named.as_deref()))
            .await?;
        let to = to.ok_or_else(|| {
            Refusal::precondition("NO_ACCOUNT", "the sandbox has no account; create one first")
        })?;
        let status = u32::from(self.deliverer.send_raw(&to, body).await);
        Ok(Response::new(DeliverRawResponse { status }))
    }
}

impl Sandbox {
    fn clock(&self) -> ClockState {
        ClockState {
            now: timestamp_opt(Some(self.graph.clock.now())),
            r#virtual: self.graph.clock.is_virtual(),
        }
    }
}

fn new_account(request: CreateAccountRequest) -> Result<NewAccount, Refusal> {
    for (field, value) in [
        ("waba_id", &request.waba_id),
        ("number_id", &request.number_id),
        ("access_token", &request.access_token),
        ("app_secret", &request.app_secret),
    ] {
        if value.is_empty() {
            return Err(Refusal::invalid(field, "must be set"));
        }
    }
    if !request.callback_url.starts_with("http://") && !request.callback_url.starts_with("https://")
    {
        return Err(Refusal::invalid(
            "callback_url",
            "must start with http:// or https://",
        ));
    }
    let phone = ContactIdentity::from_phone(&request.phone)
        .map_err(|error| Refusal::invalid("phone", error.to_string()))?;
    let or = |text: String, other: &str| {
        if text.is_empty() {
            other.to_owned()
        } else {
            text
        }
    };
    let time_zone = or(request.time_zone, "UTC");
    TimeZone::get(&time_zone).map_err(|_| {
        let problem = format!("`{time_zone}` is not a time zone such as America/New_York");
        Refusal::invalid("time_zone", problem)
    })?;
    Ok(NewAccount {
        account: Account {
            id: request.waba_id,
            callback_url: request.callback_url,
            app_secret: request.app_secret,
            access_token: request.access_token,
            currency: or(request.currency_code, "USD"),
            time_zone,
            subscribed: true,
            verified: false,
        },
        number: request.number_id,
        phone: phone.phone.unwrap_or_default(),
        verified_name: request.verified_name,
    })
}

fn send(send: state::GraphSend) -> GraphSend {
    GraphSend {
        at: timestamp_opt(Some(send.at)),
        number_id: send.number,
        callback_data: send.callback_data,
        body: send.body,
        answered_status: u32::from(send.answered_status),
        whatsapp_message_id: send.message,
        answer_lost: send.answer_lost,
        traceparent: send.traceparent,
        to: send.to,
    }
}

fn delivery(row: DeliveryRow) -> Delivery {
    Delivery {
        id: row.sequence.to_string(),
        created_at: timestamp_opt(Some(row.created_at)),
        attempts: row.attempts,
        last_status: row.last_status,
        done: row.done,
        body: row.body,
    }
}
