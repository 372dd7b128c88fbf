//! What can go wrong with Redis, named, with what to do about it.

use redis::{ErrorKind, ServerErrorKind};

/// What can go wrong with Redis.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisError {
    /// The address cannot be read.
    #[error(
        "redis.url cannot be used: {problem}; write redis://:password@host:6379, or \
         redis+cluster://host:6379,host:6379"
    )]
    Address {
        /// What is wrong with it. Never quotes it: it may hold a password.
        problem: String,
    },
    /// No connection, or it broke.
    #[error("Redis cannot be reached: {0}; check redis.url, and that the server runs")]
    Unreachable(String),
    /// No answer in time. What was asked may have been done all the same.
    #[error("Redis does not answer in time; check its load and its disk")]
    Slow,
    /// The password or the user is wrong, or one is needed.
    #[error("Redis refuses the password: {0}; check user and password in redis.url")]
    Access(String),
    /// The user may not do it.
    #[error("Redis does not allow it: {0}; give the user of redis.url this permission")]
    Forbidden(String),
    /// It is a replica, or became one.
    #[error("the Redis server is a read-only replica; point redis.url at the primary")]
    ReadOnly,
    /// `maxmemory` is reached.
    #[error("Redis is full; raise its maxmemory, or let what waits in it be worked off")]
    Full,
    /// It cannot write to its disk.
    #[error("Redis cannot save to its disk: {0}; free disk space and look into its log")]
    Disk(String),
    /// It reads its data after a start.
    #[error("Redis is loading its data; it becomes ready by itself")]
    Loading,
    /// A Cluster without all its slots, or in the middle of a move.
    #[error("the Redis Cluster does not serve these keys now: {0}; check `CLUSTER INFO`")]
    Cluster(String),
    /// Too few replicas confirm.
    #[error("too few replicas of Redis confirm what is written; check that they run and keep up")]
    Replicas,
    /// The server is too old.
    #[error("Redis {0} is too old; Frontdesk needs 7.0 or newer, or Valkey")]
    TooOld(String),
    /// It is set up so that it would not keep its promise. Says what is wrong, and the remedy.
    #[error("{0}")]
    Unfit(String),
    /// A newer Frontdesk wrote the data.
    #[error(
        "the data in Redis has schema {0}, this program knows {1}: run the newer version of \
         Frontdesk"
    )]
    Newer(i64, i64),
    /// Anything else.
    #[error("Redis refused: {0}")]
    Other(String),
}

impl RedisError {
    /// Whether trying again by itself cannot help: a person has to do something first.
    pub fn needs_a_person(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::Newer(..))
    }

    /// Whether what was asked may have been done although it failed.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Slow | Self::Replicas)
    }
}

impl From<redis::RedisError> for RedisError {
    fn from(error: redis::RedisError) -> Self {
        let detail = || error.detail().unwrap_or_default().to_owned();
        if let Some(code) = error.code() {
            match code {
                "NOAUTH" | "WRONGPASS" => return Self::Access(detail()),
                "OOM" => return Self::Full,
                "MISCONF" => return Self::Disk(detail()),
                "NOREPLICAS" => return Self::Replicas,
                "UNBLOCKED" => return Self::ReadOnly,
                _ => {}
            }
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Access(error.to_string()),
            ErrorKind::Io if error.is_timeout() => Self::Slow,
            ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => {
                Self::Unreachable(error.to_string())
            }
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::ReadOnly,
            ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown) => {
                Self::Loading
            }
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Forbidden(detail()),
            ErrorKind::Server(
                kind @ (ServerErrorKind::ClusterDown
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain),
            ) => Self::Cluster(format!("{kind:?}")),
            _ => Self::Other(error.to_string()),
        }
    }
}
