//! Parts that are served on ports of their own until they are told to stop.

use lib_platform::channel::connect;
use lib_platform::server::{Admin, Options};
use lib_platform::{
    Authenticator, AuthorizedChannel, Caller, Clock, Context, Lifecycle, Listeners, Metrics, Parts,
    Readiness, serve,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{tokens, within};

/// A running service, or a scripted neighbour. Dropping it tells it to stop.
#[derive(Debug)]
pub struct Host {
    /// Where its gRPC is, such as `http://127.0.0.1:50051`.
    pub url: String,
    /// Where its HTTP is, with `/healthz`, `/readyz` and `/metrics`.
    pub http: String,
    /// Its life: stops it without waiting.
    pub life: Lifecycle,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Host {
    /// Serves the parts of the service that was started with `context`, for `users` by their
    /// tokens and for services.
    pub async fn start(parts: Parts, context: &Context, users: &[(&str, Caller)]) -> Self {
        let authenticator = Authenticator::new(context.clock.clone(), tokens(users), None);
        let (metrics, readiness) = (context.metrics.clone(), context.readiness.clone());
        let seen = (metrics, readiness);
        Self::serve_with(free().await, parts, &context.life, authenticator, seen).await
    }

    /// Serves neighbours of the service under test, for services.
    pub async fn peer(parts: Parts, clock: &Clock) -> Self {
        Self::peer_on(free().await, parts, clock).await
    }

    /// [`Host::peer`] on a given socket.
    pub async fn peer_on(listener: TcpListener, parts: Parts, clock: &Clock) -> Self {
        let authenticator = Authenticator::new(clock.clone(), tokens(&[]), None);
        Self::serve(listener, parts, &Lifecycle::new(), authenticator).await
    }

    /// Serves on a given socket, for whom `authenticator` knows.
    pub async fn serve(
        grpc: TcpListener,
        parts: Parts,
        life: &Lifecycle,
        authenticator: Authenticator,
    ) -> Self {
        let seen = (Metrics::new(), Readiness::new());
        Self::serve_with(grpc, parts, life, authenticator, seen).await
    }

    async fn serve_with(
        grpc: TcpListener,
        parts: Parts,
        life: &Lifecycle,
        authenticator: Authenticator,
        (metrics, readiness): (Metrics, Readiness),
    ) -> Self {
        let http = free().await;
        let (url, http_url) = (url_of(&grpc), url_of(&http));
        let listeners = Listeners {
            grpc,
            http: Some(http),
            admin: Admin::WithHttp,
        };
        let options = Options {
            authenticator,
            reflection: None,
            metrics,
            readiness,
        };
        let until = life.clone();
        let task = tokio::spawn(async move { serve(parts, listeners, options, &until).await });
        Self {
            url,
            http: http_url,
            life: life.clone(),
            task,
        }
    }

    /// A channel to it with a token.
    ///
    /// # Panics
    /// When the token is not plain ASCII text.
    pub fn channel(&self, token: &str) -> AuthorizedChannel {
        connect(&self.url, token).expect("a token")
    }

    /// Stops it and waits until it has ended; its files are free then.
    ///
    /// # Panics
    /// When it did not end well.
    pub async fn stop(mut self) {
        self.life.stop();
        let outcome = within(&mut self.task).await;
        outcome.expect("no panic").expect("a clean end");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// A socket on a port nobody had.
async fn free() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    listener.expect("a port is free")
}

fn url_of(listener: &TcpListener) -> String {
    let address = listener.local_addr().expect("it is bound");
    format!("http://{address}")
}
