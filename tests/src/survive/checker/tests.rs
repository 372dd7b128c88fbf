//! The checker has teeth: each invariant is shown a history in which it is broken, and reports it
//! by its name. A sound history breaks none.

#![expect(
    clippy::semicolon_if_nothing_returned,
    clippy::unnecessary_wraps,
    reason = "a table of closures, and values in the form fields of messages have"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use lib_proto::billing::{Journal, Posting, Statement, StatementLine};
use lib_proto::common::content::Content as Kind;
use lib_proto::common::{
    ContactIdentity, Content, DeliveryStatus, Money, StatusUpdate, TemplateSend,
};
use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{
    AttemptEnded, Conversation, Direction, Engagement, EngagementAssigned, EngagementOffered,
    EngagementQueued, EngagementState, LogEntry, Message, MessageQueued, MessageReceived,
    OfferEnded, SendState, StatusChanged,
};
use lib_proto::ingress::ParkedItem;
use lib_proto::routing::{Agent, QueueState, WaitingEngagement};
use prost_types::Timestamp;

use super::{Facts, INVARIANTS, check};
use crate::survive::history::{Entry, Item, Op, Outcome};
use crate::survive::stores::Stores;

/// A history and stores that fit: one customer wrote twice, was answered once by a template, was
/// served by Ana; another waits.
struct World {
    history: Vec<Entry>,
    stores: Stores,
    facts: Facts,
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn money(micros: i64) -> Option<Money> {
    Some(Money {
        currency_code: "USD".to_owned(),
        micros,
    })
}

fn entry(outcome: Outcome, op: Op) -> Entry {
    Entry {
        at: 0,
        process: "test".to_owned(),
        outcome,
        op,
    }
}

fn message_item(number: u32) -> Item {
    Item::Message {
        wamid: format!("wamid.IN{number}"),
        customer: "16505550001".to_owned(),
        number: "n1".to_owned(),
    }
}

fn status_item(status: &str) -> Item {
    Item::Status {
        wamid: "wamid.OUT1".to_owned(),
        status: status.to_owned(),
        intent: "v1.m1".to_owned(),
    }
}

fn post(id: u64, items: Vec<Item>) -> Entry {
    let op = Op::Post {
        id,
        status: 200,
        signed: true,
        items,
    };
    entry(Outcome::Ok, op)
}

fn accepted(wamid: &str) -> Entry {
    let op = Op::Accepted {
        intent: "v1.m1".to_owned(),
        number: "n1".to_owned(),
        to: "16505550001".to_owned(),
        wamid: wamid.to_owned(),
        template: true,
        answer: "Ok".to_owned(),
        category: "utility".to_owned(),
    };
    entry(Outcome::Ok, op)
}

fn template() -> Option<Content> {
    Some(Content {
        content: Some(Kind::Template(TemplateSend::default())),
    })
}

fn sent(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        conversation_id: "c1".to_owned(),
        direction: Direction::Outbound.into(),
        content: template(),
        author: "ana".to_owned(),
        send_state: SendState::Accepted.into(),
        status: DeliveryStatus::Delivered.into(),
        ..Message::default()
    }
}

fn received(number: u32) -> Event {
    Event::MessageReceived(MessageReceived {
        message: Some(Message {
            id: format!("i{number}"),
            direction: Direction::Inbound.into(),
            whatsapp_message_id: format!("wamid.IN{number}"),
            ..Message::default()
        }),
    })
}

fn told(status: DeliveryStatus, after: DeliveryStatus) -> Event {
    Event::StatusChanged(StatusChanged {
        message_id: "m1".to_owned(),
        update: Some(StatusUpdate {
            id: "wamid.OUT1".to_owned(),
            status: status.into(),
            ..StatusUpdate::default()
        }),
        status: after.into(),
        ..StatusChanged::default()
    })
}

fn queued(engagement: &str, seconds: i64) -> (String, Event) {
    let event = Event::EngagementQueued(EngagementQueued {
        queue_id: "support".to_owned(),
        epoch: 1,
        queued_at: at(seconds),
        ..EngagementQueued::default()
    });
    (engagement.to_owned(), event)
}

fn offered(engagement: &str, offer: &str, expires: i64) -> (String, Event) {
    let event = Event::EngagementOffered(EngagementOffered {
        offer_id: offer.to_owned(),
        agent_id: "ana".to_owned(),
        epoch: 1,
        expires_at: at(expires),
        ..EngagementOffered::default()
    });
    (engagement.to_owned(), event)
}

fn assigned(engagement: &str, offer: &str, agent: &str) -> (String, Event) {
    let event = Event::EngagementAssigned(EngagementAssigned {
        offer_id: offer.to_owned(),
        agent_id: agent.to_owned(),
        epoch: 1,
        queue_id: "support".to_owned(),
    });
    (engagement.to_owned(), event)
}

fn meant(message: &Message) -> Event {
    Event::MessageQueued(MessageQueued {
        message: Some(message.clone()),
    })
}

impl World {
    fn sound() -> Self {
        let mut world = Self {
            history: vec![
                post(1, vec![message_item(1)]),
                post(2, vec![message_item(2)]),
                accepted("wamid.OUT1"),
                post(3, vec![status_item("sent"), status_item("delivered")]),
            ],
            stores: Stores::default(),
            facts: Facts {
                calm: true,
                offer_slack: Duration::from_secs(2),
                ..Facts::default()
            },
        };
        let ok = Op::Desk {
            agent: "ana".to_owned(),
            command: "accept".to_owned(),
            id: "ana-1".to_owned(),
            offer: "e1.o1".to_owned(),
            engagement: "e1".to_owned(),
            reason: String::new(),
        };
        world.history.push(entry(Outcome::Ok, ok));
        world.add_log();
        world.add_rest();
        world
    }

    fn add_log(&mut self) {
        for number in 1..3 {
            self.log("", 10, received(number));
        }
        for (engagement, event) in [
            queued("e1", 11),
            queued("e2", 12),
            offered("e1", "e1.o1", 20),
            assigned("e1", "e1.o1", "ana"),
            offered("e2", "e2.o1", 20),
        ] {
            self.log(&engagement, 13, event);
        }
        self.log("e1", 14, meant(&sent("m1")));
        self.log("", 15, told(DeliveryStatus::Sent, DeliveryStatus::Sent));
        self.log(
            "",
            15,
            told(DeliveryStatus::Delivered, DeliveryStatus::Delivered),
        );
        let ended = OfferEnded {
            offer_id: "e2.o1".to_owned(),
            agent_id: "ana".to_owned(),
            outcome: "expired".to_owned(),
        };
        self.log("e2", 20, Event::OfferEnded(ended));
    }

    fn add_rest(&mut self) {
        let stores = &mut self.stores;
        stores.conversations.push(Conversation {
            id: "c1".to_owned(),
            number_id: "n1".to_owned(),
            contact: Some(ContactIdentity {
                phone: "16505550001".to_owned(),
                ..ContactIdentity::default()
            }),
            sequence: stores.log.len() as u64,
            ..Conversation::default()
        });
        stores.messages.push(sent("m1"));
        for (id, state, agent) in [
            ("e1", EngagementState::Assigned, "ana"),
            ("e2", EngagementState::Queued, ""),
        ] {
            stores.engagements.push(Engagement {
                id: id.to_owned(),
                state: state.into(),
                agent_id: agent.to_owned(),
                queue_id: "support".to_owned(),
                ..Engagement::default()
            });
        }
        stores.queues.push(QueueState {
            queue_id: "support".to_owned(),
            waiting: vec![WaitingEngagement {
                engagement_id: "e2".to_owned(),
                ..WaitingEngagement::default()
            }],
            ..QueueState::default()
        });
        stores.agents.push(Agent {
            id: "ana".to_owned(),
            capacity: 2,
            load: 1,
            ..Agent::default()
        });
        let posting = |account: &str, micros| Posting {
            account: account.to_owned(),
            amount: money(micros),
        };
        stores.journals.push(Journal {
            id: "j1".to_owned(),
            message_id: "m1".to_owned(),
            whatsapp_message_id: "wamid.OUT1".to_owned(),
            postings: vec![
                posting("tenant:demo:usage", 5_000),
                posting("meta:w1:payable", -5_000),
            ],
            ..Journal::default()
        });
        stores.statements.push(Statement {
            lines: vec![StatementLine {
                messages: 1,
                ..StatementLine::default()
            }],
            totals: money(5_000).into_iter().collect(),
            ..Statement::default()
        });
    }

    fn log(&mut self, engagement: &str, seconds: i64, event: Event) {
        let sequence = self.stores.log.len() as u64 + 1;
        self.stores.log.push(LogEntry {
            cursor: sequence.to_string(),
            conversation_id: "c1".to_owned(),
            engagement_id: engagement.to_owned(),
            sequence,
            recorded_at: at(seconds),
            event: Some(event),
            ..LogEntry::default()
        });
        if let Some(conversation) = self.stores.conversations.first_mut() {
            conversation.sequence = sequence;
        }
    }

    fn broken(&self) -> BTreeSet<&'static str> {
        let found = check(&self.history, &self.stores, &self.facts);
        found.into_iter().map(|one| one.invariant).collect()
    }

    /// Takes out the log entries that `is`, and counts the others anew.
    fn forget(&mut self, is: impl Fn(&Event) -> bool) {
        self.stores
            .log
            .retain(|entry| !entry.event.as_ref().is_some_and(&is));
        for (sequence, entry) in (1..).zip(&mut self.stores.log) {
            entry.sequence = sequence;
        }
        self.stores.conversations[0].sequence = self.stores.log.len() as u64;
    }
}

fn is_received(event: &Event, number: u32) -> bool {
    let wamid = format!("wamid.IN{number}");
    matches!(event, Event::MessageReceived(one)
        if one.message.as_ref().is_some_and(|message| message.whatsapp_message_id == wamid))
}

fn ambiguous() -> Event {
    Event::AttemptEnded(AttemptEnded {
        message_id: "m1".to_owned(),
        attempt: 1,
        send_state: SendState::Ambiguous.into(),
        ..AttemptEnded::default()
    })
}

fn parked(payload: &str) -> ParkedItem {
    ParkedItem {
        id: "p1".to_owned(),
        cause: "it has no id".to_owned(),
        position: "entry[0]".to_owned(),
        attempts: 5,
        payload: payload.as_bytes().to_vec(),
        ..ParkedItem::default()
    }
}

/// What breaks an invariant.
type Break = fn(&mut World);

/// For each invariant a way to break it.
const BREAKS: [(&str, Break); 34] = [
    ("I1", |world| world.forget(|event| is_received(event, 2))),
    ("I2", |world| {
        world
            .history
            .push(post(9, vec![message_item(1), message_item(8)]));
    }),
    ("I3", |world| {
        let op = Op::Post {
            id: 9,
            status: 401,
            signed: false,
            items: vec![message_item(8)],
        };
        world.history.push(entry(Outcome::Fail, op));
        world.log("", 16, received(8));
    }),
    ("I4", |world| world.log("", 16, received(2))),
    ("I5", |world| {
        world.forget(|event| is_received(event, 1));
        world.log("", 16, received(1));
    }),
    ("I6", |world| {
        world.log("", 16, told(DeliveryStatus::Read, DeliveryStatus::Sent))
    }),
    ("I7", |world| world.log("", 16, received(1))),
    ("I8", |world| world.stores.log[3].sequence = 3),
    ("I9", |world| {
        world.facts.replay_differences.push("c1 differs".to_owned())
    }),
    ("I10", |world| {
        world.history.push(accepted("wamid.OUT2"));
        world.log("", 16, ambiguous());
    }),
    ("I11", |world| world.history.push(accepted("wamid.OUT2"))),
    ("I12", |world| {
        world.stores.messages[0].send_state = SendState::Rejected.into()
    }),
    ("I13", |world| world.stores.messages.clear()),
    ("I14", |world| {
        // m0 was meant before m1 and left after it.
        let early = sent("m0");
        let at = world.stores.log.len() - 4;
        let mut entry = world.stores.log[at].clone();
        entry.event = Some(meant(&early));
        world.stores.log.insert(at, entry);
        world.forget(|_| false);
        world.stores.messages.push(early);
        let Op::Accepted { number, to, .. } = world.history[2].op.clone() else {
            return;
        };
        let op = Op::Accepted {
            intent: "v1.m0".to_owned(),
            number,
            to,
            wamid: "wamid.OUT0".to_owned(),
            template: true,
            answer: "Ok".to_owned(),
            category: "service".to_owned(),
        };
        world.history.push(super::tests::entry(Outcome::Ok, op));
    }),
    ("I15", |world| {
        let (engagement, event) = assigned("e1", "e1.o2", "ben");
        world.log(&engagement, 16, event);
    }),
    ("I16", |world| world.stores.queues[0].waiting.clear()),
    ("I17", |world| {
        world.forget(|event| matches!(event, Event::EngagementAssigned(_)))
    }),
    ("I17", |world| {
        let told = world.history.last_mut();
        told.expect("an accept").outcome = Outcome::Fail;
    }),
    ("I18", |world| world.stores.agents[0].load = 3),
    ("I19", |world| {
        world.forget(|event| matches!(event, Event::OfferEnded(_)));
        world.log("", 60, ambiguous());
    }),
    ("I20", |world| {
        let (engagement, event) = queued("e0", 5);
        world.log(&engagement, 16, event);
        let (engagement, event) = offered("e0", "e0.o1", 30);
        world.log(&engagement, 17, event);
    }),
    ("I21", |world| {
        let message = Message {
            author: "ana".to_owned(),
            ..sent("m1")
        };
        world.log("e2", 16, meant(&message));
    }),
    // From a tab that was left open after the engagement had ended.
    ("I21", |world| {
        let message = Message {
            author: "ana".to_owned(),
            ..sent("m1")
        };
        world.log("", 16, meant(&message));
    }),
    ("I22", |world| {
        world.stores.journals[0].postings[0].amount = money(4_999)
    }),
    ("I23", |world| world.stores.journals.clear()),
    ("I24", |world| {
        let mut before = world.stores.journals[0].clone();
        before.explanation = "another price".to_owned();
        world.facts.checkpoint.push(before);
    }),
    ("I25", |world| {
        let mut journal = world.stores.journals[0].clone();
        journal.whatsapp_message_id = "wamid.OUT7".to_owned();
        world.stores.journals.push(journal);
    }),
    ("I26", |world| {
        world.stores.statements[0].totals[0].micros = 1
    }),
    ("I27", |world| {
        world.stores.statements[0].lines[0].messages = 2
    }),
    ("I28", |world| {
        let mut item = parked("x");
        item.cause = String::new();
        world.stores.parked.push(item);
    }),
    ("I29", |world| {
        world.facts.before_replay = Some(world.stores.log.len() - 1)
    }),
    ("I30", |world| {
        let op = Op::Post {
            id: 9,
            status: 503,
            signed: true,
            items: vec![message_item(8)],
        };
        world.history.push(entry(Outcome::Fail, op));
        world.log("", 16, received(8));
    }),
    ("I34", |world| {
        world.facts.secrets.push("16505550001".to_owned());
        world
            .facts
            .log_lines
            .push("INFO sent to 16505550001".to_owned());
    }),
    ("I35", |world| {
        world
            .facts
            .log_lines
            .push("thread 'main' panicked at src/lib.rs:1".to_owned());
    }),
];

#[test]
fn a_sound_history_breaks_nothing() {
    let world = World::sound();
    let found = check(&world.history, &world.stores, &world.facts);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_invariant_sees_what_breaks_it() {
    let mut blind = Vec::new();
    for (name, break_it) in BREAKS {
        let mut world = World::sound();
        break_it(&mut world);
        let found = world.broken();
        if !found.contains(name) {
            blind.push(format!("{name} saw nothing; found {found:?}"));
        }
    }
    assert!(blind.is_empty(), "{}", blind.join("\n"));
    let shown: BTreeSet<&str> = BREAKS.iter().map(|(name, _)| *name).collect();
    let known: BTreeSet<&str> = INVARIANTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(shown, known, "every invariant is shown a breach");
}

#[test]
fn a_second_copy_after_doubt_is_allowed_for_a_session_message_only() {
    let mut world = World::sound();
    world.stores.messages[0].content = None;
    world.history.push(accepted("wamid.OUT2"));
    world.log("", 16, ambiguous());
    let found = world.broken();
    assert!(
        !found.contains("I10") && !found.contains("I11"),
        "{found:?}"
    );
    let counts = super::count(&world.history, &world.stores);
    assert_eq!(
        (counts.duplicates_allowed, counts.duplicates_forbidden),
        (1, 0)
    );
}

#[test]
fn an_unknown_outcome_is_neither_kept_nor_refused() {
    let mut world = World::sound();
    // Without an answer it may have had its effect or not.
    let op = Op::Post {
        id: 9,
        status: 0,
        signed: true,
        items: vec![message_item(8)],
    };
    world.history.push(entry(Outcome::Info, op));
    assert!(world.broken().is_empty(), "{:?}", world.broken());
    world.log("", 16, received(8));
    assert!(world.broken().is_empty(), "{:?}", world.broken());
}

#[test]
fn what_is_parked_is_not_lost() {
    let mut world = World::sound();
    world.history.push(post(
        9,
        vec![Item::Poison {
            mark: "MARK1".to_owned(),
        }],
    ));
    assert!(world.broken().contains("I1"));
    world.stores.parked.push(parked("{\"text\":\"MARK1\"}"));
    assert!(world.broken().is_empty(), "{:?}", world.broken());
}

#[test]
fn what_no_invariant_was_asked_about_is_said() {
    let world = World::sound();
    let asked = super::exercised(&world.history, &world.stores, &world.facts);
    let times = |name: &str| asked.get(name).copied();
    assert_eq!(
        (times("I1"), times("I4"), times("I22")),
        (Some(3), Some(4), Some(1))
    );
    let silent: Vec<&str> = INVARIANTS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| times(name) == Some(0))
        .collect();
    assert_eq!(
        silent,
        ["I3", "I9", "I14", "I24", "I28", "I29", "I30", "I34", "I35"],
        "{asked:?}"
    );
    let known = INVARIANTS.iter().all(|(name, _)| times(name).is_some());
    assert!(known, "{asked:?}");
}

#[test]
fn a_refused_body_that_came_again_asks_nothing_of_i30() {
    let mut world = World::sound();
    let refused = |number| Op::Post {
        id: 9,
        status: 503,
        signed: true,
        items: vec![message_item(number)],
    };
    world.history.push(entry(Outcome::Fail, refused(2)));
    world.history.push(entry(Outcome::Fail, refused(8)));
    let for_good = super::refused_for_good(&world.history);
    assert_eq!(
        for_good.into_iter().collect::<Vec<_>>(),
        ["message wamid.IN8"]
    );
}
