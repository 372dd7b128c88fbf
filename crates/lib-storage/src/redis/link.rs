//! Connections: opened when needed, thrown away when they fail, to the server that has the keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline,
    RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
};
use tokio::time::Instant;

use super::address::Address;
use super::slots::SlotMap;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(2);
/// After a failed attempt, others that wait for the connection fail with it instead of trying too.
const ATTEMPT_STANDS: Duration = Duration::from_millis(100);
/// Times a command is sent on to where its keys have moved.
const REDIRECTS: u32 = 3;

/// The servers that have keys.
#[derive(Debug)]
pub(super) struct Look {
    /// Each of them once.
    pub(super) primaries: Vec<ConnectionInfo>,
    /// Why they do not serve every key, where they do not.
    pub(super) problem: Option<String>,
}

/// A Cluster as one of its servers sees it.
struct View {
    slots: Arc<SlotMap>,
    /// The server finds that the Cluster works. One that was cut off, or has just started, does
    /// not, and what it says of the slots may be long past.
    serves: bool,
}

/// Which servers there are.
#[derive(Debug)]
pub(super) struct Servers {
    address: Address,
    /// What a Cluster last said about itself.
    slots: tokio::sync::Mutex<Option<Arc<SlotMap>>>,
}

impl Servers {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            slots: tokio::sync::Mutex::new(None),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.address.cluster
    }

    /// The server that has `slot`.
    async fn primary(&self, slot: u16, pool: &Pool) -> RedisResult<ConnectionInfo> {
        if !self.address.cluster {
            return Ok(self.address.seeds[0].clone());
        }
        let slots = self.slots(pool).await?;
        let primary = slots.primary(slot).cloned();
        let primary = primary.ok_or((
            ErrorKind::ClusterConnectionNotFound,
            "no server of the Cluster has these keys",
        ))?;
        Ok(self.server(primary))
    }

    /// Every server that has keys now. A Cluster is asked afresh: in an older map a server that has
    /// died keeps its place, whoever took it over.
    pub(super) async fn look(&self, pool: &Pool) -> RedisResult<Look> {
        if !self.address.cluster {
            return Ok(Look {
                primaries: self.address.seeds.clone(),
                problem: None,
            });
        }
        let View { slots, serves } = self.ask(pool).await?;
        let problem = match slots.first_missing() {
            _ if !serves => Some("no server that answers finds it in order".to_owned()),
            Some(slot) => Some(format!("no server has slot {slot}")),
            None => None,
        };
        let primaries = slots.primaries().into_iter();
        let primaries = primaries.map(|primary| self.server(primary)).collect();
        if problem.is_none() {
            *self.slots.lock().await = Some(slots);
        }
        Ok(Look { primaries, problem })
    }

    /// A server of the Cluster is reached like the first one, only elsewhere.
    fn server(&self, (host, port): (String, u16)) -> ConnectionInfo {
        let model = &self.address.seeds[0];
        let addr = match model.addr() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        model.clone().set_addr(addr)
    }

    async fn slots(&self, pool: &Pool) -> RedisResult<Arc<SlotMap>> {
        let mut known = self.slots.lock().await;
        if let Some(slots) = &*known {
            return Ok(Arc::clone(slots));
        }
        let slots = self.ask(pool).await?.slots;
        *known = Some(Arc::clone(&slots));
        Ok(slots)
    }

    /// Asks all seeds at once, so that one that is gone holds up nobody, and believes the first
    /// that finds the Cluster in order; another only where there is none.
    async fn ask(&self, pool: &Pool) -> RedisResult<View> {
        let seeds = self.address.seeds.iter();
        let mut asked: FuturesUnordered<_> = seeds.map(|seed| ask_for_slots(seed, pool)).collect();
        let mut found = Err(RedisError::from((
            ErrorKind::ClusterConnectionNotFound,
            "no server of the Cluster answers",
        )));
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(view) if view.serves => return Ok(view),
                Err(_) if found.is_ok() => {}
                answer => found = answer,
            }
        }
        found
    }

    /// Keys have moved, or a server is gone.
    async fn forget_slots(&self) {
        *self.slots.lock().await = None;
    }
}

async fn ask_for_slots(seed: &ConnectionInfo, pool: &Pool) -> RedisResult<View> {
    let mut seat = pool.seat(seed).await?;
    let mut ask = Pipeline::new();
    ask.cmd("CLUSTER").arg("SLOTS");
    ask.cmd("CLUSTER").arg("INFO");
    seat.connection.set_response_timeout(CONNECT);
    let sent = seat.connection.send_packed_commands(&ask, 0, ask.len());
    let (slots, info) = match sent.await.map(Vec::into_iter) {
        Ok(mut answers) => (answers.next(), answers.next()),
        Err(error) => {
            pool.discard(&seat, &error).await;
            return Err(error);
        }
    };
    let slots = slots.unwrap_or(Value::Nil).extract_error()?;
    // A user who may not ask for it gets an error, and believes everyone.
    let info: Option<String> = info.and_then(|info| redis::from_redis_value(info).ok());
    let host = match seed.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.as_str(),
        _ => "",
    };
    let slots = SlotMap::read(&slots, host);
    let slots = slots.ok_or((ErrorKind::Parse, "CLUSTER SLOTS cannot be read"))?;
    Ok(View {
        slots: Arc::new(slots),
        serves: info.is_none_or(|info| !info.contains("cluster_state:fail")),
    })
}

/// Connections, at most one to a server.
#[derive(Debug)]
pub(super) struct Pool(Mutex<HashMap<String, Place>>);

type Place = Arc<tokio::sync::Mutex<Opened>>;

#[derive(Default)]
struct Opened {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections.
    number: u64,
    failed: Option<(Instant, RedisError)>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// A connection in use.
pub(super) struct Seat {
    pub(super) connection: MultiplexedConnection,
    number: u64,
    place: Place,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    pub(super) async fn seat(&self, server: &ConnectionInfo) -> RedisResult<Seat> {
        let place = {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry(server.addr().to_string()).or_default())
        };
        let asked = Instant::now();
        let mut opened = place.lock().await;
        let connection = match (&opened.connection, &opened.failed) {
            (Some(connection), _) => connection.clone(),
            (None, Some((at, error))) if *at >= asked && at.elapsed() < ATTEMPT_STANDS => {
                return Err(error.clone());
            }
            (None, _) => match connect(server).await {
                Ok(connection) => {
                    opened.connection = Some(connection.clone());
                    opened.number += 1;
                    opened.failed = None;
                    connection
                }
                Err(error) => {
                    opened.failed = Some((Instant::now(), error.clone()));
                    return Err(error);
                }
            },
        };
        let number = opened.number;
        drop(opened);
        Ok(Seat {
            connection,
            number,
            place,
        })
    }

    /// Throws the connection away if after this error it cannot be trusted any more.
    pub(super) async fn discard(&self, seat: &Seat, error: &RedisError) {
        if !spoils(error) {
            return;
        }
        let mut opened = seat.place.lock().await;
        if opened.number == seat.number {
            opened.connection = None;
        }
    }
}

/// After a timeout too: whatever hangs, a new connection may not. A server that has become a
/// replica keeps its connections; the name may lead to another one now.
fn spoils(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || error.code() == Some("UNBLOCKED")
}

async fn connect(server: &ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(CONNECT));
    let client = Client::open(server.clone())?;
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// The way to the server that has the keys of one hash tag. Cheap to clone; clones share the
/// connection.
#[derive(Clone, Debug)]
pub struct Link {
    servers: Arc<Servers>,
    pool: Arc<Pool>,
    slot: u16,
    patience: Duration,
}

impl Link {
    pub(super) fn new(
        servers: Arc<Servers>,
        pool: Arc<Pool>,
        slot: u16,
        patience: Duration,
    ) -> Self {
        Self {
            servers,
            pool,
            slot,
            patience,
        }
    }

    /// Sends all of `commands` at once, for keys of the link's tag, and returns each answer;
    /// errors among them are left as they are.
    ///
    /// # Errors
    /// When it is not known what became of them, or none was carried out.
    pub async fn send(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        self.send_part(commands, 0, commands.len()).await
    }

    async fn send_part(
        &self,
        commands: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut redirects = 0;
        loop {
            let mut seat = self.seat().await?;
            let sent = seat
                .connection
                .send_packed_commands(commands, offset, count);
            let sent = sent.await;
            // The keys of one tag move together: if one has moved, none was found.
            let problem = match &sent {
                Ok(answers) => first_problem(answers),
                Err(error) => Some(error.clone()),
            };
            if let Some(error) = problem
                && self.turn_to_another(&seat, &error).await
                && redirects < REDIRECTS
            {
                redirects += 1;
                continue;
            }
            return sent;
        }
    }

    async fn send_one(&self, command: &Cmd) -> RedisResult<Value> {
        let mut redirects = 0;
        loop {
            let mut seat = self.seat().await?;
            let sent = seat.connection.send_packed_command(command).await;
            let sent = sent.and_then(Value::extract_error);
            if let Err(error) = &sent
                && self.turn_to_another(&seat, error).await
                && redirects < REDIRECTS
            {
                redirects += 1;
                continue;
            }
            return sent;
        }
    }

    async fn seat(&self) -> RedisResult<Seat> {
        let primary = self.servers.primary(self.slot, &self.pool).await?;
        match self.pool.seat(&primary).await {
            Ok(mut seat) => {
                seat.connection.set_response_timeout(self.patience);
                Ok(seat)
            }
            Err(error) => {
                self.servers.forget_slots().await;
                Err(error)
            }
        }
    }

    /// Draws the consequences of an error. True when the command was not carried out here and has
    /// to be sent elsewhere.
    async fn turn_to_another(&self, seat: &Seat, error: &RedisError) -> bool {
        self.pool.discard(seat, error).await;
        if self.servers.is_cluster() && (error.is_cluster_error() || spoils(error)) {
            self.servers.forget_slots().await;
        }
        error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
    }
}

/// The first error among the answers that says something about the server.
fn first_problem(answers: &[Value]) -> Option<RedisError> {
    answers.iter().find_map(|answer| match answer {
        Value::ServerError(_) => {
            let error = answer.clone().extract_error().err()?;
            (error.is_cluster_error() || spoils(&error)).then_some(error)
        }
        _ => None,
    })
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send_one(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.send_part(commands, offset, count))
    }

    fn get_db(&self) -> i64 {
        0
    }
}
