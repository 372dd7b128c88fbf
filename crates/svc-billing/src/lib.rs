//! Billing: follows the conversation log, rates each delivered message once under the rules and
//! the card of its moment, and keeps the journals. It owns `billing.db` and asks nobody but the
//! log and the accounts service; the rules themselves are in `core-billing`.

mod entry;
mod follower;
mod metrics;
mod payers;
mod read;
mod schema;
mod service;
mod store;

use std::sync::Arc;

use anyhow::Context as _;
use core_billing::PriceBook;
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Context, Parts};
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use lib_proto::billing::billing_service_server::BillingServiceServer;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use tokio::sync::watch;

use crate::follower::Follower;
use crate::payers::Payers;
use crate::service::Billing;
use crate::store::Store;

/// Settings of the billing service. It has none yet: prices and rules are data in `core-billing`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {}

/// Opens the ledger, starts to follow the log and offers `BillingService`.
///
/// # Errors
/// When the price book or the database cannot be used, or a peer has no address.
pub async fn start(_config: Config, context: Context) -> anyhow::Result<Parts> {
    let book = Arc::new(PriceBook::builtin().context("the price book cannot be read")?);
    let store = Store::open(&context.database_file("billing"))
        .await
        .context("the billing service cannot start")?;
    let directory = DirectoryServiceClient::new(context.channel("accounts")?)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let log = ConversationServiceClient::new(context.channel("conversations")?)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let payers = Payers::new(directory);
    let progress = Arc::new(watch::Sender::new(store.cursor().await?));
    let follower = Follower {
        log,
        payers: payers.clone(),
        store: store.clone(),
        book: book.clone(),
        clock: context.clock.clone(),
        life: context.life.clone(),
        progress: progress.clone(),
        instruments: metrics::Instruments::new(&context.metrics),
    };
    context
        .life
        .spawn_critical("billing follows the log", follower.run());
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
