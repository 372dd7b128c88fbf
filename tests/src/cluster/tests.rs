//! The cluster itself: what it does to its parts is seen by those who call it.

use std::time::{Duration, Instant};

use super::{Cluster, ClusterOptions, Stores};

#[test]
fn the_sandbox_has_one_replica_and_others_as_told() {
    let options = ClusterOptions {
        replicas: 3,
        replicas_of: [("routing".to_owned(), 2)].into(),
        balanced: true,
        seed: false,
        settings: Vec::new(),
        folder: None,
        program: "frontdesk".into(),
        stores: Stores::At {
            postgres: String::new(),
            redis: String::new(),
        },
    };
    assert_eq!(options.replicas_of("sandbox"), 1);
    assert_eq!(options.replicas_of("routing"), 2);
    assert_eq!(options.replicas_of("egress"), 3);
}

/// Asks until it is so.
fn becomes(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What the verification of the webhook address answers; empty when nobody does.
fn challenge(cluster: &Cluster) -> String {
    let address = cluster.http("ingress");
    let address = address.trim_start_matches("http://");
    let token = cluster.secret("verify_token");
    let query = format!("hub.mode=subscribe&hub.challenge=42&hub.verify_token={token}");
    super::node::get(address, &format!("/webhooks/whatsapp?{query}")).unwrap_or_default()
}

#[test]
fn parts_are_killed_suspended_and_started_again_behind_one_address() {
    let mut options = ClusterOptions {
        seed: false,
        ..ClusterOptions::default()
    };
    options.replicas_of.insert("ingress".to_owned(), 2);
    let mut cluster = Cluster::start(&options);
    let answers = |cluster: &Cluster| challenge(cluster).ends_with("42");
    assert!((0..4).all(|_| answers(&cluster)), "both replicas answer");

    cluster.kill("ingress", 0);
    assert!((0..4).all(|_| answers(&cluster)), "the other one answers");
    cluster.pause("ingress", 1);
    becomes("nobody answers", || !answers(&cluster));
    cluster.resume("ingress", 1);
    cluster.restart("ingress", 0);
    assert!((0..4).all(|_| answers(&cluster)), "both answer again");

    cluster.kill_redis();
    becomes("no ingress is ready without Redis", || {
        !cluster.node("ingress", 0).is_ready() && !cluster.node("ingress", 1).is_ready()
    });
    cluster.restart_redis();
    becomes("both are ready again", || {
        cluster.node("ingress", 0).is_ready() && cluster.node("ingress", 1).is_ready()
    });
    cluster.kill_postgres();
    becomes("accounts is not ready without PostgreSQL", || {
        !cluster.node("accounts", 0).is_ready()
    });
    cluster.restart_postgres();
    becomes("accounts is ready again", || {
        cluster.node("accounts", 0).is_ready()
    });

    let end = cluster.stop("billing", 0);
    assert!(
        end.status.success(),
        "{}",
        cluster.node("billing", 0).end_of_log()
    );
    assert!(cluster.has_ended("billing", 0));
    for (name, end) in cluster.stop_all() {
        assert!(end.status.success(), "{name} ended with {}", end.status);
    }
}
