//! Serves the gateway, and ends in order when told to: first probes say so, then clients are sent elsewhere, then
//! requests under way may end.

use std::{
    future::Future,
    io,
    num::NonZero,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::Router;
use tokio::{net::TcpListener, time::Instant};

use super::{
    build::Gateway,
    host::Host,
    tls::{Tls, TlsFiles, UnusableTls},
};

/// Requests that are under way when the listener is closed get this long, and days that wait to be archived what is left of
/// it.
const DRAIN: Duration = Duration::from_secs(25);

/// Connections of operators: probes and scrapes need no more.
const OPERATORS: NonZero<usize> = NonZero::new(64).unwrap();

/// How the gateway is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The certificate and key of TLS, where it is spoken here.
    pub tls: Option<TlsFiles>,
    /// The most connections at once.
    pub max_connections: NonZero<usize>,
    /// The most requests under way at once; more are turned away.
    pub max_requests: NonZero<usize>,
    /// How long requests are still taken after the process was told to end, while probes say that it ends: load
    /// balancers need that long to notice.
    pub drain_delay: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: const { NonZero::new(16_384).unwrap() },
            max_requests: const { NonZero::new(1024).unwrap() },
            drain_delay: Duration::ZERO,
        }
    }
}

/// Serves probes and metrics on a listener of their own, for as long as it is polled: also while the gateway drains.
pub async fn serve_operations(routes: Router, listener: TcpListener) {
    let host = Host::new(routes, None, None, OPERATORS, Arc::default());
    loop {
        host.attend_next(&listener).await;
    }
}

/// Serves the gateway on `listener` until `ending` is done, then lets requests under way end.
///
/// # Errors
/// Where TLS is wanted and cannot be served.
pub async fn serve(
    gateway: Gateway,
    listener: TcpListener,
    ending: impl Future<Output = ()>,
) -> Result<(), UnusableTls> {
    let ServerConfig { tls, max_connections, drain_delay, .. } = gateway.server;
    let tls = tls.map(Tls::watching).transpose()?;
    tokio::spawn(gateway.upkeep.run());
    let gatekeeper = gateway.gatekeeper;
    tokio::spawn(async move { gatekeeper.watch().await });
    let backfills = gateway.backfills;
    tokio::spawn(async move { backfills.resume().await });
    let draining = gateway.draining;
    let host = Host::new(gateway.router, Some(gateway.front), tls, max_connections, Arc::clone(&draining));
    let mut ended = std::pin::pin!(async {
        ending.await;
        draining.store(true, Ordering::Relaxed);
        tracing::info!("ending; requests under way may end first");
        tokio::time::sleep(drain_delay).await;
    });
    loop {
        tokio::select! {
            () = host.attend_next(&listener) => {}
            () = &mut ended => break,
        }
    }
    let deadline = Instant::now() + DRAIN;
    if tokio::time::timeout_at(deadline, host.drain(listener)).await.is_err() {
        tracing::warn!(drain_seconds = DRAIN.as_secs(), "some requests did not end in time and are cut off");
    }
    if let Some((archive, _)) = gateway.archive {
        archive.flush(deadline.saturating_duration_since(Instant::now())).await;
    }
    Ok(())
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
