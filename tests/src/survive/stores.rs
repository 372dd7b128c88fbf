//! What the stores say, read through the public API.

use lib_platform::AuthorizedChannel;
use lib_proto::billing::billing_service_client::BillingServiceClient;
use lib_proto::billing::{
    GetProgressRequest, GetStatementRequest, Journal, ListJournalsRequest, Statement,
};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{
    Conversation, Engagement, ListConversationsRequest, ListEngagementsRequest,
    ListMessagesRequest, LogEntry, Message, WatchRequest,
};
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use lib_proto::ingress::{
    GetInboxRequest, GetParkedItemRequest, Inbox, ListParkedItemsRequest, ParkedItem,
};
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::{
    Agent, GetQueueStateRequest, ListAgentsRequest, ListOffersRequest, ListQueuesRequest, Offer,
    QueueState,
};
use tonic::Status;

use super::subject::Subject;

/// Largest answer read.
const MAX_BYTES: usize = 64 << 20;

/// Everything the public API tells of one tenant.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// All conversations.
    pub conversations: Vec<Conversation>,
    /// Messages of each conversation, oldest first.
    pub messages: Vec<Message>,
    /// All engagements.
    pub engagements: Vec<Engagement>,
    /// The log from its beginning.
    pub log: Vec<LogEntry>,
    /// Where the log ended.
    pub head: String,
    /// Parked items with their bytes.
    pub parked: Vec<ParkedItem>,
    /// The inbox.
    pub inbox: Inbox,
    /// Agents.
    pub agents: Vec<Agent>,
    /// Offers of all agents.
    pub offers: Vec<Offer>,
    /// Queues.
    pub queues: Vec<QueueState>,
    /// All journals.
    pub journals: Vec<Journal>,
    /// Statements of this and the last month.
    pub statements: Vec<Statement>,
    /// How far billing has read.
    pub billed_to: String,
}

/// Clients of one installation.
pub struct Reader {
    conversations: ConversationServiceClient<AuthorizedChannel>,
    ingress: IngressServiceClient<AuthorizedChannel>,
    parked: IngressServiceClient<AuthorizedChannel>,
    routing: RoutingServiceClient<AuthorizedChannel>,
    billing: BillingServiceClient<AuthorizedChannel>,
}

impl Reader {
    /// A reader of what the tenant's administrator may see.
    pub fn new(subject: &dyn Subject) -> Self {
        let admin = |service: &str| subject.channel(service, "admin");
        let operator = || subject.channel("ingress", "operator");
        let (conversations, routing, billing) =
            (admin("conversations"), admin("routing"), admin("billing"));
        Self::over(conversations, operator(), operator(), routing, billing)
    }

    /// A reader of what those may see who are known on these channels. The inbox is the operator's
    /// alone; what is parked, each tenant may ask for.
    pub fn over(
        conversations: AuthorizedChannel,
        inbox: AuthorizedChannel,
        parked: AuthorizedChannel,
        routing: AuthorizedChannel,
        billing: AuthorizedChannel,
    ) -> Self {
        Self {
            conversations: ConversationServiceClient::new(conversations)
                .max_decoding_message_size(MAX_BYTES),
            ingress: IngressServiceClient::new(inbox),
            parked: IngressServiceClient::new(parked).max_decoding_message_size(MAX_BYTES),
            routing: RoutingServiceClient::new(routing),
            billing: BillingServiceClient::new(billing).max_decoding_message_size(MAX_BYTES),
        }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When a service does not answer.
    pub async fn read(&mut self) -> Result<Stores, Status> {
        let mut stores = Stores::default();
        self.conversations(&mut stores).await?;
        self.log(&mut stores).await?;
        self.ingress_side(&mut stores).await?;
        self.routing_side(&mut stores).await?;
        self.money(&mut stores).await?;
        Ok(stores)
    }

    /// The inbox alone.
    ///
    /// # Errors
    /// When ingress does not answer.
    pub async fn inbox(&mut self) -> Result<Inbox, Status> {
        Ok(self
            .ingress
            .get_inbox(GetInboxRequest {})
            .await?
            .into_inner())
    }

    async fn conversations(&mut self, stores: &mut Stores) -> Result<(), Status> {
        let mut request = ListConversationsRequest {
            page_size: 500,
            ..Default::default()
        };
        loop {
            let page = self
                .conversations
                .list_conversations(request.clone())
                .await?
                .into_inner();
            stores.conversations.extend(page.conversations);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        for conversation in &stores.conversations {
            let mut request = ListMessagesRequest {
                conversation_id: conversation.id.clone(),
                page_size: 500,
                ..Default::default()
            };
            loop {
                let page = self
                    .conversations
                    .list_messages(request.clone())
                    .await?
                    .into_inner();
                stores.messages.extend(page.messages);
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
        }
        let mut request = ListEngagementsRequest {
            page_size: 500,
            ..Default::default()
        };
        loop {
            let page = self
                .conversations
                .list_engagements(request.clone())
                .await?
                .into_inner();
            stores.engagements.extend(page.engagements);
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn log(&mut self, stores: &mut Stores) -> Result<(), Status> {
        let mut stream = self
            .conversations
            .watch(WatchRequest::default())
            .await?
            .into_inner();
        while let Some(batch) = stream.message().await? {
            if stores.head.is_empty() {
                stores.head.clone_from(&batch.head);
            }
            let nothing = batch.entries.is_empty();
            stores.log.extend(batch.entries);
            let last = stores.log.last().map(|entry| entry.cursor.clone());
            if nothing || last.as_ref() == Some(&stores.head) || last == Some(batch.head) {
                stores.head = last.unwrap_or_default();
                return Ok(());
            }
        }
        Ok(())
    }

    async fn ingress_side(&mut self, stores: &mut Stores) -> Result<(), Status> {
        stores.inbox = self.inbox().await?;
        let mut request = ListParkedItemsRequest {
            page_size: 500,
            page_token: String::new(),
        };
        loop {
            let page = self
                .parked
                .list_parked_items(request.clone())
                .await?
                .into_inner();
            for item in page.items {
                let request = GetParkedItemRequest { id: item.id };
                let whole = self.parked.get_parked_item(request).await?.into_inner();
                stores.parked.push(whole);
            }
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn routing_side(&mut self, stores: &mut Stores) -> Result<(), Status> {
        let agents = self
            .routing
            .list_agents(ListAgentsRequest::default())
            .await?;
        stores.agents = agents.into_inner().agents;
        for agent in &stores.agents {
            self.offers(&agent.id, &mut stores.offers).await?;
        }
        let queues = self
            .routing
            .list_queues(ListQueuesRequest::default())
            .await?;
        for queue in queues.into_inner().queues {
            let request = GetQueueStateRequest { id: queue.id };
            let state = self.routing.get_queue_state(request).await?.into_inner();
            stores.queues.push(state);
        }
        Ok(())
    }

    async fn offers(&mut self, agent: &str, found: &mut Vec<Offer>) -> Result<(), Status> {
        let mut request = ListOffersRequest {
            agent_id: agent.to_owned(),
            page_size: 500,
            ..Default::default()
        };
        loop {
            let page = self
                .routing
                .list_offers(request.clone())
                .await?
                .into_inner();
            found.extend(page.offers);
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn money(&mut self, stores: &mut Stores) -> Result<(), Status> {
        let progress = self
            .billing
            .get_progress(GetProgressRequest {})
            .await?
            .into_inner();
        stores.billed_to = progress.cursor;
        let now = lib_platform::Clock::system().now();
        // The account's month may not have turned yet when ours has.
        let earlier = now.minus(std::time::Duration::from_secs(12 * 3_600));
        let mut months = vec![
            now.to_string()[..7].to_owned(),
            earlier.to_string()[..7].to_owned(),
        ];
        months.dedup();
        for month in months {
            let request = GetStatementRequest {
                month: month.clone(),
                number_id: String::new(),
            };
            stores
                .statements
                .push(self.billing.get_statement(request).await?.into_inner());
            let mut request = ListJournalsRequest {
                month,
                page_size: 500,
                ..Default::default()
            };
            loop {
                let page = self
                    .billing
                    .list_journals(request.clone())
                    .await?
                    .into_inner();
                stores.journals.extend(page.journals);
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
        }
        Ok(())
    }
}
