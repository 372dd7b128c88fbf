//! What customers were sent and what the account is charged: each message that was delivered is on
//! the statement once, and has one journal if it costs anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lib_proto::billing::billing_service_client::BillingServiceClient;
use lib_proto::billing::{GetStatementRequest, Journal, ListJournalsRequest};
use lib_proto::common::{DeliveryStatus, PricingFact};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{
    Conversation, Direction, ListConversationsRequest, ListMessagesRequest, Message,
};

use crate::installation::{Access, LOOK, PATIENCE, patiently};

/// All conversations.
async fn conversations(access: &Access) -> Vec<Conversation> {
    let client = ConversationServiceClient::new(access.channel("conversations", "admin"));
    let mut request = ListConversationsRequest {
        page_size: 500,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let ask = async || client.clone().list_conversations(request.clone()).await;
        let page = patiently(ask).await.into_inner();
        all.extend(page.conversations);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

/// A message, and the number it left from.
struct Sent {
    number: String,
    message: Message,
}

impl Sent {
    fn is_delivered(&self) -> bool {
        let status = self.message.status();
        [DeliveryStatus::Delivered, DeliveryStatus::Read].contains(&status)
    }

    /// Nothing more will come of it. The sandbox takes no text for a phone that has not written from
    /// it: that fails.
    fn has_ended(&self) -> bool {
        self.is_delivered() || self.message.status() == DeliveryStatus::Failed
    }

    /// What Meta said of its price.
    fn price(&self) -> PricingFact {
        self.message.pricing.clone().unwrap_or_default()
    }
}

/// All messages that were meant to leave.
async fn outbound(access: &Access) -> Vec<Sent> {
    let client = ConversationServiceClient::new(access.channel("conversations", "admin"));
    let mut all = Vec::new();
    for conversation in conversations(access).await {
        let request = ListMessagesRequest {
            conversation_id: conversation.id,
            page_size: 500,
            ..Default::default()
        };
        let ask = async || client.clone().list_messages(request.clone()).await;
        let page = patiently(ask).await.into_inner();
        assert!(page.next_page_token.is_empty(), "a long conversation");
        let messages = page.messages.into_iter();
        let outbound = messages.filter(|message| message.direction() == Direction::Outbound);
        all.extend(outbound.map(|message| Sent {
            number: conversation.number_id.clone(),
            message,
        }));
    }
    all
}

/// All journals.
async fn journals(access: &Access) -> Vec<Journal> {
    let client = BillingServiceClient::new(access.channel("billing", "admin"));
    let mut request = ListJournalsRequest {
        page_size: 500,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let ask = async || client.clone().list_journals(request.clone()).await;
        let page = patiently(ask).await.into_inner();
        all.extend(page.journals);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

/// How many messages of a number there are, by category and kind of price.
type Counts = BTreeMap<(String, String, String), u64>;

/// Messages on the statement of this month; nothing on it may lack a price.
async fn on_the_statement(access: &Access) -> Counts {
    let client = BillingServiceClient::new(access.channel("billing", "admin"));
    let now = lib_platform::Clock::system().now();
    // The account's month may not have turned yet when the test's has.
    let months: BTreeSet<String> = [now, now.minus(Duration::from_secs(12 * 3_600))]
        .iter()
        .map(|at| at.to_string()[..7].to_owned())
        .collect();
    let mut counts = Counts::new();
    for month in months {
        let request = GetStatementRequest {
            month,
            number_id: String::new(),
        };
        let ask = async || client.clone().get_statement(request.clone()).await;
        let statement = patiently(ask).await.into_inner();
        assert!(statement.unrated.is_empty(), "{:?}", statement.unrated);
        for line in statement.lines {
            let key = (line.number_id, line.category, line.pricing_type);
            *counts.entry(key).or_default() += line.messages;
        }
    }
    counts
}

/// Each message that was delivered is on the statement once, and no other message is; each that
/// costs something has one journal, and no other has any. Says how many were delivered, once every
/// message has come to its end.
pub(crate) async fn each_delivered_message_is_billed_once(access: &Access) -> usize {
    let since = Instant::now();
    // Statuses and the bill come after the conversation; what must not come is more than one each.
    let (delivered, counts) = loop {
        let sent = outbound(access).await;
        let open = sent.iter().filter(|sent| !sent.has_ended()).count();
        let delivered: Vec<Sent> = sent.into_iter().filter(Sent::is_delivered).collect();
        let counts = on_the_statement(access).await;
        let billed: u64 = counts.values().sum();
        if open == 0 && billed >= delivered.len() as u64 {
            break (delivered, counts);
        }
        let (patient, delivered) = (since.elapsed() < PATIENCE, delivered.len());
        assert!(
            patient,
            "{open} under way, {delivered} delivered: {counts:?}"
        );
        tokio::time::sleep(LOOK).await;
    };
    let mut expected = Counts::new();
    for sent in &delivered {
        let price = sent.price();
        let key = (sent.number.clone(), price.category, price.kind);
        *expected.entry(key).or_default() += 1;
    }
    assert_eq!(counts, expected, "the statement and what was delivered");

    let mut journals: BTreeMap<String, usize> = BTreeMap::new();
    for journal in self::journals(access).await {
        assert_eq!(journal.reverses, "", "{journal:?}");
        *journals.entry(journal.message_id).or_default() += 1;
    }
    let costly = delivered.iter().filter(|sent| sent.price().billable());
    let costly = costly.map(|sent| (sent.message.id.clone(), 1));
    assert_eq!(
        journals,
        costly.collect(),
        "journals and what costs something"
    );
    assert!(!journals.is_empty(), "nothing cost anything");
    delivered.len()
}
