//! Agent bots over the desk stream. A wild bot accepts, declines, ignores, answers late, clicks
//! twice, vanishes and comes back, snatches at what others are offered, and acts from stale tabs; a
//! good one serves whoever comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lib_platform::AuthorizedChannel;
use lib_proto::common::{Content, Text, content};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{CompleteWrapUpRequest, SendMessageRequest, StartWrapUpRequest};
use lib_proto::routing::desk_command::Command;
use lib_proto::routing::desk_event::Event;
use lib_proto::routing::desk_service_client::DeskServiceClient;
use lib_proto::routing::{
    AcceptOffer, AgentPresence, DeclineOffer, DeskCommand, DeskEngagement, Heartbeat, Offer,
    OpenDesk, SetPresence,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

use super::history::{History, Op, Outcome};

/// How bots behave at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In every way an agent may.
    Wild,
    /// Serves everybody.
    Good,
    /// Goes home.
    Gone,
}

/// The last offer each agent got, as if all of them looked over each other's shoulders.
pub type Board = Arc<Mutex<BTreeMap<String, Offer>>>;

/// What a bot needs.
#[derive(Clone)]
pub struct Bot {
    /// The agent's id.
    pub name: String,
    /// Decides what it does.
    pub seed: u64,
    /// Engagements at once.
    pub capacity: u32,
    /// Routing.
    pub routing: AuthorizedChannel,
    /// The conversation log.
    pub conversations: AuthorizedChannel,
    /// Where it is written down.
    pub history: History,
    /// How to behave.
    pub mode: watch::Receiver<Mode>,
    /// Commands under way, of all bots.
    pub open: Arc<AtomicUsize>,
    /// What the others are offered.
    pub board: Board,
}

struct Pending {
    command: DeskCommand,
    what: &'static str,
    offer: String,
    engagement: String,
}

/// One bot's memory over its reconnects.
struct Life {
    bot: Bot,
    random: StdRng,
    commands: u64,
    pending: BTreeMap<String, Pending>,
    served: Arc<std::sync::Mutex<BTreeSet<(String, u32)>>>,
    seen: BTreeSet<String>,
}

/// Why a desk ended.
enum Ended {
    Broken,
    Vanished,
    Gone,
}

impl Bot {
    /// Works until told to go home.
    pub async fn run(self) {
        let mut life = Life {
            random: StdRng::seed_from_u64(self.seed),
            bot: self,
            commands: 0,
            pending: BTreeMap::new(),
            served: Arc::default(),
            seen: BTreeSet::new(),
        };
        loop {
            match life.desk().await {
                Ended::Gone => break,
                // A person who comes back after a while.
                Ended::Vanished => tokio::time::sleep(Duration::from_millis(700)).await,
                Ended::Broken => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        for (id, pending) in std::mem::take(&mut life.pending) {
            life.bot.open.fetch_sub(1, Ordering::Relaxed);
            life.bot.note(Outcome::Info, &id, &pending, "");
        }
    }

    fn note(&self, outcome: Outcome, id: &str, pending: &Pending, reason: &str) {
        let op = Op::Desk {
            agent: self.name.clone(),
            command: pending.what.to_owned(),
            id: id.to_owned(),
            offer: pending.offer.clone(),
            engagement: pending.engagement.clone(),
            reason: reason.to_owned(),
        };
        self.history.record(&self.name, outcome, op);
    }
}

impl Life {
    /// One desk, from its opening to its end.
    async fn desk(&mut self) -> Ended {
        if *self.bot.mode.borrow() == Mode::Gone {
            return Ended::Gone;
        }
        let (commands, queue) = mpsc::unbounded_channel();
        let open = Command::Open(OpenDesk {
            capacity: self.bot.capacity,
        });
        let _ = commands.send(self.command(open));
        let ready = Command::SetPresence(SetPresence {
            presence: AgentPresence::Ready.into(),
        });
        let _ = commands.send(self.command(ready));
        // What was not answered is asked again under its old id.
        for pending in self.pending.values() {
            let _ = commands.send(pending.command.clone());
        }
        let mut client = DeskServiceClient::new(self.bot.routing.clone());
        let Ok(answer) = client.desk(UnboundedReceiverStream::new(queue)).await else {
            return Ended::Broken;
        };
        let mut events = answer.into_inner();
        let mut heartbeat = tokio::time::interval(Duration::from_secs(5));
        let mut mode = self.bot.mode.clone();
        loop {
            tokio::select! {
                event = events.message() => {
                    let Ok(Some(event)) = event else { return Ended::Broken };
                    let Some(event) = event.event else { continue };
                    if self.on_event(event, &commands) {
                        return Ended::Vanished;
                    }
                }
                _ = heartbeat.tick() => {
                    let beat = self.command(Command::Heartbeat(Heartbeat {}));
                    let _ = commands.send(beat);
                }
                _ = mode.changed() => {
                    if *mode.borrow() == Mode::Gone {
                        return Ended::Gone;
                    }
                }
            }
        }
    }

    fn command(&mut self, command: Command) -> DeskCommand {
        self.commands += 1;
        DeskCommand {
            command_id: format!("{}-{}", self.bot.name, self.commands),
            command: Some(command),
        }
    }

    /// Reacts; true when the agent vanishes.
    fn on_event(&mut self, event: Event, commands: &mpsc::UnboundedSender<DeskCommand>) -> bool {
        match event {
            Event::Snapshot(snapshot) => {
                for engagement in snapshot.engagements {
                    self.serve(engagement);
                }
                let offers = snapshot.offers.into_iter();
                // Every offer is looked at, also behind one that makes the agent vanish.
                let vanishing = offers.filter(|offer| self.on_offer(offer, commands));
                return vanishing.count() > 0;
            }
            Event::Offered(offer) => return self.on_offer(&offer, commands),
            Event::Assigned(engagement) | Event::WrapUp(engagement) => self.serve(engagement),
            Event::CommandDone(done) => {
                if let Some(pending) = self.pending.remove(&done.command_id) {
                    self.bot.open.fetch_sub(1, Ordering::Relaxed);
                    let outcome = if done.accepted {
                        Outcome::Ok
                    } else {
                        Outcome::Fail
                    };
                    self.bot
                        .note(outcome, &done.command_id, &pending, &done.reason);
                }
            }
            Event::Presence(presence) => {
                if presence != i32::from(AgentPresence::Ready) {
                    let ready = Command::SetPresence(SetPresence {
                        presence: AgentPresence::Ready.into(),
                    });
                    let _ = commands.send(self.command(ready));
                }
            }
            Event::OfferEnded(_) | Event::Released(_) => {}
        }
        false
    }

    fn on_offer(&mut self, offer: &Offer, commands: &mpsc::UnboundedSender<DeskCommand>) -> bool {
        if !self.seen.insert(offer.id.clone()) {
            return false;
        }
        let wild = *self.bot.mode.borrow() == Mode::Wild;
        if wild && self.random.random_bool(0.3) {
            self.snatch(commands);
        }
        let mut board = self
            .bot
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        board.insert(self.bot.name.clone(), offer.clone());
        drop(board);
        let dice = if wild {
            self.random.random_range(0..100)
        } else {
            0
        };
        let accept = Command::Accept(AcceptOffer {
            offer_id: offer.id.clone(),
            epoch: offer.epoch,
        });
        match dice {
            0..65 => self.ask(accept, "accept", offer, commands, 0),
            65..75 => {
                // Two clicks: two commands about one offer.
                self.ask(accept.clone(), "accept", offer, commands, 0);
                self.ask(accept, "accept", offer, commands, 0);
            }
            75..83 => {
                let decline = Command::Decline(DeclineOffer {
                    offer_id: offer.id.clone(),
                    epoch: offer.epoch,
                });
                self.ask(decline, "decline", offer, commands, 0);
            }
            // Later than the offer stands.
            83..89 => self.ask(accept, "accept", offer, commands, 5_500),
            89..94 => return true,
            _ => {}
        }
        false
    }

    /// Accepts what another agent is offered: must be refused.
    fn snatch(&mut self, commands: &mpsc::UnboundedSender<DeskCommand>) {
        let board = self
            .bot
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let others = board.iter().filter(|(name, _)| **name != self.bot.name);
        let others: Vec<Offer> = others.map(|(_, offer)| offer.clone()).collect();
        drop(board);
        if others.is_empty() {
            return;
        }
        let offer = &others[self.random.random_range(0..others.len())];
        let accept = Command::Accept(AcceptOffer {
            offer_id: offer.id.clone(),
            epoch: offer.epoch,
        });
        self.ask(accept, "accept", offer, commands, 0);
    }

    fn ask(
        &mut self,
        command: Command,
        what: &'static str,
        offer: &Offer,
        commands: &mpsc::UnboundedSender<DeskCommand>,
        after: u64,
    ) {
        let command = self.command(command);
        let pending = Pending {
            command: command.clone(),
            what,
            offer: offer.id.clone(),
            engagement: offer.engagement_id.clone(),
        };
        self.pending.insert(command.command_id.clone(), pending);
        self.bot.open.fetch_add(1, Ordering::Relaxed);
        if after == 0 {
            let _ = commands.send(command);
            return;
        }
        let commands = commands.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let _ = commands.send(command);
        });
    }

    /// Talks to the customer, files and closes; then tries once more from the stale tab.
    fn serve(&mut self, engagement: DeskEngagement) {
        let key = (engagement.engagement_id.clone(), engagement.epoch);
        let mut served = self.served.lock().expect("no panic while it is held");
        if !served.insert(key) {
            return;
        }
        let visit = Visit {
            bot: self.bot.clone(),
            engagement,
            messages: self.random.random_range(1..3),
            pause: self.random.random_range(20..300),
        };
        tokio::spawn(visit.run());
    }
}

/// One engagement in an agent's hands.
struct Visit {
    bot: Bot,
    engagement: DeskEngagement,
    messages: u32,
    pause: u64,
}

impl Visit {
    async fn run(self) {
        let mut client = ConversationServiceClient::new(self.bot.conversations.clone());
        let (id, epoch) = (self.engagement.engagement_id.clone(), self.engagement.epoch);
        for number in 0..self.messages {
            tokio::time::sleep(Duration::from_millis(self.pause)).await;
            let key = format!("{}-{id}-{epoch}-{number}", self.bot.name);
            if !self.send(&mut client, key).await {
                return;
            }
        }
        let agent = &self.bot;
        let wrap_up = StartWrapUpRequest {
            engagement_id: id.clone(),
            epoch,
        };
        let mut wrapper = client.clone();
        let started = insist(agent, || {
            let (mut client, request) = (wrapper.clone(), wrap_up.clone());
            async move { client.start_wrap_up(request).await.map(|_| ()) }
        });
        if !started.await {
            return;
        }
        let complete = CompleteWrapUpRequest {
            engagement_id: id.clone(),
            epoch,
            disposition: "solved".to_owned(),
            note: String::new(),
        };
        wrapper = client.clone();
        let done = insist(agent, || {
            let (mut client, request) = (wrapper.clone(), complete.clone());
            async move { client.complete_wrap_up(request).await.map(|_| ()) }
        });
        if done.await {
            // The tab that was left open: must be refused.
            let key = format!("{}-{id}-{epoch}-stale", self.bot.name);
            self.send(&mut client, key).await;
        }
    }

    async fn send(
        &self,
        client: &mut ConversationServiceClient<AuthorizedChannel>,
        key: String,
    ) -> bool {
        let text = Text {
            body: format!("This is {}.", self.bot.name),
            preview_url: false,
        };
        let request = SendMessageRequest {
            conversation_id: self.engagement.conversation_id.clone(),
            content: Some(Content {
                content: Some(content::Content::Text(text)),
            }),
            idempotency_key: key.clone(),
            engagement_id: self.engagement.engagement_id.clone(),
            epoch: self.engagement.epoch,
            ..Default::default()
        };
        send(
            client,
            request,
            &self.bot.name,
            &self.bot.history,
            &self.bot.open,
        )
        .await
    }
}

/// Sends a message, again and again under its key until there is an answer. Whether it was taken.
pub async fn send(
    client: &mut ConversationServiceClient<AuthorizedChannel>,
    request: SendMessageRequest,
    who: &str,
    history: &History,
    open: &AtomicUsize,
) -> bool {
    let key = request.idempotency_key.clone();
    for _ in 0..400 {
        open.fetch_add(1, Ordering::Relaxed);
        let answer = client.send_message(request.clone()).await;
        open.fetch_sub(1, Ordering::Relaxed);
        let (outcome, message) = match &answer {
            Ok(answer) => (Outcome::Ok, answer.get_ref().id.clone()),
            Err(status) if is_final(status.code()) => (Outcome::Fail, String::new()),
            Err(_) => (Outcome::Info, String::new()),
        };
        let op = Op::Send {
            key: key.clone(),
            message,
        };
        history.record(who, outcome, op);
        match outcome {
            Outcome::Ok => return true,
            Outcome::Fail => return false,
            Outcome::Info => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    false
}

async fn insist<F>(bot: &Bot, mut ask: impl FnMut() -> F) -> bool
where
    F: Future<Output = Result<(), tonic::Status>>,
{
    for _ in 0..400 {
        bot.open.fetch_add(1, Ordering::Relaxed);
        let answer = ask().await;
        bot.open.fetch_sub(1, Ordering::Relaxed);
        match answer {
            Ok(()) => return true,
            Err(status) if is_final(status.code()) => return false,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    false
}

/// Whether asking again cannot help.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::PermissionDenied
            | Code::AlreadyExists
            | Code::Unauthenticated
    )
}
