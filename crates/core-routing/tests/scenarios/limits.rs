//! Capacity, and when it changes.

use core_routing::{Answer, Effect, Input, LogFact, Outcome, Phase};
use core_types::{ConversationId, QueueId};

use crate::desk::{Desk, agent, engagement, offer, queue, rejection};

#[test]
fn capacity_counts_offers_work_and_wrap_up() {
    let mut desk = Desk::new(&["ana"]);
    desk.ready("ana", 2);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    desk.confirm(&first);
    let second = offer(&desk.queued("2", 1, "sales", 0));
    assert_eq!(second.reason, "the only ready agent (serves 1 of 2)");
    desk.accept(&second, "ana");
    desk.confirm(&second);
    assert_eq!(desk.queued("3", 1, "sales", 0), []);
    let wrap_up = LogFact::WrapUp {
        engagement: engagement("1"),
        epoch: 1,
        until: None,
    };
    assert!(matches!(
        &desk.run(Input::Log(wrap_up))[..],
        [Effect::WrapUp { .. }]
    ));
    let effects = desk.run(Input::Log(LogFact::Closed(engagement("1"))));
    assert!(matches!(&effects[0], Effect::Released { .. }));
    let third = offer(&effects);
    assert_eq!(third.engagement, engagement("3"));
    desk.accept(&third, "ana");
    desk.confirm(&third);
    // A lower capacity takes nothing away that is accepted, and nothing new comes.
    desk.ready("ana", 1);
    assert_eq!(desk.routing.load_of(&agent("ana")), 2);
    assert_eq!(desk.queued("4", 1, "sales", 9), []);
}

#[test]
fn a_lower_capacity_takes_back_the_newest_open_offers() {
    let mut desk = Desk::new(&["ana"]);
    desk.ready("ana", 4);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    let second = offer(&desk.queued("2", 1, "sales", 0));
    desk.wait(1);
    let third = offer(&desk.queued("3", 1, "sales", 0));
    let fourth = offer(&desk.queued("4", 1, "sales", 0));
    let effects = desk.ready("ana", 2);
    assert_eq!(effects, [], "she was ready already");
    let connect = |capacity| Input::Connected {
        agent: agent("ana"),
        capacity: Some(capacity),
    };
    assert_eq!(desk.routing.load_of(&agent("ana")), 2);
    assert!(matches!(desk.phase("2"), Phase::Offered { .. }));
    for gone in [&third, &fourth] {
        assert_eq!(rejection(desk.accept(gone, "ana").0), "OFFER_GONE");
    }
    // What is accepted stays; the last open offer goes.
    let effects = desk.run(connect(1));
    assert!(matches!(
        &effects[..],
        [Effect::Ended { offer, outcome: Outcome::Withdrawn, tell_log: true, because }]
            if offer.id == second.id && because == "you serve no more than 1 at once now"
    ));
    assert!(matches!(
        &desk.confirm(&first)[..],
        [Effect::Assigned { .. }]
    ));
    assert_eq!(desk.run(connect(1)), []);
}

#[test]
fn among_offers_of_the_same_time_the_last_in_line_is_taken_back() {
    let mut desk = Desk::new(&["ana"]);
    desk.ready("ana", 2);
    desk.queued("1", 1, "sales", 0);
    desk.queued("2", 1, "sales", 5);
    let connect = Input::Connected {
        agent: agent("ana"),
        capacity: Some(1),
    };
    let (answer, effects) = desk.routing.handle(connect, desk.now);
    assert_eq!(answer, Answer::Done);
    assert!(matches!(
        &effects[..],
        [Effect::Ended { offer, .. }] if offer.engagement == engagement("1")
    ));
}

#[test]
fn work_the_log_hands_out_takes_open_offers_back() {
    let mut desk = Desk::new(&["ana"]);
    let open = offer(&desk.queued("1", 1, "sales", 0));
    desk.run(Input::QueueSet(queue("support", &[])));
    let fact = LogFact::Assigned {
        engagement: engagement("9"),
        conversation: ConversationId::new("c9").unwrap(),
        epoch: 1,
        agent: agent("ana"),
        queue: QueueId::new("support").unwrap(),
        offer: None,
    };
    desk.run(Input::Log(fact));
    assert_eq!(rejection(desk.accept(&open, "ana").0), "OFFER_GONE");
    assert_eq!(desk.routing.load_of(&agent("ana")), 1);
}
