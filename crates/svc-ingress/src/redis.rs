//! The inbox in Redis, shared by replicas: a stream of deliveries, hashes of what is parked. All
//! keys have one hash tag, so that one script can change them together.
//!
//! A group is one round trip: its deliveries in a transaction, each ending a script that checks the
//! reader's fence. A delivery's id is the stream's own, milliseconds and a counter, so an id that a
//! failover lost is not given out again.

mod keys;
mod parked;
mod reading;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lib_storage::Profile;
use lib_storage::redis::{Link, Redis, RedisError};
use redis::{Cmd, Pipeline, Script, Value, cmd};

use crate::inbox::{
    Counts, Delivery, Ending, Group, Inbox, InboxError, NewDelivery, NewParked, Outcome, Parked,
};
use keys::{Keys, PART};
use reading::{BEGIN, RedisReading};
use wire::Answer;

/// The hash tag of the inbox. There is one; more would be more parts to read.
pub const TAG: &str = "i0";

/// How long a group may take. Flushes of a busy disk have been seen to take 0.4 s; who waits longer
/// is better told to come again.
const COMMIT_PATIENCE: Duration = Duration::from_secs(3);
/// How long a replica may take to confirm that it has a group, and then that its disk has it
/// (profile B), in ms.
const REPLICA_MILLIS: u64 = 500;

/// The inbox in Redis. Clones share it.
#[derive(Clone, Debug)]
pub struct RedisInbox {
    redis: Redis,
    /// For groups only: `WAIT` waits for what was written on the same connection.
    writes: Link,
    link: Link,
    keys: Arc<Keys>,
    end: Arc<Script>,
    /// Whether a replica must confirm.
    replicated: bool,
    /// The server is older than `WAITAOF` (Redis 7.2).
    only_wait: Arc<AtomicBool>,
}

impl RedisInbox {
    /// The inbox in `redis`. `fences` is the key of the fences of who reads it, under [`TAG`].
    /// Nothing is asked of the server yet.
    pub fn new(redis: &Redis, fences: &str, profile: Profile) -> Self {
        Self {
            redis: redis.clone(),
            writes: redis.own_link(TAG, COMMIT_PATIENCE),
            link: redis.link(TAG),
            keys: Arc::new(Keys::new(fences)),
            end: Arc::new(Script::new(concat!(
                include_str!("redis/park.lua"),
                include_str!("redis/end.lua")
            ))),
            replicated: profile == Profile::B,
            only_wait: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The command that ends deliveries.
    fn end_command(&self, ending: &Ending) -> Cmd {
        let keys = &self.keys;
        let mut command = cmd("EVALSHA");
        command
            .arg(self.end.get_hash())
            .arg(7 + 2 * ending.park.len());
        for key in [&keys.fences, &keys.inbox, &keys.totals, &keys.attempts] {
            command.arg(key);
        }
        for key in [&keys.parked, &keys.numbers, &keys.sequence] {
            command.arg(key);
        }
        for item in &ending.park {
            command.arg(keys.item(&item.id()));
            command.arg(keys.of_number(&item.number_id));
        }
        command.arg(PART).arg(ending.fence).arg(ending.bytes);
        command.arg(ending.finish.len());
        for id in &ending.finish {
            command.arg(wire::stream_id(*id));
        }
        for item in &ending.park {
            for field in wire::item_fields(item) {
                command.arg(field);
            }
        }
        command
    }

    /// Waits until a replica has what was written before on the connection: on its disk where the
    /// server can say so. Asked for its disk only, a replica answers before it has flushed what came
    /// with the question, and again a second later; asked twice, it has flushed by the second time.
    fn add_wait(&self, all: &mut Pipeline) {
        all.cmd("WAIT").arg(1).arg(REPLICA_MILLIS);
        if !self.only_wait.load(Ordering::Relaxed) {
            all.cmd("WAITAOF").arg(0).arg(1).arg(REPLICA_MILLIS);
        }
    }

    async fn send(&self, group: &Group) -> Result<Answer, redis::RedisError> {
        let mut all = Pipeline::new();
        if !group.admit.is_empty() {
            admit(&mut all, &self.keys, &group.admit);
        }
        let transaction = all.len();
        for ending in &group.ends {
            all.add_command(self.end_command(ending));
        }
        let waits = self.replicated && !group.admit.is_empty();
        if waits {
            self.add_wait(&mut all);
        }
        let answers = self.writes.send(&all).await?;
        Ok(Answer::new(answers, transaction, group.ends.len()))
    }

    /// Whether a replica confirmed what was admitted, as the last answer to the wait says.
    fn confirmed(&self, waited: Vec<Value>) -> Result<(), InboxError> {
        let mut confirmed = true;
        for answer in waited {
            match answer.extract_error() {
                Err(error) if error.to_string().contains("unknown command") => {
                    self.only_wait.store(true, Ordering::Relaxed);
                }
                answer => confirmed = replicas(answer?) > 0,
            }
        }
        if confirmed {
            Ok(())
        } else {
            Err(RedisError::Replicas.into())
        }
    }

    /// One ending's answer; sent again where the server does not know the script yet.
    async fn ended(&self, ending: &Ending, answer: Value) -> Result<Counts, InboxError> {
        let answer = match answer.extract_error() {
            Err(error) if is_unknown_script(&error) => {
                let mut writes = self.writes.clone();
                self.end.load_async(&mut writes).await?;
                self.end_command(ending).query_async(&mut writes).await?
            }
            answer => answer?,
        };
        let left: Vec<i64> = redis::from_redis_value(answer).map_err(wire::corrupt)?;
        match left[..] {
            [waiting, waiting_bytes] => Ok(Counts {
                waiting: waiting as u64,
                waiting_bytes: waiting_bytes as u64,
                admitted: 0,
            }),
            _ => Err(InboxError::Fenced),
        }
    }
}

/// How many replicas have it: the answer to `WAIT`, or the second half of that to `WAITAOF`.
fn replicas(waited: Value) -> i64 {
    match waited {
        Value::Int(replicas) => replicas,
        Value::Array(mut answer) => answer.pop().map_or(0, replicas),
        _ => 0,
    }
}

fn is_unknown_script(error: &redis::RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// All deliveries or none: a transaction is refused as a whole when Redis is full, cannot save, or
/// is a replica.
fn admit(all: &mut Pipeline, keys: &Keys, deliveries: &[NewDelivery]) {
    all.cmd("MULTI");
    let mut bytes = 0;
    for delivery in deliveries {
        bytes += delivery.body.len();
        all.cmd("XADD").arg(&keys.inbox).arg("*");
        all.arg("a").arg(delivery.admitted_at.as_micros());
        all.arg("t").arg(&delivery.traceparent);
        all.arg("b").arg(&delivery.body[..]);
    }
    let totals = &keys.totals;
    all.cmd("HINCRBY")
        .arg(totals)
        .arg("admitted")
        .arg(deliveries.len());
    all.cmd("HINCRBY").arg(totals).arg("bytes").arg(bytes);
    all.cmd("XLEN").arg(&keys.inbox);
    all.cmd("EXEC");
}

impl Inbox for RedisInbox {
    type Reading = RedisReading;

    async fn commit(&self, group: &Group) -> Outcome {
        if group.admit.is_empty() && group.ends.is_empty() {
            return Outcome {
                admitted: Ok(()),
                ended: Vec::new(),
                counts: None,
            };
        }
        let answer = match self.send(group).await {
            Ok(answer) => answer,
            Err(error) => {
                let failed = |_| Err(InboxError::from(error.clone()));
                return Outcome {
                    admitted: Err(error.clone().into()),
                    ended: group.ends.iter().map(failed).collect(),
                    counts: None,
                };
            }
        };
        let Answer {
            admitted,
            ends,
            waited,
        } = answer;
        let (mut counts, mut admitted) = match admitted {
            Ok(counts) => (counts, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let mut ended = Vec::with_capacity(ends.len());
        for (ending, answer) in group.ends.iter().zip(ends) {
            ended.push(match self.ended(ending, answer).await {
                Ok(left) => {
                    if let Some(counts) = &mut counts {
                        counts.waiting = left.waiting;
                        counts.waiting_bytes = left.waiting_bytes;
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            });
        }
        if admitted.is_ok() {
            admitted = self.confirmed(waited);
        }
        Outcome {
            admitted,
            ended,
            counts,
        }
    }

    async fn read(
        &self,
        after: u64,
        most: u32,
        most_bytes: usize,
    ) -> Result<Vec<Delivery>, InboxError> {
        reading::read(&self.link, &self.keys, after, most, most_bytes).await
    }

    async fn begin(
        &self,
        fence: i64,
        window: u32,
        ceiling: u32,
    ) -> Result<RedisReading, InboxError> {
        let mut call = BEGIN.prepare_invoke();
        let keys = &self.keys;
        call.key(&keys.fences).key(&keys.inbox).key(&keys.attempts);
        call.key(&keys.reader).arg(PART).arg(fence);
        call.arg(window).arg(ceiling);
        call.arg(reading::WINDOW_BYTES).arg(reading::LEAST_BYTES);
        let ours: i64 = call.invoke_async(&mut self.link.clone()).await?;
        if ours == 0 {
            return Err(InboxError::Fenced);
        }
        RedisReading::begin(&self.redis, &self.link, Arc::clone(&self.keys)).await
    }

    async fn leave(&self, fence: i64) -> Result<(), InboxError> {
        let mut call = reading::LEAVE.prepare_invoke();
        call.key(&self.keys.reader).arg(fence);
        Ok(call.invoke_async(&mut self.link.clone()).await?)
    }

    async fn claim(&self, fence: i64, id: u64) -> Result<u32, InboxError> {
        reading::attempt(&self.link, &self.keys, (fence, id), 1).await
    }

    async fn release(&self, fence: i64, id: u64) -> Result<(), InboxError> {
        let left = reading::attempt(&self.link, &self.keys, (fence, id), -1).await;
        left.map(|_| ())
    }

    async fn parked(
        &self,
        numbers: Option<&[String]>,
        after: u64,
        most: usize,
    ) -> Result<Vec<Parked>, InboxError> {
        parked::list(&self.link, &self.keys, numbers, after, most).await
    }

    async fn parked_by_number(&self) -> Result<Vec<(String, u64)>, InboxError> {
        let mut ask = cmd("HGETALL");
        let ask = ask.arg(&self.keys.numbers);
        Ok(ask.query_async(&mut self.link.clone()).await?)
    }

    async fn find_parked(&self, id: &str) -> Result<Option<Parked>, InboxError> {
        parked::find(&self.link, &self.keys, id).await
    }

    async fn replayed(&self, id: &str, instead: &[NewParked]) -> Result<(), InboxError> {
        parked::replayed(&self.link, &self.keys, id, instead).await
    }

    async fn replay_failed(&self, id: &str, cause: &str) -> Result<(), InboxError> {
        parked::replay_failed(&self.link, &self.keys, id, cause).await
    }

    async fn counts(&self) -> Result<Counts, InboxError> {
        let mut ask = Pipeline::new();
        ask.cmd("HMGET")
            .arg(&self.keys.totals)
            .arg("admitted")
            .arg("bytes");
        ask.cmd("XLEN").arg(&self.keys.inbox);
        let found: ((Option<u64>, Option<u64>), u64) =
            ask.query_async(&mut self.link.clone()).await?;
        let ((admitted, bytes), waiting) = found;
        Ok(Counts {
            waiting,
            waiting_bytes: bytes.unwrap_or(0),
            admitted: admitted.unwrap_or(0),
        })
    }
}
