//! Accepts connections, cuts off slow senders, and drains within a deadline when told to end.

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::build::Gateway;
use crate::api::Front;

/// A client that has not sent its header by then is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that are under way when the process is told to end get this long.
const DRAIN: Duration = Duration::from_secs(25);

/// How long to wait after an accept failed, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Routes, and the connections that are served with them.
struct Host {
    router: Router,
    front: Option<Arc<Front>>,
    server: Arc<auto::Builder<TokioExecutor>>,
    graceful: GracefulShutdown,
    draining: CancellationToken,
}

/// Serves probes and metrics on a listener of their own, for as long as it is polled: also while the gateway drains.
pub async fn serve_operations(routes: Router, listener: TcpListener) {
    let host = Host::new(routes, None);
    loop {
        if let Some(stream) = accept(&listener).await {
            host.attend(stream);
        }
    }
}

/// Serves the gateway on `listener` until `ending` is done, then lets requests under way end.
pub async fn serve(gateway: Gateway, listener: TcpListener, ending: impl Future<Output = ()>) {
    tokio::spawn(gateway.upkeep.run());
    let backfills = gateway.backfills;
    tokio::spawn(async move { backfills.resume().await });
    let host = Host::new(gateway.router, Some(gateway.front));
    let mut ending = std::pin::pin!(ending);
    loop {
        tokio::select! {
            accepted = accept(&listener) => if let Some(stream) = accepted {
                host.attend(stream);
            },
            () = &mut ending => break,
        }
    }
    gateway.draining.store(true, Ordering::Relaxed);
    drop(listener);
    tracing::info!("ending; requests under way may end first");
    if tokio::time::timeout(DRAIN, host.drain()).await.is_err() {
        tracing::warn!(drain_seconds = DRAIN.as_secs(), "some requests did not end in time and are cut off");
    }
}

/// The next connection; `None`, after a while, where it could not be accepted.
async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

impl Host {
    fn new(router: Router, front: Option<Arc<Front>>) -> Self {
        let mut server = auto::Builder::new(TokioExecutor::new());
        // Names of headers as `X-Tt-Logid`: the Python SDK looks for that one letter by letter.
        server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).title_case_headers(true);
        server.http2().timer(TokioTimer::new());
        let (graceful, draining) = (GracefulShutdown::new(), CancellationToken::new());
        Self { router, front, server: Arc::new(server), graceful, draining }
    }

    /// Serves one connection on a task of its own.
    fn attend(&self, stream: TcpStream) {
        // Answers are written whole; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let (router, server, watcher) = (self.router.clone(), Arc::clone(&self.server), self.graceful.watcher());
        let (front, draining) = (self.front.clone(), self.draining.clone());
        tokio::spawn(async move {
            // hyper's own timeout begins with the first byte, from which it tells HTTP/1 from HTTP/2.
            let mut first = [0];
            let begun = tokio::select! {
                begun = tokio::time::timeout(HEADER_TIMEOUT, stream.peek(&mut first)) => matches!(begun, Ok(Ok(1))),
                // Nothing is under way here that could end first.
                () = draining.cancelled() => false,
            };
            if !begun {
                return;
            }
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let known = front.as_ref().and_then(|front| front.answer(&request));
                let router = router.clone();
                async move {
                    if let Some(known) = known {
                        return Ok(known);
                    }
                    Ok::<_, Infallible>(
                        router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}),
                    )
                }
            });
            let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }

    /// Lets requests under way end; connections that say nothing end at once.
    async fn drain(self) {
        self.draining.cancel();
        self.graceful.shutdown().await;
    }
}

/// Done when the process is told to end, by SIGTERM or Ctrl-C.
///
/// # Errors
/// Where the operating system does not let us listen for signals.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
