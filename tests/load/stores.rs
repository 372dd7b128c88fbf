//! Redis and PostgreSQL for the peer chain and for baselines, with the settings Frontdesk's have when
//! it is measured: every flush on, nothing answered before it is on disk.

use lib_testkit::servers::{PostgresOptions, PostgresServer, RedisOptions, RedisServer};

/// PostgreSQL as it is measured: like a small production server, with every flush on.
pub(crate) fn postgres_options() -> PostgresOptions {
    let settings = [
        "shared_buffers=512MB",
        "max_wal_size=4GB",
        "max_connections=300",
        "full_page_writes=on",
        "synchronous_commit=on",
    ];
    PostgresOptions {
        settings: settings.map(str::to_owned).to_vec(),
        ..PostgresOptions::default()
    }
}

/// Redis as it is measured: profile A, so that an answer means that it is on disk.
pub(crate) fn redis_options() -> RedisOptions {
    // A rewrite of the file in one system's round and not in the other's would tell nothing.
    RedisOptions::default().with(&["--auto-aof-rewrite-percentage", "0"])
}

/// A Redis of its own that flushes `always` or `everysec`.
pub(crate) async fn redis_flushed(appendfsync: &'static str) -> RedisServer {
    let options = RedisOptions {
        appendfsync,
        ..redis_options()
    };
    RedisServer::start(options).await
}

/// A Redis of its own.
pub(crate) async fn redis() -> RedisServer {
    RedisServer::start(redis_options()).await
}

/// A PostgreSQL of its own, and the URL of an empty database in it.
pub(crate) async fn postgres() -> (PostgresServer, String) {
    let server = PostgresServer::start_with(postgres_options()).await;
    let url = server.create_database().await;
    (server, url)
}
