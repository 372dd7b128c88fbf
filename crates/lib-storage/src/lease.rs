//! Fenced leases: who does a part of some work now. A lease is a name in a table with a time and a
//! counter, the fence. Each claim raises the fence, and whoever writes under a lease shows it: what
//! an earlier owner still tries is refused at the commit, however late it comes.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::database::{Database, Tx};
use crate::error::StorageError;
use crate::query::{Row, list, sql};

/// What a lease store cannot do.
pub type LeaseError = anyhow::Error;

/// A replica that takes part in some work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its stable name.
    pub name: String,
    /// Where other replicas reach it: `http://host:port`.
    pub address: String,
}

/// A part of some work and who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which part, from 0.
    pub part: u16,
    /// Who has it.
    pub owner: Member,
    /// Raised at each claim. In PostgreSQL at least the milliseconds since 1970 at that moment.
    pub fence: i64,
    /// Whether its time is over, so that it may be claimed.
    pub expired: bool,
}

/// Who takes part and who has what, as the store sees it.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// Members heard of within the time to live.
    pub members: Vec<Member>,
    /// Every part that ever was claimed.
    pub leases: Vec<Lease>,
}

/// Keeps leases. Times are the store's own, so that no two clocks are compared.
pub trait Leases: Send + Sync + 'static {
    /// Whether other processes may take part. If not, everything is held for ever.
    fn shared(&self) -> bool {
        true
    }

    /// Says that `me` lives, prolongs everything it holds of `work`, and tells who else is there.
    fn beat<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        live: Duration,
    ) -> BoxFuture<'a, Result<Roster, LeaseError>>;

    /// Claims those of `parts` that nobody holds, or that an earlier process of the same name
    /// held. Returns them with their fences.
    fn claim<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        live: Duration,
        parts: &'a [u16],
    ) -> BoxFuture<'a, Result<Vec<(u16, i64)>, LeaseError>>;

    /// Gives up `parts` that `me` holds; with `leave`, also its membership.
    fn release<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        parts: &'a [u16],
        leave: bool,
    ) -> BoxFuture<'a, Result<(), LeaseError>>;

    /// Says that the process `run`, a word of its own, bears the name of `me`. Returns the process
    /// that was the last to say so, if it was another and no longer than `live` ago.
    fn bear<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        run: &'a str,
        live: Duration,
    ) -> BoxFuture<'a, Result<Option<String>, LeaseError>>;
}

/// Leases where there is one process only: it has everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Leases for Alone {
    fn shared(&self) -> bool {
        false
    }

    fn beat<'a>(
        &'a self,
        _: &'a str,
        me: &'a Member,
        _: Duration,
    ) -> BoxFuture<'a, Result<Roster, LeaseError>> {
        let roster = Roster {
            members: vec![me.clone()],
            leases: Vec::new(),
        };
        Box::pin(async move { Ok(roster) })
    }

    fn claim<'a>(
        &'a self,
        _: &'a str,
        _: &'a Member,
        _: Duration,
        parts: &'a [u16],
    ) -> BoxFuture<'a, Result<Vec<(u16, i64)>, LeaseError>> {
        Box::pin(async move { Ok(parts.iter().map(|part| (*part, 1)).collect()) })
    }

    fn release<'a>(
        &'a self,
        _: &'a str,
        _: &'a Member,
        _: &'a [u16],
        _: bool,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async { Ok(()) })
    }

    fn bear<'a>(
        &'a self,
        _: &'a str,
        _: &'a Member,
        _: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<Option<String>, LeaseError>> {
        Box::pin(async { Ok(None) })
    }
}

/// Leases in the service's own schema on PostgreSQL.
#[derive(Clone, Debug)]
pub struct LeaseTable(Database);

impl Database {
    /// The leases of this service's work: in its schema on PostgreSQL; on SQLite the one process
    /// has everything.
    pub fn leases(&self) -> std::sync::Arc<dyn Leases> {
        if self.postgres().is_some() {
            std::sync::Arc::new(LeaseTable(self.clone()))
        } else {
            std::sync::Arc::new(Alone)
        }
    }
}

/// A suspended process may hold the row of its lease; who waits for it does not beat meanwhile.
const SHORT_WAIT: &str = "SET LOCAL lock_timeout = '1s'";

/// The time `live` from now, by the server's clock; `$n` is milliseconds.
macro_rules! after {
    ($place:literal) => {
        concat!(
            "clock_timestamp() + CAST(",
            $place,
            " AS bigint) * interval '1 millisecond'"
        )
    };
}

/// This moment in milliseconds, by the server's clock. What a fence is at least: Redis remembers the
/// fences of its writers, and a lease that comes back from a backup must not be behind them.
macro_rules! moment {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
    };
}

impl LeaseTable {
    async fn beat_now(
        &self,
        work: &str,
        me: &Member,
        live: Duration,
    ) -> Result<Roster, StorageError> {
        let mut tx = self.0.begin_concurrent().await?;
        let millis = live.as_millis() as i64;
        sql(
            "INSERT INTO lease_member (work, name, address, seen) VALUES ($1, $2, $3, \
             clock_timestamp()) ON CONFLICT (work, name) \
             DO UPDATE SET address = excluded.address, seen = excluded.seen",
        )
        .bind(work)
        .bind(&me.name)
        .bind(&me.address)
        .execute(&mut tx)
        .await?;
        // What is over stays over: its next owner may be about to take it. In order, as commits take
        // them too: otherwise the two could wait for each other.
        sql(concat!(
            "WITH mine AS (SELECT part FROM lease WHERE work = $1 AND owner = $2 \
             AND until > clock_timestamp() ORDER BY part FOR NO KEY UPDATE) \
             UPDATE lease SET until = ",
            after!("$3"),
            ", address = $4 FROM mine WHERE work = $1 AND lease.part = mine.part \
             AND owner = $2 AND until > clock_timestamp()"
        ))
        .bind(work)
        .bind(&me.name)
        .bind(millis)
        .bind(&me.address)
        .execute(&mut tx)
        .await?;
        let members = sql("SELECT name, address FROM lease_member WHERE work = $1 \
             AND seen > clock_timestamp() - CAST($2 AS bigint) * interval '1 millisecond' \
             ORDER BY name")
        .bind(work)
        .bind(millis)
        .fetch_all(&mut tx)
        .await?;
        let leases = sql("SELECT part, owner, address, fence, \
             CASE WHEN until > clock_timestamp() THEN 0::bigint ELSE 1::bigint END \
             FROM lease WHERE work = $1")
        .bind(work)
        .fetch_all(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(Roster {
            members: members.iter().map(member).collect::<Result<_, _>>()?,
            leases: leases.iter().map(lease).collect::<Result<_, _>>()?,
        })
    }

    async fn claim_now(
        &self,
        work: &str,
        me: &Member,
        live: Duration,
        parts: &[u16],
    ) -> Result<Vec<(u16, i64)>, StorageError> {
        let mut tx = self.0.begin_concurrent().await?;
        sql(SHORT_WAIT).execute(&mut tx).await?;
        let rows = sql(concat!(
            "INSERT INTO lease (work, part, owner, address, fence, until) \
             SELECT $1, CAST(c0 AS bigint), $2, $3, ",
            moment!(),
            ", ",
            after!("$4"),
            " FROM each($5) wanted ORDER BY 2 ON CONFLICT (work, part) DO UPDATE \
             SET owner = excluded.owner, address = excluded.address, until = excluded.until, \
             fence = greatest(lease.fence + 1, excluded.fence) \
             WHERE lease.until <= clock_timestamp() OR lease.owner IN ('', excluded.owner) \
             RETURNING part, fence"
        ))
        .bind(work)
        .bind(&me.name)
        .bind(&me.address)
        .bind(live.as_millis() as i64)
        .bind(list(parts))
        .fetch_all(&mut tx)
        .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| Ok((part(row.get(0)?)?, row.get(1)?)))
            .collect()
    }

    async fn release_now(
        &self,
        work: &str,
        me: &Member,
        parts: &[u16],
        leave: bool,
    ) -> Result<(), StorageError> {
        let mut tx = self.0.begin_concurrent().await?;
        sql(SHORT_WAIT).execute(&mut tx).await?;
        sql(
            "UPDATE lease SET owner = '', address = '', until = clock_timestamp() \
             WHERE work = $1 AND owner = $2 \
             AND part IN (SELECT CAST(c0 AS bigint) FROM each($3) given)",
        )
        .bind(work)
        .bind(&me.name)
        .bind(list(parts))
        .execute(&mut tx)
        .await?;
        if leave {
            sql("DELETE FROM lease_member WHERE work IN ($1, $2) AND name = $3")
                .bind(work)
                .bind(bearers(work))
                .bind(&me.name)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await
    }

    async fn bear_now(
        &self,
        work: &str,
        me: &Member,
        run: &str,
        live: Duration,
    ) -> Result<Option<String>, StorageError> {
        let row = sql(
            "WITH before AS (SELECT address FROM lease_member WHERE work = $1 AND name = $2 \
             AND seen > clock_timestamp() - CAST($4 AS bigint) * interval '1 millisecond') \
             INSERT INTO lease_member (work, name, address, seen) \
             VALUES ($1, $2, $3, clock_timestamp()) ON CONFLICT (work, name) \
             DO UPDATE SET address = excluded.address, seen = excluded.seen \
             RETURNING (SELECT address FROM before)",
        )
        .bind(bearers(work))
        .bind(&me.name)
        .bind(run)
        .bind(live.as_millis() as i64)
        .fetch_one(&self.0)
        .await?;
        let before: Option<String> = row.get(0)?;
        Ok(before.filter(|before| before != run))
    }
}

/// Who bears which name is kept among the members, as of another work, with the process in place of
/// the address.
fn bearers(work: &str) -> String {
    format!("{work} bearers")
}

impl Leases for LeaseTable {
    fn beat<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        live: Duration,
    ) -> BoxFuture<'a, Result<Roster, LeaseError>> {
        Box::pin(async move { Ok(self.beat_now(work, me, live).await?) })
    }

    fn claim<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        live: Duration,
        parts: &'a [u16],
    ) -> BoxFuture<'a, Result<Vec<(u16, i64)>, LeaseError>> {
        Box::pin(async move { Ok(self.claim_now(work, me, live, parts).await?) })
    }

    fn release<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        parts: &'a [u16],
        leave: bool,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async move { Ok(self.release_now(work, me, parts, leave).await?) })
    }

    fn bear<'a>(
        &'a self,
        work: &'a str,
        me: &'a Member,
        run: &'a str,
        live: Duration,
    ) -> BoxFuture<'a, Result<Option<String>, LeaseError>> {
        Box::pin(async move { Ok(self.bear_now(work, me, run, live).await?) })
    }
}

impl Tx {
    /// Makes the transaction fail unless the lease of `part` still has this fence. Nobody can claim
    /// it before the transaction ends. Nothing to check on SQLite.
    ///
    /// # Errors
    /// [`StorageError::Fenced`] when another has it.
    pub async fn require_fence(
        &mut self,
        work: &str,
        parts: &[(u16, i64)],
    ) -> Result<(), StorageError> {
        if self.engine() == crate::Engine::Sqlite || parts.is_empty() {
            return Ok(());
        }
        let held = sql(
            "SELECT l.part FROM lease l JOIN each($2, 2) h ON l.part = CAST(h.c0 AS bigint) \
             AND l.fence = CAST(h.c1 AS bigint) WHERE l.work = $1 AND l.owner <> '' \
             ORDER BY l.part FOR SHARE OF l",
        )
        .bind(work)
        .bind(list(parts))
        .fetch_all(self)
        .await?;
        let held: Vec<u16> = held
            .iter()
            .map(|row| part(row.get(0)?))
            .collect::<Result<_, StorageError>>()?;
        match parts.iter().find(|(part, _)| !held.contains(part)) {
            None => Ok(()),
            Some((part, _)) => Err(StorageError::Fenced {
                group: work.to_owned(),
                partition: *part,
            }),
        }
    }
}

fn part(number: i64) -> Result<u16, StorageError> {
    u16::try_from(number).map_err(|error| StorageError::corrupt("lease", number.to_string(), error))
}

fn member(row: &Row) -> Result<Member, StorageError> {
    Ok(Member {
        name: row.get(0)?,
        address: row.get(1)?,
    })
}

fn lease(row: &Row) -> Result<Lease, StorageError> {
    Ok(Lease {
        part: part(row.get(0)?)?,
        owner: Member {
            name: row.get(1)?,
            address: row.get(2)?,
        },
        fence: row.get(3)?,
        expired: row.get(4)?,
    })
}
