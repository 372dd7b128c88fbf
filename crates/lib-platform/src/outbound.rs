//! HTTP to the outside: one way to make a client, with the defaults that keep promises. No
//! redirects (they leak tokens), no retries of its own (we count attempts), no ambient proxy.

use std::time::Duration;

/// A client for one kind of destination. Call [`install_tls`] once per process before.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    Ok(builder(timeout).build()?)
}

/// The same, with names looked up by `resolver`.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client_through(
    timeout: Duration,
    resolver: impl reqwest::dns::Resolve + 'static,
) -> anyhow::Result<reqwest::Client> {
    let resolver = std::sync::Arc::new(resolver);
    Ok(builder(timeout).dns_resolver(resolver).build()?)
}

fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    install_tls();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(timeout)
        .pool_idle_timeout(Duration::from_secs(60))
        .tcp_nodelay(true)
}

/// Makes ring the process's TLS provider. Harmless when repeated.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
