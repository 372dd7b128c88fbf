//! The desk's connections: the stream to routing, the stream of the log, and single calls.

use std::time::Duration;

use anyhow::Context as _;
use lib_platform::channel::connect;
use lib_platform::{AuthorizedChannel, Clock};
use lib_proto::accounts::ListConnectorsRequest;
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::common::{Content, TemplateSend, TemplateText, Text, content};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{
    CompleteWrapUpRequest, GetConversationRequest, ListMessagesRequest, LogEntry,
    SendMessageRequest, StartWrapUpRequest, TransferToQueueRequest, WatchRequest,
};
use lib_proto::routing::desk_command;
use lib_proto::routing::desk_service_client::DeskServiceClient;
use lib_proto::routing::{
    AcceptOffer, AgentPresence, DeclineOffer, DeskCommand, DeskEvent, Heartbeat, OpenDesk,
    SetPresence,
};
use lib_proto::templates::template_service_client::TemplateServiceClient;
use lib_proto::templates::{ListTemplatesRequest, Template};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::agent::command::{self, Command};
use crate::agent::model::Desk;

/// Routing wants to hear from a desk at least every 30 s.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Messages of a conversation fetched for the screen.
const HISTORY: i32 = 200;

/// Something new for the desk.
#[derive(Debug)]
pub(crate) enum News {
    /// From routing.
    Desk(Box<DeskEvent>),
    /// From the log.
    Log(Box<LogEntry>),
    /// A connection broke, for the reason given.
    Broken(String),
}

/// The desk's connections.
pub(crate) struct Link {
    channel: AuthorizedChannel,
    commands: mpsc::Sender<desk_command::Command>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// Makes idempotency keys of this run differ from those of others.
    run: String,
    sent: u64,
}

impl Link {
    /// Opens the streams; they connect, and connect again, by themselves.
    ///
    /// # Errors
    /// When the address or the token cannot be used at all.
    pub(crate) fn open(
        server: &str,
        token: &str,
        capacity: u32,
    ) -> anyhow::Result<(Self, mpsc::Receiver<News>)> {
        let channel = connect(server, token)?;
        let (news, received) = mpsc::channel(256);
        let (commands, queue) = mpsc::channel(64);
        let desk = keep_desk(channel.clone(), capacity, queue, news.clone());
        let log = keep_log(channel.clone(), news);
        let run = Clock::system().now().as_micros().to_string();
        let tasks = vec![tokio::spawn(desk), tokio::spawn(log)];
        Ok((
            Self {
                channel,
                commands,
                tasks,
                run,
                sent: 0,
            },
            received,
        ))
    }

    /// Closes the streams.
    pub(crate) fn close(self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }

    fn conversations(&self) -> ConversationServiceClient<AuthorizedChannel> {
        ConversationServiceClient::new(self.channel.clone())
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// With a sentence for the agent.
    pub(crate) async fn carry_out(
        &mut self,
        desk: &mut Desk,
        command: Command,
    ) -> Result<(), String> {
        match command {
            Command::Ready => self.presence(AgentPresence::Ready),
            Command::Away => self.presence(AgentPresence::NotReady),
            Command::Accept => {
                let offer = desk.offers.first().ok_or("There is no offer to accept.")?;
                let (offer_id, epoch) = (offer.id.clone(), offer.epoch);
                self.command(desk_command::Command::Accept(AcceptOffer {
                    offer_id,
                    epoch,
                }))
            }
            Command::Decline => {
                let offer = desk.offers.first().ok_or("There is no offer to decline.")?;
                let (offer_id, epoch) = (offer.id.clone(), offer.epoch);
                self.command(desk_command::Command::Decline(DeclineOffer {
                    offer_id,
                    epoch,
                }))
            }
            Command::Say(body) => {
                let text = content::Content::Text(Text {
                    body,
                    preview_url: true,
                });
                self.send(
                    desk,
                    Content {
                        content: Some(text),
                    },
                )
                .await
            }
            Command::Templates => {
                let templates = self.templates().await?;
                let names = templates
                    .iter()
                    .map(|t| format!("{} ({})", t.name, t.language));
                let names: Vec<_> = names.collect();
                desk.notice = Some(format!("Approved: {}", names.join(", ")));
                Ok(())
            }
            Command::Template {
                name,
                language,
                values,
            } => self.send_template(desk, &name, language, values).await,
            Command::WrapUp => self.wrap_up(desk).await,
            Command::Done { disposition, note } => self.done(desk, disposition, note).await,
            Command::Transfer(queue_id) => self.transfer(desk, queue_id).await,
            Command::Next => {
                desk.next();
                Ok(())
            }
            Command::Help => {
                desk.notice = Some(command::HELP.to_owned());
                Ok(())
            }
            Command::Quit => Ok(()),
        }
    }

    fn presence(&self, presence: AgentPresence) -> Result<(), String> {
        let presence = SetPresence {
            presence: presence.into(),
        };
        self.command(desk_command::Command::SetPresence(presence))
    }

    fn command(&self, command: desk_command::Command) -> Result<(), String> {
        self.commands
            .try_send(command)
            .map_err(|_| "There is no connection yet.".to_owned())
    }

    async fn send(&mut self, desk: &Desk, content: Content) -> Result<(), String> {
        let (engagement_id, epoch) = seen(desk)?;
        let conversation_id = desk
            .current()
            .map(|open| open.engagement.conversation_id.clone())
            .unwrap_or_default();
        self.sent += 1;
        let request = SendMessageRequest {
            conversation_id,
            content: Some(content),
            idempotency_key: format!("desk-{}-{}", self.run, self.sent),
            engagement_id,
            epoch,
            ..Default::default()
        };
        self.conversations()
            .send_message(request)
            .await
            .map(|_| ())
            .map_err(sentence)
    }

    async fn templates(&self) -> Result<Vec<Template>, String> {
        let connectors = AccountServiceClient::new(self.channel.clone())
            .list_connectors(ListConnectorsRequest::default())
            .await
            .map_err(sentence)?;
        let mut found = Vec::new();
        for connector in connectors.into_inner().connectors {
            let request = ListTemplatesRequest {
                connector_id: connector.id,
                statuses: vec!["APPROVED".to_owned()],
                page_size: 100,
                page_token: String::new(),
            };
            let mut client = TemplateServiceClient::new(self.channel.clone());
            let page = client.list_templates(request);
            found.extend(page.await.map_err(sentence)?.into_inner().templates);
        }
        Ok(found)
    }

    async fn send_template(
        &mut self,
        desk: &Desk,
        name: &str,
        mut language: String,
        values: Vec<String>,
    ) -> Result<(), String> {
        if language.is_empty() {
            let templates = self.templates().await?;
            let template = templates.iter().find(|template| template.name == name);
            let template = template.ok_or_else(|| {
                format!("There is no approved template `{name}`; see /templates.")
            })?;
            language.clone_from(&template.language);
        }
        let body = values.into_iter().map(|text| TemplateText {
            name: String::new(),
            text,
        });
        let template = TemplateSend {
            name: name.to_owned(),
            language,
            body: body.collect(),
            ..Default::default()
        };
        let content = Content {
            content: Some(content::Content::Template(template)),
        };
        self.send(desk, content).await
    }

    async fn wrap_up(&self, desk: &Desk) -> Result<(), String> {
        let (engagement_id, epoch) = seen(desk)?;
        let request = StartWrapUpRequest {
            engagement_id,
            epoch,
        };
        self.conversations()
            .start_wrap_up(request)
            .await
            .map(|_| ())
            .map_err(sentence)
    }

    async fn done(&self, desk: &Desk, disposition: String, note: String) -> Result<(), String> {
        let (engagement_id, epoch) = seen(desk)?;
        let open = desk.current().ok_or("There is no conversation on show.")?;
        let allowed = &open.engagement.dispositions;
        if !allowed.is_empty() && !allowed.contains(&disposition) {
            return Err(format!("/done needs one of: {}", allowed.join(", ")));
        }
        if open.engagement.state == "assigned" {
            self.wrap_up(desk).await?;
        }
        let request = CompleteWrapUpRequest {
            engagement_id,
            epoch,
            disposition,
            note,
        };
        self.conversations()
            .complete_wrap_up(request)
            .await
            .map(|_| ())
            .map_err(sentence)
    }

    async fn transfer(&self, desk: &Desk, queue_id: String) -> Result<(), String> {
        let (engagement_id, epoch) = seen(desk)?;
        let request = TransferToQueueRequest {
            engagement_id,
            epoch,
            queue_id,
        };
        self.conversations()
            .transfer_to_queue(request)
            .await
            .map(|_| ())
            .map_err(sentence)
    }

    /// Fetches a conversation's history for the screen.
    ///
    /// # Errors
    /// With a sentence for the agent.
    pub(crate) async fn load(&self, desk: &mut Desk, conversation: &str) -> Result<(), String> {
        let request = GetConversationRequest {
            id: conversation.to_owned(),
        };
        let found = self
            .conversations()
            .get_conversation(request)
            .await
            .map_err(sentence)?;
        let request = ListMessagesRequest {
            conversation_id: conversation.to_owned(),
            page_size: HISTORY,
            newest_first: true,
            ..Default::default()
        };
        let messages = self
            .conversations()
            .list_messages(request)
            .await
            .map_err(sentence)?;
        let mut messages = messages.into_inner().messages;
        messages.reverse();
        desk.set_history(conversation, &messages, found.into_inner().window);
        Ok(())
    }
}

/// What the agent sees of the engagement on show: every command carries it.
fn seen(desk: &Desk) -> Result<(String, u32), String> {
    let open = desk.current().ok_or("There is no conversation on show.")?;
    Ok((open.engagement.engagement_id.clone(), open.engagement.epoch))
}

fn sentence(status: Status) -> String {
    status.message().to_owned()
}

/// Keeps the desk's stream up.
async fn keep_desk(
    channel: AuthorizedChannel,
    capacity: u32,
    mut commands: mpsc::Receiver<desk_command::Command>,
    news: mpsc::Sender<News>,
) {
    let mut pause = Duration::from_millis(100);
    let mut count = 0_u64;
    let run = Clock::system().now().as_micros();
    loop {
        let mut id = || {
            count += 1;
            format!("{run}-{count}")
        };
        let outcome = run_desk(&channel, capacity, &mut commands, &news, &mut id).await;
        let Err(error) = outcome else { return };
        if news.send(News::Broken(format!("{error:#}"))).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

async fn run_desk(
    channel: &AuthorizedChannel,
    capacity: u32,
    commands: &mut mpsc::Receiver<desk_command::Command>,
    news: &mpsc::Sender<News>,
    id: &mut impl FnMut() -> String,
) -> anyhow::Result<()> {
    let (outgoing, stream) = mpsc::channel(64);
    let mut wrap = |command| DeskCommand {
        command_id: id(),
        command: Some(command),
    };
    outgoing
        .send(wrap(desk_command::Command::Open(OpenDesk { capacity })))
        .await?;
    let mut client = DeskServiceClient::new(channel.clone());
    let opened = client.desk(ReceiverStream::new(stream)).await;
    let mut events = opened
        .map_err(|status| anyhow::anyhow!("{}", status.message()))
        .context("no connection")?
        .into_inner();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => outgoing.send(wrap(command)).await?,
                None => return Ok(()),
            },
            _ = heartbeat.tick() => {
                outgoing.send(wrap(desk_command::Command::Heartbeat(Heartbeat {}))).await?;
            }
            event = events.message() => {
                let event = event.map_err(|status| anyhow::anyhow!("{}", status.message()))?;
                let event = event.context("the desk was closed")?;
                if news.send(News::Desk(Box::new(event))).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Follows the log from now on, for ever.
async fn keep_log(channel: AuthorizedChannel, news: mpsc::Sender<News>) {
    let mut cursor = "now".to_owned();
    let mut pause = Duration::from_millis(100);
    while follow_log(&channel, &mut cursor, &news).await.is_err() {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

async fn follow_log(
    channel: &AuthorizedChannel,
    cursor: &mut String,
    news: &mpsc::Sender<News>,
) -> anyhow::Result<()> {
    let request = WatchRequest {
        cursor: cursor.clone(),
        ..Default::default()
    };
    let mut stream = ConversationServiceClient::new(channel.clone())
        .watch(request)
        .await?
        .into_inner();
    while let Some(batch) = stream.message().await? {
        if "now" == cursor.as_str() {
            *cursor = batch.head;
        }
        for entry in batch.entries {
            cursor.clone_from(&entry.cursor);
            if news.send(News::Log(Box::new(entry))).await.is_err() {
                return Ok(());
            }
        }
    }
    anyhow::bail!("the log's stream ended")
}
