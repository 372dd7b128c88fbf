//! The demo's private instance and what its script needs of it: streams to wait on, and a clock to
//! turn. Waiting is always for something that happens, with an outer bound in real time.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use core_types::Timestamp;
use lib_platform::channel::connect;
use lib_platform::{AuthorizedChannel, Clock, IdSource};
use lib_proto::common::{Content, Text, content};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{LogEntry, WatchRequest, WatchResponse};
use lib_proto::routing::desk_event;
use lib_proto::routing::desk_service_client::DeskServiceClient;
use lib_proto::routing::{DeskCommand, DeskEvent, desk_command};
use lib_proto::sandbox::phone_service_client::PhoneServiceClient;
use lib_proto::sandbox::{PhoneEvent, SendFromPhoneRequest, WatchPhoneRequest, phone_event};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::installation::{Installation, Sending, Settings, dev_token};
use crate::seed;

/// Longest wait for anything, in real time. The demo takes a second or two in all.
const PATIENCE: Duration = Duration::from_secs(20);
/// 2026-11-23T14:00:00Z, a Monday morning in New York.
const OPENING: i64 = 1_795_442_400;

/// The private instance with the streams the script watches.
pub(crate) struct Stage {
    installation: Installation,
    folder: TempDir,
    pub(crate) clock: Clock,
    log: Streaming<WatchResponse>,
    entries: VecDeque<LogEntry>,
    phone: Streaming<PhoneEvent>,
    arrivals: VecDeque<Content>,
}

/// One agent's desk.
pub(crate) struct Desk {
    commands: mpsc::Sender<DeskCommand>,
    events: Streaming<DeskEvent>,
    unread: VecDeque<DeskEvent>,
    sent: u32,
}

impl Stage {
    /// Starts the instance on ports of its own.
    ///
    /// # Errors
    /// When it cannot start.
    pub(crate) async fn set() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = Clock::virtual_at(Timestamp::from_seconds(OPENING)?);
        let any = || "127.0.0.1:0".to_owned();
        let installation = Installation::start(Settings {
            data_dir: folder.path().to_owned(),
            http: any(),
            grpc: any(),
            sandbox: any(),
            admin: any(),
            clock: clock.clone(),
            ids: IdSource::counted(),
            sending: Sending::default(),
        })
        .await?;
        let admin = connect(&installation.grpc_url, &dev_token("admin"))?;
        let log = ConversationServiceClient::new(admin.clone())
            .watch(WatchRequest::default())
            .await?
            .into_inner();
        let watch = WatchPhoneRequest {
            customer: Some(maria()),
            number_id: seed::NUMBER_ID.to_owned(),
            only_new: false,
        };
        let phone = PhoneServiceClient::new(admin)
            .watch_phone(watch)
            .await?
            .into_inner();
        let (entries, arrivals) = (VecDeque::new(), VecDeque::new());
        Ok(Self {
            installation,
            folder,
            clock,
            log,
            entries,
            phone,
            arrivals,
        })
    }

    /// Stops the instance and hands its data over.
    ///
    /// # Errors
    /// When it does not stop cleanly.
    pub(crate) async fn strike(self) -> anyhow::Result<TempDir> {
        drop((self.log, self.phone));
        self.installation.stop().await?;
        Ok(self.folder)
    }

    /// A channel with the development credential of `user`.
    ///
    /// # Errors
    /// Never in practice: the token is plain text.
    pub(crate) fn as_user(&self, user: &str) -> anyhow::Result<AuthorizedChannel> {
        connect(&self.installation.grpc_url, &dev_token(user))
    }

    /// The time on the virtual clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Turns the clock.
    pub(crate) fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Waits for the next log entry, not yet taken, that `pick` likes, and takes it.
    ///
    /// # Errors
    /// When none comes.
    pub(crate) async fn logged<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut looked_at = 0;
        loop {
            while let Some(entry) = self.entries.get(looked_at) {
                if let Some(found) = entry.event.as_ref().and_then(&mut pick) {
                    self.entries.remove(looked_at);
                    return Ok(found);
                }
                looked_at += 1;
            }
            let more = within(what, self.log.message()).await?;
            self.entries.extend(more.context("the log ended")?.entries);
        }
    }

    /// Waits for the next message to arrive on the customer's phone.
    ///
    /// # Errors
    /// When none comes.
    pub(crate) async fn arrived(&mut self) -> anyhow::Result<Content> {
        loop {
            if let Some(content) = self.arrivals.pop_front() {
                return Ok(content);
            }
            let event = within("a message on the phone", self.phone.message()).await?;
            let event = event.context("the phone's stream ended")?;
            if let Some(phone_event::Event::Arrived(content)) = event.event {
                self.arrivals.push_back(content);
            }
        }
    }

    /// The customer writes or taps.
    ///
    /// # Errors
    /// When the sandbox refuses.
    pub(crate) async fn customer_sends(&mut self, content: Content) -> anyhow::Result<()> {
        let request = SendFromPhoneRequest {
            customer: Some(maria()),
            number_id: seed::NUMBER_ID.to_owned(),
            content: Some(content),
            ..Default::default()
        };
        PhoneServiceClient::new(self.as_user("admin")?)
            .send_from_phone(request)
            .await?;
        Ok(())
    }

    /// Opens an agent's desk.
    ///
    /// # Errors
    /// When routing refuses.
    pub(crate) async fn open_desk(&self, agent: &str) -> anyhow::Result<Desk> {
        let (commands, outgoing) = mpsc::channel(8);
        let channel = self.as_user(agent)?;
        let open = desk_command::Command::Open(lib_proto::routing::OpenDesk { capacity: 1 });
        let command = DeskCommand {
            command_id: format!("{agent}-0"),
            command: Some(open),
        };
        commands.send(command).await.context("the desk is closed")?;
        let events = DeskServiceClient::new(channel)
            .desk(ReceiverStream::new(outgoing))
            .await?
            .into_inner();
        Ok(Desk {
            commands,
            events,
            unread: VecDeque::new(),
            sent: 0,
        })
    }
}

impl Desk {
    /// Sends a command.
    ///
    /// # Errors
    /// When the desk is closed.
    pub(crate) async fn send(&mut self, command: desk_command::Command) -> anyhow::Result<()> {
        self.sent += 1;
        let command_id = format!("demo-{}", self.sent);
        let command = DeskCommand {
            command_id,
            command: Some(command),
        };
        self.commands
            .send(command)
            .await
            .context("the desk is closed")
    }

    /// Waits for the next event, not yet taken, that `pick` likes, and takes it.
    ///
    /// # Errors
    /// When none comes.
    pub(crate) async fn event<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&desk_event::Event) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut looked_at = 0;
        loop {
            while let Some(event) = self.unread.get(looked_at) {
                if let Some(found) = event.event.as_ref().and_then(&mut pick) {
                    self.unread.remove(looked_at);
                    return Ok(found);
                }
                looked_at += 1;
            }
            let event = within(what, self.events.message()).await?;
            self.unread
                .push_back(event.context("the desk's stream ended")?);
        }
    }
}

/// The demo's customer.
pub(crate) fn maria() -> lib_proto::common::ContactIdentity {
    lib_proto::common::ContactIdentity {
        phone: "16505550134".to_owned(),
        display_name: "Maria".to_owned(),
        ..Default::default()
    }
}

/// Plain text.
pub(crate) fn text(body: &str) -> Content {
    let text = Text {
        body: body.to_owned(),
        preview_url: false,
    };
    Content {
        content: Some(content::Content::Text(text)),
    }
}

/// Bounds a wait in real time.
async fn within<T, E: Into<anyhow::Error>>(
    what: &str,
    wait: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(outcome) => outcome
            .map_err(Into::into)
            .with_context(|| format!("waiting for {what}")),
        Err(_) => anyhow::bail!("{what} did not come within {} s", PATIENCE.as_secs()),
    }
}
