//! One trace shows a message from webhook to Graph call: the same id stands in the log of the
//! conversation, in the header that Meta gets and in the processes' own logs, which name nobody.

use std::collections::BTreeSet;

use lib_proto::common::{ContactIdentity, Content, Text, content};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{ListConversationsRequest, LogEntry, WatchRequest};
use lib_proto::sandbox::phone_service_client::PhoneServiceClient;
use lib_proto::sandbox::sandbox_service_client::SandboxServiceClient;
use lib_proto::sandbox::{
    FaultRule, GraphSend, ListGraphSendsRequest, SendFromPhoneRequest, SetFaultsRequest, fault_rule,
};
use tests::webhook::NUMBER;

use crate::installation::{Access, Installation, eventually, patiently};

/// A part of each customer's message that is found nowhere else.
const MARKER: &str = "quagga-verdigris";
/// What the flow answers to a first message: the greeting and the question.
const ANSWERS: usize = 2;

/// The trace id inside a `traceparent`.
fn trace_id(traceparent: &str) -> String {
    traceparent
        .split('-')
        .nth(1)
        .unwrap_or("no trace")
        .to_owned()
}

/// A customer, by digits, writes to the demo number for the first time.
pub(crate) async fn write(access: &Access, customer: &str) {
    let text = Text {
        body: format!("Hi, {MARKER}"),
        preview_url: false,
    };
    let request = SendFromPhoneRequest {
        customer: Some(ContactIdentity {
            phone: customer.to_owned(),
            ..Default::default()
        }),
        number_id: NUMBER.into(),
        content: Some(Content {
            content: Some(content::Content::Text(text)),
        }),
        ..Default::default()
    };
    let mut phone = PhoneServiceClient::new(access.channel("sandbox", "admin"));
    phone.send_from_phone(request).await.unwrap();
}

/// The log of the customer's conversation until the answers are accepted by Meta.
async fn entries(access: &Access, customer: &str) -> Vec<LogEntry> {
    let client = ConversationServiceClient::new(access.channel("conversations", "admin"));
    let request = ListConversationsRequest {
        contact: customer.to_owned(),
        ..Default::default()
    };
    let conversation_id = eventually("the conversation is there", async || {
        let ask = async || client.clone().list_conversations(request.clone()).await;
        let found = patiently(ask).await.into_inner().conversations;
        found.into_iter().next().map(|conversation| conversation.id)
    })
    .await;
    let request = WatchRequest {
        conversation_id,
        ..Default::default()
    };
    let ask = async || client.clone().watch(request.clone()).await;
    let mut log = patiently(ask).await.into_inner();
    let mut entries: Vec<LogEntry> = Vec::new();
    let ended = |entry: &&LogEntry| matches!(entry.event, Some(Event::AttemptEnded(_)));
    while entries.iter().filter(ended).count() < ANSWERS {
        entries.extend(log.message().await.unwrap().unwrap().entries);
    }
    entries
}

/// What the Graph API was asked to send for the messages of these entries.
async fn sends_of(access: &Access, entries: &[LogEntry]) -> Vec<GraphSend> {
    let intents = entries.iter().filter_map(|entry| match &entry.event {
        Some(Event::MessageQueued(queued)) => queued.message.as_ref(),
        _ => None,
    });
    let intents: BTreeSet<String> = intents
        .map(|message| format!("v1.{}", message.id))
        .collect();
    let sandbox = SandboxServiceClient::new(access.channel("sandbox", "admin"));
    let mut sends = Vec::new();
    loop {
        let request = ListGraphSendsRequest {
            offset: sends.len() as u64,
            limit: 100,
        };
        let ask = async || sandbox.clone().list_graph_sends(request).await;
        let page = patiently(ask).await.into_inner().sends;
        if page.is_empty() {
            break;
        }
        sends.extend(page);
    }
    sends.retain(|send: &GraphSend| intents.contains(&send.callback_data));
    sends
}

/// The one trace of all that came of a customer's first message, from the conversation's log to the
/// header Meta got.
pub(crate) async fn one_trace(access: &Access, customer: &str) -> String {
    write(access, customer).await;
    let entries = entries(access, customer).await;
    let told = entries.iter().filter(|entry| {
        let event = entry.event.as_ref().unwrap();
        matches!(
            event,
            Event::MessageReceived(_)
                | Event::MessageQueued(_)
                | Event::AttemptStarted(_)
                | Event::AttemptEnded(_)
        )
    });
    let mut traces: BTreeSet<String> = told.map(|entry| trace_id(&entry.traceparent)).collect();
    let sends = sends_of(access, &entries).await;
    assert_eq!(sends.len(), ANSWERS, "{sends:?}");
    traces.extend(sends.iter().map(|send| trace_id(&send.traceparent)));
    assert_eq!(traces.len(), 1, "{traces:?}");
    let trace = traces.pop_first().unwrap();
    assert_ne!(trace, "no trace");
    trace
}

/// The services on the way have logged the trace, and nobody has logged who wrote, or what.
pub(crate) async fn is_logged_and_names_nobody(
    installation: &Installation,
    trace: &str,
    customer: &str,
) {
    for service in ["svc_ingress", "svc_egress"] {
        let shown = |line: &str| line.contains(service) && line.contains(trace);
        let logged = async || installation.log().lines().any(shown).then_some(());
        eventually(&format!("{service} logs {trace}"), logged).await;
    }
    let log = installation.log();
    // Without the country code, in case somebody cuts it off. Meta's message ids hold the phone
    // number in base64.
    let digits = customer.trim_start_matches('1');
    for secret in [digits, "wamid.", MARKER] {
        let leak = log.lines().find(|line| line.contains(secret));
        assert_eq!(leak, None, "`{secret}` is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_reaches_from_the_webhook_to_the_graph_call() {
    let installation = Installation::dev();
    let customer = "16505550177";
    let trace = one_trace(installation.access(), customer).await;
    is_logged_and_names_nobody(&installation, &trace, customer).await;
    installation.stop();
}

/// `grep ambiguous` in the log of egress, which the runbook tells to do, finds the message, and not
/// whom it was for.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_without_an_answer_is_found_in_the_log() {
    let installation = Installation::dev();
    let access = installation.access();
    let rule = FaultRule {
        times: 1,
        fault: Some(fault_rule::Fault::AcceptAndHangUp(true)),
        ..Default::default()
    };
    let faults = SetFaultsRequest {
        rules: vec![rule],
        ..Default::default()
    };
    let mut sandbox = SandboxServiceClient::new(access.channel("sandbox", "operator"));
    sandbox.set_faults(faults).await.unwrap();
    let customer = "16505550176";
    write(access, customer).await;
    let entries = entries(access, customer).await;
    let queued = entries.into_iter().find_map(|entry| match entry.event {
        Some(Event::MessageQueued(queued)) => queued.message,
        _ => None,
    });
    let id = queued.unwrap().id;
    let line = eventually("the attempt is in the log", async || {
        let log = installation.log();
        let mut lines = log.lines();
        let found = lines.find(|line| line.contains("ambiguous") && line.contains("svc_egress"));
        found.map(str::to_owned)
    })
    .await;
    assert!(line.contains("WARN") && line.contains(&id), "{line}");
    assert!(!installation.log().contains("6505550176"));
    installation.stop();
}
