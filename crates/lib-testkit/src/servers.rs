//! Real servers for tests: Redis (or Valkey), a Redis Cluster, PostgreSQL. Each has a folder of its
//! own and ports nobody else has, can be killed, stopped and started again on the same data, and
//! ends with the test, even when the test process is killed.

mod ports;
mod postgres;
mod process;
mod redis;
mod redis_cluster;

pub use ports::free_port;
pub use postgres::{PostgresOptions, PostgresServer};
pub use process::{Process, find_program};
pub use redis::{RedisOptions, RedisProgram, RedisServer};
pub use redis_cluster::RedisCluster;
