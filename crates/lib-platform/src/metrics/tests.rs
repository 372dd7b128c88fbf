//! What a scrape reads.

use super::*;

#[test]
fn instruments_are_the_same_each_time_and_registries_do_not_mix() {
    let (ours, theirs) = (Metrics::new(), Metrics::new());
    let count = |metrics: &Metrics| metrics.counter("frontdesk_x_total", "X", &[("kind", "a")]);
    count(&ours).inc();
    count(&ours).add(2);
    count(&theirs).inc();
    assert_eq!(count(&ours).get(), 3);
    assert!(ours.text().contains("frontdesk_x_total{kind=\"a\"} 3\n"));
    assert!(theirs.text().contains("frontdesk_x_total{kind=\"a\"} 1\n"));
}

#[test]
fn text_has_help_types_exemplars_and_an_end() {
    let metrics = Metrics::new();
    metrics.gauge("frontdesk_level", "How high", &[]).set(1.5);
    let spans = metrics.histogram("frontdesk_span_seconds", "How long", CALL_SECONDS, &[]);
    let trace = opentelemetry::TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    spans.observe_in_trace(0.2, Some(trace));
    metrics.sampled("frontdesk_now", "Right now", || {
        vec![Sample::new(7.0).with("part", "left")]
    });
    let text = metrics.text();
    for expected in [
        "# HELP frontdesk_level How high.\n# TYPE frontdesk_level gauge\nfrontdesk_level{} 1.5\n",
        "frontdesk_span_seconds_bucket{le=\"0.25\"} 1 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.2",
        "frontdesk_span_seconds_count{} 1\n",
        "frontdesk_now{part=\"left\"} 7.0\n",
        "frontdesk_build_info{version=",
        "process_start_time_seconds ",
    ] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn what_has_to_be_asked_for_is_asked_for_at_the_scrape() {
    let metrics = Metrics::new();
    let parked = metrics.gauge("frontdesk_parked", "Parked", &[]);
    metrics.on_scrape("parked", move || {
        let parked = parked.clone();
        async move {
            parked.add(1.0);
            Ok(())
        }
    });
    metrics.on_scrape("broken", || async { anyhow::bail!("no") });
    metrics.scrape().await;
    let text = metrics.scrape().await;
    assert!(text.contains("frontdesk_parked{} 2.0\n"), "{text}");
    let failures = "frontdesk_metrics_refresh_failures_total{what=\"broken\"} 2\n";
    assert!(text.contains(failures), "{text}");
}

#[test]
fn values_of_a_label_are_bounded() {
    let bounded = Bounded::new(2);
    let labels = ["a", "b", "c", "a", "d"].map(|value| bounded.label(value));
    assert_eq!(labels, ["a", "b", "other", "a", "other"]);
}
