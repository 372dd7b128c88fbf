//! `frontdesk` and `frontdesk dev`: run everything, say what to try, stop cleanly.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use lib_platform::telemetry::{self, Telemetry};
use lib_platform::{Clock, IdSource};

use crate::cli::{DevArgs, LogFormat, TelemetryArgs};
use crate::installation::{Installation, Sending, Settings};
use crate::seed;

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// When something cannot start, fails, or does not stop in time.
pub(crate) async fn run(args: DevArgs) -> anyhow::Result<()> {
    let telemetry = start_telemetry(&args.telemetry)?;
    let temporary = if args.ephemeral {
        Some(tempfile::tempdir()?)
    } else {
        None
    };
    let data_dir = temporary
        .as_ref()
        .map_or(args.data_dir.clone(), |dir| dir.path().to_owned());
    let settings = Settings {
        data_dir: data_dir.clone(),
        http: args.http,
        grpc: args.grpc,
        sandbox: args.sandbox,
        admin: args.admin,
        clock: Clock::system(),
        ids: IdSource::random(),
        sending: Sending {
            graph_url: args.graph_url,
            messages_per_second: Some(args.messages_per_second),
            attempt_deadline: args.attempt_seconds.map(Duration::from_secs),
            quiet_window: args.quiet_seconds.map(Duration::from_secs),
        },
    };
    let mut installation = Installation::start(settings).await?;
    println!(
        "{}",
        welcome(
            &installation,
            (!args.ephemeral).then_some(data_dir.as_path())
        )
    );
    let outcome = tokio::select! {
        ended = installation.ended() => ended,
        signal = stop_signal() => {
            signal?;
            println!("\nStopping …");
            installation.stop().await
        }
    };
    if outcome.is_ok() {
        println!("Stopped. Nothing is lost; the next start goes on from here.");
    }
    tokio::task::spawn_blocking(|| telemetry.flush()).await?;
    outcome
}

/// Starts logs and traces as the arguments say.
///
/// # Errors
/// When they make no sense.
pub(crate) fn start_telemetry(args: &TelemetryArgs) -> anyhow::Result<Telemetry> {
    telemetry::start(&telemetry::Settings {
        service: "frontdesk".to_owned(),
        filter: args.log.clone(),
        format: match args.log_format {
            LogFormat::Text => telemetry::LogFormat::Text,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        otlp_endpoint: args.otlp_endpoint.clone(),
    })
}

fn welcome(installation: &Installation, data_dir: Option<&Path>) -> String {
    let data = match data_dir {
        Some(folder) => format!("data in {}", folder.display()),
        None => "nothing is kept".to_owned(),
    };
    let grpc = installation.grpc_url.trim_start_matches("http://");
    let elsewhere = if grpc == "127.0.0.1:50051" {
        String::new()
    } else {
        format!("  export FRONTDESK_SERVER={}\n", installation.grpc_url)
    };
    format!(
        "\
Frontdesk is running ({data}).

  gRPC      {grpc}  (reflection on; token `dev-admin`)
  Webhooks  {http}/webhooks/whatsapp
  Sandbox   {sandbox}  (stands in for Meta)
  Metrics   {admin}/metrics

Demo tenant: number +{phone}, queues Sales and Support, agents ana and ben.
Try, each in a terminal of its own:

{elsewhere}  frontdesk chat              be a customer, write “Hi”
  frontdesk agent --as ana    be an agent, go ready, accept
  frontdesk demo              watch a whole conversation, checked

Ctrl-C stops it.",
        http = installation.http_url,
        sandbox = installation.sandbox_url,
        admin = installation.admin_url,
        phone = seed::PHONE,
    )
}

/// Resolves at Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot watch for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
