//! Flows: drafts, published versions that never change, and the steps of sessions.
//!
//! It keeps flows, not sessions: a session travels with each step and goes back to who asked, so
//! that any replica can take any step. Published versions are compiled once and kept in memory;
//! a step on one that is there touches no database.

mod cache;
mod call;
mod check;
mod convert;
mod credential;
mod flows;
mod runner;
mod store;

use std::sync::Arc;

use anyhow::Context as _;
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Context, Parts};
use lib_proto::flow_runner::flow_runner_service_server::FlowRunnerServiceServer;
use lib_proto::flow_runner::flow_service_server::FlowServiceServer;

use crate::cache::Cache;
use crate::call::Caller;
use crate::credential::Credentials;
use crate::flows::Flows;
use crate::runner::Runner;
use crate::store::{MIGRATIONS, PUBLISHED};

/// Settings of the flow-runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most compiled versions kept in memory; the one used longest ago goes first. At least 1. A
    /// version needs about as much memory as its definition has bytes, a few times over.
    pub compiled_versions: usize,
    /// Hosts on the inside of the network that flows may call all the same. All others are called at
    /// public addresses only.
    pub private_hosts: Vec<String>,
    /// Whether flows may run scripts. A script is held to limits, but it runs in this process and some of
    /// what it may ask of the interpreter takes long without passing a limit: for trusted authors only.
    pub scripts: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            compiled_versions: 1_000,
            private_hosts: Vec::new(),
            scripts: false,
        }
    }
}

/// Opens the database and offers `FlowService` and `FlowRunnerService`.
///
/// # Errors
/// When the database cannot be opened or brought up to date.
pub async fn start(config: Config, context: Context) -> anyhow::Result<Parts> {
    let database = context
        .database("flow-runner", MIGRATIONS)
        .await
        .context("the flow-runner cannot start")?;
    let cache = Arc::new(Cache::new(config.compiled_versions));
    let (heeded, told, stopped) = (database.clone(), Arc::clone(&cache), context.life.stopped());
    context.life.spawn("publications elsewhere", async move {
        let heard = |what: Option<&str>| what.map_or_else(|| told.doubt(), |what| told.told(what));
        tokio::select! {
            () = heeded.heed(PUBLISHED, heard) => {}
            () = stopped => {}
        }
    });
    let credentials = Credentials::new(
        database.clone(),
        context.clock.clone(),
        &config.private_hosts,
    )?;
    let credentials = Arc::new(credentials);
    let caller = Caller::new(&config.private_hosts, Arc::clone(&credentials))?;
    let flows = Flows::new(
        database.clone(),
        Arc::clone(&cache),
        credentials,
        context.clock.clone(),
        config.scripts,
    );
    let runner = Runner::new(database, cache, caller, &context.metrics, config.scripts);
    Ok(Parts::new()
        .grpc(
            FlowServiceServer::new(flows)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .grpc(
            FlowRunnerServiceServer::new(runner)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        ))
}
