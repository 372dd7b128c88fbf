//! Where things are kept: SQL records ([`Database`]: SQLite embedded, PostgreSQL in production, one
//! set of queries), migrations, and the fenced leases by which replicas share work ([`lease`]).

mod database;
mod error;
mod insert;
pub mod lease;
mod migration;
mod notice;
mod postgres;
pub mod probe;
pub mod query;
mod sqlite;
mod storage;

pub use database::{Database, Target, Tx};
pub use error::StorageError;
pub use insert::Insert;
pub use migration::{Engine, Migration};
pub use postgres::PostgresSettings;
pub use query::{Row, Value, list, sql};
pub use sqlite::SqliteFile;
pub use storage::{Profile, RedisSettings, Servers, Storage};
