//! What cannot be read or belongs to nobody is parked with its bytes, is seen by whom it belongs to,
//! and its siblings go on. Once its cause is gone, it is replayed: its effect comes once.

use std::collections::BTreeSet;

use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::accounts::{CreateNumberRequest, Number};
use lib_proto::common::{Content, content};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{Direction, ListConversationsRequest, ListMessagesRequest, Message};
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use lib_proto::ingress::{
    GetParkedItemRequest, ListParkedItemsRequest, ParkedItem, ReplayParkedItemRequest,
    ReplayParkedItemResponse,
};
use lib_proto::sandbox::CreateAccountRequest;
use lib_proto::sandbox::sandbox_service_client::SandboxServiceClient;
use tests::webhook::{self, NUMBER, WABA};

use crate::installation::{Access, Installation, eventually, patiently};

/// A number of the demo account that Meta knows and Frontdesk does not, yet.
const NEW_NUMBER: &str = "100000000000777";
/// Its digits.
const NEW_PHONE: &str = "15550100777";

/// What `user` sees of what is parked.
async fn parked(access: &Access, user: &str) -> Vec<ParkedItem> {
    let client = IngressServiceClient::new(access.channel("ingress", user));
    let request = ListParkedItemsRequest {
        page_size: 500,
        ..Default::default()
    };
    patiently(async || client.clone().list_parked_items(request.clone()).await)
        .await
        .into_inner()
        .items
}

/// The parked item that came from a body with `marker`, with its bytes, once there is one; there is
/// never more than one.
async fn parked_with(access: &Access, user: &str, marker: &str) -> ParkedItem {
    let client = IngressServiceClient::new(access.channel("ingress", user));
    eventually("the item is parked", async || {
        let mut found = Vec::new();
        for ParkedItem { id, .. } in parked(access, user).await {
            let request = GetParkedItemRequest { id };
            let ask = async || client.clone().get_parked_item(request.clone()).await;
            let item = patiently(ask).await.into_inner();
            if String::from_utf8_lossy(&item.payload).contains(marker) {
                found.push(item);
            }
        }
        assert!(found.len() < 2, "parked twice: {found:?}");
        found.pop()
    })
    .await
}

async fn replay(access: &Access, id: &str) -> ReplayParkedItemResponse {
    let client = IngressServiceClient::new(access.channel("ingress", "operator"));
    let request = ReplayParkedItemRequest { id: id.to_owned() };
    patiently(async || client.clone().replay_parked_item(request.clone()).await)
        .await
        .into_inner()
}

/// Messages of the one conversation with `phone`; none when there is no conversation.
async fn messages(access: &Access, phone: &str) -> Vec<Message> {
    let client = ConversationServiceClient::new(access.channel("conversations", "admin"));
    let request = ListConversationsRequest {
        contact: phone.to_owned(),
        ..Default::default()
    };
    let ask = async || client.clone().list_conversations(request.clone()).await;
    let conversations = patiently(ask).await.into_inner().conversations;
    assert!(conversations.len() < 2, "{conversations:?}");
    let Some(conversation) = conversations.into_iter().next() else {
        return Vec::new();
    };
    let request = ListMessagesRequest {
        conversation_id: conversation.id,
        page_size: 500,
        ..Default::default()
    };
    patiently(async || client.clone().list_messages(request.clone()).await)
        .await
        .into_inner()
        .messages
}

/// Texts that came from `phone`.
async fn received(access: &Access, phone: &str) -> Vec<String> {
    let messages = messages(access, phone).await;
    let inbound = messages
        .into_iter()
        .filter(|message| message.direction() == Direction::Inbound);
    let text = |message: Message| match message.content {
        Some(Content {
            content: Some(content::Content::Text(text)),
        }) => text.body,
        other => format!("{other:?}"),
    };
    inbound.map(text).collect()
}

/// What nobody can read is parked, and what came with it is not held up by it. `customer` is digits.
pub(crate) async fn what_cannot_be_read_is_parked(access: &Access, customer: &str) {
    let wamid = format!("wamid.PARKED.{customer}");
    let good = webhook::text(customer, &wamid, "Hello");
    let bad = good.replace(&format!("\"id\":\"{wamid}\","), "");
    assert_ne!(bad, good);
    let bad = bad.replace("Hello", &format!("Hello from {customer}"));
    let foreign = format!("{{\"object\":\"page\",\"of\":\"{customer}\"}}");
    for body in [&foreign, &bad, &good] {
        assert_eq!(access.post(body).await, 200);
    }

    let own = parked_with(access, "admin", &format!("Hello from {customer}")).await;
    assert_eq!(own.number_id, NUMBER);
    assert!(own.position.contains("messages[0]"), "{}", own.position);
    let nobodys = parked_with(access, "operator", &format!("\"of\":\"{customer}\"")).await;
    let seen = parked(access, "admin").await;
    let seen: BTreeSet<String> = seen.into_iter().map(|item| item.id).collect();
    assert!(
        !seen.contains(&nobodys.id),
        "what names no number is not a tenant's"
    );
    let again = replay(access, &own.id).await;
    assert!(
        !again.taken && !again.cause.is_empty(),
        "it still cannot be read"
    );
    let arrived = async || (received(access, customer).await == ["Hello"]).then_some(());
    eventually("the good one has arrived", arrived).await;
}

/// A customer writes to a number that is not set up: the message is parked.
pub(crate) async fn write_to_a_number_nobody_set_up(access: &Access, customer: &str) {
    let sandbox = SandboxServiceClient::new(access.channel("sandbox", "operator"));
    let number = CreateAccountRequest {
        waba_id: WABA.to_owned(),
        number_id: NEW_NUMBER.to_owned(),
        phone: NEW_PHONE.to_owned(),
        verified_name: "Demo Garden Centre".to_owned(),
        access_token: "dev-graph-token".to_owned(),
        callback_url: access.webhooks().to_owned(),
        app_secret: access.app_secret().to_owned(),
        currency_code: "USD".to_owned(),
        time_zone: "America/New_York".to_owned(),
    };
    patiently(async || sandbox.clone().create_account(number.clone()).await).await;
    let body = webhook::text(customer, &format!("wamid.NEW.{customer}"), "Anybody there?");
    assert_eq!(access.post(&body.replace(NUMBER, NEW_NUMBER)).await, 200);
    let item = parked_with(access, "operator", customer).await;
    assert!(item.cause.contains("not connected"), "{}", item.cause);
    assert!(received(access, customer).await.is_empty());
}

/// What the runbook says to do then: set the number up, replay. Twice, which is once too often.
pub(crate) async fn set_the_number_up_and_replay(access: &Access, customer: &str) {
    let accounts = AccountServiceClient::new(access.channel("accounts", "admin"));
    let number = CreateNumberRequest {
        number: Some(Number {
            id: NEW_NUMBER.to_owned(),
            connector_id: "demo-whatsapp".to_owned(),
            phone: NEW_PHONE.to_owned(),
            verified_name: "Demo Garden Centre".to_owned(),
            flow_id: "whatsapp-for-business".to_owned(),
            created_at: None,
        }),
    };
    accounts.clone().create_number(number).await.unwrap();
    let item = parked_with(access, "operator", customer).await;
    for _ in 0..2 {
        let outcome = replay(access, &item.id).await;
        assert!(outcome.taken, "{}", outcome.cause);
    }
    let seen = parked(access, "operator").await;
    assert!(
        seen.iter().all(|left| left.id != item.id),
        "it is still there"
    );
    let answered = async || (messages(access, customer).await.len() > 1).then_some(());
    eventually("the flow answers", answered).await;
    assert_eq!(received(access, customer).await, ["Anybody there?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_in_is_parked_and_replayed_once_its_cause_is_gone() {
    let installation = Installation::dev();
    let access = installation.access();
    what_cannot_be_read_is_parked(access, "16505550188").await;
    write_to_a_number_nobody_set_up(access, "16505550189").await;
    set_the_number_up_and_replay(access, "16505550189").await;
    installation.stop();
}
