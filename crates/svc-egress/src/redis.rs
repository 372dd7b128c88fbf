//! The lines of numbers in Redis; see [`RateWindow`].

use std::sync::LazyLock;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lib_platform::partition::part_of;
use lib_storage::redis::{Redis, RedisError};
use redis::Script;

use crate::rate::RateWindow;

static RESERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/reserve.lua")));

/// Hash tags over which numbers are spread, `{n0}` to `{n63}`.
const TAGS: u16 = 64;

/// Lines in Redis, under `fd:v1:{n<tag>}:rate:<number>`.
pub(crate) struct RedisWindow {
    redis: Redis,
    interval: Duration,
}

impl RedisWindow {
    /// Messages of a number are `interval` apart.
    pub(crate) fn new(redis: Redis, interval: Duration) -> Self {
        Self { redis, interval }
    }

    async fn reserve_now(&self, number: &str, places: u32) -> anyhow::Result<Duration> {
        let tag = format!("n{}", part_of(number, TAGS));
        let mut call = RESERVE.prepare_invoke();
        call.key(format!("fd:v1:{{{tag}}}:rate:{number}"));
        call.arg(self.interval.as_micros().to_string()).arg(places);
        let answer = call.invoke_async(&mut self.redis.link(&tag)).await;
        let ahead: u64 = answer.map_err(RedisError::from)?;
        Ok(Duration::from_micros(ahead))
    }
}

impl RateWindow for RedisWindow {
    fn reserve<'a>(
        &'a self,
        number: &'a str,
        places: u32,
    ) -> BoxFuture<'a, anyhow::Result<Duration>> {
        Box::pin(self.reserve_now(number, places))
    }
}
