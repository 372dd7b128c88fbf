//! Accounts: which businesses use this installation, who works for them, which WhatsApp accounts
//! and numbers are theirs, and whose an access token is. Other services ask here; none keeps a
//! copy for longer than it must.

mod accounts;
mod check;
mod directory;
mod rows;
mod schema;
mod secrets;
mod store;

use anyhow::Context as _;
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Context, Parts};
use lib_proto::accounts::account_service_server::AccountServiceServer;
use lib_proto::accounts::directory_service_server::DirectoryServiceServer;

use crate::accounts::Accounts;
use crate::directory::Directory;
use crate::schema::MIGRATIONS;

/// Settings of the accounts service. It has none yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {}

/// Opens the database and offers `AccountService` and `DirectoryService`.
///
/// # Errors
/// When the database cannot be opened or brought up to date.
pub async fn start(_config: Config, context: Context) -> anyhow::Result<Parts> {
    let database = context
        .database("accounts", MIGRATIONS)
        .await
        .context("the accounts service cannot start")?;
    let accounts = Accounts::new(database.clone(), context.clock.clone());
    Ok(Parts::new().grpc(AccountServiceServer::new(accounts)).grpc(
        DirectoryServiceServer::new(Directory::new(database))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES),
    ))
}
