//! The desk's connections: the stream to routing and the stream of the log, both kept up, and the
//! way to the worker that makes single calls.

use std::collections::BTreeMap;
use std::time::Duration;

use lib_platform::{AuthorizedChannel, Clock};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{LogEntry, Message, WatchRequest, Window};
use lib_proto::routing::desk_command;
use lib_proto::routing::desk_service_client::DeskServiceClient;
use lib_proto::routing::{DeskCommand, DeskEvent, Heartbeat, OpenDesk};
use lib_proto::templates::Template;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::agent::calls::{Calls, Job, Services};
use crate::client;
use crate::terminal::Trouble;

/// Routing wants to hear from a desk at least every 30 s.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// First wait before connecting again.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Refusals in a row, before anything has worked, after which there is no point in going on. Not
/// one, because an installation that just starts may not know its people yet.
const REFUSALS: u32 = 4;

/// Something new for the desk.
#[derive(Debug)]
pub(crate) enum News {
    /// From routing.
    Desk(Box<DeskEvent>),
    /// The log is followed from here on; what happened before must be fetched.
    LogStands,
    /// From the log.
    Log(Box<LogEntry>),
    /// The desk has no connection, for the reason given; `hopeless` when waiting will not help.
    Down { problem: String, hopeless: bool },
    /// The same agent's desk was opened in another terminal, and goes on there.
    Elsewhere,
    /// A conversation as it stands.
    History {
        conversation: String,
        messages: Vec<Message>,
        window: Option<Window>,
    },
    /// The approved templates.
    Templates(Vec<Template>),
    /// People's names by their ids.
    Names(BTreeMap<String, String>),
    /// Something the agent should read.
    Notice(String),
    /// What was typed for an engagement could not be sent.
    NotSent {
        engagement: String,
        typed: String,
        problem: String,
    },
}

/// What the desk's stream is asked for.
#[derive(Debug)]
enum Wish {
    Command(desk_command::Command),
    /// Take the desk back from the other terminal.
    Reopen,
}

/// The desk's connections. Closed when dropped.
pub(crate) struct Link {
    wishes: mpsc::Sender<Wish>,
    calls: Calls,
    tasks: Vec<tokio::task::JoinHandle<()>>,
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
        let services = Services::of(&client::peers(server, token)?)?;
        let (news, received) = mpsc::channel(256);
        let (wishes, queue) = mpsc::channel(64);
        let run = Clock::system().now().as_micros();
        let desk = DeskLine {
            channel: services.routing.clone(),
            server: server.to_owned(),
            capacity,
            wishes: queue,
            news: news.clone(),
            run,
            count: 0,
        };
        let (calls, work) = Calls::open(services.clone(), news.clone(), run);
        let tasks = vec![
            tokio::spawn(desk.keep()),
            tokio::spawn(keep_log(services.conversations, news)),
            work,
        ];
        Ok((
            Self {
                wishes,
                calls,
                tasks,
            },
            received,
        ))
    }

    /// Sends a command to routing.
    ///
    /// # Errors
    /// With a sentence for the agent.
    pub(crate) fn command(&self, command: desk_command::Command) -> Result<(), String> {
        self.wish(Wish::Command(command))
    }

    /// Takes the desk back from another terminal.
    ///
    /// # Errors
    /// With a sentence for the agent.
    pub(crate) fn reopen(&self) -> Result<(), String> {
        self.wish(Wish::Reopen)
    }

    fn wish(&self, wish: Wish) -> Result<(), String> {
        self.wishes
            .try_send(wish)
            .map_err(|_| "There is no connection yet.".to_owned())
    }

    /// Has a call made; what comes of it is news.
    pub(crate) fn call(&self, job: Job) {
        self.calls.ask(job);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// How a stream ended.
enum End {
    /// Nobody wants it any more.
    Unwanted,
    Broken(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Broken(status)
    }
}

/// Nobody listens to news any more.
struct Unheard;

impl From<Unheard> for End {
    fn from(_: Unheard) -> Self {
        Self::Unwanted
    }
}

async fn tell(news: &mpsc::Sender<News>, item: News) -> Result<(), Unheard> {
    news.send(item).await.map_err(|_| Unheard)
}

/// The stream to routing.
struct DeskLine {
    channel: AuthorizedChannel,
    server: String,
    capacity: u32,
    wishes: mpsc::Receiver<Wish>,
    news: mpsc::Sender<News>,
    run: i64,
    count: u64,
}

impl DeskLine {
    /// Keeps the stream up, until nobody wants it.
    async fn keep(mut self) {
        let mut pause = PAUSE;
        let mut stood = false;
        let mut refusals = 0;
        loop {
            let mut stands = false;
            let End::Broken(status) = self.run(&mut stands).await else {
                return;
            };
            stood |= stands;
            if stands {
                pause = PAUSE;
            }
            let trouble = Trouble::of(&status);
            refusals = match trouble {
                Trouble::Refused(_) => refusals + 1,
                Trouble::Unreachable | Trouble::Elsewhere => 0,
            };
            let item = match &trouble {
                Trouble::Elsewhere => News::Elsewhere,
                Trouble::Unreachable | Trouble::Refused(_) => News::Down {
                    problem: trouble.sentence(&self.server),
                    hopeless: !stood && refusals >= REFUSALS,
                },
            };
            if tell(&self.news, item).await.is_err() {
                return;
            }
            if trouble == Trouble::Elsewhere {
                // Two terminals that both insist would take the desk from each other for ever.
                if !self.wait_for_reopen().await {
                    return;
                }
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn wait_for_reopen(&mut self) -> bool {
        loop {
            match self.wishes.recv().await {
                Some(Wish::Reopen) => return true,
                Some(Wish::Command(_)) => {}
                None => return false,
            }
        }
    }

    fn wrap(&mut self, command: desk_command::Command) -> DeskCommand {
        self.count += 1;
        DeskCommand {
            command_id: format!("{}-{}", self.run, self.count),
            command: Some(command),
        }
    }

    async fn run(&mut self, stands: &mut bool) -> End {
        match self.converse(stands).await {
            Ok(()) => End::Unwanted,
            Err(end) => end,
        }
    }

    async fn converse(&mut self, stands: &mut bool) -> Result<(), End> {
        let gone = || Status::unavailable("the stream ended");
        let (outgoing, stream) = mpsc::channel(64);
        let open = OpenDesk {
            capacity: self.capacity,
        };
        let open = self.wrap(desk_command::Command::Open(open));
        outgoing.send(open).await.map_err(|_| gone())?;
        let mut client = DeskServiceClient::new(self.channel.clone());
        let mut events = client.desk(ReceiverStream::new(stream)).await?.into_inner();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            let command = tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(Wish::Command(command)) => command,
                    Some(Wish::Reopen) => continue,
                    None => return Ok(()),
                },
                _ = heartbeat.tick() => desk_command::Command::Heartbeat(Heartbeat {}),
                event = events.message() => {
                    let event = event?.ok_or_else(gone)?;
                    *stands = true;
                    tell(&self.news, News::Desk(Box::new(event))).await?;
                    continue;
                }
            };
            let command = self.wrap(command);
            if outgoing.send(command).await.is_err() {
                // The other side has ended the stream; it may have said why.
                while let Some(event) = events.message().await? {
                    tell(&self.news, News::Desk(Box::new(event))).await?;
                }
                return Err(gone().into());
            }
        }
    }
}

/// Follows the log from now on, for ever. After a break too: what happened meanwhile is fetched
/// with the conversations it belongs to.
async fn keep_log(channel: AuthorizedChannel, news: mpsc::Sender<News>) {
    let mut pause = PAUSE;
    loop {
        let mut stands = false;
        let Err(End::Broken(_)) = follow_log(&channel, &news, &mut stands).await else {
            return;
        };
        if stands {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn follow_log(
    channel: &AuthorizedChannel,
    news: &mpsc::Sender<News>,
    stands: &mut bool,
) -> Result<(), End> {
    let request = WatchRequest {
        cursor: "now".to_owned(),
        ..Default::default()
    };
    let mut client = ConversationServiceClient::new(channel.clone());
    let mut stream = client.watch(request).await?.into_inner();
    while let Some(batch) = stream.message().await? {
        if !*stands {
            *stands = true;
            tell(news, News::LogStands).await?;
        }
        for entry in batch.entries {
            tell(news, News::Log(Box::new(entry))).await?;
        }
    }
    Err(Status::unavailable("the stream ended").into())
}
