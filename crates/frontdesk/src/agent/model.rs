//! What the desk shows: presence, offers, conversations. Changes only by news from the services;
//! commands do not guess what will come of them.

use std::collections::BTreeMap;

use lib_proto::conversations::LogEntry;
use lib_proto::conversations::log_entry::Event;
use lib_proto::routing::desk_event;
use lib_proto::routing::{AgentPresence, CommandDone, DeskEngagement, DeskEvent, Offer};
use lib_proto::templates::Template;

use crate::agent::calls::Job;
use crate::agent::command::{Command, filed};
use crate::agent::conversation::{Open, Taken, contact};
use crate::agent::link::News;
use crate::agent::template;
use crate::terminal::{LineEditor, printable};

/// How the desk is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// Not yet, or not any more; why, where it is known.
    Down(Option<String>),
    /// Routing knows of this desk.
    Open,
    /// Another terminal has taken the desk.
    Elsewhere,
}

/// Something on top of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panel {
    /// Keys and commands.
    Help,
    /// Approved templates.
    Templates,
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The agent's id: as asked for until routing has told.
    pub(crate) agent: String,
    pub(crate) presence: AgentPresence,
    pub(crate) capacity: u32,
    pub(crate) offers: Vec<Offer>,
    pub(crate) open: Vec<Open>,
    /// Which conversation is on show.
    pub(crate) shown: usize,
    pub(crate) editor: LineEditor,
    pub(crate) notice: Option<String>,
    /// Why the agent is not ready, when that was not the agent's wish.
    pub(crate) resting: Option<String>,
    pub(crate) connection: Connection,
    pub(crate) panel: Option<Panel>,
    pub(crate) templates: Vec<Template>,
    pub(crate) names: BTreeMap<String, String>,
    /// The engagement that left the desk last, and the customer's name.
    left: Option<(String, String)>,
    /// The engagement of whose end the agent was told last.
    told: String,
}

impl Desk {
    pub(crate) fn new(agent: String) -> Self {
        Self {
            agent,
            presence: AgentPresence::NotReady,
            capacity: 1,
            offers: Vec::new(),
            open: Vec::new(),
            shown: 0,
            editor: LineEditor::default(),
            notice: None,
            resting: None,
            connection: Connection::Down(None),
            panel: None,
            templates: Vec::new(),
            names: BTreeMap::new(),
            left: None,
            told: String::new(),
        }
    }

    /// The conversation on show.
    pub(crate) fn current(&self) -> Option<&Open> {
        self.open.get(self.shown)
    }

    /// The name of a person, or the id where it is not known.
    pub(crate) fn name_of<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    /// Ready when away, away when ready.
    pub(crate) fn toggle_ready(&self) -> Command {
        if self.presence == AgentPresence::Ready {
            Command::Away
        } else {
            Command::Ready
        }
    }

    /// What a typed text means where the desk stands: a choice in the list of templates, or a
    /// disposition in wrap-up, and else what it says. `None` when it is dealt with.
    ///
    /// # Errors
    /// With a sentence for the agent.
    pub(crate) fn meant(&mut self, command: Command) -> Result<Option<Command>, String> {
        let Command::Say(text) = command else {
            return Ok(Some(command));
        };
        if self.panel == Some(Panel::Templates)
            && let Ok(number) = text.parse::<usize>()
        {
            let name = self.template_name(number)?;
            self.panel = None;
            self.editor.set(&format!("/template {name} "));
            return Ok(None);
        }
        match self.current() {
            Some(open) if open.in_wrap_up() => Ok(Some(filed(&text))),
            _ => Ok(Some(Command::Say(text))),
        }
    }

    /// Name, and language where the name has several, of a template by its number in the list.
    ///
    /// # Errors
    /// When there is no such number.
    pub(crate) fn template_name(&self, number: usize) -> Result<String, String> {
        let template = number
            .checked_sub(1)
            .and_then(|place| self.templates.get(place))
            .ok_or_else(|| format!("There is no template number {number}."))?;
        let languages = self.templates.iter().filter(|t| t.name == template.name);
        Ok(if languages.count() > 1 {
            format!("{} {}", template.name, template.language)
        } else {
            template.name.clone()
        })
    }

    /// The template under edit and its values so far, for the preview.
    pub(crate) fn drafted(&self) -> Option<(&Template, Vec<String>)> {
        let text = self.editor.text();
        let rest = text.trim_start().strip_prefix("/template ")?.trim_start();
        let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        template::find(&self.templates, name, rest.trim()).ok()
    }

    /// Shows the next conversation.
    pub(crate) fn next(&mut self) {
        if !self.open.is_empty() {
            self.show((self.shown + 1) % self.open.len());
        }
    }

    /// Shows a conversation. What is typed stays with the conversation it was typed for.
    fn show(&mut self, position: usize) {
        if position != self.shown {
            let typed = self.editor.text();
            if let Some(before) = self.open.get_mut(self.shown) {
                before.draft = typed;
            }
            self.shown = position;
            let draft = self.open.get_mut(position).map(|open| {
                open.scroll.to_end();
                std::mem::take(&mut open.draft)
            });
            self.editor.set(&draft.unwrap_or_default());
        }
        if let Some(open) = self.open.get_mut(position) {
            open.unread = 0;
        }
    }

    /// Takes news in; returns what must be fetched for them.
    pub(crate) fn apply(&mut self, news: News) -> Vec<Job> {
        match news {
            News::Desk(event) => return self.apply_desk(*event),
            News::LogStands => {
                let all = self.open.iter_mut();
                return all
                    .map(|open| {
                        open.log_stands();
                        Job::Load(open.engagement.conversation_id.clone())
                    })
                    .collect();
            }
            News::Log(entry) => return self.apply_log(&entry),
            News::Down { problem, .. } => self.connection = Connection::Down(Some(problem)),
            News::Elsewhere => {
                self.connection = Connection::Elsewhere;
                self.offers.clear();
                self.notice = None;
            }
            News::History {
                conversation,
                messages,
                window,
            } => {
                let found = self.position(&conversation);
                if let Some(open) = found.and_then(|position| self.open.get_mut(position)) {
                    let new = open.set_history(&messages, window);
                    if found != Some(self.shown) {
                        open.unread += new;
                    }
                }
            }
            News::Templates(templates) => self.templates = templates,
            News::Names(names) => self.names = names,
            News::Notice(text) => self.notice = Some(text),
            News::NotSent {
                engagement,
                typed,
                problem,
            } => self.not_sent(&engagement, &typed, &problem),
        }
        Vec::new()
    }

    fn position(&self, conversation: &str) -> Option<usize> {
        let mut all = self.open.iter();
        all.position(|open| open.engagement.conversation_id == conversation)
    }

    /// The text goes back to where it was typed, unless something else is typed there by now.
    fn not_sent(&mut self, engagement: &str, typed: &str, problem: &str) {
        self.notice = Some(format!("Not sent: {problem}."));
        let shown = self.shown;
        let mut all = self.open.iter_mut().enumerate();
        let Some((position, open)) =
            all.find(|(_, open)| open.engagement.engagement_id == engagement)
        else {
            return;
        };
        if position != shown {
            if open.draft.is_empty() {
                typed.clone_into(&mut open.draft);
            }
        } else if self.editor.is_empty() {
            self.editor.set(typed);
        }
    }

    fn apply_desk(&mut self, event: DeskEvent) -> Vec<Job> {
        match event.event {
            Some(desk_event::Event::Snapshot(snapshot)) => {
                let mut jobs = self.restart(snapshot.agent, snapshot.offers);
                jobs.extend(self.keep_only(snapshot.engagements));
                return jobs;
            }
            Some(desk_event::Event::Offered(offer)) => {
                self.offers.retain(|known| known.id != offer.id);
                self.offers.push(offer);
            }
            Some(desk_event::Event::OfferEnded(offer)) => self.offer_ended(&offer),
            Some(desk_event::Event::Assigned(engagement)) => {
                self.offers
                    .retain(|offer| offer.engagement_id != engagement.engagement_id);
                return self.occupy(engagement).into_iter().collect();
            }
            Some(desk_event::Event::WrapUp(engagement)) => {
                return self.occupy(engagement).into_iter().collect();
            }
            Some(desk_event::Event::Released(engagement)) => {
                self.release(&engagement.engagement_id);
            }
            Some(desk_event::Event::CommandDone(done)) => self.answered(&done),
            Some(desk_event::Event::Presence(presence)) => {
                let presence = AgentPresence::try_from(presence);
                self.set_presence(presence.unwrap_or(AgentPresence::NotReady));
            }
            None => {}
        }
        Vec::new()
    }

    /// Everything is new after a break, except what the agent has typed and read.
    fn restart(
        &mut self,
        agent: Option<lib_proto::routing::Agent>,
        offers: Vec<Offer>,
    ) -> Vec<Job> {
        let was_down = matches!(&self.connection, Connection::Down(Some(_)));
        self.connection = Connection::Open;
        self.notice = was_down.then(|| "Connected again.".to_owned());
        let agent = agent.unwrap_or_default();
        if agent.id != self.agent && !agent.id.is_empty() {
            self.notice = Some(format!("This token is that of `{}`.", agent.id));
            self.agent.clone_from(&agent.id);
        }
        self.set_presence(agent.presence());
        self.capacity = agent.capacity.max(1);
        self.offers = offers;
        let mut jobs = Vec::new();
        if self.names.is_empty() {
            jobs.extend([Job::Names, Job::Templates]);
        }
        jobs
    }

    fn keep_only(&mut self, engagements: Vec<DeskEngagement>) -> Vec<Job> {
        let gone: Vec<String> = self
            .open
            .iter()
            .map(|open| open.engagement.engagement_id.clone())
            .filter(|id| !engagements.iter().any(|e| e.engagement_id == *id))
            .collect();
        for engagement in gone {
            self.release(&engagement);
        }
        let shown = self.shown;
        let had_some = !self.open.is_empty();
        let mut jobs = Vec::new();
        for engagement in engagements {
            let conversation = engagement.conversation_id.clone();
            self.occupy(engagement);
            jobs.push(Job::Load(conversation));
        }
        if had_some {
            self.show(shown.min(self.open.len().saturating_sub(1)));
        }
        jobs
    }

    fn set_presence(&mut self, presence: AgentPresence) {
        if presence == AgentPresence::Ready {
            self.resting = None;
        }
        self.presence = presence;
    }

    fn offer_ended(&mut self, offer: &Offer) {
        self.offers.retain(|known| known.id != offer.id);
        // What the agent did needs no telling.
        if matches!(offer.outcome.as_str(), "accepted" | "declined") {
            return;
        }
        let because = if offer.ended_because.is_empty() {
            &offer.outcome
        } else {
            &offer.ended_because
        };
        let text = format!(
            "The offer of {} in {} has ended: {}.",
            contact(offer.contact.as_ref()),
            offer.queue_name,
            printable(because)
        );
        if offer.outcome != "expired" {
            self.notice = Some(text);
        } else if self.open.is_empty() {
            // The place of the conversation is free to say it.
            self.resting = Some(text);
        } else {
            self.notice = Some(format!("{text} Ctrl-R makes you ready again."));
        }
    }

    fn answered(&mut self, done: &CommandDone) {
        if !done.accepted {
            let text = if done.message.is_empty() {
                &done.reason
            } else {
                &done.message
            };
            self.notice = Some(format!("Not done: {}.", printable(text)));
        }
    }

    /// Shows an engagement or renews what is known of it; says what to fetch when it is new.
    fn occupy(&mut self, engagement: DeskEngagement) -> Option<Job> {
        let known = self
            .open
            .iter_mut()
            .find(|open| open.engagement.engagement_id == engagement.engagement_id);
        if let Some(open) = known {
            open.engagement = engagement;
            return None;
        }
        let conversation = engagement.conversation_id.clone();
        self.open.push(Open::new(engagement));
        self.show(self.open.len() - 1);
        Some(Job::Load(conversation))
    }

    fn release(&mut self, engagement: &str) {
        let mut all = self.open.iter();
        let found = all.position(|open| open.engagement.engagement_id == engagement);
        let Some(position) = found else { return };
        let was_shown = position == self.shown;
        let open = self.open.remove(position);
        if position < self.shown {
            self.shown -= 1;
        }
        if was_shown {
            // What was typed was meant for the conversation that is gone.
            self.editor.set("");
            self.shown = self.shown.min(self.open.len().saturating_sub(1));
            if let Some(next) = self.open.get_mut(self.shown) {
                next.unread = 0;
                self.editor.set(&std::mem::take(&mut next.draft));
            }
        }
        if self.told != engagement {
            self.notice = Some(format!("{} has left your desk.", open.label()));
        }
        self.left = Some((engagement.to_owned(), open.label()));
    }

    fn apply_log(&mut self, entry: &LogEntry) -> Vec<Job> {
        if let Some(Event::EngagementClosed(closed)) = &entry.event {
            self.closed(&entry.engagement_id, &closed.disposition, &closed.reason);
        }
        let shown = self.shown;
        let found = self.position(&entry.conversation_id);
        let Some(open) = found.and_then(|position| self.open.get_mut(position)) else {
            return Vec::new();
        };
        match open.apply(entry) {
            Taken::Quietly => Vec::new(),
            Taken::Written => {
                open.unread += usize::from(found != Some(shown));
                Vec::new()
            }
            Taken::Changed => vec![Job::Load(entry.conversation_id.clone())],
        }
    }

    /// Says how an engagement of this desk ended; routing's and the log's news of it come in either
    /// order.
    fn closed(&mut self, engagement: &str, disposition: &str, reason: &str) {
        let open = self.open.iter();
        let label = open
            .filter(|open| open.engagement.engagement_id == engagement)
            .map(Open::label)
            .next();
        let left = self.left.as_ref().filter(|(id, _)| id == engagement);
        let Some(label) = label.or_else(|| left.map(|(_, label)| label.clone())) else {
            return;
        };
        engagement.clone_into(&mut self.told);
        self.notice = Some(match (reason, disposition) {
            ("wrap_up_expired", _) => {
                format!("{label}: wrap-up time ran out; closed without a disposition.")
            }
            (_, "") => format!("{label}: closed."),
            (_, disposition) => format!("{label}: closed as {}.", printable(disposition)),
        });
    }
}

#[cfg(test)]
pub(crate) mod tests;
