//! One suite for every kind of line, and what happens when Redis goes away.

use lib_storage::RedisSettings;
use lib_storage::redis::Redis;
use lib_testkit::servers::{RedisCluster, RedisOptions, RedisServer};

use super::*;
use crate::redis::RedisWindow;

/// Long enough that no test waits for it.
const INTERVAL: Duration = Duration::from_secs(10);
/// Time between two calls on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

fn is_about(found: Duration, wanted: Duration) {
    assert!(
        found <= wanted && found + SLACK >= wanted,
        "{found:?} is not about {wanted:?}"
    );
}

/// What every kind of line does.
async fn conforms(window: &dyn RateWindow) {
    let reserve = async |number: &str, places| window.reserve(number, places).await.unwrap();
    assert_eq!(reserve("2001", 1).await, Duration::ZERO, "after a rest");
    is_about(reserve("2001", 1).await, INTERVAL);
    is_about(reserve("2001", 10).await, INTERVAL * 2);
    is_about(reserve("2001", 1).await, INTERVAL * 12);
    assert_eq!(reserve("2002", 1).await, Duration::ZERO, "another number");
}

fn in_redis(url: &str) -> RedisWindow {
    let settings = RedisSettings {
        url: url.to_owned(),
    };
    RedisWindow::new(Redis::open(&settings).unwrap(), INTERVAL)
}

fn shared(url: &str, metrics: &Metrics) -> Pace {
    Pace::new(INTERVAL, Some(Box::new(in_redis(url))), metrics)
}

#[tokio::test]
async fn in_memory() {
    conforms(&LocalWindow::new(INTERVAL)).await;
}

#[tokio::test]
async fn in_redis_and_between_replicas() {
    let mut server = RedisServer::start(RedisOptions::default()).await;
    conforms(&in_redis(&server.url())).await;

    let metrics = Metrics::new();
    let (one, other) = (
        shared(&server.url(), &metrics),
        shared(&server.url(), &metrics),
    );
    let now = Instant::now();
    let burst = one.reserve("2003", BURST).await;
    assert!(burst.iter().all(|at| *at < now + SLACK), "a burst at once");
    let next = other.reserve("2003", 2).await;
    assert!(next[0] < now + SLACK);
    assert!(next[1] + SLACK > now + INTERVAL, "the line is shared");

    // Without Redis each keeps its own line; it is told and counted.
    server.kill();
    let alone = other.reserve("2003", BURST).await;
    assert!(alone.iter().all(|at| *at < Instant::now() + SLACK));
    let counted = metrics.text();
    assert!(
        counted.contains("frontdesk_rate_window_fallbacks_total{} 1\n"),
        "{counted}"
    );
}

#[tokio::test]
async fn in_valkey() {
    let server = RedisServer::start(RedisOptions::valkey()).await;
    conforms(&in_redis(&server.url())).await;
}

#[tokio::test]
async fn in_a_cluster() {
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    conforms(&in_redis(&cluster.url())).await;
}
