//! What routing does in the situations people will ask about, one each.
#![expect(clippy::unwrap_used, reason = "a test whose set-up fails must fail")]

mod desk;
mod limits;
mod passes;

use std::time::Duration;

use core_routing::{Answer, Effect, Input, LogFact, Offer, Outcome, Phase, Presence, Rejection};
use core_types::{ConversationId, OfferId, QueueId};

use crate::desk::{Desk, agent, engagement, offer, queue, rejection};

#[test]
fn the_longest_idle_agent_is_asked_and_told_why() {
    let mut desk = Desk::new(&["ana", "ben"]);
    desk.wait(240);
    let offer = offer(&desk.queued("1", 1, "sales", 0));
    assert_eq!(offer.agent, agent("ana"));
    assert_eq!(offer.id.as_str(), "c1.e1.o1.1");
    assert_eq!(offer.reason, "longest idle of 2 ready agents (idle 4 min)");
    assert_eq!(offer.expires_at, desk.now.plus(Duration::from_secs(30)));
}

#[test]
fn an_unanswered_offer_goes_on_and_its_agent_is_not_ready() {
    let mut desk = Desk::new(&["ana", "ben"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.wait(29);
    let effects = desk.wait(1);
    assert!(matches!(
        &effects[0],
        Effect::Ended { outcome: Outcome::Expired, tell_log: true, because, .. }
            if because == "not answered within 30 s; you are not ready now"
    ));
    assert!(effects.contains(&Effect::PresenceChanged {
        agent: agent("ana"),
        presence: Presence::NotReady
    }));
    let second = offer(&effects);
    assert_eq!(second.agent, agent("ben"));
    assert_eq!(
        second.reason,
        "the only ready agent (idle 31 s); 1 agent let it pass"
    );
    assert_eq!(rejection(desk.accept(&first, "ana").0), "OFFER_GONE");
}

#[test]
fn priority_goes_first_then_who_came_first() {
    let mut desk = Desk::new(&["ana"]);
    desk.presence("ana", Presence::NotReady);
    for (name, priority) in [("1", 0), ("2", 0), ("3", 5)] {
        desk.queued(name, 1, "sales", priority);
    }
    let sales = QueueId::new("sales").unwrap();
    let line: Vec<&str> = desk
        .routing
        .waiting_in(&sales)
        .iter()
        .map(|waiting| waiting.id.as_str())
        .collect();
    assert_eq!(line, ["c3.e1", "c1.e1", "c2.e1"]);
    assert_eq!(
        desk.routing.explain(desk.routing.waiting_in(&sales)[0]),
        "no agent of Sales is ready"
    );
    let effects = desk.presence("ana", Presence::Ready);
    assert_eq!(offer(&effects).engagement, engagement("3"));
    assert_eq!(
        desk.routing.explain(desk.routing.waiting_in(&sales)[1]),
        "the only ready agent of Sales is at capacity"
    );
}

#[test]
fn accept_is_asked_of_the_log_once_and_may_be_repeated() {
    let mut desk = Desk::new(&["ana", "ben"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    assert_eq!(rejection(desk.accept(&first, "ben").0), "NOT_YOURS");
    let (answer, effects) = desk.accept(&first, "ana");
    assert_eq!(answer, Answer::Pending);
    assert!(matches!(
        &effects[..],
        [Effect::AskAssign {
            wrap_up_seconds: 60,
            ..
        }]
    ));
    assert_eq!(desk.accept(&first, "ana"), (Answer::Pending, vec![]));
    // It does not expire while the log has not answered.
    assert_eq!(desk.wait(3_600), []);
    let effects = desk.confirm(&first);
    assert!(matches!(&effects[..], [Effect::Assigned { .. }]));
    assert_eq!(desk.confirm(&first), []);
    assert_eq!(desk.accept(&first, "ana"), (Answer::Done, vec![]));
    assert_eq!(rejection(desk.accept(&first, "ben").0), "NOT_YOURS");
    let decline = Input::Decline {
        agent: agent("ana"),
        offer: first.id.clone(),
        epoch: 1,
    };
    assert_eq!(rejection(desk.ask(decline).0), "ALREADY_ACCEPTED");
    let stale = Input::Accept {
        agent: agent("ana"),
        offer: first.id,
        epoch: 2,
    };
    assert_eq!(
        desk.ask(stale).0,
        Answer::Rejected(Rejection::StaleEpoch(1))
    );
}

#[test]
fn an_offer_cannot_be_accepted_from_its_expiry_on() {
    let mut desk = Desk::new(&["ana"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.now = first.expires_at;
    let accept = Input::Accept {
        agent: agent("ana"),
        offer: first.id,
        epoch: 1,
    };
    let (answer, _) = desk.routing.handle(accept, desk.now);
    assert_eq!(rejection(answer), "OFFER_GONE");
}

#[test]
fn what_the_log_refuses_is_held_until_it_says_more() {
    let mut desk = Desk::new(&["ana"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    let refused = Input::LogRefused {
        engagement: first.engagement.clone(),
        offer: first.id.clone(),
        assignment: true,
        reason: "STALE_EPOCH".to_owned(),
    };
    let effects = desk.run(refused);
    assert!(matches!(
        &effects[..],
        [Effect::Ended {
            tell_log: false,
            ..
        }]
    ));
    assert!(matches!(desk.phase("1"), Phase::Held { .. }));
    let next = offer(&desk.queued("1", 2, "sales", 0));
    assert_eq!(next.id.as_str(), "c1.e1.o2.1");
}

#[test]
fn a_repeated_report_of_an_accepted_offer_means_nothing() {
    let mut desk = Desk::new(&["ana"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    let refused = Input::LogRefused {
        engagement: first.engagement.clone(),
        offer: first.id.clone(),
        assignment: false,
        reason: "ALREADY_ASSIGNED".to_owned(),
    };
    assert_eq!(desk.run(refused), []);
    assert!(matches!(
        &desk.confirm(&first)[..],
        [Effect::Assigned { .. }]
    ));
}

#[test]
fn a_message_during_wrap_up_gives_the_owner_a_new_epoch() {
    let mut desk = Desk::new(&["ana"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    desk.confirm(&first);
    desk.run(Input::Log(LogFact::WrapUp {
        engagement: engagement("1"),
        epoch: 1,
        until: None,
    }));
    let effects = desk.run(Input::Log(LogFact::Assigned {
        engagement: engagement("1"),
        conversation: ConversationId::new("c1").unwrap(),
        epoch: 2,
        agent: agent("ana"),
        queue: QueueId::new("sales").unwrap(),
        offer: None,
    }));
    assert!(matches!(&effects[..], [Effect::Assigned { .. }]));
    assert_eq!(desk.routing.load_of(&agent("ana")), 1);
}

#[test]
fn a_transfer_releases_the_owner_and_starts_a_new_epoch() {
    let mut desk = Desk::new(&["ana", "ben"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    desk.confirm(&first);
    desk.run(Input::QueueSet(queue("support", &["ben"])));
    let effects = desk.queued("1", 2, "support", 0);
    assert!(matches!(&effects[0], Effect::Released { epoch: 1, .. }));
    assert_eq!(offer(&effects).agent, agent("ben"));
    // The log's older word comes late.
    assert_eq!(desk.queued("1", 1, "sales", 0), []);
}

#[test]
fn a_lost_desk_gives_offers_back_at_once_and_keeps_its_work() {
    let mut desk = Desk::new(&["ana", "ben"]);
    desk.ready("ana", 2);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    desk.confirm(&first);
    desk.presence("ben", Presence::NotReady);
    let second = offer(&desk.queued("2", 1, "sales", 0));
    assert_eq!(second.agent, agent("ana"));
    desk.presence("ben", Presence::Ready);
    let effects = desk.run(Input::Disconnected(agent("ana")));
    assert!(matches!(
        &effects[0],
        Effect::Ended {
            outcome: Outcome::Withdrawn,
            ..
        }
    ));
    assert_eq!(offer(&effects).agent, agent("ben"));
    assert!(matches!(desk.phase("1"), Phase::Assigned { .. }));
    let state = |desk: &Desk| desk.routing.agent(&agent("ana")).unwrap().presence;
    assert_eq!(state(&desk), Presence::Ready, "within the grace period");
    desk.run(Input::Absent(agent("ana")));
    assert_eq!(state(&desk), Presence::NotReady);
    desk.run(Input::Connected {
        agent: agent("ana"),
        capacity: None,
    });
    desk.run(Input::Absent(agent("ana")));
    assert_eq!(desk.routing.agent(&agent("ana")).unwrap().capacity, 2);
}

#[test]
fn a_queue_that_does_not_exist_waits_visibly() {
    let mut desk = Desk::new(&["ana"]);
    assert_eq!(desk.queued("1", 1, "nowhere", 0), []);
    let nowhere = QueueId::new("nowhere").unwrap();
    assert_eq!(
        desk.routing.explain(desk.routing.waiting_in(&nowhere)[0]),
        "queue `nowhere` does not exist; create it or transfer the engagement"
    );
    let (answer, _) = desk.ask(Input::QueueDeleted(nowhere));
    assert_eq!(rejection(answer), "QUEUE_NOT_EMPTY");
    let effects = desk.run(Input::QueueSet(queue("nowhere", &["ana"])));
    assert_eq!(offer(&effects).engagement, engagement("1"));
    // Taking the agent out of the queue takes the offer back.
    let effects = desk.run(Input::QueueSet(queue("nowhere", &[])));
    assert!(matches!(&effects[..], [Effect::Ended { .. }]));
}

#[test]
fn rebuilding_from_the_log_never_uses_an_offer_number_twice() {
    let mut desk = Desk::new(&["ana"]);
    desk.presence("ana", Presence::NotReady);
    desk.queued("1", 1, "sales", 0);
    let mut made_before = Offer {
        id: OfferId::new("c1.e1.o1.3").unwrap(),
        engagement: engagement("1"),
        epoch: 1,
        queue: QueueId::new("sales").unwrap(),
        agent: agent("ben"),
        offered_at: desk.now,
        expires_at: desk.now.plus(Duration::from_secs(30)),
        reason: String::new(),
    };
    let fact = Input::Log(LogFact::Offered(made_before.clone()));
    desk.routing.handle(fact, desk.now);
    assert!(matches!(desk.phase("1"), Phase::Offered { .. }));
    let effects = desk.run(Input::CaughtUp);
    assert!(matches!(
        &effects[..],
        [Effect::Ended { tell_log: true, .. }]
    ));
    let next = offer(&desk.presence("ana", Presence::Ready));
    assert_eq!(next.id.as_str(), "c1.e1.o1.4");
    made_before.id = OfferId::new("c1.e1.o1.4").unwrap();
    assert_eq!(
        desk.run(Input::Log(LogFact::Offered(made_before))),
        [],
        "our own report"
    );
    // An owner nobody knew counts too.
    let fact = LogFact::Assigned {
        engagement: engagement("9"),
        conversation: ConversationId::new("c9").unwrap(),
        epoch: 4,
        agent: agent("ben"),
        queue: QueueId::new("sales").unwrap(),
        offer: None,
    };
    desk.run(Input::Log(fact));
    assert_eq!(desk.routing.load_of(&agent("ben")), 1);
}
