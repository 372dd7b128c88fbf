//! HTTP to the outside: one way to make a client, with the defaults that keep promises. No
//! redirects (they leak tokens), no retries of its own (we count attempts), no ambient proxy.

use std::time::Duration;

/// A client for one kind of destination. Call [`install_tls`] once per process before.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    install_tls();
    Ok(reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(timeout)
        .pool_idle_timeout(Duration::from_secs(60))
        .tcp_nodelay(true)
        .build()?)
}

/// Makes ring the process's TLS provider. Harmless when repeated.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
