//! One trace shows a message from webhook to Graph call: the same id stands in the log of the
//! conversation and in the header that Meta gets.

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
    let process = Frontdesk::start(folder.path(), &Addresses::free(), &[]);
    let text = Text {
        body: "Hi".into(),
        preview_url: false,
    };
    let customer = ContactIdentity {
        phone: "16505550177".into(),
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
                Event::MessageReceived(_) | Event::MessageQueued(_) => {
                    traces.insert(trace_id(&entry.traceparent));
                }
                Event::AttemptEnded(_) => accepted += 1,
                _ => {}
            }
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
}
