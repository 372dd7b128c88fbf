//! An installation for one test: a virtual clock, the peer, and a routing service that can be
//! stopped and started again on the same folder.

use core_types::Timestamp;
use lib_platform::{Authenticator, AuthorizedChannel, Clock, Parts, Role};
use lib_proto::conversations::conversation_log_service_server::ConversationLogServiceServer;
use lib_proto::conversations::conversation_service_server::ConversationServiceServer;
use lib_proto::routing::desk_command::Command;
use lib_proto::routing::desk_event::Event;
use lib_proto::routing::desk_service_client::DeskServiceClient;
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::{self as pb, AgentPresence};
use lib_storage::lease::Member;
use lib_testkit::{Host, context, eventually, tokens, user, within};
use svc_routing::Config;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::peer::{Peer, TENANT};
use crate::place::Place;

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) peer: Peer,
    pub(crate) config: Config,
    pub(crate) store: Place,
    peer_host: Host,
    running: Option<Host>,
}

impl World {
    /// A world without queues.
    pub(crate) async fn empty(config: Config) -> Self {
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_800_000_000).unwrap());
        let peer = Peer::default();
        let parts = Parts::new()
            .grpc(ConversationServiceServer::new(peer.log.clone()))
            .grpc(ConversationLogServiceServer::new(peer.clone()));
        let peer_host = Host::peer(parts, &clock).await;
        let mut world = Self {
            clock,
            peer,
            config,
            store: Place::new().await,
            peer_host,
            running: None,
        };
        world.start().await;
        world
    }

    /// A world with the queue `sales`, served by ana and ben.
    pub(crate) async fn new() -> Self {
        let world = Self::empty(Config::default()).await;
        world.create_sales().await;
        world
    }

    pub(crate) async fn create_sales(&self) {
        let request = pb::CreateQueueRequest {
            queue: Some(sales()),
        };
        self.routing("boss").create_queue(request).await.unwrap();
    }

    pub(crate) async fn start(&mut self) {
        self.running = Some(self.replica("one").await);
    }

    /// One more process on the same stores.
    pub(crate) async fn replica(&self, name: &str) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut context = context(self.store.folder(), &self.clock, &self.peer_host.url);
        context.storage = self.store.storage();
        context.me = Member {
            name: name.to_owned(),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let parts = svc_routing::start(self.config.clone(), context.clone());
        let parts = parts.await.unwrap();
        let users = [
            ("boss", user(TENANT, "boss", Role::Supervisor)),
            ("ana", user(TENANT, "ana", Role::Agent)),
            ("ben", user(TENANT, "ben", Role::Agent)),
            ("eve", user("umbrella", "eve", Role::Administrator)),
        ];
        let callers = Authenticator::new(self.clock.clone(), tokens(&users), None);
        Host::serve(listener, parts, &context.life, callers).await
    }

    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    pub(crate) fn channel(&self, token: &str) -> AuthorizedChannel {
        self.running.as_ref().unwrap().channel(token)
    }

    pub(crate) fn routing(&self, token: &str) -> RoutingServiceClient<AuthorizedChannel> {
        RoutingServiceClient::new(self.channel(token))
    }

    /// A desk without a first command.
    pub(crate) async fn raw_desk(&self, token: &str) -> Desk {
        self.try_desk(token).await.unwrap()
    }

    pub(crate) async fn try_desk(&self, token: &str) -> Result<Desk, Status> {
        self.desk_at(self.channel(token), token).await
    }

    /// A desk at a given replica.
    pub(crate) async fn desk_at(
        &self,
        channel: AuthorizedChannel,
        token: &str,
    ) -> Result<Desk, Status> {
        let (commands, receiver) = mpsc::channel(16);
        let mut client = DeskServiceClient::new(channel);
        let events = client.desk(ReceiverStream::new(receiver)).await?;
        Ok(Desk {
            commands,
            events: events.into_inner(),
            sent: 0,
            name: token.to_owned(),
            last_sequence: 0,
        })
    }

    /// An open desk and its snapshot.
    pub(crate) async fn desk(&self, token: &str, capacity: u32) -> (Desk, pb::DeskSnapshot) {
        let mut desk = self.raw_desk(token).await;
        desk.send(Command::Open(pb::OpenDesk { capacity })).await;
        let Event::Snapshot(snapshot) = desk.next().await else {
            panic!("the first event is the snapshot");
        };
        assert!(desk.done().await.accepted);
        (desk, snapshot)
    }

    /// An open desk of an agent who takes work.
    pub(crate) async fn ready(&self, token: &str, capacity: u32) -> Desk {
        let (mut desk, _) = self.desk(token, capacity).await;
        assert!(desk.presence(AgentPresence::Ready).await.accepted);
        desk
    }

    pub(crate) fn queue(&self, engagement: &str) {
        self.queue_into(engagement, "sales", 0);
    }

    pub(crate) fn queue_into(&self, engagement: &str, queue: &str, priority: i32) {
        let at = self.clock.now().as_seconds();
        self.peer.queue(engagement, queue, priority, at);
    }

    pub(crate) async fn state(&self, queue: &str) -> pb::QueueState {
        let request = pb::GetQueueStateRequest {
            id: queue.to_owned(),
        };
        let answer = self.routing("boss").get_queue_state(request).await;
        answer.unwrap().into_inner()
    }

    /// The state of a queue once it is as wanted. Asks again and again: there is no event for it.
    pub(crate) async fn state_when(
        &self,
        queue: &str,
        wanted: impl Fn(&pb::QueueState) -> bool,
    ) -> pb::QueueState {
        let mut routing = self.routing("boss");
        eventually(async || {
            let id = queue.to_owned();
            let request = pb::GetQueueStateRequest { id };
            let answer = routing.get_queue_state(request).await.ok()?;
            Some(answer.into_inner()).filter(|state| wanted(state))
        })
        .await
    }

    /// Offers of an engagement, newest first.
    pub(crate) async fn offers(&self, engagement: &str) -> Vec<pb::Offer> {
        let request = pb::ListOffersRequest {
            engagement_id: engagement.to_owned(),
            ..pb::ListOffersRequest::default()
        };
        let answer = self.routing("boss").list_offers(request).await;
        answer.unwrap().into_inner().offers
    }

    pub(crate) async fn agent(&self, name: &str) -> pb::Agent {
        let request = pb::ListAgentsRequest::default();
        let agents = self.routing("boss").list_agents(request).await.unwrap();
        let mut agents = agents.into_inner().agents.into_iter();
        agents.find(|agent| agent.id == name).unwrap()
    }
}

pub(crate) fn sales() -> pb::Queue {
    pb::Queue {
        id: "sales".to_owned(),
        name: "Sales".to_owned(),
        agent_ids: vec!["ana".to_owned(), "ben".to_owned()],
        offer_seconds: 30,
        wrap_up_seconds: 60,
        dispositions: vec!["Sold".to_owned()],
    }
}

/// One agent's end of a desk.
pub(crate) struct Desk {
    pub(crate) commands: mpsc::Sender<pb::DeskCommand>,
    events: Streaming<pb::DeskEvent>,
    sent: u32,
    name: String,
    pub(crate) last_sequence: u64,
}

impl Desk {
    pub(crate) async fn send(&mut self, command: Command) -> String {
        self.sent += 1;
        let command_id = format!("{}-{}-{}", self.name, self.last_sequence, self.sent);
        self.send_as(&command_id, command).await;
        command_id
    }

    pub(crate) async fn send_as(&mut self, command_id: &str, command: Command) {
        let command = pb::DeskCommand {
            command_id: command_id.to_owned(),
            command: Some(command),
        };
        self.commands.send(command).await.unwrap();
    }

    pub(crate) async fn message(&mut self) -> Result<Option<pb::DeskEvent>, Status> {
        within(self.events.message()).await
    }

    pub(crate) async fn next(&mut self) -> Event {
        let event = self.message().await.unwrap().unwrap();
        assert!(event.sequence > self.last_sequence, "sequences count up");
        self.last_sequence = event.sequence;
        event.event.unwrap()
    }

    /// The status with which the stream ends.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match self.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }

    /// The next answer to a command; events before it are skipped.
    pub(crate) async fn done(&mut self) -> pb::CommandDone {
        loop {
            if let Event::CommandDone(done) = self.next().await {
                return done;
            }
        }
    }

    pub(crate) async fn offered(&mut self) -> pb::Offer {
        loop {
            if let Event::Offered(offer) = self.next().await {
                return offer;
            }
        }
    }

    pub(crate) async fn ended(&mut self) -> pb::Offer {
        loop {
            if let Event::OfferEnded(offer) = self.next().await {
                return offer;
            }
        }
    }

    pub(crate) async fn presence(&mut self, presence: AgentPresence) -> pb::CommandDone {
        let presence = presence.into();
        self.send(Command::SetPresence(pb::SetPresence { presence }))
            .await;
        self.done().await
    }

    pub(crate) async fn accept(&mut self, offer: &pb::Offer) -> pb::CommandDone {
        let accept = accept(offer);
        self.send(accept).await;
        self.done().await
    }

    pub(crate) async fn decline(&mut self, offer: &pb::Offer) -> pb::CommandDone {
        self.send(Command::Decline(pb::DeclineOffer {
            offer_id: offer.id.clone(),
            epoch: offer.epoch,
        }))
        .await;
        self.done().await
    }
}

pub(crate) fn accept(offer: &pb::Offer) -> Command {
    Command::Accept(pb::AcceptOffer {
        offer_id: offer.id.clone(),
        epoch: offer.epoch,
    })
}
