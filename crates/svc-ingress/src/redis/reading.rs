//! Reading the inbox: woken by arrivals from any replica, on a connection of its own.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lib_storage::redis::{Link, Redis};
use redis::{Script, Value, cmd};

use super::keys::{Keys, PART};
use super::{TAG, wire};
use crate::inbox::{Delivery, InboxError, Reading};
use crate::reader::LEAST_KIB;

pub(super) static BEGIN: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("begin.lua")));
pub(super) static LEAVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("leave.lua")));
static ATTEMPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("attempt.lua")));

/// What a delivery under work counts at least, and how much may be under work.
pub(super) const LEAST_BYTES: usize = (LEAST_KIB as usize) << 10;
pub(super) const WINDOW_BYTES: usize = LEAST_BYTES * crate::reader::WINDOW as usize;
/// How long Redis holds a question for deliveries when there are none.
const BLOCK: Duration = Duration::from_secs(5);
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// Deliveries asked for at first. Redis counts them and not their bytes, so the number follows the
/// sizes seen.
const FIRST_PAGE: u32 = 8;

/// Reads the stream from its beginning.
#[derive(Debug)]
pub struct RedisReading {
    blocking: Link,
    keys: Arc<Keys>,
    after: u64,
    page: u32,
    /// Of the deliveries that had any when reading began; others get some only by our own claims.
    attempts: HashMap<String, u32>,
    /// The last question failed.
    failed: bool,
}

impl RedisReading {
    pub(super) async fn begin(
        redis: &Redis,
        link: &Link,
        keys: Arc<Keys>,
    ) -> Result<Self, InboxError> {
        let mut ask = cmd("HGETALL");
        let attempts = ask.arg(&keys.attempts).query_async(&mut link.clone()).await;
        Ok(Self {
            blocking: redis.own_link(TAG, PATIENCE),
            attempts: attempts?,
            keys,
            after: 0,
            page: FIRST_PAGE,
            failed: false,
        })
    }

    /// After a failover, the stream may end before where we are. What comes next would not be seen.
    async fn check_end(&mut self) -> Result<(), InboxError> {
        let newest = ("XREVRANGE", "+", "-");
        let mut ask = cmd(newest.0);
        ask.arg(&self.keys.inbox).arg(newest.1).arg(newest.2);
        let entries: Value = ask
            .arg("COUNT")
            .arg(1)
            .query_async(&mut self.blocking)
            .await?;
        match wire::deliveries(entries)?.first() {
            Some(newest) if newest.id < self.after => Err(InboxError::Fenced),
            _ => Ok(()),
        }
    }

    async fn ask(&mut self, most: u32) -> Result<Vec<Delivery>, InboxError> {
        if self.failed {
            self.check_end().await?;
            self.failed = false;
        }
        let mut ask = cmd("XREAD");
        ask.arg("COUNT").arg(self.page.min(most));
        ask.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        ask.arg("STREAMS").arg(&self.keys.inbox);
        ask.arg(wire::stream_id(self.after));
        let answer: Value = ask.query_async(&mut self.blocking).await?;
        // One stream was asked for: [[key, entries]].
        let entries = match answer {
            Value::Array(mut streams) => match streams.pop() {
                Some(Value::Array(mut stream)) => stream.pop().unwrap_or(Value::Nil),
                _ => Value::Nil,
            },
            _ => Value::Nil,
        };
        wire::deliveries(entries)
    }
}

impl Reading for RedisReading {
    async fn next(&mut self, most: u32, most_bytes: usize) -> Result<Vec<Delivery>, InboxError> {
        loop {
            let asked = self.ask(most).await;
            self.failed = asked.is_err();
            let found = asked?;
            if found.is_empty() {
                continue;
            }
            let all = found.len();
            let mut found = wire::bounded(found, most_bytes);
            let bytes: usize = found.iter().map(|delivery| delivery.body.len()).sum();
            if found.len() < all || bytes > most_bytes / 2 {
                self.page = (self.page / 2).max(1);
            } else if all >= self.page as usize {
                self.page = (self.page * 2).min(most);
            }
            if !self.attempts.is_empty() {
                for delivery in &mut found {
                    let attempts = self.attempts.remove(&wire::stream_id(delivery.id));
                    delivery.attempts = attempts.unwrap_or(0);
                }
            }
            self.after = found.last().map_or(self.after, |delivery| delivery.id);
            return Ok(found);
        }
    }
}

/// Deliveries after one, with their attempts.
pub(super) async fn read(
    link: &Link,
    keys: &Keys,
    after: u64,
    most: u32,
    most_bytes: usize,
) -> Result<Vec<Delivery>, InboxError> {
    let mut link = link.clone();
    let mut ask = cmd("XRANGE");
    ask.arg(&keys.inbox);
    ask.arg(format!("({}", wire::stream_id(after))).arg("+");
    let entries: Value = ask.arg("COUNT").arg(most).query_async(&mut link).await?;
    let mut found = wire::bounded(wire::deliveries(entries)?, most_bytes);
    if !found.is_empty() {
        let mut ask = cmd("HMGET");
        ask.arg(&keys.attempts);
        for delivery in &found {
            ask.arg(wire::stream_id(delivery.id));
        }
        let attempts: Vec<Option<u32>> = ask.query_async(&mut link).await?;
        for (delivery, attempts) in found.iter_mut().zip(attempts) {
            delivery.attempts = attempts.unwrap_or(0);
        }
    }
    Ok(found)
}

/// Counts an attempt, or takes it back.
pub(super) async fn attempt(
    link: &Link,
    keys: &Keys,
    (fence, id): (i64, u64),
    change: i8,
) -> Result<u32, InboxError> {
    let mut call = ATTEMPT.prepare_invoke();
    call.key(&keys.fences).key(&keys.inbox).key(&keys.attempts);
    call.arg(PART)
        .arg(fence)
        .arg(wire::stream_id(id))
        .arg(change);
    let attempts: i64 = call.invoke_async(&mut link.clone()).await?;
    u32::try_from(attempts).map_err(|_| InboxError::Fenced)
}
