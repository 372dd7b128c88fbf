//! The survival harness (`cargo xtask survive`): a seeded outside world (Meta's two sides, agents,
//! administrators), faults that confirm their effect, a history of what each was told, and a checker
//! that compares it with what the public API says at the end. It knows the contracts and none of
//! the services' code.
//!
//! The invariants are named I1 to I37; `docs/RELIABILITY.md`, which a run writes, lists them.

pub mod agents;
pub mod checker;
pub mod graph;
pub mod history;
pub mod matrix;
pub mod meta;
pub mod mutants;
pub mod neighbour;
pub mod nemesis;
pub mod powerloss;
pub mod proxy;
pub mod replicated;
pub mod report;
pub mod run;
pub mod scenarios;
pub mod stores;
pub mod subject;
pub mod tally;
