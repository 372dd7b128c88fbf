//! What cannot be read is parked with its bytes, is seen by whom it belongs to, and its siblings go
//! on.

use std::time::Duration;

use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use lib_proto::ingress::{
    GetParkedItemRequest, ListParkedItemsRequest, ParkedItem, ReplayParkedItemRequest,
};
use tests::process::{Addresses, Frontdesk};
use tests::webhook::{self, NUMBER};

async fn post(at: &Addresses, body: &str) -> u16 {
    let client = lib_platform::outbound::client(Duration::from_secs(5)).unwrap();
    let signature = webhook::sign(body.as_bytes());
    let request = client
        .post(at.webhooks())
        .header("x-hub-signature-256", signature);
    request
        .body(body.to_owned())
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

async fn parked(at: &Addresses, user: &str, expected: usize) -> Vec<ParkedItem> {
    let mut client = IngressServiceClient::new(at.channel(user));
    for _ in 0..500 {
        let list = client
            .list_parked_items(ListParkedItemsRequest::default())
            .await
            .unwrap();
        let items = list.into_inner().items;
        if items.len() >= expected {
            return items;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{user} does not see {expected} parked items")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_parked_and_its_siblings_live() {
    let folder = tempfile::tempdir().unwrap();
    let process = Frontdesk::start(folder.path(), &Addresses::free(), &[]);
    let good = webhook::text("16505550188", "wamid.PARKED.1", "Hello");
    let bad = good.replace("\"id\":\"wamid.PARKED.1\",", "");
    assert_ne!(bad, good);
    assert_eq!(post(&process.at, "{\"object\":\"page\"}").await, 200);
    assert_eq!(post(&process.at, &bad).await, 200);
    assert_eq!(post(&process.at, &good).await, 200);

    let all = parked(&process.at, "operator", 2).await;
    assert_eq!(all.len(), 2, "{all:?}");
    let own = parked(&process.at, "admin", 1).await;
    assert_eq!(
        own.len(),
        1,
        "what names no number is not a tenant's: {own:?}"
    );
    assert_eq!(own[0].number_id, NUMBER);
    assert!(
        own[0].position.contains("messages[0]"),
        "{}",
        own[0].position
    );
    let mut client = IngressServiceClient::new(process.at.channel("admin"));
    let id = own[0].id.clone();
    let whole = client
        .get_parked_item(GetParkedItemRequest { id: id.clone() })
        .await
        .unwrap();
    let bytes = String::from_utf8(whole.into_inner().payload).unwrap();
    assert!(bytes.contains("Hello"), "{bytes}");
    let again = client
        .replay_parked_item(ReplayParkedItemRequest { id })
        .await
        .unwrap();
    let again = again.into_inner();
    assert!(
        !again.taken && !again.cause.is_empty(),
        "it still cannot be read"
    );
    assert!(process.stop().success());
}
