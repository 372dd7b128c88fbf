//! Reading tables of prices and rules: every refusal names file, line and column, and nothing is
//! guessed at.

use core_types::{Currency, Money, MoneyError};
use csv::{ReaderBuilder, StringRecord, Terminator};
use jiff::civil::Date;

use crate::calendar::parse_date;
use crate::words::Category;

/// Largest file read, in bytes. Today's largest is 103 kB.
const MAX_BYTES: usize = 8 << 20;
/// Highest rate taken, in whole units of the currency: far above any card, far below an overflow.
const MAX_UNITS: i64 = 1_000_000;

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}, column `{column}`: {problem}")]
pub struct CardError {
    /// The file's name.
    pub file: String,
    /// The line, from 1; 0 when it is about the whole file.
    pub line: u64,
    /// The column's name; empty when it is about the whole line.
    pub column: String,
    /// What is wrong.
    pub problem: CardProblem,
}

/// What is wrong with a row. [`CardProblem::code`] is stable, for programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardProblem {
    /// No rows.
    #[error("there are no rows")]
    Empty,
    /// Not UTF-8.
    #[error("the file is not UTF-8")]
    Encoding,
    /// Too large.
    #[error("the file is larger than 8 MiB")]
    Size,
    /// Not CSV.
    #[error("not comma-separated values: {0}")]
    Syntax(String),
    /// Columns missing, unknown or doubled.
    #[error("the header must be exactly {expected}; this is missing, unknown or doubled: {wrong}")]
    Header {
        /// The columns there should be.
        expected: String,
        /// Those that are wrong.
        wrong: String,
    },
    /// Too few or too many fields.
    #[error("the row has {found} fields, the header {expected}")]
    Fields {
        /// Fields in the header.
        expected: usize,
        /// Fields in the row.
        found: usize,
    },
    /// A control character.
    #[error("the text holds a control character")]
    Control,
    /// Not a plain decimal.
    #[error("`{0}` is not a plain decimal such as 0.0456")]
    AmountFormat(String),
    /// Finer than a millionth.
    #[error("`{0}` has more than six decimals")]
    AmountPrecision(String),
    /// Below zero.
    #[error("`{0}` is negative")]
    AmountNegative(String),
    /// Zero where nothing is free.
    #[error("a rate of zero is accepted for service only; leave the row out if it is not known")]
    AmountZero,
    /// Absurdly high.
    #[error("`{0}` is above one million")]
    AmountRange(String),
    /// Not a currency.
    #[error("`{0}` is not a currency code of three upper-case letters")]
    Currency(String),
    /// Not a market of the market table.
    #[error("`{0}` is not a market of the market table")]
    Market(String),
    /// A calling code or country in two rows.
    #[error("`{0}` is in two rows")]
    MarketOverlap(String),
    /// Countries that are not listed have no market.
    #[error("a row with calling code `varies` must say where all other countries belong")]
    MarketGap,
    /// Not digits.
    #[error("`{0}` is not a calling code of 1 to 7 digits")]
    CallingCode(String),
    /// Not a known category.
    #[error("`{0}` is not a category")]
    Category(String),
    /// Not a date.
    #[error("`{0}` is not a date such as 2026-10-01")]
    Date(String),
    /// Two rows say the same thing from the same day.
    #[error("there is another row for the same market, category, currency and date")]
    Overlap,
    /// Dates that do not go up.
    #[error("dates must go up from row to row and from column to column")]
    Order,
    /// A word outside the choice.
    #[error("`{found}` is not one of {expected}")]
    Choice {
        /// What is allowed.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The monthly allowance is not usable.
    #[error("`{0}` is not a whole number from 1, or has no scope")]
    Allowance(String),
}

impl CardProblem {
    /// A stable word for programs, such as `amount.format`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "rates.empty",
            Self::Encoding => "encoding",
            Self::Size => "limit.size",
            Self::Syntax(_) => "csv.syntax",
            Self::Header { .. } => "csv.header",
            Self::Fields { .. } => "csv.fields",
            Self::Control => "text.control",
            Self::AmountFormat(_) => "amount.format",
            Self::AmountPrecision(_) => "amount.precision",
            Self::AmountNegative(_) => "amount.negative",
            Self::AmountZero => "amount.zero",
            Self::AmountRange(_) => "amount.range",
            Self::Currency(_) => "currency",
            Self::Market(_) => "market.unknown",
            Self::MarketOverlap(_) => "market.overlap",
            Self::MarketGap => "market.gap",
            Self::CallingCode(_) => "market.calling_code",
            Self::Category(_) => "category",
            Self::Date(_) => "date.format",
            Self::Overlap => "card.overlap",
            Self::Order => "date.range",
            Self::Choice { .. } => "choice",
            Self::Allowance(_) => "allowance",
        }
    }
}

/// A table that has been read: header and rows have the same number of fields.
pub(crate) struct Table {
    file: String,
    header: Vec<String>,
    records: Vec<(u64, StringRecord)>,
}

/// One row, with its place for errors.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    table: &'a Table,
    line: u64,
    record: &'a StringRecord,
}

impl Table {
    /// Reads `bytes`. The header must hold `columns` in any order, and besides only columns whose
    /// name starts with `family`, if given.
    pub(crate) fn read(
        file: &str,
        bytes: &[u8],
        columns: &[&str],
        family: Option<&str>,
    ) -> Result<Self, CardError> {
        let fail = |line, problem| CardError {
            file: file.to_owned(),
            line,
            column: String::new(),
            problem,
        };
        if bytes.len() > MAX_BYTES {
            return Err(fail(0, CardProblem::Size));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| fail(0, CardProblem::Encoding))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = ReaderBuilder::new()
            .terminator(Terminator::CRLF)
            .flexible(true)
            .from_reader(text.as_bytes());
        let syntax = |error: csv::Error| {
            let line = error.position().map_or(0, csv::Position::line);
            fail(line, CardProblem::Syntax(error.to_string()))
        };
        let header: Vec<String> = reader
            .headers()
            .map_err(syntax)?
            .iter()
            .map(str::to_owned)
            .collect();
        let wrong = wrong_columns(&header, columns, family);
        if !wrong.is_empty() {
            let expected = columns.join(", ");
            return Err(fail(1, CardProblem::Header { expected, wrong }));
        }
        let mut records = Vec::new();
        for record in reader.records() {
            let record = record.map_err(syntax)?;
            let line = record.position().map_or(0, csv::Position::line);
            let (expected, found) = (header.len(), record.len());
            if expected != found {
                return Err(fail(line, CardProblem::Fields { expected, found }));
            }
            if record
                .iter()
                .any(|field| field.chars().any(char::is_control))
            {
                return Err(fail(line, CardProblem::Control));
            }
            records.push((line, record));
        }
        if records.is_empty() {
            return Err(fail(0, CardProblem::Empty));
        }
        Ok(Self {
            file: file.to_owned(),
            header,
            records,
        })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.records.iter().map(|(line, record)| Row {
            table: self,
            line: *line,
            record,
        })
    }

    /// The columns whose name starts with `family`, in order.
    pub(crate) fn family(&self, family: &str) -> Vec<&str> {
        self.header
            .iter()
            .filter(|name| name.starts_with(family))
            .map(String::as_str)
            .collect()
    }

    /// A refusal of the whole file.
    pub(crate) fn fail(&self, column: &str, problem: CardProblem) -> CardError {
        CardError {
            file: self.file.clone(),
            line: 0,
            column: column.to_owned(),
            problem,
        }
    }
}

fn wrong_columns(header: &[String], columns: &[&str], family: Option<&str>) -> String {
    let doubled = header
        .iter()
        .enumerate()
        .filter(|(at, name)| header[..*at].contains(name));
    let unknown = header.iter().filter(|name| {
        !columns.contains(&name.as_str()) && !family.is_some_and(|start| name.starts_with(start))
    });
    let missing = columns
        .iter()
        .copied()
        .filter(|column| !header.iter().any(|name| name == column));
    let mut wrong: Vec<&str> = doubled
        .map(|(_, name)| name.as_str())
        .chain(unknown.map(String::as_str))
        .chain(missing)
        .collect();
    wrong.dedup();
    wrong.join(", ")
}

impl<'a> Row<'a> {
    /// The text of a column; empty for a column the table does not have.
    pub(crate) fn text(self, column: &str) -> &'a str {
        let at = self.table.header.iter().position(|name| name == column);
        at.and_then(|at| self.record.get(at)).unwrap_or_default()
    }

    pub(crate) fn fail(self, column: &str, problem: CardProblem) -> CardError {
        CardError {
            file: self.table.file.clone(),
            line: self.line,
            column: column.to_owned(),
            problem,
        }
    }

    pub(crate) fn date(self, column: &str) -> Result<Date, CardError> {
        let text = self.text(column);
        parse_date(text).ok_or_else(|| self.fail(column, CardProblem::Date(text.to_owned())))
    }

    pub(crate) fn currency(self, column: &str) -> Result<Currency, CardError> {
        let text = self.text(column);
        text.parse()
            .map_err(|_| self.fail(column, CardProblem::Currency(text.to_owned())))
    }

    pub(crate) fn category(self, column: &str) -> Result<Category, CardError> {
        let text = self.text(column);
        Category::parse(text).map_err(|_| self.fail(column, CardProblem::Category(text.to_owned())))
    }

    /// A rate: exact, not negative, and zero for service only.
    pub(crate) fn rate(
        self,
        column: &str,
        currency: Currency,
        category: Category,
    ) -> Result<i64, CardError> {
        let text = self.text(column);
        let fail =
            |problem: fn(String) -> CardProblem| Err(self.fail(column, problem(text.to_owned())));
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if plain && text.starts_with('-') {
            return fail(CardProblem::AmountNegative);
        }
        let decimals = digits.split_once('.').map_or(0, |(_, part)| part.len());
        if plain && decimals > 6 {
            return fail(CardProblem::AmountPrecision);
        }
        match Money::parse(currency, text) {
            Ok(rate) if rate.micros > MAX_UNITS * 1_000_000 => fail(CardProblem::AmountRange),
            Ok(rate) if rate.micros == 0 && category != Category::Service => {
                Err(self.fail(column, CardProblem::AmountZero))
            }
            Ok(rate) => Ok(rate.micros),
            Err(MoneyError::BadAmount(_)) if plain && digits.len() > 18 => {
                fail(CardProblem::AmountRange)
            }
            Err(_) => fail(CardProblem::AmountFormat),
        }
    }

    /// One of the words of `choice`.
    pub(crate) fn choice<T: Copy>(
        self,
        column: &str,
        expected: &'static str,
        choice: &[(&str, T)],
    ) -> Result<T, CardError> {
        let found = self.text(column);
        let word = choice.iter().find(|(word, _)| *word == found);
        word.map(|(_, value)| *value).ok_or_else(|| {
            let found = found.to_owned();
            self.fail(column, CardProblem::Choice { expected, found })
        })
    }
}
