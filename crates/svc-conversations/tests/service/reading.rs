//! Lists, search, and following the log.

use std::time::Duration;

use lib_proto::conversations as pb;
use lib_testkit::SERVICE;
use tonic::Code;

use crate::world::World;

#[tokio::test]
async fn lists_are_paged_and_walled() {
    let world = World::start().await;
    for n in 1..=5 {
        world.clock.advance(std::time::Duration::from_secs(1));
        world
            .says(
                &format!("w{n}"),
                &format!("1650555000{n}"),
                &format!("hello {n}"),
            )
            .await;
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListConversationsRequest {
            page_size: 2,
            page_token,
            ..pb::ListConversationsRequest::default()
        };
        let page = world
            .people("sue")
            .list_conversations(request)
            .await
            .unwrap()
            .into_inner();
        seen.extend(
            page.conversations
                .into_iter()
                .map(|it| it.contact.unwrap().phone),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let newest_first: Vec<String> = (1..=5).rev().map(|n| format!("1650555000{n}")).collect();
    assert_eq!(seen, newest_first);
    let mut eve = world.people("eve");
    let theirs = eve
        .list_conversations(pb::ListConversationsRequest::default())
        .await;
    assert!(theirs.unwrap().into_inner().conversations.is_empty());
    let id = world.conversation("16505550001").await.id;
    let foreign = eve
        .get_conversation(pb::GetConversationRequest { id })
        .await;
    assert_eq!(foreign.unwrap_err().code(), Code::NotFound);
    let open = pb::ListEngagementsRequest {
        states: vec![pb::EngagementState::InFlow.into()],
        page_size: 3,
        ..pb::ListEngagementsRequest::default()
    };
    let page = world
        .people("ada")
        .list_engagements(open)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.engagements.len(), 3);
    assert!(!page.next_page_token.is_empty());
}

#[tokio::test]
async fn one_message_is_found_by_its_own_tenant_only() {
    let world = World::start().await;
    world.says("w1", "16505551111", "hello").await;
    let conversation = world.conversation("16505551111").await.id;
    let listed = world.messages(&conversation).await.remove(0);
    let get = |token: &str, id: &str| {
        let request = pb::GetMessageRequest { id: id.to_owned() };
        let mut people = world.people(token);
        async move { people.get_message(request).await }
    };
    for token in [SERVICE, "ada"] {
        assert_eq!(get(token, &listed.id).await.unwrap().into_inner(), listed);
    }
    let missing = format!("{conversation}.m999");
    for (token, id) in [("eve", listed.id.as_str()), ("ada", &missing), ("ada", "")] {
        let refused = get(token, id).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{token} {id}");
    }
}

#[tokio::test]
async fn search_finds_all_words_in_any_order() {
    let world = World::start().await;
    world
        .says("w1", "16505551111", "Where is my Grüne order?")
        .await;
    world.says("w2", "16505551111", "my order again").await;
    let search = |token: &str, query: &str| {
        let request = pb::SearchMessagesRequest {
            query: query.to_owned(),
            ..pb::SearchMessagesRequest::default()
        };
        let mut people = world.people(token);
        async move {
            people
                .search_messages(request)
                .await
                .unwrap()
                .into_inner()
                .messages
        }
    };
    let found = search("ada", "order my").await;
    let ids: Vec<_> = found
        .iter()
        .map(|it| it.whatsapp_message_id.as_str())
        .collect();
    assert_eq!(ids, ["w2", "w1"]);
    assert_eq!(search("ada", "ORDER grune").await.len(), 1);
    assert!(search("eve", "order").await.is_empty());
    assert!(search("ada", "\" XOR (").await.is_empty());
}

#[tokio::test]
async fn following_goes_on_where_it_stopped() {
    let mut world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    let mut whole = world.watch(SERVICE, "").await;
    let mut entries = vec![whole.next().await];
    while entries.last().unwrap().sequence < world.conversation("16505551111").await.sequence {
        entries.push(whole.next().await);
    }
    let sequences: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=entries.len() as u64).collect::<Vec<_>>());
    let middle = entries[2].cursor.clone();
    drop(whole);
    world.restart().await;
    let mut rest = world.watch("ada", &middle).await;
    assert_eq!(rest.next().await, entries[3]);
    let mut now = world.watch("ada", "now").await;
    let mut other = world.watch("eve", "").await;
    world.says("w2", "16505551111", "2").await;
    let live = now.next().await;
    assert!(matches!(
        live.event,
        Some(pb::log_entry::Event::MessageReceived(_))
    ));
    assert_eq!(live.sequence, entries.len() as u64 + 1);
    let content = core_types::Content::Text {
        body: "theirs".to_owned(),
        preview_url: false,
    };
    world
        .receive(vec![world.message("n2", "w3", "16505553333", content)])
        .await;
    let theirs = other.next().await;
    assert_eq!(theirs.tenant_id, "other");
    // They wrote last, and nobody writes any more: who has seen all of its own is told so.
    let whole = world.people("ada").watch(pb::WatchRequest::default()).await;
    let mut whole = whole.unwrap().into_inner();
    let told = async {
        loop {
            let answer = whole.message().await.unwrap().unwrap();
            if answer.entries.is_empty() {
                break answer.head;
            }
        }
    };
    let head = tokio::time::timeout(Duration::from_secs(60), told).await;
    let number = |cursor: &str| cursor.parse::<u64>().unwrap();
    assert!(number(&head.expect("told")) >= number(&theirs.cursor));
    let bad = pb::WatchRequest {
        cursor: "999999".to_owned(),
        ..pb::WatchRequest::default()
    };
    let refused = world.people("ada").watch(bad).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}
