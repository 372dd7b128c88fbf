//! Billing: follows the conversation log, rates each delivered message once under the rules and
//! the card of its moment, and keeps the journals. It owns its ledger and asks nobody but the log
//! and the accounts service; the rules themselves are in `core-billing`.

mod entry;
mod follower;
mod metrics;
mod payers;
mod progress;
mod read;
mod schema;
mod service;
mod store;

use std::sync::Arc;

use anyhow::Context as _;
use core_billing::PriceBook;
use lib_platform::partition::{Work, share};
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Context, Parts};
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use lib_proto::billing::billing_service_server::BillingServiceServer;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;

use crate::follower::Follower;
use crate::payers::Payers;
use crate::progress::Progress;
use crate::schema::MIGRATIONS;
use crate::service::Billing;
use crate::store::Store;

/// Parts of the log on servers, by tenant. Never changed for an installation that holds data.
const PARTS: u16 = 8;

/// Settings of the billing service. It has none yet: prices and rules are data in `core-billing`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {}

/// Opens the ledger, starts to follow the log and offers `BillingService`.
///
/// # Errors
/// When the price book or the database cannot be used, or a peer has no address.
pub async fn start(_config: Config, context: Context) -> anyhow::Result<Parts> {
    let book = Arc::new(PriceBook::builtin().context("the price book cannot be read")?);
    let database = context
        .database("billing", MIGRATIONS)
        .await
        .context("the billing service cannot start")?;
    let (leases, embedded) = (database.leases(), context.storage.servers().is_none());
    let work = Work {
        name: "ledger",
        parts: if embedded { 1 } else { PARTS },
    };
    let store = Store { database, work };
    let prepared = store.prepare().await;
    prepared.context("the billing service cannot start")?;
    let directory = DirectoryServiceClient::new(context.channel("accounts")?)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let log = ConversationServiceClient::new(context.channel("conversations")?)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let payers = Payers::new(directory);
    let progress = Progress::new(store.clone());
    let follower = Follower {
        log,
        payers: payers.clone(),
        store: store.clone(),
        book: book.clone(),
        clock: context.clock.clone(),
        progress: progress.clone(),
        metrics: context.metrics.clone(),
    };
    let shares = share(work, leases, &context.me, &context.life, move |held| {
        follower.clone().run(held)
    });
    context.metrics.shares(work, &shares.await);
    let billing = Billing {
        payers,
        store,
        book,
        clock: context.clock.clone(),
        progress,
    };
    Ok(Parts::new()
        .grpc(BillingServiceServer::new(billing).max_encoding_message_size(MAX_MESSAGE_BYTES)))
}
