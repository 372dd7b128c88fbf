//! Eras: which rules of Meta's hold from which day.

use jiff::civil::Date;

use crate::card::{CardError, CardProblem, Table};

/// What is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A 24-hour conversation (`CBP`).
    Conversation,
    /// A delivered message (`PMP`).
    Message,
}

/// What the monthly allowance is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowanceScope {
    /// Each business phone number has its own.
    Number,
    /// All numbers of an account share it.
    Waba,
}

/// So much service is free each calendar month (zone of the account).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Messages or conversations, from 1.
    pub most: u32,
    /// Counted for what.
    pub scope: AllowanceScope,
}

/// The rules of a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Era {
    /// Its name in explanations, such as `pmp-2026-10`.
    pub name: String,
    /// First day, 00:00 in the account's zone. It lasts until the next one begins.
    pub from: Date,
    /// What is charged.
    pub unit: Unit,
    /// Whether utility templates are free inside the customer-service window.
    pub free_in_window_utility: bool,
    /// Whether all service is free.
    pub free_service: bool,
    /// The monthly allowance, where service is charged.
    pub allowance: Option<Allowance>,
}

const COLUMNS: [&str; 7] = [
    "name",
    "from",
    "unit",
    "in_window_utility",
    "service",
    "allowance",
    "allowance_scope",
];

/// Reads the eras; they must follow each other.
pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Era>, CardError> {
    let table = Table::read(file, bytes, &COLUMNS, None)?;
    let mut eras: Vec<Era> = Vec::new();
    for row in table.rows() {
        let from = row.date("from")?;
        if eras.last().is_some_and(|before| before.from >= from) {
            return Err(row.fail("from", CardProblem::Order));
        }
        let free = |column| {
            row.choice(
                column,
                "charged, free",
                &[("charged", false), ("free", true)],
            )
        };
        let units = [
            ("conversation", Unit::Conversation),
            ("message", Unit::Message),
        ];
        let most = row.text("allowance");
        let allowance = if most.is_empty() {
            None
        } else {
            let bad = || row.fail("allowance", CardProblem::Allowance(most.to_owned()));
            let scopes = [
                ("number", AllowanceScope::Number),
                ("waba", AllowanceScope::Waba),
            ];
            Some(Allowance {
                most: most.parse().ok().filter(|most| *most > 0).ok_or_else(bad)?,
                scope: row.choice("allowance_scope", "number, waba", &scopes)?,
            })
        };
        eras.push(Era {
            name: row.text("name").to_owned(),
            from,
            unit: row.choice("unit", "conversation, message", &units)?,
            free_in_window_utility: free("in_window_utility")?,
            free_service: free("service")?,
            allowance,
        });
    }
    Ok(eras)
}
