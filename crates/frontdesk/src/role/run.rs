//! A role as a process: settings, addresses, a patient start, service, a clean end.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use lib_platform::config::{Outcome, Settings};
use lib_platform::server::{Admin, Listeners, Options, serve_admin};
use lib_platform::telemetry::{self, LogFormat, Telemetry};
use lib_platform::{Context, Lifecycle, Metrics, Parts, Readiness};
use lib_storage::StorageError;
use lib_storage::redis::RedisError;
use rand::Rng as _;
use tokio::net::TcpListener;

use crate::config;
use crate::dev::stop_signal;
use crate::exit::Exit;
use crate::role::sockets::{Sockets, Taken};
use crate::role::{Role, context, services};

/// First wait before a start is tried again.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long what a failed attempt has begun may take to end.
const UNDO: Duration = Duration::from_secs(10);
/// The component of readiness that stands for the service itself.
const SERVICE: &str = "service";

/// Runs `role` until SIGTERM or Ctrl-C.
///
/// # Errors
/// When a setting is wrong, an address is taken, a store is of a newer version, or the service
/// failed. Nothing is left half-started.
pub(crate) async fn run(role: Role, file: Option<PathBuf>) -> anyhow::Result<()> {
    let outcome = config::read(Some(role.name()), file);
    if !outcome.problems.is_empty() {
        return Err(config::refusal(role.name(), &outcome.problems));
    }
    let telemetry = start_telemetry(role, &outcome.settings)?;
    tell(role, &outcome);
    let ended = process(role, &outcome.settings).await;
    if let Err(error) = &ended {
        tracing::error!(role = role.name(), "stopped: {error:#}");
    } else {
        tracing::info!(role = role.name(), "stopped");
    }
    tokio::task::spawn_blocking(|| telemetry.flush()).await?;
    ended
}

fn start_telemetry(role: Role, settings: &Settings) -> anyhow::Result<Telemetry> {
    telemetry::start(&telemetry::Settings {
        service: role.name().to_owned(),
        filter: settings.text("telemetry.log")?.to_owned(),
        format: match settings.text("telemetry.format")? {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        },
        otlp_endpoint: settings
            .text_opt("telemetry.otlp_endpoint")
            .map(str::to_owned),
    })
}

/// Says in the log what holds.
fn tell(role: Role, outcome: &Outcome) {
    tracing::info!(
        role = role.name(),
        version = env!("CARGO_PKG_VERSION"),
        settings = outcome.settings.line(),
        "starting"
    );
    if !outcome.overridden.is_empty() {
        let keys = outcome.overridden.join(", ");
        tracing::info!(keys, "the environment overrides the settings file");
    }
    for warning in &outcome.warnings {
        tracing::warn!(
            code = warning.code,
            "{}",
            warning.to_string().replace("\n    ", " — ")
        );
    }
}

async fn process(role: Role, settings: &Settings) -> anyhow::Result<()> {
    let mut stop = pin!(stop_signal());
    let (admin, grpc, http) = Sockets::take(role, settings).await?.split();
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    readiness.set(SERVICE, Err("starting"));
    // Operators are answered from before the start until after the end.
    let admin_life = Lifecycle::new();
    admin_life.spawn("hang-up", answer_hang_ups(admin_life.stopped()));
    serve_admin(admin, &admin_life, &metrics, &readiness);
    let ended = async {
        let started = tokio::select! {
            started = start(role, settings, (&metrics, &readiness), (grpc, http)) => started?,
            signal = &mut stop => return signal,
        };
        serve(role, settings, started, &mut stop).await
    }
    .await;
    admin_life.stop();
    admin_life.drained(Duration::from_secs(1)).await;
    ended
}

/// A service that stands.
struct Started {
    parts: Parts,
    context: Context,
    grpc: TcpListener,
    http: Option<TcpListener>,
}

/// Starts the service, patiently: until its stores can be used, and again when they went away
/// meanwhile. Says in readiness what it waits for.
async fn start(
    role: Role,
    settings: &Settings,
    (metrics, readiness): (&Metrics, &Readiness),
    (grpc, mut http): (Taken, Option<Taken>),
) -> anyhow::Result<Started> {
    let mut wait = FIRST_WAIT;
    loop {
        let life = Lifecycle::with_patience(settings.duration("shutdown.drain")?);
        let context = context::context(role, settings, life.clone(), (metrics, readiness))?;
        // The sandbox serves its HTTP itself.
        let mut own = match role {
            Role::Sandbox => http.take().map(Taken::listen).transpose()?,
            _ => None,
        };
        match services::start(role, settings, context.clone(), &mut own).await {
            Ok(parts) => {
                let grpc = grpc.listen()?;
                let http = http.take().map(Taken::listen).transpose()?;
                return Ok(Started {
                    parts,
                    context,
                    grpc,
                    http,
                });
            }
            Err(error) => {
                // Nothing of a start that failed goes on.
                life.stop();
                life.drained(UNDO).await;
                let problem = format!("{error:#}");
                if role == Role::Sandbox || needs_a_person(&error) {
                    return Err(Exit::unavailable(format!(
                        "{} cannot start: {problem}",
                        role.name()
                    )));
                }
                readiness.set(SERVICE, Err(&problem));
            }
        }
        // Replicas that lost the same server do not come back in step.
        let spread = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(wait.mul_f64(spread)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether trying again by itself cannot help.
fn needs_a_person(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    let of_store = causes.find_map(|cause| {
        let postgres = cause.downcast_ref::<StorageError>();
        let redis = cause.downcast_ref::<RedisError>();
        let redis = redis.map(RedisError::needs_a_person);
        postgres.map(StorageError::needs_a_person).or(redis)
    });
    // What is no matter of a store is a setting the service refuses.
    of_store.unwrap_or(true)
}

/// Serves until the stop, then drains.
async fn serve(
    role: Role,
    settings: &Settings,
    started: Started,
    stop: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let Started {
        parts,
        context,
        grpc,
        http,
    } = started;
    let (life, readiness) = (context.life.clone(), context.readiness.clone());
    let options = Options {
        authenticator: context::authenticator(&context, settings)?,
        reflection: settings
            .flag("grpc.reflection")
            .then_some(lib_proto::FILE_DESCRIPTOR_SET),
        metrics: context.metrics.clone(),
        readiness: readiness.clone(),
    };
    let listeners = Listeners {
        grpc,
        http,
        admin: Admin::Elsewhere,
    };
    readiness.set(SERVICE, Ok(()));
    tracing::info!(
        role = role.name(),
        instance = context.me.name,
        advertise = context.me.address,
        "serving"
    );
    let mut server = pin!(lib_platform::serve(parts, listeners, options, &life));
    let signal = tokio::select! {
        ended = &mut server => return ended,
        signal = stop => signal,
    };
    readiness.set(SERVICE, Err("stopping"));
    tracing::info!(role = role.name(), "stopping");
    life.stop();
    server.await?;
    signal
}

/// SIGHUP asks other programs to read their settings again, and ends those that do not expect it.
async fn answer_hang_ups(stopped: impl Future<Output = ()>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else {
        return;
    };
    let mut stopped = pin!(stopped);
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                tracing::warn!("SIGHUP: settings are read at start; restart to change them");
            }
            () = &mut stopped => return,
        }
    }
}
