//! The customers: who writes next and what, and which reply is due.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::TURNS;

/// Customers that come back after their conversation has ended; fewer are never known.
const KNOWN: usize = 20_000;

/// One customer in a conversation.
struct Customer {
    phone: String,
    /// Messages written, ever: makes ids different.
    written: u64,
    /// The turn to take next.
    turn: usize,
    /// When the message that waits for its reply was due.
    waiting: Option<Instant>,
    /// Why nobody waits with this customer any more, and why it writes no more.
    gone: Option<Gone>,
}

/// Why a customer takes no further part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// Its message was not answered 200, so that a reply may come or not.
    Refused,
    /// Its message was taken, and no reply came in time.
    Overdue,
    /// The reply came after that.
    Answered,
}

/// What a reply was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The reply that was due, to a message due then.
    Due(Instant),
    /// The reply to a message that was refused, or that nobody waited for any longer.
    Late,
    /// The right text for somebody who waits for none, or the wrong text.
    Unexpected,
}

/// All customers of a run.
pub(super) struct Customers {
    prefix: String,
    all: Vec<Customer>,
    by_phone: HashMap<String, usize>,
    /// Those in the middle of a conversation who may write.
    ready: VecDeque<usize>,
    /// Those whose conversation has ended, longest ago first.
    done: VecDeque<usize>,
    waiting: usize,
}

/// A message to write.
pub(super) struct Writing<'a> {
    pub(super) phone: &'a str,
    pub(super) wamid: String,
    pub(super) text: &'static str,
}

impl Customers {
    /// Customers whose phone numbers begin with `prefix`.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            all: Vec::new(),
            by_phone: HashMap::new(),
            ready: VecDeque::new(),
            done: VecDeque::new(),
            waiting: 0,
        }
    }

    /// How many wait for a reply.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The next message, due at `due`: who is in a conversation goes on, else somebody begins one.
    pub(super) fn write(&mut self, due: Instant) -> Writing<'_> {
        let at = self.ready.pop_front().unwrap_or_else(|| self.begin());
        let customer = &mut self.all[at];
        customer.written += 1;
        customer.waiting = Some(due);
        self.waiting += 1;
        let Customer { phone, written, .. } = &*customer;
        Writing {
            wamid: format!("wamid.IN{phone}.{written}"),
            text: TURNS[customer.turn].0,
            phone,
        }
    }

    fn begin(&mut self) -> usize {
        if self.done.len() >= KNOWN
            && let Some(at) = self.done.pop_front()
        {
            return at;
        }
        let at = self.all.len();
        let phone = format!("{}{at:06}", self.prefix);
        self.by_phone.insert(phone.clone(), at);
        self.all.push(Customer {
            phone,
            written: 0,
            turn: 0,
            waiting: None,
            gone: None,
        });
        at
    }

    /// The message of `phone` was not answered 200: nobody waits for a reply to it.
    pub(super) fn refused(&mut self, phone: &str) {
        let Some(at) = self.by_phone.get(phone).copied() else {
            return;
        };
        let customer = &mut self.all[at];
        if customer.waiting.is_some() && customer.gone.is_none() {
            customer.gone = Some(Gone::Refused);
            self.waiting -= 1;
        }
    }

    /// Nobody waits any longer for the replies that have not come. Returns how many.
    pub(super) fn give_up(&mut self) -> usize {
        let waiting = self.all.iter_mut();
        for customer in waiting.filter(|one| one.waiting.is_some() && one.gone.is_none()) {
            customer.gone = Some(Gone::Overdue);
        }
        std::mem::take(&mut self.waiting)
    }

    /// Waits again for the replies that were given up and have not come since. Returns how many.
    pub(super) fn wait_again(&mut self) -> usize {
        let overdue = self.all.iter_mut();
        for customer in overdue.filter(|one| one.gone == Some(Gone::Overdue)) {
            customer.gone = None;
            self.waiting += 1;
        }
        self.waiting
    }

    /// A reply has come.
    pub(super) fn reply(&mut self, phone: &str, text: &str) -> Reply {
        let Some(at) = self.by_phone.get(phone).copied() else {
            return Reply::Unexpected;
        };
        let customer = &mut self.all[at];
        let right = text.starts_with(TURNS[customer.turn].1);
        let Some(due) = customer.waiting.take_if(|_| right) else {
            return Reply::Unexpected;
        };
        if customer.gone.is_some() {
            customer.gone = Some(Gone::Answered);
            return Reply::Late;
        }
        self.waiting -= 1;
        customer.turn = (customer.turn + 1) % TURNS.len();
        if customer.turn == 0 {
            self.done.push_back(at);
        } else {
            self.ready.push_back(at);
        }
        Reply::Due(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_has_its_turns_and_each_reply_counts_once() {
        let mut customers = Customers::new("1650");
        let now = Instant::now();
        for (text, reply) in TURNS {
            let writing = customers.write(now);
            assert_eq!((writing.phone, writing.text), ("1650000000", text));
            assert_eq!(customers.reply("1650000000", "what?"), Reply::Unexpected);
            assert_eq!(customers.reply("1650000000", reply), Reply::Due(now));
            assert_eq!(customers.reply("1650000000", reply), Reply::Unexpected);
        }
        assert_eq!(customers.waiting(), 0);
        assert_eq!(customers.write(now).phone, "1650000001");
    }

    #[test]
    fn a_refused_or_overdue_message_holds_nobody_up_and_its_reply_is_no_surprise() {
        let mut customers = Customers::new("1650");
        let now = Instant::now();
        for _ in 0..3 {
            customers.write(now);
        }
        customers.refused("1650000000");
        customers.refused("1650000000");
        assert_eq!(customers.waiting(), 2);
        assert_eq!(customers.give_up(), 2);
        assert_eq!(customers.waiting(), 0);
        let reply = TURNS[0].1;
        for phone in ["1650000000", "1650000001"] {
            assert_eq!(customers.reply(phone, reply), Reply::Late);
            assert_eq!(customers.reply(phone, reply), Reply::Unexpected);
        }
        // One is still missing: at the end it is waited for once more.
        assert_eq!(customers.wait_again(), 1);
        assert_eq!(customers.reply("1650000002", reply), Reply::Due(now));
        assert_eq!(customers.waiting(), 0);
        // Who is gone writes no more.
        assert_eq!(customers.write(now).phone, "1650000002");
        assert_eq!(customers.write(now).phone, "1650000003");
    }
}
