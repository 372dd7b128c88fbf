//! A newcomer's first conversation, with the three programs the README names: the installation, a
//! phone and a desk, each a process of its own. The terminal programs are driven through pipes.

use std::time::Instant;

use crate::installation::{Access, Installation, LOOK, PATIENCE};
use crate::terminal::Terminal;

/// A customer, with a phone number nobody else has.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) name: String,
    /// Digits.
    pub(crate) phone: String,
}

impl Customer {
    /// Customer number `n`, below 800.
    pub(crate) fn number(n: usize) -> Self {
        Self {
            name: format!("C{n}"),
            phone: format!("1650555{:04}", 200 + n),
        }
    }

    /// The customer's phone in a terminal.
    pub(crate) fn phone(&self, access: &Access) -> Terminal {
        let args = ["chat", "--name", &self.name, "--phone", &self.phone];
        access.terminal("admin", &args)
    }
}

/// Where in a conversation something is done to the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The customer has written; the flow is about to answer.
    Greeting,
    /// The customer has asked for a person; an offer is about to be made.
    Queueing,
    /// The agent has written; the message is about to leave.
    Answering,
}

/// Opens the desk of an agent who is ready.
pub(crate) fn desk(access: &Access, agent: &str) -> Terminal {
    let mut desk = access.terminal(agent, &["agent", "--as", agent]);
    desk.shows("desk open");
    desk.types("/ready");
    desk.shows("presence: Ready");
    desk
}

/// One customer from the greeting to the wrap-up. At each moment `strike` is called.
pub(crate) fn talk(
    access: &Access,
    desk: &mut Terminal,
    customer: &Customer,
    mut strike: impl FnMut(Moment),
) {
    let name = &customer.name;
    let mut phone = customer.phone(access);
    reach(&mut phone, desk, name, &mut strike);
    let line = format!("Hello {name}, this is Ana.");
    desk.types(&line);
    strike(Moment::Answering);
    arrives(desk, &mut phone, &line, &format!("< {line}"));
    phone.types("Do you have tulips?");
    desk.shows("< Do you have tulips?");
    let line = format!("/template conversation_follow_up {name} | FD-7");
    says(
        desk,
        &mut phone,
        &line,
        "there is news about your request FD-7",
    );
    finish(desk);
}

/// From the greeting until the agent has the customer.
pub(crate) fn reach(
    phone: &mut Terminal,
    desk: &mut Terminal,
    name: &str,
    strike: &mut impl FnMut(Moment),
) {
    phone.types("Hi 👋");
    strike(Moment::Greeting);
    phone.shows("< Hey there!👋");
    phone.shows("< • For Sales🧾");
    phone.types("1️⃣");
    strike(Moment::Queueing);
    accept(desk, name);
}

/// Accepts the offer of a customer. While routing moves to another replica an offer may end or the
/// desk may break; then the offer comes again, or stands when the desk is open again.
fn accept(desk: &mut Terminal, name: &str) {
    let since = Instant::now();
    let (offer, assigned) = (
        format!("offer: {name} in Sales"),
        format!("assigned: {name}"),
    );
    let outcomes = [&offer, "desk open: 1 offers", &assigned, ", 1 engagements"];
    while desk.shows_one_of(&outcomes) < 2 {
        desk.types("/accept");
        assert!(since.elapsed() < PATIENCE * 2, "{name} was never assigned");
    }
}

/// The agent says something, and the customer sees it as `shown`.
pub(crate) fn says(desk: &mut Terminal, phone: &mut Terminal, line: &str, shown: &str) {
    desk.types(line);
    arrives(desk, phone, line, shown);
}

/// What the agent has typed arrives. A desk that could not send gives it back to be sent again.
fn arrives(desk: &mut Terminal, phone: &mut Terminal, line: &str, shown: &str) {
    let since = Instant::now();
    while !phone.has(shown) {
        if desk.has("Not sent") {
            desk.types(line);
        }
        assert!(since.elapsed() < PATIENCE, "never shown: {shown}");
        std::thread::park_timeout(LOOK);
    }
}

/// The agent ends the engagement.
pub(crate) fn finish(desk: &mut Terminal) {
    let since = Instant::now();
    desk.types("/done solved -- wants tulips");
    while desk.shows_one_of(&["released", ", 0 engagements", "Not done"]) == 2 {
        desk.types("/done solved -- wants tulips");
        assert!(since.elapsed() < PATIENCE, "never released");
    }
}

#[test]
fn a_customer_and_an_agent_talk_from_two_terminals() {
    let installation = Installation::dev();
    let access = installation.access();
    let mut ana = desk(access, "ana");
    let maria = Customer {
        name: "Maria".to_owned(),
        phone: "16505550123".to_owned(),
    };
    talk(access, &mut ana, &maria, |_| {});
    drop(ana);
    installation.stop();
}
