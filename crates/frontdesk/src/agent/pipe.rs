//! The desk's news as text, for pipes.

use core_types::Content;
use lib_proto::conversations::log_entry::Event;
use lib_proto::routing::AgentPresence;
use lib_proto::routing::desk_event;

use crate::agent::conversation::contact;
use crate::agent::link::News;
use crate::terminal::printable;

/// News as one line of text; `None` for what is not worth a line, or is told by the desk's notices.
pub(crate) fn plain(news: &News) -> Option<String> {
    match news {
        News::Desk(event) => desk(event.event.as_ref()?),
        News::Log(entry) => {
            let (sign, message) = match entry.event.as_ref()? {
                Event::MessageReceived(received) => ('<', received.message.as_ref()?),
                Event::MessageQueued(queued) => ('>', queued.message.as_ref()?),
                _ => return None,
            };
            let content = Content::try_from(message.content.clone()?).ok()?;
            let text = printable(&content.summary()).replace('\n', "\n  ");
            Some(format!("{sign} {text}"))
        }
        _ => None,
    }
}

fn desk(event: &desk_event::Event) -> Option<String> {
    match event {
        desk_event::Event::Snapshot(snapshot) => Some(format!(
            "desk open: {} offers, {} engagements",
            snapshot.offers.len(),
            snapshot.engagements.len()
        )),
        desk_event::Event::Offered(offer) => {
            let who = contact(offer.contact.as_ref());
            Some(format!(
                "offer: {who} in {}: {}",
                offer.queue_name,
                printable(&offer.reason)
            ))
        }
        desk_event::Event::OfferEnded(offer) => Some(format!("offer ended: {}", offer.outcome)),
        desk_event::Event::Assigned(engagement) => Some(format!(
            "assigned: {}",
            contact(engagement.contact.as_ref())
        )),
        desk_event::Event::WrapUp(_) => Some("wrap-up".to_owned()),
        desk_event::Event::Released(_) => Some("released".to_owned()),
        desk_event::Event::Presence(presence) => {
            let presence = AgentPresence::try_from(*presence).ok()?;
            Some(format!("presence: {presence:?}"))
        }
        desk_event::Event::CommandDone(_) => None,
    }
}
