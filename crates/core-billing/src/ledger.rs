//! The ledger's logic: each message once, allowances counted, what cannot be rated kept aside; and
//! a bill made again from the log by the same code.

use std::collections::{BTreeMap, BTreeSet};

use core_types::{
    Currency, Money, MoneyError, NumberId, TenantId, Timestamp, WabaId, WhatsAppMessageId,
};

use crate::book::PriceBook;
use crate::calendar::Month;
use crate::era::AllowanceScope;
use crate::journal::Journal;
use crate::rate::{Account, Event, Facts, NotBillable, Outcome, Rating, Unrated, rate};
use crate::words::{Category, PricingType};

/// One rated message: a line in the ledger, also when it was free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whose.
    pub tenant: TenantId,
    /// Paid by which account.
    pub waba: WabaId,
    /// Sent by which number.
    pub number: NumberId,
    /// Meta's id of the message.
    pub whatsapp_message_id: WhatsAppMessageId,
    /// Our id of the message; empty when it is not ours.
    pub message_id: String,
    /// When Meta delivered it.
    pub occurred_at: Timestamp,
    /// What it cost and why.
    pub rating: Rating,
}

impl Usage {
    /// The id of its journal.
    pub fn journal_id(&self) -> String {
        format!("{}:{}", self.number, self.whatsapp_message_id)
    }
}

/// A delivered message that could not be rated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspense {
    /// Whose.
    pub tenant: TenantId,
    /// Sent by which number.
    pub number: NumberId,
    /// Meta's id of the message.
    pub whatsapp_message_id: WhatsAppMessageId,
    /// Our id of the message; empty when it is not ours.
    pub message_id: String,
    /// When Meta delivered it.
    pub occurred_at: Timestamp,
    /// In the account's zone.
    pub month: Month,
    /// Why.
    pub unrated: Unrated,
}

impl Suspense {
    /// Whether this says more than `other` of the same message: a reason that stays beats one that
    /// waits for price facts, then the earlier time, then the text. The order statuses arrive in
    /// does not matter.
    pub fn outranks(&self, other: &Self) -> bool {
        let rank = |one: &Self| {
            let Unrated {
                awaits_price,
                reason,
            } = one.unrated.clone();
            (awaits_price, one.occurred_at, reason)
        };
        rank(self) < rank(other)
    }
}

/// What is to be written down for one status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Nothing(NotBillable),
    /// A line of the ledger, and its journal if it costs something. It settles what was kept aside
    /// for the message.
    Rated(Box<Usage>, Option<Journal>),
    /// The message is kept aside.
    Unrated(Box<Suspense>),
}

/// What an allowance is counted for, in one month.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CounterKey {
    /// One number's.
    Number(NumberId, Month),
    /// All numbers' of an account.
    Waba(WabaId, Month),
}

/// What the ledger must remember to decide. A service that keeps it in a database loads what a
/// batch touches before it decides, see the `known_…` methods.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    messages: BTreeSet<(NumberId, WhatsAppMessageId)>,
    conversations: BTreeSet<(NumberId, String)>,
    counters: BTreeMap<CounterKey, u32>,
}

impl Ledger {
    /// The counter a status would use; `None` when no allowance holds on that day.
    pub fn counter(event: &Event, account: &Account, book: &PriceBook) -> Option<CounterKey> {
        let date = account.zone.date(event.update.occurred_at);
        let allowance = book.era(date)?.allowance?;
        let month = Month::of(date);
        Some(match allowance.scope {
            AllowanceScope::Number => CounterKey::Number(account.number.clone(), month),
            AllowanceScope::Waba => CounterKey::Waba(account.waba.clone(), month),
        })
    }

    /// This message is in the ledger.
    pub fn known_message(&mut self, number: NumberId, id: WhatsAppMessageId) {
        self.messages.insert((number, id));
    }

    /// This conversation has been charged, or was free as a whole.
    pub fn known_conversation(&mut self, number: NumberId, id: String) {
        self.conversations.insert((number, id));
    }

    /// The counter stands at `count`.
    pub fn known_counter(&mut self, key: CounterKey, count: u32) {
        self.counters.insert(key, count);
    }

    /// Whether the counter has been told or used.
    pub fn has_counter(&self, key: &CounterKey) -> bool {
        self.counters.contains_key(key)
    }

    /// Forgets messages and conversations, keeps counters: what a service does between batches.
    pub fn forget_messages(&mut self) {
        self.messages.clear();
        self.conversations.clear();
    }

    /// Decides what a status means, and remembers it.
    pub fn decide(&mut self, event: &Event, account: &Account, book: &PriceBook) -> Decision {
        let message = (account.number.clone(), event.update.id.clone());
        let conversation = event.update.billing_conversation.clone();
        let conversation = conversation.map(|id| (account.number.clone(), id));
        let counter = Self::counter(event, account, book);
        let facts = Facts {
            service_before: counter
                .as_ref()
                .and_then(|key| self.counters.get(key).copied())
                .unwrap_or(0),
            conversation_charged: conversation
                .as_ref()
                .is_some_and(|key| self.conversations.contains(key)),
        };
        match rate(event, account, facts, book) {
            Outcome::NotBillable(why) => Decision::Nothing(why),
            Outcome::Rated(_) | Outcome::Unrated(_) if self.messages.contains(&message) => {
                Decision::Nothing(NotBillable::AlreadyRated)
            }
            Outcome::Unrated(unrated) => Decision::Unrated(Box::new(Suspense {
                tenant: account.tenant.clone(),
                number: account.number.clone(),
                whatsapp_message_id: event.update.id.clone(),
                message_id: event.message_id.clone(),
                occurred_at: event.update.occurred_at,
                month: account.zone.month(event.update.occurred_at),
                unrated,
            })),
            Outcome::Rated(rating) => {
                self.messages.insert(message);
                if rating.opens_conversation.is_some() {
                    self.conversations.extend(conversation);
                }
                if let Some(key) = counter.filter(|_| rating.counts) {
                    let count = self.counters.entry(key).or_default();
                    *count = count.saturating_add(1);
                }
                let usage = Usage {
                    tenant: account.tenant.clone(),
                    waba: account.waba.clone(),
                    number: account.number.clone(),
                    whatsapp_message_id: event.update.id.clone(),
                    message_id: event.message_id.clone(),
                    occurred_at: event.update.occurred_at,
                    rating: *rating,
                };
                let journal = Journal::of(&usage);
                Decision::Rated(Box::new(usage), journal)
            }
        }
    }
}

/// A bill made again.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Every rated message, in the order of the log.
    pub usages: Vec<Usage>,
    /// Their journals.
    pub journals: Vec<Journal>,
    /// What could not be rated, by number and message.
    pub unrated: BTreeMap<(NumberId, WhatsAppMessageId), Suspense>,
}

/// Makes the bill again from the log's statuses, by the code that made it first.
pub fn rerate<'a>(
    log: impl IntoIterator<Item = (&'a Account, &'a Event)>,
    book: &PriceBook,
) -> Replay {
    let (mut ledger, mut replay) = (Ledger::default(), Replay::default());
    for (account, event) in log {
        let key = (account.number.clone(), event.update.id.clone());
        match ledger.decide(event, account, book) {
            Decision::Nothing(_) => {}
            Decision::Rated(usage, journal) => {
                replay.unrated.remove(&key);
                replay.usages.push(*usage);
                replay.journals.extend(journal);
            }
            Decision::Unrated(suspense) => match replay.unrated.get(&key) {
                Some(kept) if !suspense.outranks(kept) => {}
                _ => {
                    replay.unrated.insert(key, *suspense);
                }
            },
        }
    }
    replay
}

/// What a line of a statement is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Which number.
    pub number: NumberId,
    /// Recipient's country.
    pub country: String,
    /// Market of the card.
    pub market: String,
    /// What Meta priced it as.
    pub category: Category,
    /// How Meta priced it.
    pub pricing_type: PricingType,
    /// Currency of rate and amount.
    pub currency: Currency,
    /// For one message, in micros.
    pub rate_micros: i64,
}

/// A month's bill: messages and amount per line, and totals per currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Messages and amount of each line.
    pub lines: BTreeMap<Line, (u64, Money)>,
    /// One for each currency.
    pub totals: BTreeMap<Currency, Money>,
}

/// Adds up a tenant's month.
///
/// # Errors
/// When a sum does not fit 64 bits of micros.
pub fn statement<'a>(
    usages: impl IntoIterator<Item = &'a Usage>,
    tenant: &TenantId,
    month: Month,
) -> Result<Statement, MoneyError> {
    let mut statement = Statement::default();
    let own = |usage: &&Usage| usage.tenant == *tenant && usage.rating.month == month;
    for usage in usages.into_iter().filter(own) {
        let rating = &usage.rating;
        let currency = rating.amount.currency;
        let line = Line {
            number: usage.number.clone(),
            country: rating.country.clone(),
            market: rating.market.clone(),
            category: rating.category,
            pricing_type: rating.pricing_type,
            currency,
            rate_micros: rating.rate.micros,
        };
        let zero = Money::zero(currency);
        let (messages, amount) = statement.lines.entry(line).or_insert((0, zero));
        *messages += 1;
        *amount = amount.plus(rating.amount)?;
        let total = statement.totals.entry(currency).or_insert(zero);
        *total = total.plus(rating.amount)?;
    }
    Ok(statement)
}
