//! The live state in Redis: one hash tag per part, `fd:v1:{r<part>}:…`, changed by one script
//! under the part's fence.

use std::collections::HashMap;
use std::sync::LazyLock;

use core_types::{AgentId, TenantId};
use lib_storage::StorageError;
use lib_storage::redis::{Link, Redis, RedisError};
use redis::{AsyncCommands as _, Script};
use serde::de::DeserializeOwned;

use super::live::{StoreError, agent_and_number, changes, done, report, tenant_and_rest};
use super::{OutgoingRow, Stored};
use crate::seat::{Done, Memory};
use crate::write::Write;

static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));
static OPEN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("open.lua")));

/// The keys of a part, in the order the commit script takes them.
const NAMES: [&str; 6] = [
    "meta",
    "engagements",
    "agents",
    "desks",
    "outgoing",
    "commands",
];
const META: usize = 0;
const ENGAGEMENTS: usize = 1;
const AGENTS: usize = 2;
const DESKS: usize = 3;
const OUTGOING: usize = 4;
const COMMANDS: usize = 5;

impl From<redis::RedisError> for StoreError {
    fn from(error: redis::RedisError) -> Self {
        Self::Live(RedisError::from(error).to_string())
    }
}

/// The live state of all parts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LiveState(Redis);

impl LiveState {
    /// In this Redis. Nothing is connected yet.
    pub(crate) fn new(redis: Redis) -> Self {
        Self(redis)
    }

    /// The live state of one part.
    pub(crate) fn part(&self, part: u16) -> LiveKeys {
        let tag = format!("r{part}");
        let keys = NAMES.map(|name| format!("fd:v1:{{{tag}}}:{name}"));
        LiveKeys {
            link: self.0.link(&tag),
            keys,
        }
    }
}

/// The live state of one part. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LiveKeys {
    link: Link,
    keys: [String; 6],
}

impl LiveKeys {
    /// Forgets what the log can tell again.
    pub(super) async fn forget_log(&self, fence: i64) -> Result<(), StoreError> {
        self.open(fence, "forget").await
    }

    /// From now on, earlier fences are refused.
    async fn open(&self, fence: i64, what: &str) -> Result<(), StoreError> {
        let taken: i64 = OPEN
            .key(&self.keys[META])
            .key(&self.keys[ENGAGEMENTS])
            .key(&self.keys[OUTGOING])
            .arg(fence)
            .arg(what)
            .invoke_async(&mut self.link.clone())
            .await?;
        if taken == 1 {
            Ok(())
        } else {
            Err(StoreError::Fenced)
        }
    }

    /// Everything of the part, after which only this fence may change it.
    pub(super) async fn load(&self, fence: i64) -> Result<Stored, StoreError> {
        self.open(fence, "").await?;
        let mut stored = Stored::default();
        for (tenant, agent) in self.states(AGENTS, "agent").await? {
            stored.tenants.entry(tenant).or_default().agents.push(agent);
        }
        for (tenant, engagement) in self.states(ENGAGEMENTS, "engagement").await? {
            let engagements = &mut stored.tenants.entry(tenant).or_default().engagements;
            engagements.push(engagement);
        }
        self.load_memories(&mut stored).await?;
        let mut link = self.link.clone();
        let cursor: Option<String> = link.hget(&self.keys[META], "cursor").await?;
        stored.cursor = cursor.unwrap_or_default();
        let last: Vec<(Vec<u8>, i64)> = link
            .zrevrange_withscores(&self.keys[OUTGOING], 0, 0)
            .await?;
        stored.last_outgoing = last.first().map_or(0, |(_, number)| *number);
        Ok(stored)
    }

    async fn states<T: DeserializeOwned>(
        &self,
        key: usize,
        table: &'static str,
    ) -> Result<Vec<(TenantId, T)>, StoreError> {
        let mut link = self.link.clone();
        let rows: HashMap<String, String> = link.hgetall(&self.keys[key]).await?;
        rows.iter()
            .map(|(field, state)| {
                let corrupt = |problem: &dyn std::fmt::Display| {
                    StorageError::corrupt(table, field, problem.to_string())
                };
                let (tenant, _) =
                    tenant_and_rest(field).ok_or_else(|| corrupt(&"its name has no tenant"))?;
                let state = serde_json::from_str(state).map_err(|error| corrupt(&error))?;
                Ok((tenant, state))
            })
            .collect()
    }

    async fn load_memories(&self, stored: &mut Stored) -> Result<(), StoreError> {
        let corrupt = |field: &str| StorageError::corrupt("desk", field, "it cannot be read");
        let mut link = self.link.clone();
        let desks: HashMap<String, u64> = link.hgetall(&self.keys[DESKS]).await?;
        for (field, reserved) in desks {
            let (tenant, agent) = tenant_and_rest(&field)
                .and_then(|(tenant, agent)| Some((tenant, AgentId::new(agent).ok()?)))
                .ok_or_else(|| corrupt(&field))?;
            let memories = &mut stored.tenants.entry(tenant).or_default().memories;
            memories.insert(agent, Memory::load(reserved));
        }
        let rows: HashMap<String, String> = link.hgetall(&self.keys[COMMANDS]).await?;
        let mut commands: Vec<(TenantId, AgentId, i64, Done)> = Vec::with_capacity(rows.len());
        for (field, command) in rows {
            let read = || {
                let (tenant, rest) = tenant_and_rest(&field)?;
                let (agent, number) = agent_and_number(rest)?;
                Some((tenant, agent, number, done(&command)?))
            };
            commands.push(read().ok_or_else(|| corrupt(&field))?);
        }
        commands.sort_by_key(|(.., number, _)| *number);
        for (tenant, agent, number, done) in commands {
            let memories = &mut stored.tenants.entry(tenant).or_default().memories;
            memories.entry(agent).or_default().restore(number, done);
        }
        Ok(())
    }

    /// All live changes of `writes`, or none.
    pub(super) async fn commit(&self, fence: i64, writes: &[Write]) -> Result<(), StoreError> {
        let changes: Vec<_> = writes.iter().flat_map(changes).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let mut call = COMMIT.prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        call.arg(fence);
        for change in changes {
            call.arg(change.verb)
                .arg(change.key as u8)
                .arg(change.field)
                .arg(change.value);
        }
        let kept: i64 = call.invoke_async(&mut self.link.clone()).await?;
        if kept == 1 {
            Ok(())
        } else {
            Err(StoreError::Fenced)
        }
    }

    /// Reports after `number`, in order, at most `most`.
    pub(super) async fn outgoing_after(
        &self,
        number: i64,
        most: i64,
    ) -> Result<Vec<OutgoingRow>, StoreError> {
        let most = isize::try_from(most).unwrap_or(isize::MAX);
        let rows: Vec<Vec<u8>> = self
            .link
            .clone()
            .zrangebyscore_limit(&self.keys[OUTGOING], format!("({number}"), "+inf", 0, most)
            .await?;
        rows.iter()
            .map(|stored| {
                let (number, tenant, record) = report(stored).ok_or_else(|| {
                    StorageError::corrupt("outgoing", number.to_string(), "it cannot be read")
                })?;
                Ok(OutgoingRow {
                    number,
                    tenant,
                    record,
                })
            })
            .collect()
    }
}
