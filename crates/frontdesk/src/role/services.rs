//! From settings to each service's own.

use std::time::Duration;

use anyhow::Context as _;
use lib_platform::config::Settings;
use lib_platform::{Context, Parts};
use tokio::net::TcpListener;

use crate::role::Role;

/// Starts the service of `role`. The sandbox serves its HTTP itself and gets `http`.
///
/// # Errors
/// When a store cannot be used, or the service refuses its settings.
pub(super) async fn start(
    role: Role,
    settings: &Settings,
    context: Context,
    http: &mut Option<TcpListener>,
) -> anyhow::Result<Parts> {
    match role {
        Role::Ingress => svc_ingress::start(ingress(settings)?, context).await,
        Role::Conversations => svc_conversations::start(conversations(settings)?, context).await,
        Role::FlowRunner => {
            let config = svc_flow_runner::Config {
                compiled_versions: settings.number_as("flow_runner.compiled_versions")?,
                scripts: settings.flag("flow_runner.scripts"),
                private_hosts: words(settings.text_opt("flow_runner.private_hosts")),
            };
            svc_flow_runner::start(config, context).await
        }
        Role::Routing => {
            let config = svc_routing::Config {
                heartbeat: settings.duration("routing.heartbeat")?,
                grace: settings.duration("routing.grace")?,
                ..Default::default()
            };
            svc_routing::start(config, context).await
        }
        Role::Egress => svc_egress::start(egress(settings)?, context).await,
        Role::Templates => {
            let config = svc_templates::Config {
                graph_url: settings.text("graph.url")?.to_owned(),
                graph_version: settings.text("graph.version")?.to_owned(),
                ..Default::default()
            };
            svc_templates::start(config, context).await
        }
        Role::Billing => svc_billing::start(svc_billing::Config::default(), context).await,
        Role::Accounts => svc_accounts::start(svc_accounts::Config::default(), context).await,
        Role::Sandbox => {
            let limit = settings.number_as("sandbox.messages_per_second")?;
            let config = svc_sandbox::Config {
                verify_token: settings.text("sandbox.verify_token")?.to_owned(),
                messages_per_second: (limit > 0).then_some(limit),
                ..Default::default()
            };
            let listener = http.take().context("the sandbox has no HTTP listener")?;
            svc_sandbox::start(config, context, listener).await
        }
    }
}

fn ingress(settings: &Settings) -> anyhow::Result<svc_ingress::Config> {
    Ok(svc_ingress::Config {
        app_secrets: settings.list("ingress.app_secrets").to_vec(),
        verify_token: settings.text("ingress.verify_token")?.to_owned(),
        max_waiting_deliveries: settings.number("ingress.max_waiting_deliveries")?,
        max_waiting_bytes: settings.number("ingress.max_waiting_bytes")?,
        body_timeout: settings.duration("ingress.body_timeout")?,
        ..Default::default()
    })
}

fn conversations(settings: &Settings) -> anyhow::Result<svc_conversations::Config> {
    Ok(svc_conversations::Config {
        fallback_queue: settings.text("conversations.fallback_queue")?.to_owned(),
        attempt_deadline: seconds(settings, "conversations.attempt_seconds")?,
        quiet_window: seconds(settings, "conversations.quiet_seconds")?,
        cached_conversations: settings.number_as("conversations.cached")?,
    })
}

fn egress(settings: &Settings) -> anyhow::Result<svc_egress::Config> {
    Ok(svc_egress::Config {
        graph_url: settings.text("graph.url")?.to_owned(),
        graph_version: settings.text("graph.version")?.to_owned(),
        http_timeout: settings.duration("egress.http_timeout")?,
        attempt_lease: seconds(settings, "conversations.attempt_seconds")?,
        messages_per_second: settings.number_as("egress.messages_per_second")?,
        max_in_flight: settings.number_as("egress.max_in_flight")?,
        max_in_hand: settings.number_as("egress.max_in_hand")?,
    })
}

fn seconds(settings: &Settings, key: &str) -> anyhow::Result<Duration> {
    Ok(Duration::from_secs(settings.number(key)?))
}

/// What stands between commas.
fn words(text: Option<&str>) -> Vec<String> {
    let words = text.into_iter().flat_map(|text| text.split(','));
    words.map(|word| word.trim().to_owned()).collect()
}
