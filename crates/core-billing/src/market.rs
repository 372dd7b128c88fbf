//! Whose rate applies: the recipient's country by the longest calling code that fits, and the
//! market that country belonged to on the day.

use std::collections::BTreeMap;

use core_types::ContactIdentity;
use jiff::civil::Date;

use crate::calendar::parse_date;
use crate::card::{CardError, CardProblem, Row, Table};

/// Longest calling code with area code we tell apart, in digits.
const LONGEST_PREFIX: usize = 7;
/// Columns that hold the market from a date on: `market_2026_10_01`.
const DATED: &str = "market_";

/// Position of a market in the table of names.
pub(crate) type MarketId = u16;

/// A recipient's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// ISO 3166 code; empty when not known.
    pub country: &'a str,
    /// Name of the market on the rate card.
    pub market: &'a str,
    pub(crate) id: MarketId,
}

struct Country {
    iso: String,
    /// From which day in which market; the first holds for earlier days too.
    markets: Vec<(Date, MarketId)>,
}

/// The table of markets.
pub struct Markets {
    names: Vec<String>,
    countries: Vec<Country>,
    by_prefix: BTreeMap<String, usize>,
    by_iso: BTreeMap<String, usize>,
    others: usize,
}

impl Markets {
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self, CardError> {
        let columns = ["country", "country_iso", "calling_code", "notes"];
        let table = Table::read(file, bytes, &columns, Some(DATED))?;
        let mut dates: Vec<(Date, &str)> = Vec::new();
        for name in table.family(DATED) {
            let text = name[DATED.len()..].replace('_', "-");
            let date =
                parse_date(&text).ok_or_else(|| table.fail(name, CardProblem::Date(text)))?;
            if dates.last().is_some_and(|(before, _)| *before >= date) {
                return Err(table.fail(name, CardProblem::Order));
            }
            dates.push((date, name));
        }
        let mut markets = Self {
            names: Vec::new(),
            countries: Vec::new(),
            by_prefix: BTreeMap::new(),
            by_iso: BTreeMap::new(),
            others: usize::MAX,
        };
        for row in table.rows() {
            markets.add(row, &dates)?;
        }
        if markets.others == usize::MAX {
            return Err(table.fail("calling_code", CardProblem::MarketGap));
        }
        Ok(markets)
    }

    fn add(&mut self, row: Row<'_>, dates: &[(Date, &str)]) -> Result<(), CardError> {
        let mut belongs: Vec<(Date, MarketId)> = Vec::new();
        for (date, column) in dates {
            let name = row.text(column);
            if name.is_empty() && belongs.is_empty() {
                return Err(row.fail(column, CardProblem::Market(String::new())));
            }
            if !name.is_empty() {
                belongs.push((*date, self.intern(name)));
            }
        }
        let at = self.countries.len();
        let iso = row.text("country_iso");
        let codes = row.text("calling_code");
        if codes == "varies" {
            self.others = at;
        } else {
            if self.by_iso.insert(iso.to_owned(), at).is_some() {
                return Err(row.fail("country_iso", CardProblem::MarketOverlap(iso.to_owned())));
            }
            for code in codes.split('|') {
                let digits = (1..=LONGEST_PREFIX).contains(&code.len())
                    && code.bytes().all(|b| b.is_ascii_digit());
                if !digits {
                    return Err(row.fail("calling_code", CardProblem::CallingCode(code.to_owned())));
                }
                if self.by_prefix.insert(code.to_owned(), at).is_some() {
                    let code = code.to_owned();
                    return Err(row.fail("calling_code", CardProblem::MarketOverlap(code)));
                }
            }
        }
        self.countries.push(Country {
            iso: iso.to_owned(),
            markets: belongs,
        });
        Ok(())
    }

    fn intern(&mut self, name: &str) -> MarketId {
        self.id(name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            (self.names.len() - 1) as MarketId
        })
    }

    pub(crate) fn id(&self, name: &str) -> Option<MarketId> {
        let at = self.names.iter().position(|known| known == name)?;
        MarketId::try_from(at).ok()
    }

    /// The names of all markets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    fn place<'a>(&'a self, at: usize, country: &'a str, date: Date) -> Place<'a> {
        let country_row = self.countries.get(at);
        let dated = country_row.map_or(&[][..], |row| &row.markets);
        let id = dated
            .iter()
            .rev()
            .find(|(from, _)| *from <= date)
            .or_else(|| dated.first())
            .map_or(0, |(_, id)| *id);
        let market = self.names.get(usize::from(id)).map_or("", String::as_str);
        Place {
            country,
            market,
            id,
        }
    }

    /// Where a phone number belongs; `digits` in international form. Countries that are not listed
    /// belong to the market of all others.
    pub fn by_phone(&self, digits: &str, date: Date) -> Option<Place<'_>> {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let longest = LONGEST_PREFIX.min(digits.len());
        let at = (1..=longest)
            .rev()
            .find_map(|length| self.by_prefix.get(&digits[..length]).copied())
            .unwrap_or(self.others);
        let country = self.countries.get(at).map_or("", |row| row.iso.as_str());
        Some(self.place(at, country, date))
    }

    /// Where a business-scoped user id belongs: it starts with an ISO country code.
    pub fn by_user_id<'a>(&'a self, user_id: &'a str, date: Date) -> Option<Place<'a>> {
        let (iso, _) = user_id.split_once('.')?;
        if iso.len() != 2 || !iso.bytes().all(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let at = self.by_iso.get(iso).copied().unwrap_or(self.others);
        Some(self.place(at, iso, date))
    }

    /// Where a contact belongs: by phone number if there is one (that is what Meta documents), else
    /// by the country of the user id. `None` when neither says anything.
    pub fn by_contact<'a>(&'a self, contact: &'a ContactIdentity, date: Date) -> Option<Place<'a>> {
        let by_phone = contact
            .phone
            .as_deref()
            .and_then(|phone| self.by_phone(phone, date));
        let user_id = contact.user_id.as_deref();
        by_phone.or_else(|| user_id.and_then(|id| self.by_user_id(id, date)))
    }
}
