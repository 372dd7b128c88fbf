//! What messages cost: eras and rate cards as dated data, rating, balanced postings.
//!
//! Everything here is a pure function of the log's events and the price book, so a bill can be
//! made again from the log ([`rerate`]) and explained line by line. Meta's own price facts are the
//! evidence of *what* was charged (type and category); the amount comes from the card of the
//! account's currency that was in force when the message was delivered. What cannot be priced is
//! unrated, with the reason; it is never taken for free.

mod book;
mod calendar;
mod card;
mod era;
mod journal;
mod ledger;
mod market;
mod quote;
mod rate;
mod words;

pub use book::{BookFiles, Price, PriceBook, Unpriced};
pub use calendar::{Month, MonthError, Zone, ZoneError};
pub use card::{CardError, CardProblem};
pub use era::{Allowance, AllowanceScope, Era, Unit};
pub use journal::{Journal, JournalError, Posting};
pub use ledger::{
    CounterKey, Decision, Ledger, Line, Replay, Statement, Suspense, Usage, rerate, statement,
};
pub use market::{Markets, Place};
pub use quote::{Quote, QuoteRefusal, QuoteRequest, quote};
pub use rate::{Account, Event, Facts, MessageKind, NotBillable, Outcome, Rating, Unrated, rate};
pub use words::{Category, PricingType, UnknownWord};
