//! What flows did in live engagements: shown, kept as scenarios, and taken again byte for byte.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{ListEngagementsRequest, ListMessagesRequest, Message};
use lib_proto::flow_runner::flow_service_client::FlowServiceClient;
use lib_proto::flow_runner::{GetFlowRequest, PublishFlowRequest, UpdateFlowRequest};
use tests::process::program;

use crate::conversation::Customer;
use crate::installation::{Access, Installation, eventually};

const GUIDE: &str = "deploy/flows/whatsapp-for-business.json";
const FLOW: &str = "whatsapp-for-business";

/// The file of the flow that every installation begins with.
pub(crate) fn guide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(GUIDE)
}

/// `frontdesk flow <args>` of `user`.
pub(crate) fn flow(access: &Access, user: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("flow").args(args);
    command.env("FRONTDESK_SERVER", access.server());
    command.env("FRONTDESK_TOKEN", access.token(user));
    command.stdin(Stdio::null()).output().unwrap()
}

/// Every step that flows took in an installation, taken again: each gives the session that is stored,
/// byte for byte.
pub(crate) fn every_session_replays(access: &Access) {
    let said = good(&flow(access, "admin", &["replay", "--all"]));
    assert!(said.contains("the same, byte for byte"), "{said}");
    assert!(!said.contains("cannot be taken again"), "{said}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was said by a command that had to end well.
pub(crate) fn good(output: &Output) -> String {
    let (said, complaint) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}{complaint}");
    said
}

/// What was said by a command that had to end badly.
pub(crate) fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", text(&output.stdout));
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The only engagement, once it waits in a queue.
async fn engagement(access: &Access) -> (String, String) {
    let client = ConversationServiceClient::new(access.channel("conversations", "admin"));
    eventually("an engagement in a queue", async || {
        let request = ListEngagementsRequest::default();
        let found = client.clone().list_engagements(request).await.ok()?;
        let one = found.into_inner().engagements.pop()?;
        (!one.queue_id.is_empty()).then_some((one.id, one.conversation_id))
    })
    .await
}

async fn sent(access: &Access, conversation: &str) -> Vec<String> {
    let mut client = ConversationServiceClient::new(access.channel("conversations", "admin"));
    let request = ListMessagesRequest {
        conversation_id: conversation.to_owned(),
        ..Default::default()
    };
    let messages = client.list_messages(request).await.unwrap().into_inner();
    let by_flow = messages.messages.into_iter();
    let by_flow = by_flow.filter(|message: &Message| message.author == "flow");
    by_flow
        .map(|message| {
            use lib_proto::common::content::Content;
            match message.content.unwrap().content.unwrap() {
                Content::Text(text) => text.body,
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

/// Version 2 asks differently.
async fn publish_another(access: &Access) -> String {
    let mut client = FlowServiceClient::new(access.channel("flow-runner", "admin"));
    let id = FLOW.to_owned();
    let flow = client.get_flow(GetFlowRequest { id: id.clone() }).await;
    let flow = flow.unwrap().into_inner();
    let draft = flow.draft.replace("press 1️⃣", "write 1");
    assert_ne!(draft, flow.draft);
    let update = UpdateFlowRequest {
        id: id.clone(),
        name: flow.name,
        draft: draft.clone(),
        etag: flow.etag,
    };
    client.update_flow(update).await.unwrap();
    let publish = PublishFlowRequest {
        id,
        note: "Digits in words".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        client
            .publish_flow(publish)
            .await
            .unwrap()
            .into_inner()
            .version,
        2
    );
    draft
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_engagement_is_shown_kept_as_a_test_and_taken_again() {
    let installation = Installation::dev();
    let access = installation.access();
    let mut phone = Customer::number(1).phone(access);
    phone.types("Hi 👋");
    phone.shows("< • For Sales🧾");
    phone.types("what?");
    phone.shows("< Sorry, I did not get that");
    phone.types("1️⃣");
    let (id, conversation) = engagement(access).await;

    let shown = good(&flow(access, "admin", &["trace", &id]));
    for part in [
        "flow whatsapp-for-business, version 1, 3 steps",
        "customer: Hi 👋",
        "customer: what?",
        "Collect_Input/retry",
        "queue: sales",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let json = good(&flow(access, "admin", &["trace", &id, "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["same"], true);
    assert_eq!(json["steps"].as_array().unwrap().len(), 3);

    // The lab's messages are the live ones, byte for byte.
    let lines = json["steps"].as_array().unwrap().iter();
    let lines = lines.flat_map(|step| step["lines"].as_array().unwrap());
    let played: Vec<&str> = lines.filter_map(|line| line["flow"].as_str()).collect();
    assert_eq!(sent(access, &conversation).await, played);

    let folder = tempfile::tempdir().unwrap();
    is_kept_as_a_test(access, &id, folder.path());
    is_taken_again(access, &id, folder.path()).await;
    is_refused_to_others(access, &id);
    drop(phone);
    installation.stop();
}

fn is_kept_as_a_test(access: &Access, id: &str, folder: &Path) {
    // Kept as a scenario it is a test that passes.
    let kept = folder.join("live.test.yaml");
    let (kept, guide) = (kept.to_str().unwrap(), guide());
    let guide = guide.to_str().unwrap();
    let save = [
        "trace",
        id,
        "--save",
        kept,
        "--flow",
        guide,
        "--title",
        "A live one",
    ];
    good(&flow(access, "admin", &save));
    good(&flow(access, "admin", &["test", kept]));
    let twice = refused(&flow(access, "admin", &save));
    assert!(
        twice.contains("has a scenario `A live one` already"),
        "{twice}"
    );
}

async fn is_taken_again(access: &Access, id: &str, folder: &Path) {
    let same = good(&flow(access, "admin", &["replay", id]));
    assert_eq!(same, "1 engagement, 3 steps: the same, byte for byte\n");
    let draft = publish_another(access).await;
    let file = folder.join("draft.json");
    std::fs::write(&file, draft).unwrap();
    for on in ["2", file.to_str().unwrap()] {
        let other = flow(access, "admin", &["replay", id, "--on", on]);
        assert_eq!(other.status.code(), Some(1));
        let told = refused(&other);
        assert!(
            told.contains("step 3") && told.contains("write 1"),
            "{told}"
        );
    }
    let same = good(&flow(access, "admin", &["replay", "--all", "--on", "1"]));
    assert!(same.contains("1 does the same"), "{same}");
}

fn is_refused_to_others(access: &Access, id: &str) {
    let unknown = refused(&flow(access, "admin", &["trace", "nobody.e1"]));
    assert!(unknown.contains("nobody.e1"), "{unknown}");
    let forbidden = refused(&flow(access, "ana", &["trace", id]));
    assert!(
        forbidden.contains("needs the role administrator"),
        "{forbidden}"
    );
    let version = refused(&flow(access, "admin", &["replay", id, "--on", "9"]));
    assert!(version.contains("version"), "{version}");
}
