//! Ingress under profile B on a Redis Cluster whose server with the inbox dies for good: what was
//! answered 200 is handed on by the replica that takes over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lib_storage::Profile;
use lib_testkit::servers::{RedisCluster, RedisOptions};
use lib_testkit::{eventually, within};
use svc_ingress::redis::TAG;
use tokio::task::JoinSet;

use crate::peer::Peer;
use crate::site::{Site, free_address, one};

/// Who post at the same time.
const SENDERS: usize = 4;

/// Meta: posts one body after another, each until it is answered 200, without a pause.
struct Meta {
    site: Arc<Site>,
    admitted: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    senders: JoinSet<BTreeSet<String>>,
}

impl Meta {
    fn start(site: &Arc<Site>) -> Self {
        let mut meta = Self {
            site: Arc::clone(site),
            admitted: Arc::default(),
            refused: Arc::default(),
            enough: Arc::default(),
            senders: JoinSet::new(),
        };
        for sender in 0..SENDERS {
            let (site, enough) = (Arc::clone(&meta.site), Arc::clone(&meta.enough));
            let (admitted, refused) = (Arc::clone(&meta.admitted), Arc::clone(&meta.refused));
            meta.senders.spawn(async move {
                let mut taken = BTreeSet::new();
                let mut number = 0;
                while !enough.load(Ordering::Relaxed) {
                    let id = format!("wamid.{sender}-{number}");
                    match site.post(one("491511", &id)).await {
                        200 => {
                            taken.insert(format!("m:{id}"));
                            number += 1;
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                        503 => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        other => panic!("answered {other}"),
                    }
                }
                taken
            });
        }
        meta
    }

    /// Waits until `more` bodies have been answered 200 from now on.
    async fn admitted(&self, more: usize) {
        let all = self.admitted.load(Ordering::Relaxed) + more;
        eventually(async || (self.admitted.load(Ordering::Relaxed) >= all).then_some(())).await;
    }

    /// Ends, and tells the keys of all that was answered 200.
    async fn end(self) -> BTreeSet<String> {
        self.enough.store(true, Ordering::Relaxed);
        self.senders
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

/// A Cluster that is fit for profile B.
async fn cluster(options: RedisOptions, replicas: u16) -> RedisCluster {
    let options = options.with(&["--min-replicas-to-write", "1"]);
    RedisCluster::start_with_replicas(options, replicas).await
}

/// Kills the server that has the inbox while bodies come in, lets `meanwhile` do what it takes to
/// go on, and expects everything that was answered 200 at the log.
async fn nothing_admitted_is_lost(
    mut cluster: RedisCluster,
    meanwhile: impl AsyncFnOnce(&mut RedisCluster, usize, &Site),
) {
    let (peer, address) = (Peer::new(), free_address());
    let site = Site::start_replica_at("a", cluster.url(), Profile::B, &address).await;
    let site = Arc::new(site);
    within(site.readiness.ready()).await;
    let meta = Meta::start(&site);
    // Nobody takes anything yet, so that all of it hangs on Redis.
    meta.admitted(50).await;
    let dead = cluster.primary_of(TAG).await;
    cluster.nodes[dead].kill();
    cluster.taken_over(dead).await;
    assert_ne!(cluster.primary_of(TAG).await, dead);
    meanwhile(&mut cluster, dead, &site).await;
    meta.admitted(50).await;
    let refused = meta.refused.load(Ordering::Relaxed);
    assert!(refused > 0, "nobody has the inbox for a while");
    let admitted = meta.end().await;
    within(site.readiness.ready()).await;
    let _log = peer.serve(&address).await;
    // What was refused may be there all the same, and more often than once: it is taken once.
    peer.until(|keys| {
        let taken: BTreeSet<&String> = keys.iter().collect();
        admitted.iter().all(|key| taken.contains(key))
    })
    .await;
    assert_eq!(site.emptied().await.parked_items, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_replicas_the_loss_of_a_server_is_got_over() {
    let cluster = cluster(RedisOptions::valkey(), 2).await;
    nothing_admitted_is_lost(cluster, async |_, _, _| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_replica_everything_is_kept_until_there_is_another() {
    let cluster = cluster(RedisOptions::default(), 1).await;
    nothing_admitted_is_lost(cluster, async |cluster, dead, site| {
        // The one copy that is left is not enough for the profile.
        let told = eventually(async || {
            let text = site.readiness.text();
            text.contains("no replica").then_some(text)
        })
        .await;
        assert!(told.contains("profile B"), "{told}");
        assert_eq!(site.post(one("491511", "wamid.x")).await, 503);
        cluster.nodes[dead].restart().await;
    })
    .await;
}
