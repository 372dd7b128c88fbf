//! An agent's open desk: the line to it, the numbers of its events, the commands it has sent.

use std::collections::VecDeque;

use core_routing::Rejection;
use core_types::{EngagementId, OfferId};
use lib_proto::routing as pb;
use tokio::sync::mpsc;
use tonic::Status;

/// Events a desk may be behind before it is cut off (`reliability.md` 5.6, P53).
const EVENTS: usize = 256;
/// Commands remembered per agent, so that repeating one is harmless.
pub(crate) const REMEMBERED: usize = 256;
/// Sequence numbers set aside with one write. After a restart the numbers go on behind them.
const BLOCK: u64 = 4_096;

/// What goes to a desk.
pub(crate) type DeskItem = Result<pb::DeskEvent, Status>;

/// The line to one desk. A place is kept free for the last word.
pub(crate) struct Line {
    events: mpsc::Sender<DeskItem>,
    last: mpsc::OwnedPermit<DeskItem>,
}

impl Line {
    /// A line and its other end; `None` cannot happen with a fresh channel, but is no panic.
    pub(crate) fn new() -> Option<(Self, mpsc::Receiver<DeskItem>)> {
        let (events, receiver) = mpsc::channel(EVENTS + 1);
        let last = events.clone().try_reserve_owned().ok()?;
        Some((Self { events, last }, receiver))
    }

    /// Ends the line with a status.
    pub(crate) fn end(self, status: Status) {
        self.last.send(Err(status));
    }

    /// A handle to wait with until nobody listens any more.
    pub(crate) fn watcher(&self) -> mpsc::Sender<DeskItem> {
        self.events.clone()
    }
}

/// A command that waits for the conversation log's answer.
struct Waiting {
    engagement: EngagementId,
    offer: OfferId,
    command_id: String,
}

/// One agent's open desk.
pub(crate) struct Seat {
    /// Tells this desk from the agent's earlier ones.
    pub(crate) connection: u64,
    line: Option<Line>,
    waiting: Vec<Waiting>,
}

impl Seat {
    pub(crate) fn new(connection: u64, line: Line) -> Self {
        Self {
            connection,
            line: Some(line),
            waiting: Vec::new(),
        }
    }

    /// Where to send an event once it is stored.
    pub(crate) fn sender(&self) -> Option<(u64, mpsc::Sender<DeskItem>)> {
        let line = self.line.as_ref()?;
        Some((self.connection, line.events.clone()))
    }

    /// Ends the stream with a status.
    pub(crate) fn end(&mut self, status: Status) {
        if let Some(line) = self.line.take() {
            line.end(status);
        }
    }

    /// The command is answered when the log has answered the acceptance of `offer`.
    pub(crate) fn wait_for(
        &mut self,
        engagement: EngagementId,
        offer: OfferId,
        command_id: String,
    ) {
        if !self.waiting.iter().any(|one| one.command_id == command_id) {
            self.waiting.push(Waiting {
                engagement,
                offer,
                command_id,
            });
        }
    }

    /// The commands that waited for this engagement, or for just this offer of it.
    pub(crate) fn answered(
        &mut self,
        engagement: &EngagementId,
        offer: Option<&OfferId>,
    ) -> Vec<String> {
        let (done, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|one| {
                one.engagement == *engagement && offer.is_none_or(|offer| one.offer == *offer)
            });
        self.waiting = rest;
        let done: Vec<Waiting> = done;
        done.into_iter().map(|one| one.command_id).collect()
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) command_id: String,
    pub(crate) accepted: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Done {
    pub(crate) fn accepted(command_id: String) -> Self {
        Self {
            command_id,
            accepted: true,
            reason: String::new(),
            message: String::new(),
        }
    }

    pub(crate) fn refused(command_id: String, reason: &str, message: impl Into<String>) -> Self {
        Self {
            command_id,
            accepted: false,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn rejected(command_id: String, rejection: &Rejection) -> Self {
        Self::refused(command_id, rejection.reason(), rejection.message())
    }

    pub(crate) fn event(self) -> pb::desk_event::Event {
        pb::desk_event::Event::CommandDone(pb::CommandDone {
            command_id: self.command_id,
            accepted: self.accepted,
            reason: self.reason,
            message: self.message,
        })
    }
}

/// What outlives an agent's desks.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    reserved: u64,
    used: Option<u64>,
    /// The last commands with their numbers, oldest first.
    commands: VecDeque<(i64, Done)>,
}

impl Memory {
    /// What is stored: sequence numbers up to `reserved` may have been used.
    pub(crate) fn load(reserved: u64) -> Self {
        Self {
            reserved,
            ..Self::default()
        }
    }

    /// The next sequence number; and, if numbers had to be set aside for it, up to which one, to
    /// be stored.
    pub(crate) fn next_sequence(&mut self) -> (u64, Option<u64>) {
        let next = self.used.unwrap_or(self.reserved) + 1;
        self.used = Some(next);
        if next <= self.reserved {
            return (next, None);
        }
        self.reserved = next + BLOCK;
        (next, Some(self.reserved))
    }

    /// How a command ended that was sent before.
    pub(crate) fn recall(&self, command_id: &str) -> Option<&Done> {
        let mut commands = self.commands.iter().map(|(_, done)| done);
        commands.find(|done| done.command_id == command_id)
    }

    /// Keeps how a command ended, under the number returned; the oldest is forgotten.
    pub(crate) fn remember(&mut self, done: Done) -> i64 {
        let number = self.commands.back().map_or(1, |(number, _)| number + 1);
        self.restore(number, done);
        number
    }

    /// Puts a stored command back; they come oldest first.
    pub(crate) fn restore(&mut self, number: i64, done: Done) {
        if self.commands.len() >= REMEMBERED {
            self.commands.pop_front();
        }
        self.commands.push_back((number, done));
    }
}
