//! Single calls on the agent's behalf. What changes something is done in the order it was asked
//! for; reading goes on beside it. What comes of a call is news.

use std::collections::BTreeMap;
use std::time::Duration;

use lib_platform::{AuthorizedChannel, Peers};
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::accounts::{ListConnectorsRequest, ListUsersRequest};
use lib_proto::common::{Content, Text, content};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{
    CompleteWrapUpRequest, GetConversationRequest, ListMessagesRequest, SendMessageRequest,
    StartWrapUpRequest, TransferToQueueRequest,
};
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::{ListQueuesRequest, Queue};
use lib_proto::templates::template_service_client::TemplateServiceClient;
use lib_proto::templates::{ListTemplatesRequest, Template};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::agent::link::News;
use crate::agent::template;
use crate::terminal::sentence;

/// Messages of a conversation fetched for the screen.
const HISTORY: i32 = 200;
/// Waits between tries of a call that found no connection.
const WAITS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_secs(3),
];

/// What the agent saw of an engagement: every call about it carries this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) conversation: String,
    pub(crate) engagement: String,
    pub(crate) epoch: u32,
}

/// What a message is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    Text(String),
    /// A template's name, and what was typed after it.
    Template {
        name: String,
        rest: String,
    },
}

/// A call to make.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Send a message; `typed` is what the agent typed for it.
    Send {
        seen: Seen,
        saying: Saying,
        typed: String,
    },
    /// Start wrap-up.
    WrapUp(Seen),
    /// File and close; starts wrap-up first where it has not begun.
    Complete {
        seen: Seen,
        talking: bool,
        disposition: String,
        note: String,
    },
    /// Hand over to a queue, by id or name; without either, say which there are.
    Transfer { seen: Seen, queue: String },
    /// Fetch a conversation.
    Load(String),
    /// Fetch the approved templates.
    Templates,
    /// Fetch people's names.
    Names,
}

/// The services a desk calls.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) routing: AuthorizedChannel,
    pub(crate) conversations: AuthorizedChannel,
    accounts: AuthorizedChannel,
    templates: AuthorizedChannel,
}

impl Services {
    /// Those of `peers`.
    ///
    /// # Errors
    /// When one has no address.
    pub(crate) fn of(peers: &Peers) -> anyhow::Result<Self> {
        Ok(Self {
            routing: peers.channel("routing")?,
            conversations: peers.channel("conversations")?,
            accounts: peers.channel("accounts")?,
            templates: peers.channel("templates")?,
        })
    }
}

/// The way to the worker.
pub(crate) struct Calls(mpsc::UnboundedSender<Job>);

impl Calls {
    /// Starts the worker. `run` makes idempotency keys of this run differ from those of others.
    pub(crate) fn open(
        services: Services,
        news: mpsc::Sender<News>,
        run: i64,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let worker = Worker {
            services,
            news,
            run,
            sent: 0,
            unsure: None,
        };
        (Self(jobs), tokio::spawn(worker.run(queue)))
    }

    /// Asks for a call.
    pub(crate) fn ask(&self, job: Job) {
        // The worker lives as long as the link.
        let _ = self.0.send(job);
    }
}

/// A message of which nobody knows whether it was taken: what was typed, and its key.
struct Unsure {
    engagement: String,
    typed: String,
    key: String,
}

struct Worker {
    services: Services,
    news: mpsc::Sender<News>,
    run: i64,
    sent: u64,
    unsure: Option<Unsure>,
}

impl Worker {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.recv().await {
            match job {
                Job::Load(_) | Job::Templates | Job::Names => {
                    let reader = Reader {
                        services: self.services.clone(),
                    };
                    let news = self.news.clone();
                    tokio::spawn(async move {
                        // The desk may be closed meanwhile.
                        let _ = news.send(reader.read(job).await).await;
                    });
                }
                Job::Send {
                    seen,
                    saying,
                    typed,
                } => self.send(seen, saying, typed).await,
                Job::Transfer { seen, queue } => {
                    let outcome = self.transfer(seen, &queue).await;
                    self.explain(outcome).await;
                }
                other => {
                    let outcome = self.change(other).await;
                    self.explain(outcome.map_err(|status| sentence(&status)))
                        .await;
                }
            }
        }
    }

    async fn explain(&self, outcome: Result<(), String>) {
        if let Err(problem) = outcome {
            self.notice(format!("Not done: {problem}.")).await;
        }
    }

    async fn notice(&self, text: String) {
        // The desk may be closed meanwhile.
        let _ = self.news.send(News::Notice(text)).await;
    }

    async fn send(&mut self, seen: Seen, saying: Saying, typed: String) {
        let key = self.key(&seen, &typed);
        match self.send_with(&seen, saying, &typed, &key).await {
            Ok(()) => {}
            Err(problem) => {
                let lost = News::NotSent {
                    engagement: seen.engagement,
                    typed,
                    problem,
                };
                // The desk may be closed meanwhile.
                let _ = self.news.send(lost).await;
            }
        }
    }

    /// The same text, sent again after an unknown outcome, has the same key: it goes out once.
    fn key(&mut self, seen: &Seen, typed: &str) -> String {
        if let Some(unsure) = self.unsure.take()
            && unsure.engagement == seen.engagement
            && unsure.typed == typed
        {
            return unsure.key;
        }
        self.sent += 1;
        format!("desk-{}-{}", self.run, self.sent)
    }

    async fn send_with(
        &mut self,
        seen: &Seen,
        saying: Saying,
        typed: &str,
        key: &str,
    ) -> Result<(), String> {
        let content = match saying {
            Saying::Text(body) => content::Content::Text(Text {
                body,
                preview_url: true,
            }),
            Saying::Template { name, rest } => {
                let templates = templates(&self.services)
                    .await
                    .map_err(|status| sentence(&status))?;
                let (template, values) = template::find(&templates, &name, &rest)?;
                content::Content::Template(template::fill(template, &values)?)
            }
        };
        let request = SendMessageRequest {
            conversation_id: seen.conversation.clone(),
            content: Some(Content {
                content: Some(content),
            }),
            idempotency_key: key.to_owned(),
            engagement_id: seen.engagement.clone(),
            epoch: seen.epoch,
            ..Default::default()
        };
        let mut waits = WAITS.iter();
        loop {
            let mut client = ConversationServiceClient::new(self.services.conversations.clone());
            let Err(status) = client.send_message(request.clone()).await else {
                return Ok(());
            };
            if !is_transport(&status) {
                return Err(sentence(&status));
            }
            let Some(wait) = waits.next() else {
                self.unsure = Some(Unsure {
                    engagement: seen.engagement.clone(),
                    typed: typed.to_owned(),
                    key: key.to_owned(),
                });
                return Err(sentence(&status));
            };
            self.notice("No connection; still trying to send …".to_owned())
                .await;
            tokio::time::sleep(*wait).await;
        }
    }

    async fn change(&self, job: Job) -> Result<(), Status> {
        let mut client = ConversationServiceClient::new(self.services.conversations.clone());
        match job {
            Job::WrapUp(seen) => {
                client.start_wrap_up(start(&seen)).await?;
            }
            Job::Complete {
                seen,
                talking,
                disposition,
                note,
            } => {
                if talking {
                    client.start_wrap_up(start(&seen)).await?;
                }
                let request = CompleteWrapUpRequest {
                    engagement_id: seen.engagement,
                    epoch: seen.epoch,
                    disposition,
                    note,
                };
                client.complete_wrap_up(request).await?;
            }
            Job::Send { .. }
            | Job::Transfer { .. }
            | Job::Load(_)
            | Job::Templates
            | Job::Names => {}
        }
        Ok(())
    }

    /// Hands over to a queue given by id or name. A queue that is not there would keep the customer
    /// waiting for ever, so it is looked up first.
    async fn transfer(&self, seen: Seen, wanted: &str) -> Result<(), String> {
        let queues = queues(&self.services.routing).await;
        let queues = queues.map_err(|status| sentence(&status))?;
        let is_wanted = |queue: &&Queue| {
            queue.id == wanted || queue.name.to_lowercase() == wanted.to_lowercase()
        };
        let Some(queue) = queues.iter().find(is_wanted) else {
            let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
            let there = names.join(", ");
            return Err(if wanted.is_empty() {
                format!("to which queue? There are {there}")
            } else {
                format!("there is no queue `{wanted}`, only {there}")
            });
        };
        let request = TransferToQueueRequest {
            engagement_id: seen.engagement,
            epoch: seen.epoch,
            queue_id: queue.id.clone(),
        };
        let mut client = ConversationServiceClient::new(self.services.conversations.clone());
        let outcome = client.transfer_to_queue(request).await;
        outcome.map(|_| ()).map_err(|status| sentence(&status))
    }
}

fn start(seen: &Seen) -> StartWrapUpRequest {
    StartWrapUpRequest {
        engagement_id: seen.engagement.clone(),
        epoch: seen.epoch,
    }
}

fn is_transport(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded
    )
}

struct Reader {
    services: Services,
}

impl Reader {
    /// Reads, and again where there is no connection: nobody asks for the same a second time.
    async fn read(self, job: Job) -> News {
        let mut waits = WAITS.iter();
        loop {
            let read = match &job {
                Job::Load(conversation) => self.load(conversation).await,
                Job::Templates => templates(&self.services).await.map(News::Templates),
                _ => self.names().await,
            };
            let status = match read {
                Ok(news) => return news,
                Err(status) => status,
            };
            match waits.next() {
                Some(wait) if is_transport(&status) => tokio::time::sleep(*wait).await,
                _ => return News::Notice(format!("Not read: {}.", sentence(&status))),
            }
        }
    }

    async fn load(&self, conversation: &str) -> Result<News, Status> {
        let mut client = ConversationServiceClient::new(self.services.conversations.clone());
        let request = GetConversationRequest {
            id: conversation.to_owned(),
        };
        let window = client.get_conversation(request).await?.into_inner().window;
        let request = ListMessagesRequest {
            conversation_id: conversation.to_owned(),
            page_size: HISTORY,
            newest_first: true,
            ..Default::default()
        };
        let mut messages = client.list_messages(request).await?.into_inner().messages;
        messages.reverse();
        Ok(News::History {
            conversation: conversation.to_owned(),
            messages,
            window,
        })
    }

    async fn names(&self) -> Result<News, Status> {
        let mut client = AccountServiceClient::new(self.services.accounts.clone());
        let mut names = BTreeMap::new();
        let mut request = ListUsersRequest::default();
        loop {
            let page = client.list_users(request.clone()).await?.into_inner();
            for user in page.users {
                names.insert(user.id, user.display_name);
            }
            if page.next_page_token.is_empty() {
                return Ok(News::Names(names));
            }
            request.page_token = page.next_page_token;
        }
    }
}

async fn queues(channel: &AuthorizedChannel) -> Result<Vec<Queue>, Status> {
    let mut client = RoutingServiceClient::new(channel.clone());
    let mut found = Vec::new();
    let mut request = ListQueuesRequest::default();
    loop {
        let page = client.list_queues(request.clone()).await?.into_inner();
        found.extend(page.queues);
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = page.next_page_token;
    }
}

/// The approved templates of every connector, in order.
async fn templates(services: &Services) -> Result<Vec<Template>, Status> {
    let connectors = AccountServiceClient::new(services.accounts.clone())
        .list_connectors(ListConnectorsRequest::default())
        .await?;
    let mut found = Vec::new();
    for connector in connectors.into_inner().connectors {
        let mut request = ListTemplatesRequest {
            connector_id: connector.id,
            statuses: vec!["APPROVED".to_owned()],
            page_size: 100,
            page_token: String::new(),
        };
        loop {
            let mut client = TemplateServiceClient::new(services.templates.clone());
            let page = client.list_templates(request.clone()).await?.into_inner();
            found.extend(page.templates);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
    }
    Ok(found)
}
