//! Serving HTTP ourselves, because a script may want a connection closed without an answer: a
//! service that fails is how hyper is told to do that.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lib_platform::Lifecycle;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

/// An answer that is never sent: the connection is closed instead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is closed without an answer, as the script says")]
pub(super) struct HangUp;

impl IntoResponse for HangUp {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

/// Serves until `life` is stopped; requests under way are finished.
///
/// # Errors
/// Never before that: a connection that fails is its own affair.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let stopped = life.stopped();
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => connection(stream, router.clone(), &life),
            Err(error) => {
                tracing::warn!(%error, "a connection to the sandbox was not accepted");
                // Out of file descriptors: asking again at once would only burn time.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn connection(stream: TcpStream, router: Router, life: &Lifecycle) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = router.clone().oneshot(request.map(Body::new));
        async move {
            let Ok(response) = answer.await;
            match response.extensions().get::<HangUp>() {
                Some(hang_up) => Err(*hang_up),
                None => Ok(response),
            }
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let stopped = life.stopped();
    life.spawn("graph-connection", async move {
        tokio::pin!(serving);
        let outcome = tokio::select! {
            outcome = serving.as_mut() => outcome,
            () = stopped => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection to the sandbox ended");
        }
    });
}
