//! One trace shows a message from webhook to Graph call: the same id stands in the log of the
//! conversation, in the header that Meta gets and in the process's own log, which names nobody.

use std::collections::BTreeSet;

use lib_proto::common::{ContactIdentity, Content, Text, content};
use lib_proto::conversations::WatchRequest;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::log_entry::Event;
use lib_proto::sandbox::phone_service_client::PhoneServiceClient;
use lib_proto::sandbox::sandbox_service_client::SandboxServiceClient;
use lib_proto::sandbox::{ListGraphSendsRequest, SendFromPhoneRequest};
use tests::process::{Addresses, Frontdesk};
use tests::webhook::NUMBER;

/// The customer's number without its country code.
const DIGITS: &str = "6505550177";
/// A part of the customer's message that is found nowhere else.
const MARKER: &str = "quagga-verdigris";

/// The trace id inside a `traceparent`.
fn trace_id(traceparent: &str) -> String {
    traceparent
        .split('-')
        .nth(1)
        .unwrap_or("no trace")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_reaches_from_the_webhook_to_the_graph_call() {
    let folder = tempfile::tempdir().unwrap();
    let log_file = folder.path().join("stderr.log");
    let more = ["--log", "debug"];
    let process = Frontdesk::start_logged(folder.path(), &Addresses::free(), &more, &log_file);
    let text = Text {
        body: format!("Hi, {MARKER}"),
        preview_url: false,
    };
    let customer = ContactIdentity {
        phone: format!("1{DIGITS}"),
        ..Default::default()
    };
    let request = SendFromPhoneRequest {
        customer: Some(customer),
        number_id: NUMBER.into(),
        content: Some(Content {
            content: Some(content::Content::Text(text)),
        }),
        ..Default::default()
    };
    let channel = process.at.channel("admin");
    PhoneServiceClient::new(channel.clone())
        .send_from_phone(request)
        .await
        .unwrap();

    let mut client = ConversationServiceClient::new(channel.clone());
    let mut log = client
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut traces = BTreeSet::new();
    let mut accepted = 0;
    while accepted < 2 {
        for entry in log.message().await.unwrap().unwrap().entries {
            match entry.event.unwrap() {
                Event::MessageReceived(_) | Event::MessageQueued(_) | Event::AttemptStarted(_) => {}
                Event::AttemptEnded(_) => accepted += 1,
                _ => continue,
            }
            traces.insert(trace_id(&entry.traceparent));
        }
    }
    let list = ListGraphSendsRequest {
        offset: 0,
        limit: 10,
    };
    let sends = SandboxServiceClient::new(channel)
        .list_graph_sends(list)
        .await
        .unwrap();
    let sends = sends.into_inner().sends;
    assert_eq!(sends.len(), 2);
    traces.extend(sends.iter().map(|send| trace_id(&send.traceparent)));
    assert_eq!(traces.len(), 1, "{traces:?}");
    assert!(!traces.contains("no trace"));
    assert!(process.stop().success());

    let log = std::fs::read_to_string(&log_file).unwrap();
    let trace = traces.pop_first().unwrap();
    for service in ["svc_ingress", "svc_egress"] {
        let shown = |line: &str| line.contains(service) && line.contains(&trace);
        assert!(log.lines().any(shown), "{service} does not log {trace}");
    }
    // Meta's message ids hold the phone number in base64.
    for secret in [DIGITS, "wamid.", MARKER] {
        let leak = log.lines().find(|line| line.contains(secret));
        assert_eq!(leak, None, "`{secret}` is in the log");
    }
}
