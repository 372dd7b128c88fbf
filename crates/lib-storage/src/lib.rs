//! Where things are kept: SQL records ([`Database`]: SQLite embedded, PostgreSQL in production, one
//! set of queries), Redis ([`mod@redis`]), migrations, and the fenced leases by which replicas share
//! work ([`lease`]).

mod bundle;
mod database;
mod error;
mod insert;
pub mod lease;
mod migration;
mod notice;
mod postgres;
pub mod query;
pub mod redis;
mod sqlite;
mod storage;

pub use bundle::{Bundle, Shown};
pub use database::{Database, Target, Tx};
pub use error::StorageError;
pub use insert::Insert;
pub use migration::{Engine, Migration};
pub use postgres::PostgresSettings;
pub use query::{Row, Value, list, sql};
pub use sqlite::SqliteFile;
pub use storage::{Profile, RedisSettings, Servers, Storage};
