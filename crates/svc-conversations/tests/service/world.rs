//! A running service with a clock of its own, and short ways to talk to it.

use core_types::{
    ContactIdentity, Content, DeliveryStatus, Fact, FactBody, InboundMessage, NumberId,
    StatusUpdate, Timestamp, WabaId, WhatsAppMessageId,
};
use lib_platform::{Authenticator, AuthorizedChannel, Clock, IdSource, Parts, Role};
use lib_proto::accounts::directory_service_server::DirectoryServiceServer;
use lib_proto::conversations::conversation_log_service_client::ConversationLogServiceClient;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::receive_result::Outcome;
use lib_proto::conversations::{self as pb, log_entry::Event};
use lib_proto::flow_runner::flow_runner_service_server::FlowRunnerServiceServer;
use lib_proto::templates::template_service_server::TemplateServiceServer;
use lib_proto::timestamp_to_proto;
use lib_storage::lease::Member;
use lib_storage::{Engine, PostgresSettings, Profile, Servers, Storage};
use lib_testkit::servers::PostgresServer;
use lib_testkit::{Host, SERVICE, context, tokens, user, within};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::Streaming;

use crate::peers::{Flows, Templates, accounts};

/// When every test begins, in Unix seconds.
const START: i64 = 1_795_000_000;

/// A service that runs, maybe as several replicas.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) flows: Flows,
    pub(crate) storage: Storage,
    /// By number; empty places are replicas that do not run.
    pub(crate) replicas: Vec<Option<Host>>,
    ids: IdSource,
    peers: Host,
    folder: TempDir,
    /// Where the records are, if not in a file. It ends with the world.
    pub(crate) server: Option<PostgresServer>,
}

impl World {
    /// One replica, on the engine of this suite.
    pub(crate) async fn start() -> Self {
        Self::start_on(crate::ENGINE, 1).await
    }

    /// So many replicas on `engine`.
    pub(crate) async fn start_on(engine: Engine, replicas: usize) -> Self {
        let clock = Clock::virtual_at(Timestamp::from_seconds(START).unwrap());
        let flows = Flows::default();
        let parts = Parts::new()
            .grpc(DirectoryServiceServer::new(accounts()))
            .grpc(FlowRunnerServiceServer::new(flows.clone()))
            .grpc(TemplateServiceServer::new(Templates));
        let folder = TempDir::new().unwrap();
        let (storage, server) = match engine {
            Engine::Sqlite => {
                let folder = folder.path().to_owned();
                (Storage::Embedded { folder }, None)
            }
            Engine::Postgres => {
                let server = PostgresServer::start().await;
                let postgres = Some(PostgresSettings {
                    url: server.create_database().await,
                    connections: 8,
                });
                let servers = Servers {
                    postgres,
                    redis: None,
                    profile: Profile::A,
                };
                (Storage::Servers(servers), Some(server))
            }
        };
        let mut world = Self {
            peers: Host::peer(parts, &clock).await,
            clock,
            flows,
            storage,
            replicas: Vec::new(),
            ids: IdSource::counted(),
            folder,
            server,
        };
        for number in 0..replicas {
            world.replicas.push(None);
            world.run(number).await;
        }
        world
    }

    /// Starts a replica.
    pub(crate) async fn run(&mut self, number: usize) {
        let mut context = context(self.folder.path(), &self.clock, &self.peers.url);
        // Ids go on where they were: what is stored has its own.
        context.ids = self.ids.clone();
        context.storage = self.storage.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        context.me = Member {
            name: format!("replica-{number}"),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let config = svc_conversations::Config::default();
        let parts = svc_conversations::start(config, context.clone());
        let parts = parts.await.unwrap();
        let users = [
            ("ada", user("acme", "ada", Role::Agent)),
            ("bob", user("acme", "bob", Role::Agent)),
            ("sue", user("acme", "sue", Role::Supervisor)),
            ("eve", user("other", "eve", Role::Administrator)),
            ("root", user("acme", "root", Role::Administrator)),
        ];
        let who = Authenticator::new(self.clock.clone(), tokens(&users), None);
        let running = Host::serve(listener, parts, &context.life, who).await;
        self.replicas[number] = Some(running);
    }

    /// Stops the service and starts it again on the same records.
    pub(crate) async fn restart(&mut self) {
        self.replicas[0].take().unwrap().stop().await;
        self.run(0).await;
    }

    /// What is stored and does not follow from the log.
    pub(crate) async fn differences(&self) -> Vec<String> {
        let report = svc_conversations::verify_replay_of(&self.storage).await;
        report.unwrap().differences
    }

    /// Changes what is stored, behind the service's back.
    pub(crate) async fn tamper(&self, text: &'static str) {
        let touched = if self.server.is_none() {
            let file = self.folder.path().join("conversations.db");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::query(text)
                .execute(&pool)
                .await
                .unwrap()
                .rows_affected()
        } else {
            let servers = self.storage.servers().unwrap();
            let url = &servers.postgres.as_ref().unwrap().url;
            let url = format!("{url}?options=-csearch_path%3Dconversations");
            let pool = sqlx::PgPool::connect(&url).await.unwrap();
            sqlx::query(text)
                .execute(&pool)
                .await
                .unwrap()
                .rows_affected()
        };
        assert!(touched > 0);
    }

    /// Everything stored is what the log says.
    pub(crate) async fn verify(&self) {
        let report = svc_conversations::verify_replay_of(&self.storage).await;
        let report = report.unwrap();
        assert_eq!(report.differences, Vec::<String>::new());
        assert!(report.events > 0);
    }

    fn channel(&self, token: &str) -> AuthorizedChannel {
        let running = self.replicas.iter().flatten().next();
        running.unwrap().channel(token)
    }

    pub(crate) fn people(&self, token: &str) -> ConversationServiceClient<AuthorizedChannel> {
        ConversationServiceClient::new(self.channel(token))
    }

    pub(crate) fn log(&self) -> ConversationLogServiceClient<AuthorizedChannel> {
        ConversationLogServiceClient::new(self.channel(SERVICE))
    }

    pub(crate) async fn receive(&self, facts: Vec<Fact>) -> Vec<Outcome> {
        self.receive_items(facts)
            .await
            .iter()
            .map(pb::ReceiveResult::outcome)
            .collect()
    }

    pub(crate) async fn receive_items(&self, facts: Vec<Fact>) -> Vec<pb::ReceiveResult> {
        let request = self.items(&facts);
        self.log()
            .receive(request)
            .await
            .unwrap()
            .into_inner()
            .results
    }

    /// Items as ingress hands them on.
    pub(crate) fn items(&self, facts: &[Fact]) -> pb::ReceiveRequest {
        let items = facts.iter().map(|fact| pb::ReceivedItem {
            fact: Some(fact.into()),
            admitted_at: Some(timestamp_to_proto(self.clock.now())),
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        });
        pb::ReceiveRequest {
            items: items.collect(),
        }
    }

    /// A customer says something, and it is taken in.
    pub(crate) async fn says(&self, id: &str, phone: &str, body: &str) {
        let outcomes = self.receive(vec![self.text(id, phone, body)]).await;
        assert_eq!(outcomes, [Outcome::Taken]);
    }

    pub(crate) fn text(&self, id: &str, phone: &str, body: &str) -> Fact {
        let content = Content::Text {
            body: body.to_owned(),
            preview_url: false,
        };
        self.message("n1", id, phone, content)
    }

    pub(crate) fn message(&self, number: &str, id: &str, phone: &str, content: Content) -> Fact {
        fact(
            number,
            &format!("m:{id}"),
            FactBody::Message(Box::new(InboundMessage {
                id: WhatsAppMessageId::new(id).unwrap(),
                from: ContactIdentity::from_phone(phone).unwrap(),
                sent_at: self.clock.now(),
                content,
                context: None,
                referral: None,
                group_id: None,
                errors: Vec::new(),
            })),
        )
    }

    pub(crate) fn status(&self, wamid: &str, status: DeliveryStatus, callback: &str) -> Fact {
        fact(
            "n1",
            &format!("s:{wamid}:{}:", status.word()),
            FactBody::Status(Box::new(StatusUpdate {
                id: WhatsAppMessageId::new(wamid).unwrap(),
                status,
                occurred_at: self.clock.now(),
                recipient: ContactIdentity::default(),
                participant: None,
                callback_data: (!callback.is_empty()).then(|| format!("v1.{callback}")),
                pricing: None,
                billing_conversation: None,
                billing_conversation_expires: None,
                billing_conversation_origin: None,
                errors: Vec::new(),
            })),
        )
    }

    /// The one conversation of a phone number.
    pub(crate) async fn conversation(&self, phone: &str) -> pb::Conversation {
        let request = pb::ListConversationsRequest {
            contact: phone.to_owned(),
            ..pb::ListConversationsRequest::default()
        };
        let found = self.people(SERVICE).list_conversations(request).await;
        let mut found = found.unwrap().into_inner().conversations;
        assert_eq!(found.len(), 1, "conversations of {phone}");
        found.remove(0)
    }

    pub(crate) async fn engagement(&self, id: &str) -> pb::Engagement {
        let request = pb::GetEngagementRequest { id: id.to_owned() };
        let found = self.people(SERVICE).get_engagement(request).await;
        found.unwrap().into_inner()
    }

    pub(crate) async fn messages(&self, conversation: &str) -> Vec<pb::Message> {
        let request = pb::ListMessagesRequest {
            conversation_id: conversation.to_owned(),
            page_size: 500,
            ..pb::ListMessagesRequest::default()
        };
        let found = self.people(SERVICE).list_messages(request).await;
        found.unwrap().into_inner().messages
    }

    /// Follows the log from `cursor`.
    pub(crate) async fn watch(&self, token: &str, cursor: &str) -> Follower {
        let request = pb::WatchRequest {
            cursor: cursor.to_owned(),
            ..pb::WatchRequest::default()
        };
        let stream = self.people(token).watch(request).await.unwrap();
        Follower::of(stream.into_inner())
    }

    /// Follows what is to be sent.
    pub(crate) async fn outbox(&self) -> Intents {
        let request = pb::WatchOutboxRequest {
            sender: "test".to_owned(),
            ..pb::WatchOutboxRequest::default()
        };
        let stream = self.log().watch_outbox(request).await.unwrap();
        Intents::of(stream.into_inner())
    }

    pub(crate) async fn grant(&self, message: &str, attempt: u32) -> bool {
        let request = pb::StartAttemptsRequest {
            attempts: vec![pb::AttemptKey {
                message_id: message.to_owned(),
                attempt,
            }],
            sender: "test".to_owned(),
        };
        let answer = self.log().start_attempts(request).await.unwrap();
        answer.into_inner().granted[0]
    }

    pub(crate) async fn finish(
        &self,
        message: &str,
        attempt: u32,
        outcome: pb::attempt_result::Outcome,
    ) {
        let request = pb::FinishAttemptsRequest {
            results: vec![pb::AttemptResult {
                attempt: Some(pb::AttemptKey {
                    message_id: message.to_owned(),
                    attempt,
                }),
                outcome: Some(outcome),
            }],
        };
        self.log().finish_attempts(request).await.unwrap();
    }

    /// The next message of `conversation` that is announced and may be sent; its attempt has begun.
    pub(crate) async fn begin_next(
        &self,
        outbox: &mut Intents,
        conversation: &str,
    ) -> pb::OutboxIntent {
        loop {
            let intent = outbox.next().await;
            if intent.conversation_id == conversation
                && self.grant(&intent.message_id, intent.attempt).await
            {
                return intent;
            }
        }
    }

    /// Sends whatever is announced until `count` messages were accepted; returns their intents.
    pub(crate) async fn send_all(
        &self,
        outbox: &mut Intents,
        count: usize,
    ) -> Vec<pb::OutboxIntent> {
        let mut sent = Vec::new();
        while sent.len() < count {
            let intent = outbox.next().await;
            if self.grant(&intent.message_id, intent.attempt).await {
                let wamid = format!("wamid.{}", intent.message_id);
                self.finish(&intent.message_id, intent.attempt, accepted(&wamid))
                    .await;
                sent.push(intent);
            }
        }
        sent
    }

    pub(crate) async fn route(
        &self,
        engagement: &str,
        epoch: u32,
        record: pb::routing_record::Record,
    ) -> pb::RoutingRecordResult {
        let request = pb::RecordRoutingRequest {
            records: vec![pb::RoutingRecord {
                engagement_id: engagement.to_owned(),
                epoch,
                record: Some(record),
            }],
        };
        let answer = self.log().record_routing(request).await.unwrap();
        answer.into_inner().results.remove(0)
    }

    /// A customer chooses sales and `agent` takes the engagement; returns its id.
    pub(crate) async fn assigned(&self, phone: &str, agent: &str) -> String {
        self.says(&format!("w-a-{phone}"), phone, "hi").await;
        self.says(&format!("w-b-{phone}"), phone, "1").await;
        let engagement = self.conversation(phone).await.engagement_id;
        let answer = self.route(&engagement, 1, assign("o1", agent)).await;
        assert!(answer.accepted, "{}", answer.reason);
        engagement
    }
}

/// Entries as they come.
pub(crate) struct Follower {
    stream: Streaming<pb::WatchResponse>,
    waiting: Vec<pb::LogEntry>,
}

impl Follower {
    pub(crate) fn of(stream: Streaming<pb::WatchResponse>) -> Self {
        let waiting = Vec::new();
        Self { stream, waiting }
    }

    pub(crate) async fn next(&mut self) -> pb::LogEntry {
        while self.waiting.is_empty() {
            let answer = within(self.stream.message()).await.unwrap().unwrap();
            self.waiting = answer.entries;
        }
        self.waiting.remove(0)
    }

    /// Waits for an entry that `pick` takes.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = self.next().await.event.as_ref().and_then(&pick) {
                return found;
            }
        }
    }

    /// Waits until `message` ended in `state`.
    pub(crate) async fn ended(&mut self, message: &str, state: pb::SendState) -> pb::AttemptEnded {
        self.until(|event| match event {
            Event::AttemptEnded(ended)
                if ended.message_id == message && ended.send_state() == state =>
            {
                Some(ended.clone())
            }
            _ => None,
        })
        .await
    }
}

/// Intents as they come.
pub(crate) struct Intents {
    stream: Streaming<pb::WatchOutboxResponse>,
    waiting: Vec<pb::OutboxIntent>,
}

impl Intents {
    pub(crate) fn of(stream: Streaming<pb::WatchOutboxResponse>) -> Self {
        let waiting = Vec::new();
        Self { stream, waiting }
    }

    pub(crate) async fn next(&mut self) -> pb::OutboxIntent {
        while self.waiting.is_empty() {
            let answer = within(self.stream.message()).await.unwrap().unwrap();
            self.waiting = answer.intents;
        }
        self.waiting.remove(0)
    }
}

pub(crate) fn fact(number: &str, key: &str, body: FactBody) -> Fact {
    Fact {
        waba_id: WabaId::new("w1").unwrap(),
        number_id: NumberId::new(number).ok(),
        dedupe_key: key.to_owned(),
        body,
    }
}

pub(crate) fn accepted(wamid: &str) -> pb::attempt_result::Outcome {
    pb::attempt_result::Outcome::Accepted(pb::AttemptAccepted {
        whatsapp_message_id: wamid.to_owned(),
    })
}

pub(crate) fn assign(offer: &str, agent: &str) -> pb::routing_record::Record {
    pb::routing_record::Record::Assign(pb::Assign {
        offer_id: offer.to_owned(),
        agent_id: agent.to_owned(),
        wrap_up_seconds: 30,
    })
}
