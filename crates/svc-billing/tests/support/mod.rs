//! A billing service on a port of its own, with a small log and a small directory as its peers.

use core_types::DeliveryStatus;
use lib_platform::{AuthorizedChannel, Clock, Parts, Role};
use lib_proto::accounts as acc;
use lib_proto::accounts::directory_service_server::DirectoryServiceServer;
use lib_proto::billing::GetProgressRequest;
use lib_proto::billing::billing_service_client::BillingServiceClient;
use lib_proto::common as pb;
use lib_proto::conversations as cnv;
use lib_proto::conversations::conversation_service_server::ConversationServiceServer;
use lib_proto::timestamp_opt;
use lib_testkit::{Directory, Host, Log, Place, SERVICE, at, eventually, number, user};

/// Number, tenant, WABA, currency, zone.
const NUMBERS: [(&str, &str, &str, &str, &str); 3] = [
    ("n-usd", "acme", "waba-usd", "USD", "America/New_York"),
    ("n-eur", "acme", "waba-eur", "EUR", "Europe/Berlin"),
    ("n-other", "other", "waba-other", "USD", "UTC"),
];

/// The log and the directory.
pub(crate) async fn peers(clock: &Clock) -> (Log, Host) {
    let log = Log::default();
    let directory = Directory::of(NUMBERS.map(|(id, tenant, waba, currency, zone)| {
        let connector = acc::Connector {
            id: format!("c-{id}"),
            waba_id: waba.into(),
            currency_code: currency.into(),
            time_zone: zone.into(),
            ..acc::Connector::default()
        };
        acc::NumberRecord {
            connector: Some(connector),
            ..number(tenant, id)
        }
    }));
    let parts = Parts::new()
        .grpc(ConversationServiceServer::new(log.clone()))
        .grpc(DirectoryServiceServer::new(directory));
    (log, Host::peer(parts, clock).await)
}

/// The real billing service.
pub(crate) async fn billing(place: &Place, peers: &str, clock: &Clock) -> Host {
    replica("frontdesk", place, peers, clock).await
}

/// A replica of it.
pub(crate) async fn replica(name: &str, place: &Place, peers: &str, clock: &Clock) -> Host {
    let context = place.replica(name, clock, peers);
    let parts = svc_billing::start(svc_billing::Config::default(), context.clone()).await;
    let users = [
        ("acme", user("acme", "u", Role::Supervisor)),
        ("acme-agent", user("acme", "u", Role::Agent)),
        ("other", user("other", "u", Role::Administrator)),
    ];
    Host::start(parts.expect("billing starts"), &context, &users).await
}

pub(crate) type Client = BillingServiceClient<AuthorizedChannel>;

/// A client with the token of `who`.
pub(crate) fn client(billing: &Host, who: &str) -> Client {
    BillingServiceClient::new(billing.channel(who))
}

/// Waits until billing has taken in everything up to `cursor`.
pub(crate) async fn caught_up(billing: &Host, cursor: &str) {
    let mut client = client(billing, SERVICE);
    eventually(async || {
        let progress = client.get_progress(GetProgressRequest {}).await;
        (progress.expect("progress").into_inner().cursor == cursor).then_some(())
    })
    .await;
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
