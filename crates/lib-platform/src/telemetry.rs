//! Logs to standard error, traces to an OpenTelemetry collector if one is named. Metrics and
//! dashboards come with the production profile.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
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

/// Libraries whose own spans would trace the export of traces.
const QUIET: &str = "h2=warn,hyper=warn,tonic=warn,opentelemetry=warn,tower=warn,sqlx=warn";

/// Starts telemetry for this process. Only the first call in a process has effect on the log.
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
    }
    let provider = provider.build();
    let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.filter))
        .with_context(|| format!("`{}` is not a log filter", settings.filter))?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(true);
    let lines = match settings.format {
        LogFormat::Text => lines.compact().boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("frontdesk"));
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(traces)
        .with(lines)
        .try_init();
    Ok(Telemetry(provider))
}
