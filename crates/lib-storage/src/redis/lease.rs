//! Leases in Redis: the same promises as the table in PostgreSQL ([`crate::lease`]).

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use redis::{Script, ScriptInvocation};

use super::error::RedisError;
use super::link::Link;
use crate::lease::{Lease, LeaseError, Leases, Member, Roster};

/// The keys of a work, in the order the scripts take them.
const NAMES: [&str; 6] = [
    "members",
    "addresses",
    "owners",
    "until",
    "fences",
    "bearers",
];

static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease/beat.lua")));
static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease/claim.lua")));
static BEAR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease/bear.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease/release.lua")));

/// Leases kept in Redis under one hash tag, so that scripts on other keys of the tag can check a
/// fence ([`RedisLeases::fences`]).
#[derive(Clone, Debug)]
pub struct RedisLeases {
    link: Link,
    tag: String,
}

impl RedisLeases {
    pub(super) fn new(link: Link, tag: &str) -> Self {
        Self {
            link,
            tag: tag.to_owned(),
        }
    }

    /// The key of a hash from part to fence, for scripts that write under a lease:
    /// `HGET fences part` must give the writer's fence.
    pub fn fences(&self, work: &str) -> String {
        self.key(work, "fences")
    }

    fn key(&self, work: &str, name: &str) -> String {
        format!("fd:v1:{{{}}}:lease:{work}:{name}", self.tag)
    }

    fn call<'s>(&self, script: &'s Script, work: &str) -> ScriptInvocation<'s> {
        let mut call = script.prepare_invoke();
        for name in NAMES {
            call.key(self.key(work, name));
        }
        call
    }

    async fn beat_now(&self, work: &str, me: &Member, live: Duration) -> anyhow::Result<Roster> {
        let mut call = self.call(&BEAT, work);
        call.arg(&me.name).arg(&me.address).arg(millis(live));
        let answer = call.invoke_async(&mut self.link.clone()).await;
        let (members, leases): (Vec<String>, Vec<String>) = answer.map_err(RedisError::from)?;
        let members = members.chunks_exact(2).map(|pair| Member {
            name: pair[0].clone(),
            address: pair[1].clone(),
        });
        let leases: anyhow::Result<Vec<Lease>> = leases.chunks_exact(5).map(lease).collect();
        Ok(Roster {
            members: members.collect(),
            leases: leases.context("a lease in Redis cannot be read")?,
        })
    }

    async fn claim_now(
        &self,
        work: &str,
        me: &Member,
        live: Duration,
        parts: &[u16],
    ) -> anyhow::Result<Vec<(u16, i64)>> {
        let mut call = self.call(&CLAIM, work);
        call.arg(&me.name).arg(&me.address).arg(millis(live));
        call.arg(parts);
        let answer = call.invoke_async(&mut self.link.clone()).await;
        let claimed: Vec<String> = answer.map_err(RedisError::from)?;
        claimed
            .chunks_exact(2)
            .map(|pair| Ok((pair[0].parse()?, pair[1].parse()?)))
            .collect()
    }

    async fn release_now(
        &self,
        work: &str,
        me: &Member,
        parts: &[u16],
        leave: bool,
    ) -> anyhow::Result<()> {
        let mut call = self.call(&RELEASE, work);
        call.arg(&me.name);
        call.arg(if leave { "leave" } else { "" });
        call.arg(parts);
        let done: Result<(), _> = call.invoke_async(&mut self.link.clone()).await;
        Ok(done.map_err(RedisError::from)?)
    }

    async fn bear_now(
        &self,
        work: &str,
        me: &Member,
        run: &str,
        live: Duration,
    ) -> anyhow::Result<Option<String>> {
        let mut call = self.call(&BEAR, work);
        call.arg(&me.name).arg(run).arg(millis(live));
        let before: Result<String, _> = call.invoke_async(&mut self.link.clone()).await;
        let before = before.map_err(RedisError::from)?;
        Ok(Some(before).filter(|before| !before.is_empty()))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn lease(words: &[String]) -> anyhow::Result<Lease> {
    Ok(Lease {
        part: words[0].parse()?,
        owner: Member {
            name: words[1].clone(),
            address: words[2].clone(),
        },
        fence: words[3].parse()?,
        expired: words[4] == "1",
    })
}

impl Leases for RedisLeases {
    fn beat<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        live: Duration,
    ) -> BoxFuture<'a, Result<Roster, LeaseError>> {
        Box::pin(self.beat_now(work, me, live))
    }

    fn claim<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        live: Duration,
        parts: &'a [u16],
    ) -> BoxFuture<'a, Result<Vec<(u16, i64)>, LeaseError>> {
        Box::pin(self.claim_now(work, me, live, parts))
    }

    fn release<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        parts: &'a [u16],
        leave: bool,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(self.release_now(work, me, parts, leave))
    }

    fn bear<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        run: &'a str,
        live: Duration,
    ) -> BoxFuture<'a, Result<Option<String>, LeaseError>> {
        Box::pin(self.bear_now(work, me, run, live))
    }
}
