//! Templates: the registry of what Meta has approved, per connector. It is read from Meta page by
//! page, kept current by what the conversation log tells of changes, and checks the parameters of
//! every template before it is queued.

mod changes;
mod directory;
mod follow;
mod graph;
mod registry;
mod service;
mod store;

use std::time::Duration;

use anyhow::Context as _;
use lib_platform::{Context, Parts};
use lib_proto::templates::template_service_server::TemplateServiceServer;

use crate::directory::Directory;
use crate::graph::Graph;
use crate::registry::Registry;
use crate::service::Templates;
use crate::store::Store;

/// Settings of the template registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the Graph API is, without version: `https://graph.facebook.com`, or the sandbox.
    pub graph_url: String,
    /// Version of the Graph API, such as `v24.0`.
    pub graph_version: String,
    /// Templates read per request, 1 to 1,000.
    pub page_size: u32,
    /// How long Graph may take for one page.
    pub http_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            graph_url: "https://graph.facebook.com".to_owned(),
            graph_version: "v24.0".to_owned(),
            page_size: 200,
            http_timeout: Duration::from_secs(30),
        }
    }
}

/// Opens the registry, starts following the log, and offers `TemplateService`.
///
/// # Errors
/// When the database cannot be opened or TLS cannot be set up.
pub async fn start(config: Config, context: Context) -> anyhow::Result<Parts> {
    let store = Store::open(&context.database_file("templates"))
        .await
        .context("the template registry cannot start")?;
    let directory = Directory::new(context.channel("accounts")?);
    let registry = Registry::new(store, Graph::new(&config)?, context.clock.clone());
    let conversations = context.channel("conversations")?;
    let (follower, life) = (registry.clone(), context.life.clone());
    let known = directory.clone();
    context
        .life
        .spawn_critical("templates follow the log", async move {
            follow::changes(follower, known, conversations, life).await
        });
    let (refresher, life) = (registry.clone(), context.life.clone());
    let known = directory.clone();
    context
        .life
        .spawn_critical("templates refresh", async move {
            follow::refresh_stale(refresher, known, life).await
        });
    let service = Templates::new(registry, directory);
    Ok(Parts::new().grpc(TemplateServiceServer::new(service)))
}
