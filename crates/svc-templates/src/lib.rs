//! Templates: the registry of what Meta has approved, per connector. It is read from Meta page by
//! page, kept current by what the conversation log tells of changes, and checks the parameters of
//! every template before it is queued.

mod changes;
mod directory;
mod follow;
mod graph;
mod metrics;
mod registry;
mod service;
mod store;

use std::time::Duration;

use anyhow::Context as _;
use lib_platform::partition::share;
use lib_platform::{Context, Parts};
use lib_proto::templates::template_service_server::TemplateServiceServer;

use crate::directory::Directory;
use crate::graph::Graph;
use crate::registry::Registry;
use crate::service::Templates;
use crate::store::{MIGRATIONS, STALE};

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
    let database = context
        .database("templates", MIGRATIONS)
        .await
        .context("the template registry cannot start")?;
    let directory = Directory::new(context.channel("accounts")?);
    let registry = Registry::new(
        database.clone(),
        Graph::new(&config)?,
        context.clock.clone(),
    );
    let conversations = context.channel("conversations")?;
    let (heeded, told) = (database.clone(), registry.stale.clone());
    let stopped = context.life.stopped();
    context
        .life
        .spawn("stale connectors elsewhere", async move {
            tokio::select! {
                () = heeded.heed(STALE, |_| told.notify_one()) => {}
                () = stopped => {}
            }
        });
    let (follower, known) = (registry.clone(), directory.clone());
    let followed = context.metrics.followed("templates", 0);
    let fenced = context.metrics.fenced("templates");
    let shares = share(
        follow::WORK,
        database.leases(),
        &context.me,
        &context.life,
        move |held| {
            let follower = (follower.clone(), followed.clone(), fenced.clone());
            follow::run(follower, known.clone(), conversations.clone(), held)
        },
    )
    .await;
    context.metrics.shares(follow::WORK, &shares);
    metrics::watch(&context.metrics, &database);
    let service = Templates::new(registry, directory);
    Ok(Parts::new().grpc(TemplateServiceServer::new(service)))
}
