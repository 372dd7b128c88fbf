//! Whether Redis keeps what it confirms, as the durability profile promises.

use std::collections::HashMap;

use redis::{ConnectionInfo, cmd};

use super::Redis;
use super::error::RedisError;
use crate::storage::Profile;

/// Version of everything kept in Redis, in [`MARKER`].
const SCHEMA: i64 = 1;
/// Says which version of Frontdesk's data is here.
const MARKER: &str = "fd:v1:{0}:installation";
/// Oldest version that works.
const OLDEST: (u32, u32) = (7, 0);

const SETTINGS: [&str; 6] = [
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-replicas-max-lag",
];

impl Redis {
    /// Whether every server keeps what it confirms, as `profile` promises, and holds data that
    /// this program knows. Of a Cluster these are the servers that have slots at this moment: who
    /// has lost them to a replica is not looked at any more.
    ///
    /// # Errors
    /// When a server cannot be reached, is not fit, or does not let itself be looked at; when a
    /// Cluster does not serve all of its slots.
    pub async fn check_durability(&self, profile: Profile) -> Result<(), RedisError> {
        let look = self.servers.look(&self.shared).await?;
        for server in &look.primaries {
            let checked = self.check_server(server, profile).await;
            checked.map_err(|problem| match (problem, self.servers.is_cluster()) {
                (problem, false) => problem,
                (RedisError::ReadOnly, true) => {
                    RedisError::Cluster(format!("{} has just become a replica", server.addr()))
                }
                (problem, true) => RedisError::Unfit(format!("{}: {problem}", server.addr())),
            })?;
        }
        // After the servers, because one that is gone or unfit says more.
        if let Some(problem) = look.problem {
            return Err(RedisError::Cluster(problem));
        }
        if self.known_schema().await?.is_none() {
            let mark = cmd("HSETNX")
                .arg(MARKER)
                .arg("schema")
                .arg(SCHEMA)
                .to_owned();
            mark.exec_async(&mut self.link("0")).await?;
        }
        Ok(())
    }

    /// Whether what is kept here is of a version this program knows. Writes nothing, so that it may
    /// be asked before anything is begun.
    ///
    /// # Errors
    /// [`RedisError::Newer`] when it is not; any other where that cannot be told now.
    pub async fn check_schema(&self) -> Result<(), RedisError> {
        self.known_schema().await.map(|_| ())
    }

    async fn check_server(
        &self,
        server: &ConnectionInfo,
        profile: Profile,
    ) -> Result<(), RedisError> {
        let mut seat = self.shared.seat(server).await?;
        let connection = &mut seat.connection;
        let info = cmd("INFO");
        let info = match info.query_async::<String>(connection).await {
            Ok(info) => info,
            Err(error) => {
                self.shared.discard(&seat, &error).await;
                return Err(error.into());
            }
        };
        let facts: HashMap<&str, &str> = info
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .collect();
        check_facts(&facts, profile)?;
        let mut ask = cmd("CONFIG");
        ask.arg("GET").arg(&SETTINGS);
        let settings = ask.query_async::<HashMap<String, String>>(connection).await;
        let settings = settings.map_err(|error| {
            RedisError::Unfit(format!(
                "it cannot be checked whether Redis keeps what it confirms (profile {profile}): \
                 CONFIG GET is not allowed ({}); allow the user of redis.url `+config|get`",
                error.detail().unwrap_or("refused")
            ))
        })?;
        check_settings(&settings, profile).map_err(RedisError::Unfit)
    }

    /// The version of what is kept here; `None` where nothing is yet.
    async fn known_schema(&self) -> Result<Option<i64>, RedisError> {
        let get = cmd("HGET").arg(MARKER).arg("schema").to_owned();
        match get.query_async(&mut self.link("0")).await? {
            Some(found) if found > SCHEMA => Err(RedisError::Newer(found, SCHEMA)),
            found => Ok(found),
        }
    }
}

/// What a server says of itself.
fn check_facts(facts: &HashMap<&str, &str>, profile: Profile) -> Result<(), RedisError> {
    let fact = |name: &str| facts.get(name).copied().unwrap_or_default();
    let version = fact("redis_version");
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < OLDEST {
        return Err(RedisError::TooOld(version.to_owned()));
    }
    if fact("loading") == "1" {
        return Err(RedisError::Loading);
    }
    if fact("role") != "master" {
        return Err(RedisError::ReadOnly);
    }
    if fact("aof_enabled") == "1" && fact("aof_last_write_status") == "err" {
        return Err(RedisError::Disk("its last write failed".to_owned()));
    }
    let online = facts
        .iter()
        .filter(|(name, value)| name.starts_with("slave") && value.contains("state=online"))
        .count();
    if profile == Profile::B && online == 0 {
        return Err(RedisError::Unfit(
            "Redis has no replica that is in step, and profile B promises that what is confirmed \
             is on one; start a replica, or set durability.profile to A"
                .to_owned(),
        ));
    }
    Ok(())
}

/// How a server is set up.
fn check_settings(settings: &HashMap<String, String>, profile: Profile) -> Result<(), String> {
    let setting = |name: &str| settings.get(name).map_or("unknown", String::as_str);
    let must = |name: &str, allowed: &[&str], why: &str| {
        let found = setting(name);
        if allowed.contains(&found) {
            return Ok(());
        }
        Err(format!(
            "Redis has {name} {found}, {why}; set it to {} (profile {profile})",
            allowed[0]
        ))
    };
    must(
        "appendonly",
        &["yes"],
        "so that a restart loses what it confirmed",
    )?;
    match profile {
        Profile::A | Profile::B => must(
            "appendfsync",
            &["always"],
            "so that a power cut loses what it confirmed",
        )?,
        Profile::C => must(
            "appendfsync",
            &["everysec", "always"],
            "so that a power cut loses more than a second",
        )?,
    }
    if profile != Profile::C {
        must(
            "no-appendfsync-on-rewrite",
            &["no"],
            "so that it does not flush while it rewrites its log",
        )?;
    }
    must(
        "maxmemory-policy",
        &["noeviction"],
        "so that it drops data when it is full",
    )?;
    let least: u32 = setting("min-replicas-to-write").parse().unwrap_or(0);
    if profile == Profile::B && least == 0 {
        return Err(
            "Redis has min-replicas-to-write 0, so that a primary that is cut off from its \
             replicas goes on confirming what a failover then drops; set it to 1 (profile B)"
                .to_owned(),
        );
    }
    if profile == Profile::B && setting("min-replicas-max-lag") == "0" {
        return Err(
            "Redis has min-replicas-max-lag 0, which switches min-replicas-to-write off; set it to \
             10 (profile B)"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
