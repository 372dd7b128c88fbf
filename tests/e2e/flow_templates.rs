//! A live flow that comes back with an approved template when the customer has been silent, and is told
//! when its template may not be sent.

use std::path::Path;

use lib_proto::conversations::ListEngagementsRequest;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;

use crate::conversation::Customer;
use crate::flow_replay::{flow, good, guide, refused};
use crate::installation::{Access, Installation, eventually};

/// The flow the number is bound to.
const FLOW: &str = "whatsapp-for-business";

/// The flow of the shelf, with two days that last a second and `template` as its template.
fn variant(folder: &Path, template: &str) -> String {
    let text = std::fs::read_to_string(guide().with_file_name("follow-up.json")).unwrap();
    let text = text
        .replace("172800", "1")
        .replace("conversation_follow_up", template);
    let file = folder.join(format!("{template}.json"));
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn publish(access: &Access, file: &str) {
    good(&flow(
        access,
        "admin",
        &["import", file, "--id", FLOW, "--publish"],
    ));
}

#[test]
fn a_flow_comes_back_with_a_template_and_is_told_of_one_that_is_not_there() {
    let installation = Installation::dev();
    let access = installation.access();
    let folder = tempfile::tempdir().unwrap();
    let approved = variant(folder.path(), "conversation_follow_up");
    good(&flow(access, "admin", &["check", "--live", &approved]));
    publish(access, &approved);
    let mut phone = Customer::number(1).phone(access);
    phone.types("Hi");
    phone.shows("< Hello");
    phone.types("A new hedge");
    phone.shows("< Thank you.");
    phone.shows("there is news about your request \"A new hedge\"");
    phone.types("Go on");

    let unknown = variant(folder.path(), "nobodys_template");
    let told = refused(&flow(access, "admin", &["check", "--live", &unknown]));
    assert!(told.contains("has a template `nobodys_template`"), "{told}");
    publish(access, &unknown);
    let mut other = Customer::number(2).phone(access);
    other.types("Hi");
    other.shows("< Hello");
    other.types("A pond");
    other.shows("< Thank you.");
    // The first is there because the customer answered, the second because its template was refused.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("two who wait for sales", async || {
        let client = ConversationServiceClient::new(access.channel("conversations", "admin"));
        let all = client
            .clone()
            .list_engagements(ListEngagementsRequest::default())
            .await;
        let all = all.ok()?.into_inner().engagements;
        let waiting = all.iter().filter(|one| one.queue_id == "sales");
        (waiting.count() == 2).then_some(())
    }));
    drop((phone, other));
    installation.stop();
}
