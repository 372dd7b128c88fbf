//! Logs to standard error, traces to an OpenTelemetry collector if one is named. JSON lines carry
//! `trace_id` and `span_id`, by which a dashboard finds the trace.

mod line;

use self::line::WithTrace;
use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log and where to trace.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the process in traces.
    pub service: String,
    /// Filter such as `info` or `svc_routing=debug,info`.
    pub filter: String,
    /// How lines are written.
    pub format: LogFormat,
    /// Address of an OTLP collector (gRPC), such as `http://127.0.0.1:4317`.
    pub otlp_endpoint: Option<String>,
}

/// Keeps telemetry going; hands over what is left when told to.
pub struct Telemetry(SdkTracerProvider);

impl Telemetry {
    /// Exports what is still held. Blocks for at most a few seconds.
    pub fn flush(self) {
        let _ = self.0.shutdown();
    }
}

/// Libraries that say little of use at the levels people ask for.
const QUIET: &str = "h2=warn,hyper=warn,tonic=warn,opentelemetry=warn,tower=warn,sqlx=warn";

/// Crates whose spans are part of traces: ours. Others would trace the export of traces. The spans of
/// tasks (target `task`) are left out: traces are about messages and calls.
const TRACED: [&str; 3] = ["svc_", "lib_platform", "frontdesk"];

/// Starts telemetry for this process. Only the first call in a process has effect on the log.
/// Trace ids are made whatever the log shows: they travel with messages and stand in the log of
/// conversations, also when nobody collects traces. Spans are recorded only for a collector: of a
/// busy process's time, recording for nobody takes a seventh.
///
/// # Errors
/// When the filter or the collector's address cannot be used.
pub fn start(settings: &Settings) -> anyhow::Result<Telemetry> {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let mut provider = SdkTracerProvider::builder().with_resource(
        Resource::builder()
            .with_service_name(settings.service.clone())
            .build(),
    );
    if let Some(endpoint) = &settings.otlp_endpoint {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(|| format!("cannot use the OTLP endpoint `{endpoint}`"))?;
        provider = provider.with_batch_exporter(exporter);
    } else {
        provider = provider.with_sampler(Sampler::AlwaysOff);
    }
    let provider = provider.build();
    let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.filter))
        .with_context(|| format!("`{}` is not a log filter", settings.filter))?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(true);
    let lines = match settings.format {
        LogFormat::Text => lines.compact().with_filter(filter).boxed(),
        LogFormat::Json => lines
            .json()
            .map_event_format(WithTrace)
            .with_filter(filter)
            .boxed(),
    };
    // Where nobody collects, what begins a trace is enough; calls pass on the caller's.
    let depth = match settings.otlp_endpoint {
        Some(_) => LevelFilter::DEBUG,
        None => LevelFilter::INFO,
    };
    let ours = TRACED.map(|name| (name, depth));
    // Thread, line and idle time of every span cost more than they tell.
    let traces = tracing_opentelemetry::layer()
        .with_threads(false)
        .with_location(false)
        .with_tracked_inactivity(false)
        .with_tracer(provider.tracer("frontdesk"))
        .with_filter(Targets::new().with_targets(ours));
    let _ = tracing_subscriber::registry()
        .with(traces)
        .with(lines)
        .try_init();
    Ok(Telemetry(provider))
}
