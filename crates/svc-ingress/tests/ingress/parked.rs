//! What cannot be taken is parked with its bytes, seen by the right people only, and replayed.

use lib_proto::ingress as pb;
use lib_testkit::{Host, SERVICE};
use serde_json::json;
use tonic::Code;

use crate::peer::{Answer, Peer};
use crate::site::{Site, delivery, free_address, message};

async fn site(folder: &tempfile::TempDir) -> (Peer, Site, Host) {
    let (peer, address) = (Peer::new(), free_address());
    let log = peer.serve(&address).await;
    (peer, Site::start(folder.path(), &address).await, log)
}

async fn get(site: &Site, token: &str, id: &str) -> Result<pb::ParkedItem, tonic::Status> {
    let request = pb::GetParkedItemRequest { id: id.into() };
    let found = site.client(token).get_parked_item(request).await;
    found.map(tonic::Response::into_inner)
}

async fn replay(
    site: &Site,
    token: &str,
    id: &str,
) -> Result<pb::ReplayParkedItemResponse, tonic::Status> {
    let request = pb::ReplayParkedItemRequest { id: id.into() };
    let outcome = site.client(token).replay_parked_item(request).await;
    outcome.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_malformed_item_is_parked_and_its_siblings_live() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, site, _log) = site(&folder).await;
    let broken = json!({"from": "491511", "timestamp": "1739321024", "type": "text"});
    let messages = vec![
        message("491511", "wamid.1"),
        broken,
        message("491511", "wamid.2"),
    ];
    assert_eq!(site.post(delivery(&[("100", messages)])).await, 200);
    let keys = peer.until(|keys| keys.len() == 2).await;
    assert_eq!(keys, ["m:wamid.1", "m:wamid.2"]);
    site.emptied().await;
    let parked = site.parked(SERVICE).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].number_id, "100");
    assert!(
        parked[0].position.contains("messages[1]"),
        "{:?}",
        parked[0]
    );
    assert!(!parked[0].cause.is_empty() && parked[0].payload.is_empty());
    let one = get(&site, SERVICE, &parked[0].id).await.unwrap();
    let bytes = String::from_utf8(one.payload).unwrap();
    assert!(bytes.contains("1739321024"), "{bytes}");
    let again = replay(&site, SERVICE, &parked[0].id).await.unwrap();
    assert!(!again.taken && !again.cause.is_empty());
    assert_eq!(site.parked(SERVICE).await[0].attempts, 2);
}

#[tokio::test]
async fn unreadable_bodies_are_parked_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (_peer, site, _log) = site(&folder).await;
    for body in [
        "",
        "null",
        "[]",
        "<html>",
        "{\"object\":\"page\",\"entry\":[]}",
    ] {
        assert_eq!(site.post(body).await, 200, "{body}");
    }
    site.emptied().await;
    let parked = site.parked(SERVICE).await;
    assert_eq!(parked.len(), 5);
    assert!(parked.iter().all(|item| item.position == "body"));
    let html = get(&site, SERVICE, &parked[3].id).await.unwrap();
    assert_eq!(html.payload, b"<html>");
    assert!(!replay(&site, SERVICE, &parked[3].id).await.unwrap().taken);
    assert!(site.parked("admin-a").await.is_empty());
}

#[tokio::test]
async fn refused_items_are_parked_and_replayed_once() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, site, _log) = site(&folder).await;
    peer.answers(|_| Answer::Refuse);
    let body = delivery(&[("100", vec![message("491511", "wamid.1")])]);
    assert_eq!(site.post(body).await, 200);
    site.emptied().await;
    let id = site.parked(SERVICE).await.remove(0).id;
    let refused = replay(&site, SERVICE, &id).await.unwrap();
    assert_eq!((refused.taken, refused.cause.as_str()), (false, "never"));
    peer.answers(|_| Answer::Take);
    for _ in 0..2 {
        assert!(replay(&site, SERVICE, &id).await.unwrap().taken);
    }
    assert_eq!(peer.until(|keys| !keys.is_empty()).await, ["m:wamid.1"]);
    assert!(site.parked(SERVICE).await.is_empty());
    let gone = get(&site, SERVICE, &id).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let unknown = replay(&site, SERVICE, "no such").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn tenants_see_only_what_is_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, site, _log) = site(&folder).await;
    peer.answers(|_| Answer::Refuse);
    let numbers = ["100", "200", "300"].map(|number| {
        let id = format!("wamid.{number}");
        (number, vec![message("491511", &id)])
    });
    assert_eq!(site.post(delivery(&numbers)).await, 200);
    site.emptied().await;
    let all = site.parked(SERVICE).await;
    assert_eq!(all.len(), 3);
    for (token, own) in [("admin-a", "100"), ("admin-b", "200")] {
        let seen = site.parked(token).await;
        assert_eq!(seen.len(), 1, "{token}");
        assert_eq!(seen[0].number_id, own);
        let inbox = site.client(token).get_inbox(pb::GetInboxRequest {}).await;
        assert_eq!(inbox.unwrap().into_inner().parked_items, 1);
        for item in &all {
            let mine = item.number_id == own;
            assert_eq!(get(&site, token, &item.id).await.is_ok(), mine);
            if !mine {
                let refused = replay(&site, token, &item.id).await.unwrap_err();
                assert_eq!(refused.code(), Code::NotFound);
            }
        }
    }
    let request = pb::ListParkedItemsRequest::default();
    let agent = site.client("agent-a").list_parked_items(request).await;
    assert_eq!(agent.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn pages_go_on_where_they_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, site, _log) = site(&folder).await;
    peer.answers(|_| Answer::Refuse);
    let messages = (0..5).map(|n| message("491511", &format!("wamid.{n}")));
    let body = delivery(&[("100", messages.collect())]);
    assert_eq!(site.post(body).await, 200);
    site.emptied().await;
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListParkedItemsRequest {
            page_size: 2,
            page_token,
        };
        let page = site.client("admin-a").list_parked_items(request).await;
        let page = page.unwrap().into_inner();
        seen.extend(page.items.into_iter().map(|item| item.position));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
    let bad = pb::ListParkedItemsRequest {
        page_size: -1,
        page_token: String::new(),
    };
    let refused = site.client("admin-a").list_parked_items(bad).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}
