//! One conversation on the desk: what was said, what became of it, and how long one may write.

use core_types::{Content, InteractiveAction, Timestamp};
use lib_proto::common::{DeliveryStatus, PlatformError};
use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{Direction, LogEntry, Message, SendState, Window};
use lib_proto::routing::DeskEngagement;
use lib_proto::{identity_from_proto, timestamp_from_proto};

use crate::agent::calls::Seen;
use crate::terminal::{Scroll, printable};

/// One message in a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    id: String,
    pub(crate) engagement: String,
    pub(crate) at: Timestamp,
    pub(crate) author: String,
    pub(crate) text: String,
    pub(crate) own: bool,
    /// Tick or trouble, for what we sent.
    pub(crate) fate: Fate,
    /// Why it was not delivered.
    pub(crate) trouble: Option<String>,
    /// Heard of before the log was followed anew.
    past: bool,
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
    /// Whether its history has been fetched.
    pub(crate) loaded: bool,
    pub(crate) unread: usize,
    /// What is typed here while another conversation is on show.
    pub(crate) draft: String,
    pub(crate) scroll: Scroll,
}

/// What an entry of the log calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing that needs the agent's eye.
    Quietly,
    /// The customer wrote.
    Written,
    /// An earlier message changed; fetch them again.
    Changed,
}

/// A contact in few words.
pub(crate) fn contact(identity: Option<&lib_proto::common::ContactIdentity>) -> String {
    let identity = identity.cloned().map(identity_from_proto);
    printable(&identity.unwrap_or_default().label())
}

impl Open {
    pub(crate) fn new(engagement: DeskEngagement) -> Self {
        Self {
            engagement,
            said: Vec::new(),
            window: None,
            loaded: false,
            unread: 0,
            draft: String::new(),
            scroll: Scroll::default(),
        }
    }

    /// The customer's name.
    pub(crate) fn label(&self) -> String {
        contact(self.engagement.contact.as_ref())
    }

    /// Whether the agent files it now.
    pub(crate) fn in_wrap_up(&self) -> bool {
        self.engagement.state == "wrap_up"
    }

    /// What commands about it carry.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            conversation: self.engagement.conversation_id.clone(),
            engagement: self.engagement.engagement_id.clone(),
            epoch: self.engagement.epoch,
        }
    }

    /// The disposition meant by a number or a name.
    ///
    /// # Errors
    /// With the choices.
    pub(crate) fn disposition(&self, typed: &str) -> Result<String, String> {
        let allowed = &self.engagement.dispositions;
        let number: Option<usize> = typed.parse().ok();
        let by_number = number.and_then(|number| allowed.get(number.checked_sub(1)?));
        let by_name = allowed
            .iter()
            .find(|known| known.to_lowercase() == typed.to_lowercase());
        match by_number.or(by_name) {
            Some(known) => Ok(known.clone()),
            None if allowed.is_empty() => Ok(typed.to_owned()),
            None => Err(format!("File it with /done and one of: {}", self.choices())),
        }
    }

    /// The dispositions with their numbers.
    pub(crate) fn choices(&self) -> String {
        let numbered = self.engagement.dispositions.iter().enumerate();
        let words: Vec<String> = numbered
            .map(|(number, name)| format!("{} {}", number + 1, printable(name)))
            .collect();
        words.join(" · ")
    }

    /// The log is followed anew. Meanwhile it may have been restored from a backup: what came after
    /// that is not in it any more, and the next messages get the same ids. So what was heard before
    /// stands only until the history is here.
    pub(crate) fn log_stands(&mut self) {
        self.said.iter_mut().for_each(|said| said.past = true);
    }

    /// Takes the fetched history in. What arrived while it was being fetched stays. Returns how many
    /// messages of the customer are new, where something was known before.
    pub(crate) fn set_history(&mut self, messages: &[Message], window: Option<Window>) -> usize {
        let mut said: Vec<Said> = messages.iter().map(Said::of).collect();
        let known = |said: &Said| self.said.iter().any(|known| known.is(said));
        let new = said.iter().filter(|said| !said.own && !known(said));
        let new = if self.loaded { new.count() } else { 0 };
        let oldest = said.first().map(|first| first.at);
        let earlier = std::mem::take(&mut self.said).into_iter();
        for earlier in earlier.filter(|earlier| !earlier.past) {
            match said.iter_mut().find(|said| said.id == earlier.id) {
                Some(said) => said.get_further(earlier.fate, earlier.trouble),
                None if oldest.is_none_or(|oldest| earlier.at >= oldest) => said.push(earlier),
                None => {}
            }
        }
        self.said = said;
        self.window = window;
        self.loaded = true;
        new
    }

    /// Takes an entry of the log in.
    pub(crate) fn apply(&mut self, entry: &LogEntry) -> Taken {
        match &entry.event {
            Some(Event::MessageReceived(received)) => {
                let Some(message) = &received.message else {
                    return Taken::Quietly;
                };
                self.add(message);
                let content = message.content.clone().map(Content::try_from);
                match content {
                    Some(Ok(
                        Content::Edit { .. } | Content::Revoke { .. } | Content::Reaction { .. },
                    )) => Taken::Changed,
                    _ => Taken::Written,
                }
            }
            Some(Event::MessageQueued(queued)) => {
                queued.message.iter().for_each(|message| self.add(message));
                Taken::Quietly
            }
            Some(Event::AttemptEnded(end)) => {
                let fate = fate(end.send_state(), DeliveryStatus::Unspecified);
                self.set_fate(&end.message_id, fate, trouble(&end.errors));
                Taken::Quietly
            }
            Some(Event::StatusChanged(change)) => {
                let errors = change.update.as_ref().map(|update| trouble(&update.errors));
                let fate = fate(SendState::Accepted, change.status());
                self.set_fate(&change.message_id, fate, errors.flatten());
                Taken::Quietly
            }
            Some(Event::WindowOpened(opened)) => {
                self.window.clone_from(&opened.window);
                Taken::Quietly
            }
            _ => Taken::Quietly,
        }
    }

    fn add(&mut self, message: &Message) {
        self.said.retain(|said| !said.past || said.id != message.id);
        if !self.said.iter().any(|known| known.id == message.id) {
            self.said.push(Said::of(message));
        }
    }

    fn set_fate(&mut self, message: &str, fate: Fate, trouble: Option<String>) {
        if let Some(known) = self.said.iter_mut().find(|known| known.id == message) {
            known.get_further(fate, trouble);
        }
    }

    /// When free text stops being possible; `None` if it never was.
    pub(crate) fn window_until(&self) -> Option<Timestamp> {
        let closes = self.window.as_ref().and_then(|window| window.closes_at);
        timestamp_from_proto("closes_at", closes).ok().flatten()
    }
}

impl Said {
    fn of(message: &Message) -> Self {
        let content = message.content.clone().map(Content::try_from);
        let mut text = match content {
            Some(Ok(content)) => readable(&content),
            Some(Err(_)) | None => "[cannot be shown]".to_owned(),
        };
        if !message.edited_text.is_empty() {
            text = format!("{} [edited]", message.edited_text);
        }
        if message.revoked {
            text = format!("[taken back] {text}");
        }
        for emoji in message.reactions.values().filter(|emoji| !emoji.is_empty()) {
            text = format!("{text} ({emoji})");
        }
        Self {
            id: message.id.clone(),
            engagement: message.engagement_id.clone(),
            at: timestamp_from_proto("sent_at", message.sent_at)
                .ok()
                .flatten()
                .unwrap_or(Timestamp::EPOCH),
            author: message.author.clone(),
            text: printable(&text),
            own: message.direction() != Direction::Inbound,
            fate: fate(message.send_state(), message.status()),
            trouble: trouble(&message.errors),
            past: false,
        }
    }

    /// Whether both are one message: after a restore another may have its id.
    fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.at == other.at
    }

    /// Unknown may be cleared up by a status; otherwise a message only gets further.
    fn get_further(&mut self, fate: Fate, trouble: Option<String>) {
        if fate > self.fate || self.fate == Fate::Unknown {
            self.fate = fate;
            self.trouble = trouble.or_else(|| self.trouble.take());
        }
    }
}

/// The content as text, with what the customer can tap.
fn readable(content: &Content) -> String {
    let text = content.summary();
    let Content::Interactive(interactive) = content else {
        return text;
    };
    let options: Vec<String> = match &interactive.action {
        InteractiveAction::Buttons { buttons } => buttons
            .iter()
            .map(|button| format!("[{}]", button.title))
            .collect(),
        InteractiveAction::List { sections, .. } => sections
            .iter()
            .flat_map(|section| &section.rows)
            .map(|row| format!("[{}]", row.title))
            .collect(),
        InteractiveAction::Link { text, .. } => vec![format!("[{text}]")],
        InteractiveAction::LocationRequest => vec!["[asks for a place]".to_owned()],
    };
    format!("{text}\n{}", options.join(" "))
}

fn fate(state: SendState, status: DeliveryStatus) -> Fate {
    match (state, status) {
        (_, DeliveryStatus::Sent) => Fate::Sent,
        (_, DeliveryStatus::Delivered) => Fate::Delivered,
        (_, DeliveryStatus::Read | DeliveryStatus::Played) => Fate::Read,
        (SendState::Rejected | SendState::Cancelled, _) | (_, DeliveryStatus::Failed) => {
            Fate::Failed
        }
        (SendState::Unknown | SendState::Ambiguous, _) => Fate::Unknown,
        (SendState::Accepted, _) => Fate::Accepted,
        (SendState::Unspecified | SendState::Queued | SendState::InFlight, _) => Fate::Waiting,
    }
}

fn trouble(errors: &[PlatformError]) -> Option<String> {
    let error = errors.first()?;
    let text = if error.details.is_empty() {
        &error.title
    } else {
        &error.details
    };
    Some(printable(&format!("{text} ({})", error.code)))
}

#[cfg(test)]
mod tests {
    use lib_proto::common::{self, content};
    use lib_proto::conversations::{AttemptEnded, MessageReceived, StatusChanged};

    use super::*;

    fn message(id: &str, body: &str, direction: Direction) -> Message {
        let text = common::Text {
            body: body.into(),
            preview_url: false,
        };
        Message {
            id: id.into(),
            direction: direction.into(),
            content: Some(common::Content {
                content: Some(content::Content::Text(text)),
            }),
            ..Default::default()
        }
    }

    fn entry(event: Event) -> LogEntry {
        LogEntry {
            event: Some(event),
            ..Default::default()
        }
    }

    fn received(id: &str) -> LogEntry {
        let message = message(id, "new", Direction::Inbound);
        entry(Event::MessageReceived(MessageReceived {
            message: Some(message),
        }))
    }

    #[test]
    fn a_history_fetched_late_loses_nothing_that_came_meanwhile() {
        let mut open = Open::new(DeskEngagement::default());
        assert_eq!(open.apply(&received("m2")), Taken::Written);
        let history = [message("m1", "old", Direction::Inbound)];
        assert_eq!(
            open.set_history(&history, None),
            0,
            "nothing was known before"
        );
        assert_eq!(texts(&open), ["old", "new"]);
    }

    fn texts(open: &Open) -> Vec<&str> {
        open.said.iter().map(|said| said.text.as_str()).collect()
    }

    #[test]
    fn a_restored_log_may_give_a_message_the_id_of_one_it_has_lost() {
        let mut open = Open::new(DeskEngagement::default());
        let kept = message("m1", "kept", Direction::Inbound);
        let lost = message("m2", "lost", Direction::Outbound);
        open.set_history(&[kept.clone(), lost], None);
        open.log_stands();
        assert_eq!(texts(&open), ["kept", "lost"], "until the history is here");
        assert_eq!(open.apply(&received("m2")), Taken::Written);
        assert_eq!(texts(&open), ["kept", "new"]);
        // Asked for before the message came.
        open.set_history(&[kept], None);
        assert_eq!(texts(&open), ["kept", "new"]);
        open.log_stands();
        open.set_history(&[], None);
        assert!(open.said.is_empty(), "what the log has lost is not shown");
    }

    #[test]
    fn what_a_restored_log_was_told_before_it_was_followed_counts_as_new() {
        let mut open = Open::new(DeskEngagement::default());
        let mut message = message("m1", "lost", Direction::Inbound);
        open.set_history(std::slice::from_ref(&message), None);
        open.log_stands();
        message.sent_at = Some(lib_proto::timestamp_to_proto(Timestamp::from_micros(1)));
        assert_eq!(open.set_history(&[message], None), 1);
    }

    #[test]
    fn what_came_during_a_break_counts_as_new_once() {
        let mut open = Open::new(DeskEngagement::default());
        let first = message("m1", "old", Direction::Inbound);
        open.set_history(std::slice::from_ref(&first), None);
        let history = [
            first,
            message("m2", "own", Direction::Outbound),
            message("m3", "meanwhile", Direction::Inbound),
        ];
        assert_eq!(open.set_history(&history, None), 1);
        assert_eq!(open.set_history(&history, None), 0);
    }

    #[test]
    fn a_failure_keeps_its_reason_and_a_late_tick_does_not_undo_it() {
        let mut open = Open::new(DeskEngagement::default());
        open.set_history(&[message("m1", "Hi", Direction::Outbound)], None);
        let error = PlatformError {
            code: 131_026,
            title: "Message undeliverable".into(),
            details: String::new(),
        };
        open.apply(&entry(Event::AttemptEnded(AttemptEnded {
            message_id: "m1".into(),
            send_state: SendState::Rejected.into(),
            errors: vec![error],
            ..Default::default()
        })));
        open.apply(&entry(Event::StatusChanged(StatusChanged {
            message_id: "m1".into(),
            status: DeliveryStatus::Sent.into(),
            ..Default::default()
        })));
        assert_eq!(open.said[0].fate, Fate::Failed);
        let trouble = open.said[0].trouble.as_deref();
        assert_eq!(trouble, Some("Message undeliverable (131026)"));
    }

    #[test]
    fn a_disposition_may_be_given_by_number_or_name() {
        let open = Open::new(DeskEngagement {
            dispositions: vec!["solved".into(), "no answer".into()],
            ..Default::default()
        });
        assert_eq!(open.disposition("2").unwrap(), "no answer");
        assert_eq!(open.disposition("Solved").unwrap(), "solved");
        assert!(
            open.disposition("3")
                .unwrap_err()
                .contains("1 solved · 2 no answer")
        );
        let free = Open::new(DeskEngagement::default());
        assert_eq!(free.disposition("anything").unwrap(), "anything");
    }
}
