//! A Redis Cluster of three local servers.

use std::time::Duration;

use redis::cmd;

use super::ports::free_port;
use super::redis::{RedisOptions, RedisServer};
use crate::within;

/// Hash slots of a Cluster.
const SLOTS: u16 = 16_384;
/// Masters.
const NODES: u16 = 3;

/// Three masters that share the slots evenly, without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// The servers, each of which can be killed and started again.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one and waits until every node finds it complete.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(options: RedisOptions) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            let bus_port = free_port().to_string();
            let options = options.clone().with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus_port,
                "--cluster-node-timeout",
                "2000",
            ]);
            let node = RedisServer::start(options).await;
            nodes.push((node, bus_port));
        }
        let first = (nodes[0].0.port(), nodes[0].1.clone());
        for (at, (node, _)) in nodes.iter().enumerate() {
            let at = u16::try_from(at).expect("few nodes");
            let share = SLOTS / NODES;
            let last = if at + 1 == NODES {
                SLOTS - 1
            } else {
                (at + 1) * share - 1
            };
            let mut connection = node.connect().await;
            let assigned = cmd("CLUSTER")
                .arg("ADDSLOTSRANGE")
                .arg(at * share)
                .arg(last)
                .exec_async(&mut connection)
                .await;
            assigned.expect("the slots are free");
            let met = cmd("CLUSTER")
                .arg("MEET")
                .arg("127.0.0.1")
                .arg(first.0)
                .arg(&first.1)
                .exec_async(&mut connection)
                .await;
            met.expect("the first node is there");
        }
        let cluster = Self {
            nodes: nodes.into_iter().map(|(node, _)| node).collect(),
        };
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

    /// Waits until every node finds the Cluster complete.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn complete(&self) {
        for node in &self.nodes {
            let mut connection = node.connect().await;
            within(async {
                loop {
                    let info: String = cmd("CLUSTER")
                        .arg("INFO")
                        .query_async(&mut connection)
                        .await
                        .expect("it is a Cluster");
                    let known = format!("cluster_known_nodes:{NODES}");
                    if info.contains("cluster_state:ok") && info.contains(&known) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
    }
}
