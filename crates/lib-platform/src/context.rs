//! What a service is given when it starts.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use lib_storage::lease::Member;
use lib_storage::redis::{Redis, RedisError};
use lib_storage::{Database, Engine, Migration, Profile, Storage, StorageError, sql};

use crate::channel::{AuthorizedChannel, Peers};
use crate::clock::Clock;
use crate::ids::IdSource;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::skew::Skew;

/// How often it is asked whether the database is there and fit, and how long it may take to answer.
const DATABASE_CHECK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3));

/// Everything a service gets from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: IdSource,
    /// Start and stop.
    pub life: Lifecycle,
    /// The other services.
    pub peers: Peers,
    /// Where things are kept.
    pub storage: Storage,
    /// This replica: its stable name, and where others reach it.
    pub me: Member,
    /// Numbers about what it does.
    pub metrics: Metrics,
    /// Whether it may be given work.
    pub readiness: Readiness,
}

impl Context {
    /// A context for one process that keeps everything in `folder`.
    pub fn embedded(
        clock: Clock,
        ids: IdSource,
        life: Lifecycle,
        peers: Peers,
        folder: PathBuf,
    ) -> Self {
        Self {
            clock,
            ids,
            life,
            peers,
            storage: Storage::Embedded { folder },
            me: Member {
                name: "frontdesk".to_owned(),
                address: String::new(),
            },
            metrics: Metrics::new(),
            readiness: Readiness::new(),
        }
    }

    /// The channel to another service.
    ///
    /// # Errors
    /// When no address is configured for it.
    pub fn channel(&self, service: &str) -> anyhow::Result<AuthorizedChannel> {
        self.peers.channel(service)
    }

    /// Opens a service's records and brings its schema up to date. While a database server cannot
    /// be reached, or would lose what it confirms, the process is not ready and says why.
    ///
    /// # Errors
    /// When they cannot be opened, a migration fails, or they were written by a newer version.
    pub async fn database(
        &self,
        service: &str,
        migrations: &[Migration],
    ) -> Result<Database, StorageError> {
        let database = self.storage.database(service, migrations).await?;
        if database.engine() == Engine::Postgres {
            let (watched, readiness) = (database.clone(), self.readiness.clone());
            let skew = Skew::new(&self.clock, "postgres", &self.metrics, &readiness);
            let settings = self.storage.servers().and_then(|it| it.postgres.as_ref());
            let connections = settings.map_or(0, |it| it.connections);
            let stopped = self.life.stopped();
            self.life.spawn("postgres check", async move {
                tokio::select! {
                    () = watch(&watched, &readiness, &skew, connections) => {}
                    () = stopped => {}
                }
            });
        }
        Ok(database)
    }

    /// The Redis of this installation. While it cannot be reached, or would lose what it confirms,
    /// the process is not ready and says why. Where its data turn out to be of a newer version only
    /// later, as it was away at the start, everything stops.
    ///
    /// # Errors
    /// When no address is configured or it cannot be read, or its data are of a newer version.
    pub async fn redis(&self) -> anyhow::Result<Redis> {
        let servers = self.storage.servers().cloned();
        let servers = servers.context("redis.url is not set; this service needs Redis")?;
        let settings = servers
            .redis
            .context("redis.url is not set; this service needs Redis")?;
        let redis = Redis::open(&settings)?;
        let asked = tokio::time::timeout(DATABASE_CHECK.1, redis.check_schema()).await;
        // Whatever else is wrong may pass, and the check below goes on telling it.
        if let Ok(Err(error @ RedisError::Newer(..))) = asked {
            return Err(error.into());
        }
        let (watched, readiness) = (redis.clone(), self.readiness.clone());
        let (life, stopped) = (self.life.clone(), self.life.stopped());
        let profile = servers.profile;
        readiness.set("redis", Err("not asked yet"));
        let skew = Skew::new(&self.clock, "redis", &self.metrics, &readiness);
        self.life.spawn("redis check", async move {
            tokio::select! {
                newer = watch_redis(&watched, profile, &readiness, &skew) => {
                    life.fail("redis check", &newer.to_string());
                }
                () = stopped => {}
            }
        });
        Ok(redis)
    }

    /// The path of an embedded database of this installation, such as `sandbox.db`.
    ///
    /// # Errors
    /// When this installation keeps things on servers.
    pub fn database_file(&self, service: &str) -> anyhow::Result<PathBuf> {
        let file = self.storage.file(service);
        file.with_context(|| format!("{service} keeps a file, and has no folder for it"))
    }
}

/// What the server says of its clock, in microseconds, and of how many connections it takes.
const FACTS: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint), \
    CAST(current_setting('max_connections') AS bigint) \
    - CAST(current_setting('superuser_reserved_connections') AS bigint) \
    - CAST(coalesce(current_setting('reserved_connections', true), '0') AS bigint)";

/// The server's clock and its connections; `None` where it does not say.
async fn facts(database: &Database) -> Option<(i64, i64)> {
    let row = sql(FACTS).fetch_one(database).await.ok()?;
    Some((row.get(0).ok()?, row.get(1).ok()?))
}

/// Says, once, that the server takes fewer connections than this process alone may open.
fn compare_connections(ours: u32, theirs: i64) -> bool {
    let too_many = i64::from(ours) > theirs;
    if too_many {
        tracing::warn!(
            "postgres.connections (FRONTDESK_POSTGRES_CONNECTIONS) is {ours}, and the server takes \
             {theirs} from all processes together; lower it, or raise the server's max_connections"
        );
    }
    too_many
}

/// Says again and again whether the database can be used.
async fn watch(database: &Database, readiness: &Readiness, skew: &Skew, connections: u32) {
    let (every, patience) = DATABASE_CHECK;
    let mut compared = false;
    loop {
        let state = match tokio::time::timeout(patience, database.check()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the server does not answer; check that it runs".to_owned()),
        };
        readiness.set(
            "postgres",
            state
                .as_ref()
                .map_or_else(|why| Err(why.as_str()), |()| Ok(())),
        );
        let asked = skew.asked();
        if state.is_ok()
            && let Ok(Some((time, most))) = tokio::time::timeout(patience, facts(database)).await
        {
            skew.answered(asked, time);
            if !compared {
                compare_connections(connections, most);
                compared = true;
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// Says again and again whether Redis can be used; ends where its data are of a newer version, which
/// this program must not write to.
async fn watch_redis(
    redis: &Redis,
    profile: Profile,
    readiness: &Readiness,
    skew: &Skew,
) -> RedisError {
    let (every, patience) = DATABASE_CHECK;
    loop {
        let state = tokio::time::timeout(patience, redis.check_durability(profile));
        let state = state.await.unwrap_or(Err(RedisError::Slow));
        let told = state.as_ref().copied().map_err(ToString::to_string);
        readiness.set("redis", told.as_ref().copied().map_err(String::as_str));
        if let Err(error @ RedisError::Newer(..)) = state {
            return error;
        }
        let asked = skew.asked();
        if state.is_ok()
            && let Ok(Ok(time)) = tokio::time::timeout(patience, redis.time()).await
        {
            skew.answered(asked, time);
        }
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_larger_than_the_server_is_told_of() {
        assert!(compare_connections(200, 97));
        assert!(!compare_connections(97, 97));
    }
}
