//! One tenant in the hub: its routing state, its open desks and their commands.

use std::collections::BTreeMap;

use core_routing::{Answer, Input, MAX_CAPACITY, Presence, Routing, Row};
use core_types::{AgentId, OfferId, TenantId, Timestamp};
use lib_proto::routing::{self as pb, desk_command::Command, desk_event::Event};
use lib_proto::timestamp_to_proto;
use tokio::sync::mpsc;
use tonic::Status;

use crate::convert::{presence_from_proto, snapshot};
use crate::seat::{DeskItem, Done, Line, Memory, Seat};
use crate::store::StoredTenant;
use crate::write::{Table, Write};

/// Longest command id, in bytes.
const COMMAND_ID: usize = 100;

/// What a group of orders leads to, once it is stored.
pub(crate) struct Batch {
    pub(crate) now: Timestamp,
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<DeskPost>,
    /// Number of the last offer in history, and how far the next one's is from it.
    pub(crate) last_offer: i64,
    pub(crate) offer_step: i64,
    /// Number of the last report.
    pub(crate) last_outgoing: i64,
}

/// An event on its way to a desk.
pub(crate) struct DeskPost {
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) connection: u64,
    pub(crate) sender: mpsc::Sender<DeskItem>,
    pub(crate) event: pb::DeskEvent,
}

/// One tenant's state and desks.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) routing: Routing,
    pub(crate) seats: BTreeMap<AgentId, Seat>,
    memories: BTreeMap<AgentId, Memory>,
    /// The last desk of agents whose desk is gone.
    left: BTreeMap<AgentId, u64>,
}

impl Tenant {
    pub(crate) fn new(id: TenantId, stored: StoredTenant) -> Self {
        let routing = Routing::load(stored.queues, stored.agents, stored.engagements);
        Self {
            id,
            routing,
            seats: BTreeMap::new(),
            memories: stored.memories,
            left: BTreeMap::new(),
        }
    }

    /// After a start no desk is open; returns who may come back within the grace period.
    pub(crate) fn restart(&mut self, batch: &mut Batch) -> Vec<AgentId> {
        self.handle(Input::Restarted, batch);
        let ready: Vec<AgentId> = self
            .routing
            .agents()
            .filter(|agent| agent.presence == Presence::Ready)
            .map(|agent| agent.id.clone())
            .collect();
        self.left = ready.iter().cloned().map(|agent| (agent, 0)).collect();
        ready
    }

    /// Hands an input to the core and carries out what follows.
    pub(crate) fn handle(&mut self, input: Input, batch: &mut Batch) -> Answer {
        let (answer, effects) = self.routing.handle(input, batch.now);
        self.carry_out(effects, batch);
        answer
    }

    /// Ends what has expired and offers what waits.
    pub(crate) fn settle(&mut self, batch: &mut Batch) {
        let effects = self.routing.settle(batch.now);
        self.carry_out(effects, batch);
    }

    /// Adds the rows that changed to what is to be stored.
    pub(crate) fn collect_rows(&mut self, batch: &mut Batch) -> Result<(), serde_json::Error> {
        for row in self.routing.take_touched() {
            let (table, id, state) = match row {
                Row::Queue(id) => (Table::Queue, id.to_string(), json(self.routing.queue(&id))),
                Row::Agent(id) => (Table::Agent, id.to_string(), json(self.routing.agent(&id))),
                Row::Engagement(id) => (
                    Table::Engagement,
                    id.to_string(),
                    json(self.routing.engagement(&id)),
                ),
            };
            batch.writes.push(Write::State {
                table,
                tenant: self.id.clone(),
                id,
                state: state.transpose()?,
            });
        }
        Ok(())
    }

    /// An agent opened a desk; an earlier one of the same agent is closed.
    pub(crate) fn open(
        &mut self,
        agent: AgentId,
        (connection, line): (u64, Line),
        (command_id, capacity): (String, Option<u32>),
        batch: &mut Batch,
    ) {
        // Before the new desk is there: what a lower capacity takes back is the earlier desk's
        // news, and the first thing a desk hears is its snapshot.
        self.connect(&agent, capacity, batch);
        if let Some(mut earlier) = self
            .seats
            .insert(agent.clone(), Seat::new(connection, line))
        {
            earlier.end(Status::aborted(
                "opened elsewhere: this desk was taken over by a newer one of the same agent",
            ));
        }
        self.left.remove(&agent);
        self.show_all(&agent, command_id, batch);
    }

    fn connect(&mut self, agent: &AgentId, capacity: Option<u32>, batch: &mut Batch) {
        let connected = Input::Connected {
            agent: agent.clone(),
            capacity,
        };
        self.handle(connected, batch);
    }

    fn show_all(&mut self, agent: &AgentId, command_id: String, batch: &mut Batch) {
        let all = snapshot(&self.routing, agent);
        self.emit(agent, Event::Snapshot(all), batch);
        self.emit(agent, Done::accepted(command_id).event(), batch);
    }

    /// A desk is gone. Returns whether it was the agent's present one, so that the grace period
    /// starts.
    pub(crate) fn left(
        &mut self,
        agent: &AgentId,
        connection: u64,
        status: Status,
        batch: &mut Batch,
    ) -> bool {
        let present = self
            .seats
            .get(agent)
            .is_some_and(|seat| seat.connection == connection);
        if !present {
            return false;
        }
        if let Some(mut seat) = self.seats.remove(agent) {
            seat.end(status);
        }
        self.left.insert(agent.clone(), connection);
        self.handle(Input::Disconnected(agent.clone()), batch);
        true
    }

    /// The grace period that began when `connection` was gone is over.
    pub(crate) fn absent(&mut self, agent: AgentId, connection: u64, batch: &mut Batch) {
        if self.left.get(&agent) == Some(&connection) {
            self.left.remove(&agent);
            self.handle(Input::Absent(agent), batch);
        }
    }

    /// A command from an open desk.
    pub(crate) fn command(
        &mut self,
        agent: &AgentId,
        connection: u64,
        command: pb::DeskCommand,
        batch: &mut Batch,
    ) {
        let present = self
            .seats
            .get(agent)
            .is_some_and(|seat| seat.connection == connection);
        if !present {
            return;
        }
        let id = command.command_id;
        if let Some(problem) = command_id_problem(&id) {
            let problem = format!("command_id {problem}");
            let done = Done::refused(String::new(), "INVALID_COMMAND_ID", problem);
            return self.emit(agent, done.event(), batch);
        }
        let before = self
            .memories
            .get(agent)
            .and_then(|memory| memory.recall(&id));
        if let Some(done) = before.cloned() {
            return self.emit(agent, done.event(), batch);
        }
        match command.command {
            Some(Command::Open(open)) => match wished_capacity(open) {
                Ok(capacity) => {
                    self.connect(agent, capacity, batch);
                    self.show_all(agent, id, batch);
                }
                Err(problem) => {
                    let problem = format!("capacity {problem}");
                    self.finish(agent, Done::refused(id, "INVALID_CAPACITY", problem), batch);
                }
            },
            Some(Command::Heartbeat(_)) => self.emit(agent, Done::accepted(id).event(), batch),
            Some(Command::SetPresence(wish)) => {
                self.presence_command(agent, id, wish.presence, batch);
            }
            Some(Command::Accept(pb::AcceptOffer { offer_id, epoch })) => {
                self.offer_command(agent, id, (&offer_id, epoch), true, batch);
            }
            Some(Command::Decline(pb::DeclineOffer { offer_id, epoch })) => {
                self.offer_command(agent, id, (&offer_id, epoch), false, batch);
            }
            None => {
                let problem = "the command says nothing; set one of its fields";
                self.finish(agent, Done::refused(id, "INVALID_COMMAND", problem), batch);
            }
        }
    }

    fn presence_command(&mut self, who: &AgentId, id: String, wish: i32, batch: &mut Batch) {
        let Some(presence) = presence_from_proto(wish) else {
            let problem = "presence must be OFFLINE, NOT_READY or READY";
            return self.finish(who, Done::refused(id, "INVALID_PRESENCE", problem), batch);
        };
        let agent = who.clone();
        let answer = self.handle(Input::PresenceSet { agent, presence }, batch);
        self.answer(who, id, &answer, batch);
    }

    fn offer_command(
        &mut self,
        agent: &AgentId,
        command_id: String,
        (offer_id, epoch): (&str, u32),
        accept: bool,
        batch: &mut Batch,
    ) {
        let offer = match OfferId::new(offer_id) {
            Ok(offer) => offer,
            Err(error) => {
                let done = Done::refused(command_id, "INVALID_OFFER_ID", error.to_string());
                return self.finish(agent, done, batch);
            }
        };
        let (agent, id) = (agent.clone(), offer.clone());
        let who = agent.clone();
        let answer = self.handle(
            if accept {
                Input::Accept {
                    agent,
                    offer,
                    epoch,
                }
            } else {
                Input::Decline {
                    agent,
                    offer,
                    epoch,
                }
            },
            batch,
        );
        if answer == Answer::Pending {
            let engagement = self
                .routing
                .work_of(&who)
                .find(|engagement| engagement.offer().is_some_and(|offer| offer.id == id))
                .map(|engagement| engagement.id.clone());
            if let (Some(engagement), Some(seat)) = (engagement, self.seats.get_mut(&who)) {
                seat.wait_for(engagement, id, command_id);
            }
        } else {
            self.answer(&who, command_id, &answer, batch);
        }
    }

    fn answer(&mut self, agent: &AgentId, id: String, answer: &Answer, batch: &mut Batch) {
        let done = match answer {
            Answer::Done | Answer::Pending => Done::accepted(id),
            Answer::Rejected(rejection) => Done::rejected(id, rejection),
        };
        self.finish(agent, done, batch);
    }

    /// Answers a command and remembers the answer.
    pub(crate) fn finish(&mut self, agent: &AgentId, done: Done, batch: &mut Batch) {
        let memory = self.memories.entry(agent.clone()).or_default();
        let number = memory.remember(done.clone());
        batch.writes.push(Write::Command {
            tenant: self.id.clone(),
            agent: agent.clone(),
            number,
            done: done.clone(),
        });
        self.emit(agent, done.event(), batch);
    }

    /// Sends an event to an agent's desk once the batch is stored; nowhere if there is none.
    pub(crate) fn emit(&mut self, agent: &AgentId, event: Event, batch: &mut Batch) {
        let Some((connection, sender)) = self.seats.get(agent).and_then(Seat::sender) else {
            return;
        };
        let memory = self.memories.entry(agent.clone()).or_default();
        let (sequence, reserved) = memory.next_sequence();
        if let Some(up_to) = reserved {
            batch.writes.push(Write::Reserved {
                tenant: self.id.clone(),
                agent: agent.clone(),
                up_to,
            });
        }
        let event = pb::DeskEvent {
            sequence,
            at: Some(timestamp_to_proto(batch.now)),
            event: Some(event),
        };
        batch.events.push(DeskPost {
            tenant: self.id.clone(),
            agent: agent.clone(),
            connection,
            sender,
            event,
        });
    }
}

/// What is wrong with a command's id; nothing, mostly.
pub(crate) fn command_id_problem(id: &str) -> Option<String> {
    let wrong = id.is_empty() || id.len() > COMMAND_ID;
    wrong.then(|| format!("must have 1 to {COMMAND_ID} bytes"))
}

/// The capacity a desk is opened with; `None` leaves it as it was.
///
/// # Errors
/// With what would be right.
pub(crate) fn wished_capacity(open: pb::OpenDesk) -> Result<Option<u32>, String> {
    match open.capacity {
        0 => Ok(None),
        capacity @ 1..=MAX_CAPACITY => Ok(Some(capacity)),
        _ => Err(format!(
            "must be 1 to {MAX_CAPACITY}, or 0 to leave it as it was"
        )),
    }
}

fn json<T: serde::Serialize>(value: Option<&T>) -> Option<Result<String, serde_json::Error>> {
    value.map(serde_json::to_string)
}
