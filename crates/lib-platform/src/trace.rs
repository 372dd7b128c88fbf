//! Trace context as the W3C `traceparent` text: it travels through HTTP headers, gRPC metadata,
//! inbox entries and log entries, so that one trace shows a message from webhook to Graph call.

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header and metadata key.
pub const HEADER: &str = "traceparent";

tokio::task_local! {
    /// The caller's trace, where calls have no span of their own.
    static CALLER: String;
}

/// `traceparent` of the current span, if it is part of a trace, or else that of the call under work.
pub fn current_traceparent() -> Option<String> {
    traceparent(&Span::current()).or_else(|| CALLER.try_with(String::clone).ok())
}

/// `work` on behalf of a caller whose trace is `traceparent`, where the call has no span.
pub async fn on_behalf_of<F: Future>(traceparent: String, work: F) -> F::Output {
    CALLER.scope(traceparent, work).await
}

/// Whether `text` names a trace to go on with.
pub fn is_valid(text: &str) -> bool {
    parse(text).is_some()
}

/// The id of the trace the current span is part of, if it is recorded.
pub fn current_trace_id() -> Option<TraceId> {
    let context = Span::current().context();
    let span = context.span();
    let inner = span.span_context();
    (inner.is_valid() && inner.is_sampled()).then(|| inner.trace_id())
}

/// `traceparent` of `span`, if it is part of a trace.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let span_ref = context.span();
    let inner = span_ref.span_context();
    inner.is_valid().then(|| {
        let flags = inner.trace_flags().to_u8();
        format!("00-{}-{}-{flags:02x}", inner.trace_id(), inner.span_id())
    })
}

/// Makes `span` a child of the span `traceparent` names. Anything else is ignored: a broken trace
/// must never break a message. Call it before the span is entered.
pub fn continue_from(span: &Span, traceparent: &str) {
    if let Some(parent) = parse(traceparent) {
        let context = opentelemetry::Context::new().with_remote_span_context(parent);
        let _ = span.set_parent(context);
    }
}

fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version != "00" || trace.len() != 32 || span.len() != 16 || parts.next().is_some() {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_parents_count() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse(good).is_some());
        for bad in [
            "",
            "00-0-0-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
