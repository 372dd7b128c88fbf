//! A billing service on a port of its own, with a small log and a small directory as its peers.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use core_types::{DeliveryStatus, TenantId, Timestamp};
use futures_util::Stream;
use lib_platform::channel::connect;
use lib_platform::server::{Options, bind};
use lib_platform::{
    Authenticator, AuthorizedChannel, Caller, Clock, Context, IdSource, Lifecycle, Listeners,
    Parts, Peers, Role, serve,
};
use lib_proto::accounts as acc;
use lib_proto::accounts::directory_service_server::{DirectoryService, DirectoryServiceServer};
use lib_proto::billing::GetProgressRequest;
use lib_proto::billing::billing_service_client::BillingServiceClient;
use lib_proto::common as pb;
use lib_proto::conversations as cnv;
use lib_proto::conversations::conversation_service_server::{
    ConversationService, ConversationServiceServer,
};
use lib_proto::timestamp_opt;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// The log: entries at positions 1, 2, …; the position is the cursor.
#[derive(Clone)]
pub(crate) struct Log(Arc<watch::Sender<Vec<cnv::LogEntry>>>);

impl Log {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }

    /// Appends entries and returns the cursor of the last one.
    pub(crate) fn append(&self, entries: impl IntoIterator<Item = cnv::LogEntry>) -> String {
        self.0.send_modify(|log| {
            for mut entry in entries {
                entry.cursor = (log.len() + 1).to_string();
                log.push(entry);
            }
        });
        self.0.borrow().len().to_string()
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<cnv::WatchResponse, Status>> + Send>>;

macro_rules! not_offered {
    ($($method:ident: $request:ident => $answer:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl ConversationService for Log {
            type WatchStream = Answers;

            async fn watch(
                &self,
                request: Request<cnv::WatchRequest>,
            ) -> Result<Response<Answers>, Status> {
                lib_platform::caller(&request)?.require_service()?;
                let from: usize = request.into_inner().cursor.parse().unwrap_or(0);
                let state = (self.0.subscribe(), from);
                let answers = futures_util::stream::unfold(state, |(mut log, from)| async move {
                    // Seven at a time, so that a test's entries come in several answers.
                    let entries: Vec<_> = {
                        let log = log.wait_for(|log| log.len() > from).await.ok()?;
                        log[from..].iter().take(7).cloned().collect()
                    };
                    let next = from + entries.len();
                    let answer = cnv::WatchResponse { entries, head: String::new() };
                    Some((Ok(answer), (log, next)))
                });
                Ok(Response::new(Box::pin(answers)))
            }

            $(async fn $method(
                &self,
                _: Request<cnv::$request>,
            ) -> Result<Response<cnv::$answer>, Status> {
                Err(Status::unimplemented("not part of this test"))
            })*
        }
    };
}

not_offered! {
    get_conversation: GetConversationRequest => Conversation,
    list_conversations: ListConversationsRequest => ListConversationsResponse,
    get_engagement: GetEngagementRequest => Engagement,
    list_engagements: ListEngagementsRequest => ListEngagementsResponse,
    list_messages: ListMessagesRequest => ListMessagesResponse,
    search_messages: SearchMessagesRequest => SearchMessagesResponse,
    send_message: SendMessageRequest => Message,
    start_wrap_up: StartWrapUpRequest => Engagement,
    complete_wrap_up: CompleteWrapUpRequest => Engagement,
    transfer_to_queue: TransferToQueueRequest => Engagement,
}

/// Number, tenant, WABA, currency, zone.
const NUMBERS: [(&str, &str, &str, &str, &str); 3] = [
    ("n-usd", "acme", "waba-usd", "USD", "America/New_York"),
    ("n-eur", "acme", "waba-eur", "EUR", "Europe/Berlin"),
    ("n-other", "other", "waba-other", "USD", "UTC"),
];

struct Directory;

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn resolve_numbers(
        &self,
        request: Request<acc::ResolveNumbersRequest>,
    ) -> Result<Response<acc::ResolveNumbersResponse>, Status> {
        lib_platform::caller(&request)?.require_service()?;
        let asked = request.into_inner().number_ids;
        let record = |(id, tenant, waba, currency, zone): (&str, &str, &str, &str, &str)| {
            acc::NumberRecord {
                number: Some(acc::Number {
                    id: id.into(),
                    ..acc::Number::default()
                }),
                connector: Some(acc::Connector {
                    id: format!("c-{id}"),
                    waba_id: waba.into(),
                    currency_code: currency.into(),
                    time_zone: zone.into(),
                    ..acc::Connector::default()
                }),
                tenant_id: tenant.into(),
                access_token: String::new(),
            }
        };
        let known = NUMBERS
            .into_iter()
            .filter(|row| asked.contains(&row.0.to_owned()));
        Ok(Response::new(acc::ResolveNumbersResponse {
            numbers: known.map(record).collect(),
        }))
    }

    async fn resolve_waba(
        &self,
        _: Request<acc::ResolveWabaRequest>,
    ) -> Result<Response<acc::ResolveWabaResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn resolve_access_token(
        &self,
        _: Request<acc::ResolveAccessTokenRequest>,
    ) -> Result<Response<acc::Caller>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }
}

fn authenticator(clock: &Clock) -> Authenticator {
    let user = |tenant: &str, role| Caller::User {
        tenant: TenantId::new(tenant).expect("a tenant id"),
        user: "u".into(),
        roles: [role].into(),
    };
    let service = Caller::Service {
        name: "billing".into(),
    };
    let callers = [
        ("service", service),
        ("acme", user("acme", Role::Supervisor)),
        ("acme-agent", user("acme", Role::Agent)),
        ("other", user("other", Role::Administrator)),
    ];
    let callers = callers.map(|(token, caller)| (token.to_owned(), caller));
    Authenticator::new(clock.clone(), callers, None)
}

/// Something that serves until it is stopped.
pub(crate) struct Running {
    pub address: String,
    life: Lifecycle,
    server: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(parts: Parts, life: Lifecycle, clock: &Clock) -> Self {
        let grpc = bind("a test", "127.0.0.1:0", "no option")
            .await
            .expect("a port");
        let address = format!("http://{}", grpc.local_addr().expect("an address"));
        let options = Options {
            authenticator: authenticator(clock),
            reflection: None,
        };
        let own = life.clone();
        let listeners = Listeners { grpc, http: None };
        let server = tokio::spawn(async move { serve(parts, listeners, options, &own).await });
        Self {
            address,
            life,
            server,
        }
    }

    /// Stops it and waits until it has ended well.
    pub(crate) async fn stop(self) {
        self.life.stop();
        self.server.await.expect("no panic").expect("a clean end");
    }
}

/// The log and the directory.
pub(crate) async fn peers(clock: &Clock) -> (Log, Running) {
    let log = Log::new();
    let parts = Parts::new()
        .grpc(ConversationServiceServer::new(log.clone()))
        .grpc(DirectoryServiceServer::new(Directory));
    (log, Running::start(parts, Lifecycle::new(), clock).await)
}

/// The real billing service on `folder`.
pub(crate) async fn billing(folder: &Path, peers: &str, clock: &Clock) -> Running {
    let life = Lifecycle::new();
    let context = Context {
        clock: clock.clone(),
        ids: IdSource::counted(),
        life: life.clone(),
        peers: Peers::new([("*".to_owned(), peers.to_owned())], "service").expect("peers"),
        data_dir: folder.to_owned(),
    };
    let parts = svc_billing::start(svc_billing::Config::default(), context).await;
    Running::start(parts.expect("billing starts"), life, clock).await
}

pub(crate) type Client = BillingServiceClient<AuthorizedChannel>;

/// A client with the token of `who`.
pub(crate) fn client(billing: &Running, who: &str) -> Client {
    BillingServiceClient::new(connect(&billing.address, who).expect("an address"))
}

/// Waits until billing has taken in everything up to `cursor`.
pub(crate) async fn caught_up(billing: &Running, cursor: &str) {
    let mut client = client(billing, "service");
    let wait = async {
        loop {
            let progress = client.get_progress(GetProgressRequest {}).await;
            if progress.expect("progress").into_inner().cursor == cursor {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(20);
    tokio::time::timeout(patience, wait)
        .await
        .expect("billing catches up");
}

/// A time such as `2026-10-01T00:00:00Z`.
pub(crate) fn at(text: &str) -> Timestamp {
    let instant: jiff::Timestamp = text.parse().expect("a time");
    Timestamp::from_micros(instant.as_microsecond())
}

/// One status of message `id` to Germany.
pub(crate) fn entry(
    (tenant, number): (&str, &str),
    id: &str,
    status: DeliveryStatus,
    when: &str,
    priced: Option<(&str, &str)>,
) -> cnv::LogEntry {
    let pricing = priced.map(|(kind, category)| pb::PricingFact {
        model: pb::PricingModel::PerMessage.into(),
        kind: kind.into(),
        category: category.into(),
        billable: None,
    });
    let update = pb::StatusUpdate {
        id: format!("wamid.{id}"),
        status: pb::DeliveryStatus::from(status).into(),
        occurred_at: timestamp_opt(Some(at(when))),
        pricing,
        ..pb::StatusUpdate::default()
    };
    let changed = cnv::StatusChanged {
        message_id: format!("cnv-1.{id}"),
        update: Some(update),
        contact: Some(pb::ContactIdentity {
            phone: "4915112345678".into(),
            ..pb::ContactIdentity::default()
        }),
        ..cnv::StatusChanged::default()
    };
    cnv::LogEntry {
        tenant_id: tenant.into(),
        number_id: number.into(),
        recorded_at: timestamp_opt(Some(at(when))),
        event: Some(cnv::log_entry::Event::StatusChanged(changed)),
        ..cnv::LogEntry::default()
    }
}
