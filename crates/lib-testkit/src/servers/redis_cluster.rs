//! A Redis Cluster of local servers.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, cmd};

use super::ports::free_port;
use super::redis::{RedisOptions, RedisServer};

/// Hash slots of a Cluster.
const SLOTS: u16 = 16_384;
/// Primaries.
const PRIMARIES: u16 = 3;
/// How long a server may be silent, in ms, until the others take it for dead. Whoever waits for a
/// failover waits for this; a busy machine must not reach it by itself.
const NODE_TIMEOUT: &str = "2000";
/// Longest wait for the servers to agree.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between looks at servers that come to agree.
const LOOK: Duration = Duration::from_millis(20);

/// Three primaries that share the slots evenly, and their replicas, if there are any.
#[derive(Debug)]
pub struct RedisCluster {
    /// The servers, each of which can be killed and started again: at first the three primaries,
    /// then their replicas in turn.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one without replicas and waits until every node finds it complete.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(options: RedisOptions) -> Self {
        Self::start_with_replicas(options, 0).await
    }

    /// Starts one in which each primary has `each` replicas, and waits until every node finds it
    /// complete and every replica is in step. A replica takes over whenever its primary dies,
    /// however long it has not heard of it.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_with_replicas(options: RedisOptions, each: u16) -> Self {
        let mut nodes = Vec::new();
        let mut first = None;
        for at in 0..PRIMARIES * (1 + each) {
            let bus = free_port().to_string();
            let node = RedisServer::start(options.clone().with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                NODE_TIMEOUT,
                "--cluster-replica-validity-factor",
                "0",
                "--repl-diskless-sync-delay",
                "0",
            ]))
            .await;
            if at < PRIMARIES {
                let share = SLOTS / PRIMARIES;
                let end = match at + 1 {
                    PRIMARIES => SLOTS,
                    next => next * share,
                };
                let (from, to) = (at * share, end - 1);
                let give = ["ADDSLOTSRANGE", &from.to_string(), &to.to_string()];
                let given: RedisResult<()> = ask(&node, &cluster(&give)).await;
                given.expect("the slots are free");
            }
            let (port, bus) = &*first.get_or_insert((node.port().to_string(), bus));
            let met: RedisResult<()> =
                ask(&node, &cluster(&["MEET", "127.0.0.1", port, bus])).await;
            met.expect("the first node is there");
            nodes.push(node);
        }
        let cluster = Self { nodes };
        cluster.assign_replicas().await;
        cluster.complete().await;
        cluster
    }

    /// `redis+cluster://` with every node.
    pub fn url(&self) -> String {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// Waits until every node that runs finds the Cluster complete, and each of them is a primary or
    /// a replica in step. Some time passes before nodes agree that one has been killed:
    /// [`RedisCluster::taken_over`] waits for that.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn complete(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        looking(async || {
            let (mut running, mut in_step) = (0, 0);
            for node in self.nodes.iter().filter(|node| node.runs()) {
                let info: String = ask(node, &cluster(&["INFO"])).await.ok()?;
                // A Cluster that serves what it has is `ok` before it knows who has the rest.
                let all = info.contains("cluster_slots_assigned:16384");
                if !(info.contains("cluster_state:ok") && all && info.contains(&known)) {
                    return None;
                }
                let info: String = ask(node, cmd("INFO").arg("replication")).await.ok()?;
                let online = |line: &&str| line.starts_with("slave") && line.contains("online");
                running += 1;
                in_step += info.lines().filter(online).count();
            }
            (running == usize::from(PRIMARIES) + in_step).then_some(())
        })
        .await;
    }

    /// Which of the nodes has the keys with the hash tag `tag` now.
    ///
    /// # Panics
    /// When no node says so.
    pub async fn primary_of(&self, tag: &str) -> usize {
        looking(async || {
            let node = self.nodes.iter().find(|node| node.runs())?;
            let slot: u16 = ask(node, &cluster(&["KEYSLOT", tag])).await.ok()?;
            let owners = owners(node).await?;
            let owns = |(first, last, _): &&(u16, u16, u16)| (*first..=*last).contains(&slot);
            let (_, _, port) = owners.iter().find(owns)?;
            self.nodes.iter().position(|node| node.port() == *port)
        })
        .await
    }

    /// Waits until every node that runs has seen a replica take over from the primary `dead`, which
    /// was killed, and the Cluster is complete again.
    ///
    /// # Panics
    /// When it does not happen.
    pub async fn taken_over(&self, dead: usize) {
        let dead = self.nodes[dead].port();
        looking(async || {
            for node in self.nodes.iter().filter(|node| node.runs()) {
                if owners(node).await?.iter().any(|(_, _, port)| *port == dead) {
                    return None;
                }
            }
            Some(())
        })
        .await;
        self.complete().await;
    }

    /// Makes the nodes after the primaries their replicas, in turn.
    async fn assign_replicas(&self) {
        let (primaries, replicas) = self.nodes.split_at(PRIMARIES.into());
        let mut ids = Vec::new();
        for primary in primaries {
            let id: RedisResult<String> = ask(primary, &cluster(&["MYID"])).await;
            ids.push(id.expect("it is a Cluster"));
        }
        for (replica, id) in replicas.iter().zip(ids.iter().cycle()) {
            // It is refused until the replica has heard of the primary.
            let follow = cluster(&["REPLICATE", id]);
            looking(async || ask::<()>(replica, &follow).await.ok()).await;
        }
    }
}

/// Looks again and again, and leaves the servers time between. On a busy machine an election may
/// fail twice, and each next one begins four node timeouts after the last.
async fn looking<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    seen.await.expect("the Cluster comes to an agreement")
}

fn cluster(words: &[&str]) -> Cmd {
    cmd("CLUSTER").arg(words).to_owned()
}

async fn ask<T: FromRedisValue>(node: &RedisServer, what: &Cmd) -> RedisResult<T> {
    what.query_async(&mut node.connect().await).await
}

/// Ranges of slots, first and last, and the port of who has them, as `node` sees it.
async fn owners(node: &RedisServer) -> Option<Vec<(u16, u16, u16)>> {
    let nodes: String = ask(node, &cluster(&["NODES"])).await.ok()?;
    let mut all = Vec::new();
    for line in nodes.lines() {
        // id, host:port@bus, flags, and more; from the ninth on what it has.
        let words: Vec<&str> = line.split(' ').collect();
        let port = words.get(1)?.split([':', '@']).nth(1)?.parse().ok()?;
        for range in words.iter().skip(8).filter(|word| !word.starts_with('[')) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            all.push((first.parse().ok()?, last.parse().ok()?, port));
        }
    }
    Some(all)
}
