//! `DeskService`: the agents' streams. Reads commands, watches over the heartbeat, and hands
//! everything to the hub, which answers through the stream.

use std::pin::Pin;
use std::time::Duration;

use core_types::{AgentId, TenantId};
use futures_util::future::ready;
use futures_util::{Stream, StreamExt as _};
use lib_platform::{Caller, Lifecycle, Refusal, Role, caller, forward};
use lib_proto::routing::desk_command::Command;
use lib_proto::routing::desk_service_client::DeskServiceClient;
use lib_proto::routing::desk_service_server::DeskService;
use lib_proto::routing::{DeskCommand, DeskEvent};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::hubs::{Hubs, Served};
use crate::order::{Order, Orders};
use crate::seat::{DeskItem, Line};
use crate::tenant::{command_id_problem, wished_capacity};

/// The service.
pub(crate) struct DeskApi {
    hubs: Hubs,
    life: Lifecycle,
    heartbeat: Duration,
}

impl DeskApi {
    pub(crate) fn new(hubs: Hubs, life: Lifecycle, heartbeat: Duration) -> Self {
        Self {
            hubs,
            life,
            heartbeat,
        }
    }

    /// Opens the desk at the replica that has the tenant's hub, and passes everything through.
    async fn elsewhere(
        &self,
        channel: Channel,
        request: Request<Streaming<DeskCommand>>,
    ) -> Result<Response<<Self as DeskService>::DeskStream>, Status> {
        let (metadata, _, commands) = request.into_parts();
        // A broken stream of commands ends the desk there as it would here.
        let commands = commands.take_while(|command| ready(command.is_ok()));
        let commands = commands.filter_map(|command| ready(command.ok()));
        let request = forward::request(&metadata, self.life.until_stopped(commands));
        let events = DeskServiceClient::new(channel).desk(request).await?;
        let events = self.life.until_stopped(events.into_inner());
        Ok(Response::new(Box::pin(events)))
    }
}

#[tonic::async_trait]
impl DeskService for DeskApi {
    type DeskStream = Pin<Box<dyn Stream<Item = Result<DeskEvent, Status>> + Send>>;

    async fn desk(
        &self,
        request: Request<Streaming<DeskCommand>>,
    ) -> Result<Response<Self::DeskStream>, Status> {
        let caller = caller(&request)?;
        caller.require(&[Role::Agent])?;
        let tenant = caller.tenant()?.clone();
        let Caller::User { user, .. } = &caller else {
            return Err(Refusal::forbidden("a desk is for a person").into());
        };
        let agent = AgentId::new(user).map_err(|error| Refusal::internal(&error))?;
        let hub = match self.hubs.of(&tenant, request.metadata()).await? {
            Served::Here(hub) => hub,
            Served::There(channel) => return self.elsewhere(channel, request).await,
        };
        let (line, events) = Line::new().ok_or_else(|| Refusal::internal(&"no room for events"))?;
        let reader = Reader {
            orders: hub.orders.clone(),
            heartbeat: self.heartbeat,
            tenant,
            agent,
            connection: hub.orders.next_connection(),
            commands: request.into_inner(),
        };
        // The desk ends with its hub, whether the service stops or the hub moves.
        let stopped = hub.life.stopped();
        self.life.spawn("desk", async move {
            tokio::select! {
                () = reader.run(line) => {}
                () = stopped => {}
            }
        });
        let events = hub.life.until_stopped(ReceiverStream::new(events));
        Ok(Response::new(Box::pin(events)))
    }
}

/// Reads one desk's commands.
struct Reader {
    orders: Orders,
    heartbeat: Duration,
    tenant: TenantId,
    agent: AgentId,
    connection: u64,
    commands: Streaming<DeskCommand>,
}

impl Reader {
    async fn run(mut self, line: Line) {
        let listener = line.watcher();
        let (command_id, capacity) = match self.first(&listener).await {
            Ok(first) => first,
            Err(status) => return line.end(status),
        };
        let open = Order::Open {
            tenant: self.tenant.clone(),
            agent: self.agent.clone(),
            connection: self.connection,
            command_id,
            capacity,
            line,
        };
        if self.orders.send(open).await.is_err() {
            return;
        }
        let status = self.read(&listener).await;
        let left = Order::Left {
            tenant: self.tenant,
            agent: self.agent,
            connection: self.connection,
            status,
        };
        // The hub may have ended.
        let _ = self.orders.send(left).await;
    }

    /// The command that opens the desk.
    async fn first(
        &mut self,
        listener: &mpsc::Sender<DeskItem>,
    ) -> Result<(String, Option<u32>), Status> {
        let first = self.next(listener).await?;
        let Some(Command::Open(open)) = first.command else {
            return Err(
                Refusal::precondition("DESK_NOT_OPEN", "the first command must be `open`").into(),
            );
        };
        if let Some(problem) = command_id_problem(&first.command_id) {
            return Err(Refusal::invalid("command_id", problem).into());
        }
        let capacity =
            wished_capacity(open).map_err(|problem| Refusal::invalid("open.capacity", problem))?;
        Ok((first.command_id, capacity))
    }

    /// Reads until the desk is gone; says how.
    async fn read(&mut self, listener: &mpsc::Sender<DeskItem>) -> Status {
        loop {
            let command = match self.next(listener).await {
                Ok(command) => command,
                Err(status) => return status,
            };
            let order = Order::Command {
                tenant: self.tenant.clone(),
                agent: self.agent.clone(),
                connection: self.connection,
                command,
            };
            if let Err(gone) = self.orders.send(order).await {
                return gone.into();
            }
        }
    }

    async fn next(&mut self, listener: &mpsc::Sender<DeskItem>) -> Result<DeskCommand, Status> {
        tokio::select! {
            message = self.commands.message() => match message {
                Ok(Some(command)) => Ok(command),
                Ok(None) => Err(Status::cancelled("the desk was closed")),
                Err(status) => Err(status),
            },
            () = tokio::time::sleep(self.heartbeat) => Err(Status::deadline_exceeded(format!(
                "no command for {} s; send a heartbeat at least every 30 s",
                self.heartbeat.as_secs()
            ))),
            () = listener.closed() => Err(Status::cancelled("nobody listens")),
        }
    }
}
