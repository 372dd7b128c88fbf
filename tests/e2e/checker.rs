//! The outside checker: compares what clients were told and what the Graph API received with what
//! the stores say at the end. It knows the contracts and nothing of the code.

use std::collections::BTreeMap;

use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{
    Direction, Engagement, EngagementState, ListConversationsRequest, ListEngagementsRequest,
    ListMessagesRequest, Message, SendState, WatchRequest,
};

use crate::meta::Seen;
use tests::process::Addresses;

/// What the stores say.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Messages by customer, oldest first.
    pub(crate) messages: BTreeMap<String, Vec<Message>>,
    /// Engagement states by customer.
    pub(crate) states: BTreeMap<String, Vec<EngagementState>>,
    /// Recorded ambiguous outcomes by message.
    pub(crate) ambiguous: BTreeMap<String, usize>,
}

/// Reads everything the public API tells.
pub(crate) async fn read(at: &Addresses) -> Stored {
    let mut client = ConversationServiceClient::new(at.channel("admin"));
    let mut stored = Stored::default();
    let mut conversations = ListConversationsRequest {
        page_size: 500,
        ..Default::default()
    };
    loop {
        let page = client
            .list_conversations(conversations.clone())
            .await
            .unwrap()
            .into_inner();
        for conversation in page.conversations {
            let customer = conversation.contact.unwrap_or_default().phone;
            let request = ListMessagesRequest {
                conversation_id: conversation.id.clone(),
                page_size: 500,
                ..Default::default()
            };
            let messages = client
                .list_messages(request)
                .await
                .unwrap()
                .into_inner()
                .messages;
            stored
                .messages
                .entry(customer.clone())
                .or_default()
                .extend(messages);
            let request = ListEngagementsRequest {
                conversation_id: conversation.id,
                ..Default::default()
            };
            let engagements = client.list_engagements(request).await.unwrap().into_inner();
            let states = engagements.engagements.iter().map(Engagement::state);
            stored.states.entry(customer).or_default().extend(states);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        conversations.page_token = page.next_page_token;
    }
    let mut log = client
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut head = None;
    while let Some(batch) = log.message().await.unwrap() {
        let head = head.get_or_insert(batch.head.clone()).clone();
        let mut last = String::new();
        for entry in batch.entries {
            if let Some(Event::AttemptEnded(end)) = entry.event
                && end.send_state == i32::from(SendState::Ambiguous)
            {
                *stored.ambiguous.entry(end.message_id).or_default() += 1;
            }
            last = entry.cursor;
        }
        if last == head || batch.head == last {
            break;
        }
    }
    stored
}

/// Everything that breaks a promise, in words.
pub(crate) fn violations(seen: &Seen, stored: &Stored, replies: usize) -> Vec<String> {
    let mut found = Vec::new();
    inbound(seen, stored, &mut found);
    outbound(seen, stored, replies, &mut found);
    for (customer, states) in &stored.states {
        let offered = [EngagementState::Queued, EngagementState::Offered];
        if states.len() != 1 || !offered.contains(&states[0]) {
            found.push(format!(
                "{customer}: engagements are {states:?}, not one in the queue"
            ));
        }
    }
    found
}

/// G1, G3, G4: what was answered 200 is there, once, in order.
fn inbound(seen: &Seen, stored: &Stored, found: &mut Vec<String>) {
    for (customer, acknowledged) in &seen.acknowledged {
        let none = Vec::new();
        let messages = stored.messages.get(customer).unwrap_or(&none);
        let taken: Vec<&String> = messages
            .iter()
            .filter(|message| message.direction() == Direction::Inbound)
            .map(|message| &message.whatsapp_message_id)
            .collect();
        if taken != acknowledged.iter().collect::<Vec<_>>() {
            found.push(format!(
                "{customer}: answered 200 for {acknowledged:?}, kept {taken:?}"
            ));
        }
    }
}

/// G6, G7: every intent reached Meta, more than once only after a recorded ambiguous outcome, and
/// a customer's messages left in order.
fn outbound(seen: &Seen, stored: &Stored, replies: usize, found: &mut Vec<String>) {
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    for send in &seen.sends {
        *copies.entry(send.intent.as_str()).or_default() += 1;
    }
    for (customer, messages) in &stored.messages {
        let ours: Vec<&Message> = messages
            .iter()
            .filter(|message| message.direction() == Direction::Outbound)
            .collect();
        if ours.len() != replies {
            found.push(format!(
                "{customer}: {} replies instead of {replies}",
                ours.len()
            ));
        }
        for message in &ours {
            let intent = format!("v1.{}", message.id);
            let sent = copies.remove(intent.as_str()).unwrap_or(0);
            let allowed = 1 + stored.ambiguous.get(&message.id).copied().unwrap_or(0);
            if sent == 0 {
                found.push(format!("{customer}: {} never reached Meta", message.id));
            }
            if sent > allowed {
                found.push(format!(
                    "{}: sent {sent} times, {allowed} allowed",
                    message.id
                ));
            }
            if message.send_state() != SendState::Accepted {
                found.push(format!(
                    "{}: ends as {:?}",
                    message.id,
                    message.send_state()
                ));
            }
        }
        let mut order: Vec<&str> = Vec::new();
        for send in seen.sends.iter().filter(|send| &send.to == customer) {
            if !order.contains(&send.intent.as_str()) {
                order.push(&send.intent);
            }
        }
        let expected: Vec<String> = ours.iter().map(|m| format!("v1.{}", m.id)).collect();
        if order != expected {
            found.push(format!("{customer}: left as {order:?}, meant {expected:?}"));
        }
    }
    found.extend(
        copies
            .keys()
            .map(|intent| format!("{intent}: sent, but nobody meant it")),
    );
}
