//! What the desk shows: presence, offers, conversations. Changes only by news from the services;
//! commands do not guess what will come of them.

use core_types::{Content, Timestamp};
use lib_proto::common::DeliveryStatus;
use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{Direction, LogEntry, Message, SendState, Window};
use lib_proto::routing::desk_event;
use lib_proto::routing::{AgentPresence, CommandDone, DeskEngagement, DeskEvent, Offer};
use lib_proto::timestamp_from_proto;

use crate::agent::command::Command;
use crate::agent::link::News;
use crate::terminal::{LineEditor, printable};

/// One message in a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    id: String,
    pub(crate) at: Timestamp,
    pub(crate) author: String,
    pub(crate) text: String,
    pub(crate) own: bool,
    /// Tick or trouble, for what we sent.
    pub(crate) fate: Fate,
}

/// What became of a message we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Waiting,
    Accepted,
    Sent,
    Delivered,
    Read,
    Failed,
    Unknown,
}

/// A conversation that occupies the agent.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) engagement: DeskEngagement,
    pub(crate) said: Vec<Said>,
    pub(crate) window: Option<Window>,
    pub(crate) unread: usize,
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) agent: String,
    pub(crate) presence: AgentPresence,
    pub(crate) offers: Vec<Offer>,
    pub(crate) open: Vec<Open>,
    /// Which conversation is on show.
    pub(crate) shown: usize,
    pub(crate) editor: LineEditor,
    pub(crate) notice: Option<String>,
    pub(crate) connected: bool,
    pub(crate) scrolled: usize,
}

impl Desk {
    pub(crate) fn new(agent: String) -> Self {
        Self {
            agent,
            presence: AgentPresence::NotReady,
            offers: Vec::new(),
            open: Vec::new(),
            shown: 0,
            editor: LineEditor::default(),
            notice: None,
            connected: false,
            scrolled: 0,
        }
    }

    /// The conversation on show.
    pub(crate) fn current(&self) -> Option<&Open> {
        self.open.get(self.shown)
    }

    /// Ready when away, away when ready.
    pub(crate) fn toggle_ready(&self) -> Command {
        if self.presence == AgentPresence::Ready {
            Command::Away
        } else {
            Command::Ready
        }
    }

    /// Scrolls up, or down when negative.
    pub(crate) fn scroll(&mut self, lines: isize) {
        self.scrolled = self.scrolled.saturating_add_signed(lines);
    }

    /// Shows the next conversation.
    pub(crate) fn next(&mut self) {
        self.shown = if self.open.is_empty() {
            0
        } else {
            (self.shown + 1) % self.open.len()
        };
        self.scrolled = 0;
        if let Some(open) = self.open.get_mut(self.shown) {
            open.unread = 0;
        }
    }

    /// Takes news in; returns the conversations whose history must be fetched.
    pub(crate) fn apply(&mut self, news: News) -> Vec<String> {
        match news {
            News::Desk(event) => return self.apply_desk(*event),
            News::Log(entry) => return self.apply_log(&entry),
            News::Broken(problem) => {
                self.connected = false;
                self.notice = Some(format!("{problem}; trying again"));
            }
        }
        Vec::new()
    }

    fn apply_desk(&mut self, event: DeskEvent) -> Vec<String> {
        match event.event {
            Some(desk_event::Event::Snapshot(snapshot)) => {
                self.connected = true;
                self.notice = None;
                self.presence = snapshot
                    .agent
                    .map_or(AgentPresence::NotReady, |agent| agent.presence());
                self.offers = snapshot.offers;
                self.open.clear();
                snapshot
                    .engagements
                    .into_iter()
                    .filter_map(|e| self.occupy(e))
                    .collect()
            }
            Some(desk_event::Event::Offered(offer)) => {
                self.offers.retain(|known| known.id != offer.id);
                self.offers.push(offer);
                Vec::new()
            }
            Some(desk_event::Event::OfferEnded(offer)) => {
                self.offers.retain(|known| known.id != offer.id);
                if offer.outcome != "accepted" {
                    self.notice = Some(format!("The offer is gone: {}.", offer.outcome));
                }
                Vec::new()
            }
            Some(desk_event::Event::Assigned(engagement)) => {
                self.offers
                    .retain(|offer| offer.engagement_id != engagement.engagement_id);
                self.occupy(engagement).into_iter().collect()
            }
            Some(desk_event::Event::WrapUp(engagement)) => {
                self.occupy(engagement).into_iter().collect()
            }
            Some(desk_event::Event::Released(engagement)) => {
                self.open
                    .retain(|open| open.engagement.engagement_id != engagement.engagement_id);
                self.shown = self.shown.min(self.open.len().saturating_sub(1));
                Vec::new()
            }
            Some(desk_event::Event::CommandDone(done)) => {
                self.answered(&done);
                Vec::new()
            }
            Some(desk_event::Event::Presence(presence)) => {
                self.presence =
                    AgentPresence::try_from(presence).unwrap_or(AgentPresence::NotReady);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn answered(&mut self, done: &CommandDone) {
        if !done.accepted {
            let text = if done.message.is_empty() {
                &done.reason
            } else {
                &done.message
            };
            self.notice = Some(text.clone());
        }
    }

    /// Shows an engagement or renews what is known of it; returns its conversation when new.
    fn occupy(&mut self, engagement: DeskEngagement) -> Option<String> {
        let known = self
            .open
            .iter_mut()
            .find(|open| open.engagement.engagement_id == engagement.engagement_id);
        if let Some(open) = known {
            open.engagement = engagement;
            return None;
        }
        let conversation = engagement.conversation_id.clone();
        self.open.push(Open {
            engagement,
            said: Vec::new(),
            window: None,
            unread: 0,
        });
        self.shown = self.open.len() - 1;
        self.scrolled = 0;
        Some(conversation)
    }

    /// Replaces what is known of a conversation by its history.
    pub(crate) fn set_history(
        &mut self,
        conversation: &str,
        messages: &[Message],
        window: Option<Window>,
    ) {
        for open in &mut self.open {
            if open.engagement.conversation_id == conversation {
                open.said = messages.iter().map(said).collect();
                open.window = window;
            }
        }
    }

    fn apply_log(&mut self, entry: &LogEntry) -> Vec<String> {
        let shown = self.shown;
        let found = self
            .open
            .iter_mut()
            .enumerate()
            .find(|(_, open)| open.engagement.conversation_id == entry.conversation_id);
        let Some((position, open)) = found else {
            return Vec::new();
        };
        match &entry.event {
            Some(Event::MessageReceived(received)) => {
                open.unread += usize::from(position != shown);
                received
                    .message
                    .iter()
                    .for_each(|message| open.add(message));
            }
            Some(Event::MessageQueued(queued)) => {
                queued.message.iter().for_each(|message| open.add(message));
            }
            Some(Event::AttemptEnded(end)) => {
                let fate = match end.send_state() {
                    SendState::Accepted => Fate::Accepted,
                    SendState::Rejected | SendState::Cancelled => Fate::Failed,
                    SendState::Unknown | SendState::Ambiguous => Fate::Unknown,
                    SendState::Unspecified | SendState::Queued | SendState::InFlight => {
                        Fate::Waiting
                    }
                };
                open.set_fate(&end.message_id, fate);
            }
            Some(Event::StatusChanged(change)) => {
                if let Some(fate) = fate_of(change.status()) {
                    open.set_fate(&change.message_id, fate);
                }
            }
            Some(Event::WindowOpened(opened)) => open.window.clone_from(&opened.window),
            _ => {}
        }
        Vec::new()
    }
}

impl Open {
    fn add(&mut self, message: &Message) {
        if !self.said.iter().any(|known| known.id == message.id) {
            self.said.push(said(message));
        }
    }

    fn set_fate(&mut self, message: &str, fate: Fate) {
        if let Some(known) = self.said.iter_mut().find(|known| known.id == message) {
            // Unknown may be cleared up by a status; otherwise a message only gets further.
            if fate > known.fate || known.fate == Fate::Unknown {
                known.fate = fate;
            }
        }
    }

    /// When free text stops being possible; `None` if it is not possible now.
    pub(crate) fn window_until(&self, now: Timestamp) -> Option<Timestamp> {
        let closes = self.window.as_ref().and_then(|window| window.closes_at);
        timestamp_from_proto("closes_at", closes)
            .ok()
            .flatten()
            .filter(|closes| *closes > now)
    }
}

fn fate_of(status: DeliveryStatus) -> Option<Fate> {
    match status {
        DeliveryStatus::Unspecified => None,
        DeliveryStatus::Sent => Some(Fate::Sent),
        DeliveryStatus::Delivered => Some(Fate::Delivered),
        DeliveryStatus::Read | DeliveryStatus::Played => Some(Fate::Read),
        DeliveryStatus::Failed => Some(Fate::Failed),
    }
}

fn said(message: &Message) -> Said {
    let content = message.content.clone().map(Content::try_from);
    let text = match content {
        Some(Ok(content)) => content.summary(),
        Some(Err(_)) | None => "[cannot be shown]".to_owned(),
    };
    let fate = match message.send_state() {
        SendState::Rejected | SendState::Cancelled => Fate::Failed,
        SendState::Unknown | SendState::Ambiguous => Fate::Unknown,
        SendState::Accepted => fate_of(message.status()).unwrap_or(Fate::Accepted),
        SendState::Unspecified | SendState::Queued | SendState::InFlight => {
            fate_of(message.status()).unwrap_or(Fate::Waiting)
        }
    };
    Said {
        id: message.id.clone(),
        at: timestamp_from_proto("sent_at", message.sent_at)
            .ok()
            .flatten()
            .unwrap_or(Timestamp::EPOCH),
        author: message.author.clone(),
        text: printable(&text),
        own: message.direction() != Direction::Inbound,
        fate,
    }
}

#[cfg(test)]
mod tests {
    use lib_proto::routing::DeskSnapshot;

    use super::*;

    fn event(event: desk_event::Event) -> News {
        News::Desk(Box::new(DeskEvent {
            sequence: 1,
            at: None,
            event: Some(event),
        }))
    }

    fn engagement(id: &str) -> DeskEngagement {
        DeskEngagement {
            engagement_id: id.into(),
            conversation_id: format!("c-{id}"),
            ..Default::default()
        }
    }

    #[test]
    fn a_snapshot_replaces_everything() {
        let mut desk = Desk::new("ana".into());
        let fetch = desk.apply(event(desk_event::Event::Assigned(engagement("old"))));
        assert_eq!(fetch, ["c-old"]);
        let snapshot = DeskSnapshot {
            engagements: vec![engagement("new")],
            ..Default::default()
        };
        assert_eq!(
            desk.apply(event(desk_event::Event::Snapshot(snapshot))),
            ["c-new"]
        );
        assert_eq!(desk.open.len(), 1);
        assert!(desk.connected);
    }

    #[test]
    fn an_accepted_offer_becomes_the_conversation_on_show() {
        let mut desk = Desk::new("ana".into());
        let offer = Offer {
            id: "o".into(),
            engagement_id: "e".into(),
            ..Default::default()
        };
        desk.apply(event(desk_event::Event::Offered(offer)));
        assert_eq!(desk.offers.len(), 1);
        desk.apply(event(desk_event::Event::Assigned(engagement("e"))));
        assert!(desk.offers.is_empty());
        assert_eq!(desk.current().unwrap().engagement.engagement_id, "e");
        desk.apply(event(desk_event::Event::Released(engagement("e"))));
        assert!(desk.current().is_none());
    }
}
