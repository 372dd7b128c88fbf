//! The price book: every card at once, asked by currency, market, category and day.

use std::collections::BTreeMap;

use core_types::{Currency, Money};
use jiff::civil::Date;

use crate::card::{CardError, CardProblem, Table};
use crate::era::{self, Era, Unit};
use crate::market::{MarketId, Markets, Place};
use crate::words::Category;

/// The tables a book is made of, as CSV; `data/README.md` describes them.
#[derive(Clone, Copy, Debug)]
pub struct BookFiles<'a> {
    /// `eras.csv`.
    pub eras: &'a [u8],
    /// `markets.csv`.
    pub markets: &'a [u8],
    /// `rates_cbp.csv`.
    pub per_conversation: &'a [u8],
    /// `rates_pmp.csv`.
    pub per_message: &'a [u8],
    /// `gaps.csv`.
    pub gaps: &'a [u8],
}

/// A price from a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// For one message or conversation.
    pub rate: Money,
    /// First day of the card row.
    pub card: Date,
    /// The row is the market's utility rate, which is the service rate by Meta's rule.
    pub utility_rate: bool,
}

/// There is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {currency} rate for {category} in {market} on {date}{why}")]
pub struct Unpriced {
    currency: Currency,
    category: Category,
    market: String,
    date: Date,
    why: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RateKey {
    unit: Unit,
    currency: Currency,
    market: MarketId,
    category: Category,
}

/// What a row says from its day on.
#[derive(Clone)]
enum Cell {
    Micros(i64),
    /// It is known that the price changed, not to what.
    Gap(String),
}

/// All cards and rules. Made once at start; a few hundred kilobytes.
pub struct PriceBook {
    eras: Vec<Era>,
    markets: Markets,
    rates: BTreeMap<RateKey, Vec<(Date, Cell)>>,
}

impl PriceBook {
    /// The book that comes with the program.
    ///
    /// # Errors
    /// Never in a released program: a test reads the same bytes.
    pub fn builtin() -> Result<Self, CardError> {
        Self::parse(BookFiles::BUILTIN)
    }

    /// Reads a book.
    ///
    /// # Errors
    /// At the first row that cannot be used; the error names file, line and column.
    pub fn parse(files: BookFiles<'_>) -> Result<Self, CardError> {
        let mut book = Self {
            eras: era::parse("eras.csv", files.eras)?,
            markets: Markets::parse("markets.csv", files.markets)?,
            rates: BTreeMap::new(),
        };
        book.read_rates("rates_cbp.csv", files.per_conversation, Unit::Conversation)?;
        book.read_rates("rates_pmp.csv", files.per_message, Unit::Message)?;
        book.read_gaps("gaps.csv", files.gaps)?;
        for dated in book.rates.values_mut() {
            dated.sort_by_key(|(from, _)| *from);
        }
        Ok(book)
    }

    fn read_rates(&mut self, file: &str, bytes: &[u8], unit: Unit) -> Result<(), CardError> {
        let columns = [
            "market",
            "country_iso",
            "calling_code",
            "category",
            "currency",
            "rate",
            "effective_from",
            "source",
        ];
        let table = Table::read(file, bytes, &columns, None)?;
        for row in table.rows() {
            let (currency, category) = (row.currency("currency")?, row.category("category")?);
            let cell = Cell::Micros(row.rate("rate", currency, category)?);
            self.add(row, unit, cell)?;
        }
        Ok(())
    }

    fn read_gaps(&mut self, file: &str, bytes: &[u8]) -> Result<(), CardError> {
        let columns = [
            "model",
            "market",
            "category",
            "currency",
            "effective_from",
            "reason",
        ];
        let table = Table::read(file, bytes, &columns, None)?;
        let models = [("cbp", Unit::Conversation), ("pmp", Unit::Message)];
        for row in table.rows() {
            let unit = row.choice("model", "cbp, pmp", &models)?;
            self.add(row, unit, Cell::Gap(row.text("reason").to_owned()))?;
        }
        Ok(())
    }

    fn add(&mut self, row: crate::card::Row<'_>, unit: Unit, cell: Cell) -> Result<(), CardError> {
        let market = row.text("market");
        let unknown = || row.fail("market", CardProblem::Market(market.to_owned()));
        let key = RateKey {
            unit,
            currency: row.currency("currency")?,
            market: self.markets.id(market).ok_or_else(unknown)?,
            category: row.category("category")?,
        };
        let from = row.date("effective_from")?;
        let dated = self.rates.entry(key).or_default();
        if dated.iter().any(|(other, _)| *other == from) {
            return Err(row.fail("effective_from", CardProblem::Overlap));
        }
        dated.push((from, cell));
        Ok(())
    }

    /// The markets and calling codes.
    pub fn markets(&self) -> &Markets {
        &self.markets
    }

    /// The eras, oldest first.
    pub fn eras(&self) -> &[Era] {
        &self.eras
    }

    /// The rules in force on `date`; `None` before the first era.
    pub fn era(&self, date: Date) -> Option<&Era> {
        self.eras.iter().rev().find(|era| era.from <= date)
    }

    /// The first day messages were charged one by one.
    pub fn per_message_since(&self) -> Option<Date> {
        let first = self.eras.iter().find(|era| era.unit == Unit::Message);
        first.map(|era| era.from)
    }

    /// The list rate in force on `date`.
    ///
    /// # Errors
    /// When no card has it, or it is known to have changed to something we do not know.
    pub fn price(
        &self,
        era: &Era,
        currency: Currency,
        place: Place<'_>,
        category: Category,
        date: Date,
    ) -> Result<Price, Unpriced> {
        let find = |category| {
            let key = RateKey {
                unit: era.unit,
                currency,
                market: place.id,
                category,
            };
            let dated = self.rates.get(&key)?;
            dated.iter().rev().find(|(from, _)| *from <= date)
        };
        let mut row = find(category);
        // A zero from when service was free says nothing about the time since it is charged: its
        // rate is then the market's utility rate, unless a card says otherwise.
        let stale = row.is_none_or(|(from, _)| *from < era.from);
        let per_message = era.unit == Unit::Message;
        let utility_rate =
            category == Category::Service && per_message && !era.free_service && stale;
        if utility_rate {
            row = find(Category::Utility);
        }
        let unpriced = |why: String| Unpriced {
            currency,
            category,
            market: place.market.to_owned(),
            date,
            why,
        };
        match row {
            Some((card, Cell::Micros(micros))) => Ok(Price {
                rate: Money {
                    currency,
                    micros: *micros,
                },
                card: *card,
                utility_rate,
            }),
            Some((_, Cell::Gap(reason))) => Err(unpriced(format!(": {reason}"))),
            None => Err(unpriced(String::new())),
        }
    }
}

impl BookFiles<'static> {
    /// The files of this crate's `data` folder.
    pub const BUILTIN: Self = Self {
        eras: include_bytes!("../data/eras.csv"),
        markets: include_bytes!("../data/markets.csv"),
        per_conversation: include_bytes!("../data/rates_cbp.csv"),
        per_message: include_bytes!("../data/rates_pmp.csv"),
        gaps: include_bytes!("../data/gaps.csv"),
    };
}
