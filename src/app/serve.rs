//! Accepts connections, cuts off slow senders, and drains within a deadline when told to end.

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use super::build::Gateway;

/// A client that has not sent its header by then is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that are under way when the process is told to end get this long.
const DRAIN: Duration = Duration::from_secs(25);

/// How long to wait after an accept failed, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the gateway on `listener` until `ending` is done, then lets requests under way end.
pub async fn serve(gateway: Gateway, listener: TcpListener, ending: impl Future<Output = ()>) {
    let backfills = gateway.backfills.clone();
    tokio::spawn(async move { backfills.resume().await });
    let graceful = GracefulShutdown::new();
    let server = server();
    let mut ending = std::pin::pin!(ending);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => attend(&gateway, &server, &graceful, stream),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = &mut ending => break,
        }
    }
    gateway.draining.store(true, Ordering::Relaxed);
    drop(listener);
    tracing::info!("ending; requests under way may end first");
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!(drain_seconds = DRAIN.as_secs(), "some requests did not end in time and are cut off");
    }
}

fn server() -> Arc<auto::Builder<TokioExecutor>> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.http2().timer(TokioTimer::new());
    Arc::new(server)
}

/// Serves one connection on a task of its own.
fn attend(
    gateway: &Gateway,
    server: &Arc<auto::Builder<TokioExecutor>>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
) {
    // Answers are written whole; waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let (router, server, watcher) = (gateway.router.clone(), Arc::clone(server), graceful.watcher());
    tokio::spawn(async move {
        // hyper's own timeout begins with the first byte, from which it tells HTTP/1 from HTTP/2.
        if !matches!(tokio::time::timeout(HEADER_TIMEOUT, stream.peek(&mut [0])).await, Ok(Ok(1))) {
            return;
        }
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let router = router.clone();
            async move {
                Ok::<_, Infallible>(router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}))
            }
        });
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended badly");
        }
    });
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
