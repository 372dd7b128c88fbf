//! Errors of the stores, and the live state's changes as Redis takes them.

use core_types::{AgentId, TenantId};
use lib_storage::StorageError;

use crate::seat::{Done, REMEMBERED};
use crate::write::{Table, Write};

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The records.
    #[error(transparent)]
    Records(#[from] StorageError),
    /// The live state.
    #[error("the live state in Redis: {0}")]
    Live(String),
    /// Another replica has this part now.
    #[error("another replica has this part now")]
    Fenced,
}

impl StoreError {
    /// Whether the part was lost: the work goes on elsewhere.
    pub(crate) fn is_fenced(&self) -> bool {
        match self {
            Self::Fenced => true,
            Self::Records(error) => error.is_fenced(),
            Self::Live(_) => false,
        }
    }

    /// Whether it may work a little later: a store is away, full or busy. Redis is asked again
    /// whatever it says; that it cannot be used is told by `/readyz`.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Live(_) => true,
            Self::Records(error) => error.is_passing(),
            Self::Fenced => false,
        }
    }
}

/// Separates the parts of a field's name; no id holds it.
const BETWEEN: char = '\u{1f}';

/// Where a change goes, by its place among the script's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Meta = 1,
    Engagements = 2,
    Agents = 3,
    Desks = 4,
    Outgoing = 5,
    Commands = 6,
}

/// One change for the script: what to do, where, with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) verb: &'static str,
    pub(super) key: Key,
    pub(super) field: String,
    pub(super) value: Vec<u8>,
}

impl Change {
    fn set(key: Key, field: String, value: impl Into<Vec<u8>>) -> Self {
        Self {
            verb: "set",
            key,
            field,
            value: value.into(),
        }
    }

    fn delete(key: Key, field: String) -> Self {
        Self {
            verb: "delete",
            key,
            field,
            value: Vec::new(),
        }
    }
}

/// The changes of the live state a write asks for.
pub(super) fn changes(write: &Write) -> Vec<Change> {
    match write {
        Write::State {
            table,
            tenant,
            id,
            state,
        } => {
            let key = match table {
                Table::Queue => return Vec::new(),
                Table::Agent => Key::Agents,
                Table::Engagement => Key::Engagements,
            };
            let field = format!("{tenant}{BETWEEN}{id}");
            vec![match state {
                Some(state) => Change::set(key, field, state.as_str()),
                None => Change::delete(key, field),
            }]
        }
        Write::Outgoing {
            number,
            tenant,
            record,
        } => vec![Change {
            verb: "add",
            key: Key::Outgoing,
            field: number.to_string(),
            value: [report_head(*number, tenant).as_bytes(), record].concat(),
        }],
        Write::OutgoingDone(number) => vec![Change {
            verb: "cut",
            key: Key::Outgoing,
            field: number.to_string(),
            value: Vec::new(),
        }],
        Write::Reserved {
            tenant,
            agent,
            up_to,
        } => {
            let field = format!("{tenant}{BETWEEN}{agent}");
            vec![Change::set(Key::Desks, field, up_to.to_string())]
        }
        Write::Command {
            tenant,
            agent,
            number,
            done,
        } => {
            let field = |number: i64| format!("{tenant}{BETWEEN}{agent}{BETWEEN}{number}");
            let forgotten = number - i64::try_from(REMEMBERED).unwrap_or(i64::MAX);
            vec![
                Change::set(Key::Commands, field(*number), command(done)),
                Change::delete(Key::Commands, field(forgotten)),
            ]
        }
        Write::Cursor(cursor) => {
            vec![Change::set(Key::Meta, "cursor".to_owned(), cursor.as_str())]
        }
        Write::Offer { .. } | Write::OfferEnded { .. } => Vec::new(),
    }
}

/// A report's number and tenant, before its bytes. The number keeps equal reports apart.
fn report_head(number: i64, tenant: &TenantId) -> String {
    format!("{number}{BETWEEN}{tenant}{BETWEEN}")
}

/// A report as it is stored.
pub(super) fn report(stored: &[u8]) -> Option<(i64, TenantId, Vec<u8>)> {
    let mut parts = stored.splitn(3, |byte| *byte == BETWEEN as u8);
    let number = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let tenant = TenantId::new(std::str::from_utf8(parts.next()?).ok()?).ok()?;
    Some((number, tenant, parts.next()?.to_vec()))
}

fn command(done: &Done) -> String {
    let parts = (done.accepted, &done.command_id, &done.reason, &done.message);
    // Texts always serialise.
    serde_json::to_string(&parts).unwrap_or_default()
}

/// A command as it is stored.
pub(super) fn done(stored: &str) -> Option<Done> {
    let (accepted, command_id, reason, message) = serde_json::from_str(stored).ok()?;
    Some(Done {
        command_id,
        accepted,
        reason,
        message,
    })
}

/// The tenant and the rest of a field's name.
pub(super) fn tenant_and_rest(field: &str) -> Option<(TenantId, &str)> {
    let (tenant, rest) = field.split_once(BETWEEN)?;
    Some((TenantId::new(tenant).ok()?, rest))
}

/// The agent and number of a command's field, after the tenant.
pub(super) fn agent_and_number(rest: &str) -> Option<(AgentId, i64)> {
    let (agent, number) = rest.split_once(BETWEEN)?;
    Some((AgentId::new(agent).ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back() {
        let tenant = TenantId::new("acme").unwrap();
        let record = vec![1, BETWEEN as u8, 0, 255];
        let stored = [report_head(7, &tenant).as_bytes(), &record].concat();
        assert_eq!(report(&stored), Some((7, tenant.clone(), record)));
        assert_eq!(report(b"nonsense"), None);
        let answer = Done::refused("c-1".to_owned(), "GONE", "The offer\u{1f} has ended.");
        assert_eq!(done(&command(&answer)), Some(answer.clone()));
        let agent = AgentId::new("ana").unwrap();
        let written = changes(&Write::Command {
            tenant: tenant.clone(),
            agent: agent.clone(),
            number: 300,
            done: answer,
        });
        let (owner, rest) = tenant_and_rest(&written[0].field).unwrap();
        assert_eq!(
            (owner, agent_and_number(rest)),
            (tenant, Some((agent, 300)))
        );
        assert_eq!((written[1].verb, written.len()), ("delete", 2));
    }
}
