//! Offers that are not taken: who is asked next, and when the same agent is asked again.

use std::time::Duration;

use core_routing::{Effect, Input, LogFact, Outcome, Phase, Presence};
use core_types::QueueId;

use crate::desk::{Desk, agent, engagement, offer, queue};

#[test]
fn a_re_offer_keeps_its_place_and_everybody_is_asked_before_anybody_again() {
    let mut desk = Desk::new(&["ana", "ben"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    let second = offer(&desk.queued("2", 1, "sales", 0));
    desk.queued("3", 1, "sales", 0);
    desk.queued("4", 1, "sales", 0);
    // Ana lets 1 pass; ben is taken: she is offered the next she has not declined.
    let third = offer(&desk.decline(&first));
    assert_eq!(
        (&third.agent, &third.engagement),
        (&agent("ana"), &engagement("3"))
    );
    // Ben becomes free: 1 is still first in line, and he has not been asked.
    let again = offer(&desk.decline(&second));
    assert_eq!(again.agent, agent("ben"));
    assert_eq!(again.id.as_str(), "c1.e1.o1.2");
    // Ana has let 1 pass, but not 2, which is before 4.
    assert_eq!(offer(&desk.decline(&third)).engagement, engagement("2"));
}

#[test]
fn who_declines_is_asked_last() {
    let mut desk = Desk::new(&["ana", "ben"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.wait(5);
    let second = offer(&desk.decline(&first));
    assert_eq!(second.agent, agent("ben"));
    desk.wait(5);
    assert_eq!(
        desk.decline(&second).len(),
        1,
        "everybody has passed: a pause"
    );
    assert_eq!(desk.wait(9), []);
    assert_eq!(offer(&desk.wait(1)).agent, agent("ana"), "start over");
}

#[test]
fn a_lone_agent_who_declines_is_asked_again_after_a_pause() {
    let mut desk = Desk::new(&["ana"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    let effects = desk.decline(&first);
    assert!(matches!(&effects[..], [Effect::Ended { .. }]));
    let again = desk.now.plus(Duration::from_secs(10));
    assert_eq!(desk.routing.next_due(), Some(again));
    let sales = QueueId::new("sales").unwrap();
    let explain = |desk: &Desk| desk.routing.explain(desk.routing.waiting_in(&sales)[0]);
    assert_eq!(
        explain(&desk),
        format!("every free agent of Sales has let it pass; asked again at {again}")
    );
    assert_eq!(desk.wait(9), []);
    let second = offer(&desk.wait(1));
    assert_eq!(second.id.as_str(), "c1.e1.o1.2");
    // With nobody free, a pause that is over does not come due again and again.
    desk.decline(&second);
    desk.presence("ana", Presence::NotReady);
    desk.wait(10);
    assert_eq!(desk.routing.next_due(), None);
    assert_eq!(explain(&desk), "no agent of Sales is ready");
}

#[test]
fn another_agent_who_becomes_free_is_asked_without_a_pause() {
    let mut desk = Desk::new(&["ana", "ben"]);
    desk.presence("ben", Presence::NotReady);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.decline(&first);
    let second = offer(&desk.presence("ben", Presence::Ready));
    assert_eq!(second.agent, agent("ben"));
    // Taken back from ben, it still waits out the pause ana has asked for.
    desk.wait(4);
    desk.presence("ben", Presence::NotReady);
    assert_eq!(*desk.phase("1"), Phase::Waiting);
    assert_eq!(offer(&desk.wait(6)).agent, agent("ana"));
}

#[test]
fn who_becomes_ready_again_is_asked_like_anybody() {
    let mut desk = Desk::new(&["ana"]);
    desk.queued("1", 1, "sales", 0);
    desk.wait(30);
    assert_eq!(*desk.phase("1"), Phase::Waiting, "ana was not there");
    let second = offer(&desk.presence("ana", Presence::Ready));
    assert_eq!(second.reason, "the only ready agent (idle 0 s)");
}

#[test]
fn a_declined_engagement_does_not_hold_up_the_line() {
    let mut desk = Desk::new(&["ana"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.queued("2", 1, "sales", 0);
    let second = offer(&desk.decline(&first));
    assert_eq!(second.engagement, engagement("2"));
    desk.accept(&second, "ana");
    desk.confirm(&second);
    desk.wait(20);
    desk.queued("3", 1, "sales", 0);
    let effects = desk.run(Input::Log(LogFact::Closed(engagement("2"))));
    assert_eq!(
        offer(&effects).engagement,
        engagement("1"),
        "after the pause it has its place again"
    );
}

#[test]
fn who_transfers_an_engagement_gets_it_back_last() {
    let mut desk = Desk::new(&["ana", "ben"]);
    desk.presence("ben", Presence::NotReady);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    desk.confirm(&first);
    // Ana has been idle longer than ben when the transfer comes.
    desk.presence("ben", Presence::Ready);
    desk.run(Input::QueueSet(queue("support", &["ana", "ben"])));
    desk.ready("ana", 2);
    let second = offer(&desk.queued("1", 2, "support", 0));
    assert_eq!(second.agent, agent("ben"));
    assert_eq!(
        second.reason,
        "longest idle of 2 ready agents (idle 0 s); not to the one who transferred it"
    );
    desk.decline(&second);
    assert_eq!(*desk.phase("1"), Phase::Waiting);
    assert_eq!(offer(&desk.wait(10)).agent, agent("ana"));
}

#[test]
fn a_transfer_to_a_queue_of_ones_own_comes_back_after_a_pause() {
    let mut desk = Desk::new(&["ana"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    desk.accept(&first, "ana");
    desk.confirm(&first);
    let effects = desk.queued("1", 2, "sales", 0);
    assert!(matches!(&effects[..], [Effect::Released { .. }]));
    assert_eq!(offer(&desk.wait(10)).id.as_str(), "c1.e1.o2.1");
}

#[test]
fn an_end_only_the_log_knows_of_is_told() {
    let mut desk = Desk::new(&["ana", "ben"]);
    let first = offer(&desk.queued("1", 1, "sales", 0));
    let ended = |outcome| {
        Input::Log(LogFact::OfferEnded {
            engagement: engagement("1"),
            offer: first.id.clone(),
            outcome,
        })
    };
    let effects = desk.run(ended(Outcome::Declined));
    assert!(matches!(
        &effects[0],
        Effect::Ended { offer, outcome: Outcome::Declined, tell_log: false, .. }
            if offer.id == first.id
    ));
    assert_eq!(offer(&effects).agent, agent("ben"), "ana has let it pass");
    assert_eq!(desk.run(ended(Outcome::Declined)), [], "once");
}
