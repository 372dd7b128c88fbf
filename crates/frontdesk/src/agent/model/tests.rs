//! What an agent can rely on.

use lib_proto::common::ContactIdentity;
use lib_proto::conversations::{Direction, EngagementClosed, Message, MessageReceived};
use lib_proto::routing::{Agent, DeskSnapshot};

use super::*;
use crate::agent::template::tests::follow_up;

/// News from routing.
pub(crate) fn event(event: desk_event::Event) -> News {
    News::Desk(Box::new(DeskEvent {
        sequence: 1,
        at: None,
        event: Some(event),
    }))
}

/// An engagement of a customer called like it.
pub(crate) fn engagement(id: &str) -> DeskEngagement {
    DeskEngagement {
        engagement_id: id.into(),
        conversation_id: format!("c-{id}"),
        state: "assigned".into(),
        contact: Some(ContactIdentity {
            display_name: id.to_uppercase(),
            ..Default::default()
        }),
        dispositions: vec!["solved".into(), "spam".into()],
        ..Default::default()
    }
}

fn assigned(id: &str) -> News {
    event(desk_event::Event::Assigned(engagement(id)))
}

fn snapshot(engagements: &[&str]) -> News {
    event(desk_event::Event::Snapshot(DeskSnapshot {
        agent: Some(Agent {
            id: "ana".into(),
            presence: AgentPresence::Ready.into(),
            capacity: 2,
            ..Default::default()
        }),
        engagements: engagements.iter().map(|id| engagement(id)).collect(),
        ..Default::default()
    }))
}

fn desk() -> Desk {
    let mut desk = Desk::new("ana".into());
    desk.apply(snapshot(&[]));
    desk
}

fn log(conversation: &str, event: Event) -> News {
    News::Log(Box::new(LogEntry {
        conversation_id: format!("c-{conversation}"),
        engagement_id: conversation.into(),
        event: Some(event),
        ..Default::default()
    }))
}

fn received(conversation: &str, id: &str) -> News {
    let message = Message {
        id: id.into(),
        direction: Direction::Inbound.into(),
        ..Default::default()
    };
    let received = MessageReceived {
        message: Some(message),
    };
    log(conversation, Event::MessageReceived(received))
}

#[test]
fn a_snapshot_replaces_what_is_gone_and_keeps_what_is_typed() {
    let mut desk = desk();
    desk.apply(assigned("old"));
    desk.apply(assigned("kept"));
    desk.editor.insert("half a sentence");
    let jobs = desk.apply(snapshot(&["kept", "new"]));
    let loads = jobs.iter().filter(|job| matches!(job, Job::Load(_)));
    assert_eq!(loads.count(), 2, "both are fetched again: {jobs:?}");
    assert_eq!(desk.current().unwrap().engagement.engagement_id, "kept");
    assert_eq!(desk.editor.text(), "half a sentence");
    assert_eq!(desk.open.len(), 2);
}

#[test]
fn an_accepted_offer_becomes_the_conversation_on_show() {
    let mut desk = desk();
    let offer = Offer {
        id: "o".into(),
        engagement_id: "e".into(),
        ..Default::default()
    };
    desk.apply(event(desk_event::Event::Offered(offer)));
    assert_eq!(desk.offers.len(), 1);
    desk.apply(assigned("e"));
    assert!(desk.offers.is_empty());
    assert_eq!(desk.current().unwrap().engagement.engagement_id, "e");
    desk.apply(event(desk_event::Event::Released(engagement("e"))));
    assert!(desk.current().is_none());
}

#[test]
fn what_is_typed_stays_with_its_conversation() {
    let mut desk = desk();
    desk.apply(assigned("a"));
    desk.editor.insert("for A");
    desk.apply(assigned("b"));
    assert!(desk.editor.is_empty(), "nothing meant for A goes to B");
    desk.editor.insert("for B");
    desk.next();
    assert_eq!(desk.editor.text(), "for A");
    desk.apply(event(desk_event::Event::Released(engagement("a"))));
    assert_eq!(desk.editor.text(), "for B");
}

#[test]
fn messages_elsewhere_are_marked_unread_until_looked_at() {
    let mut desk = desk();
    desk.apply(assigned("a"));
    desk.apply(assigned("b"));
    desk.apply(received("a", "m1"));
    desk.apply(received("b", "m2"));
    assert_eq!((desk.open[0].unread, desk.open[1].unread), (1, 0));
    desk.next();
    assert_eq!(desk.open[0].unread, 0);
}

#[test]
fn when_the_log_is_followed_anew_all_is_fetched_and_no_message_is_taken_for_an_old_one() {
    let mut desk = desk();
    desk.apply(assigned("a"));
    desk.apply(assigned("b"));
    desk.apply(received("a", "m1"));
    let jobs = desk.apply(News::LogStands);
    let loads = jobs.iter().filter(|job| matches!(job, Job::Load(_)));
    assert_eq!(loads.count(), 2, "{jobs:?}");
    // Another message: the log was restored, and m1 is not in it.
    desk.apply(received("a", "m1"));
    desk.apply(News::History {
        conversation: "c-a".into(),
        messages: Vec::new(),
        window: None,
    });
    assert_eq!(desk.open[0].said.len(), 1);
}

#[test]
fn an_expired_offer_says_why_the_agent_is_not_ready_until_ready_again() {
    let mut desk = desk();
    let offer = Offer {
        outcome: "expired".into(),
        ended_because: "not answered within 30 s; you are not ready now".into(),
        ..Default::default()
    };
    desk.apply(event(desk_event::Event::OfferEnded(offer)));
    let not_ready = AgentPresence::NotReady.into();
    desk.apply(event(desk_event::Event::Presence(not_ready)));
    assert!(desk.resting.as_ref().unwrap().contains("within 30 s"));
    let ready = AgentPresence::Ready.into();
    desk.apply(event(desk_event::Event::Presence(ready)));
    assert_eq!(desk.resting, None);
}

#[test]
fn the_end_of_a_conversation_is_told_whoever_tells_it_first() {
    let closed = || {
        let closed = EngagementClosed {
            disposition: "solved".into(),
            reason: "wrapped_up".into(),
            ..Default::default()
        };
        log("e", Event::EngagementClosed(closed))
    };
    let released = || event(desk_event::Event::Released(engagement("e")));
    for order in [[closed(), released()], [released(), closed()]] {
        let mut desk = desk();
        desk.apply(assigned("e"));
        for item in order {
            desk.apply(item);
        }
        assert_eq!(desk.notice.as_deref(), Some("E: closed as solved."));
    }
}

#[test]
fn in_wrap_up_a_number_files_the_conversation() {
    let mut desk = desk();
    desk.apply(assigned("e"));
    let wrap_up = DeskEngagement {
        state: "wrap_up".into(),
        ..engagement("e")
    };
    desk.apply(event(desk_event::Event::WrapUp(wrap_up)));
    let meant = desk.meant(Command::Say("1 -- wants tulips".into()));
    let expected = Command::Done {
        disposition: "1".into(),
        note: "wants tulips".into(),
    };
    assert_eq!(meant.unwrap(), Some(expected));
}

#[test]
fn a_number_in_the_list_of_templates_begins_the_command() {
    let mut desk = desk();
    desk.apply(News::Templates(vec![follow_up()]));
    desk.panel = Some(Panel::Templates);
    assert!(desk.meant(Command::Say("2".into())).is_err());
    assert_eq!(desk.meant(Command::Say("1".into())), Ok(None));
    assert_eq!(desk.editor.text(), "/template follow_up ");
    desk.editor.insert("Maria");
    let (template, values) = desk.drafted().unwrap();
    assert_eq!((template.name.as_str(), values.len()), ("follow_up", 1));
}

#[test]
fn another_terminal_and_a_text_that_was_not_sent() {
    let mut desk = desk();
    desk.apply(assigned("e"));
    desk.apply(News::NotSent {
        engagement: "e".into(),
        typed: "Hello".into(),
        problem: "there is no connection".into(),
    });
    assert_eq!(desk.editor.text(), "Hello");
    desk.apply(News::Elsewhere);
    assert_eq!(desk.connection, Connection::Elsewhere);
    desk.apply(snapshot(&["e"]));
    assert_eq!(desk.connection, Connection::Open);
}
