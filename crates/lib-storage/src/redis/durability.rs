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

const SETTINGS: [&str; 4] = [
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory-policy",
];

impl Redis {
    /// Whether every server keeps what it confirms, as `profile` promises, and holds data that
    /// this program knows. The error is for people and names the remedy.
    ///
    /// # Errors
    /// When a server cannot be reached, is not fit, or does not let itself be looked at.
    pub async fn check_durability(&self, profile: Profile) -> Result<(), String> {
        let primaries = self.servers.primaries(&self.shared).await;
        let primaries = primaries.map_err(|error| RedisError::from(error).to_string())?;
        for server in &primaries {
            let checked = self.check_server(server, profile).await;
            checked.map_err(|problem| match primaries.len() {
                1 => problem,
                _ => format!("{}: {problem}", server.addr()),
            })?;
        }
        let marked = self.check_marker().await;
        marked.map_err(|error| error.to_string())
    }

    async fn check_server(&self, server: &ConnectionInfo, profile: Profile) -> Result<(), String> {
        let told = |error: redis::RedisError| RedisError::from(error).to_string();
        let mut seat = self.shared.seat(server).await.map_err(told)?;
        let connection = &mut seat.connection;
        let info = cmd("INFO");
        let info = match info.query_async::<String>(connection).await {
            Ok(info) => info,
            Err(error) => {
                self.shared.discard(&seat, &error).await;
                return Err(told(error));
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
            format!(
                "it cannot be checked whether Redis keeps what it confirms (profile {profile}): \
                 CONFIG GET is not allowed ({}); allow the user of redis.url `+config|get`",
                error.detail().unwrap_or("refused")
            )
        })?;
        check_settings(&settings, profile)
    }

    async fn check_marker(&self) -> Result<(), RedisError> {
        let mut link = self.link("0");
        let get = cmd("HGET").arg(MARKER).arg("schema").to_owned();
        let found: Option<i64> = get.query_async(&mut link).await?;
        match found {
            Some(found) if found > SCHEMA => Err(RedisError::Newer(found, SCHEMA)),
            Some(_) => Ok(()),
            None => {
                let mark = cmd("HSETNX")
                    .arg(MARKER)
                    .arg("schema")
                    .arg(SCHEMA)
                    .to_owned();
                Ok(mark.exec_async(&mut link).await?)
            }
        }
    }
}

fn check_facts(facts: &HashMap<&str, &str>, profile: Profile) -> Result<(), String> {
    let fact = |name: &str| facts.get(name).copied().unwrap_or_default();
    let version = fact("redis_version");
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < OLDEST {
        return Err(RedisError::TooOld(version.to_owned()).to_string());
    }
    if fact("loading") == "1" {
        return Err(RedisError::Loading.to_string());
    }
    if fact("role") != "master" {
        return Err(RedisError::ReadOnly.to_string());
    }
    if fact("aof_enabled") == "1" && fact("aof_last_write_status") == "err" {
        return Err(RedisError::Disk("its last write failed".to_owned()).to_string());
    }
    let online = facts
        .iter()
        .filter(|(name, value)| name.starts_with("slave") && value.contains("state=online"))
        .count();
    if profile == Profile::B && online == 0 {
        return Err(
            "Redis has no replica that is in step, and profile B promises that what is confirmed \
             is on one; start a replica, or set durability.profile to A"
                .to_owned(),
        );
    }
    Ok(())
}

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
    )
}
