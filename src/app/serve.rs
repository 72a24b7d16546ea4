//! Serves the gateway and shuts it down gracefully: probes report the shutdown, then connections are
//! closed after their next response, then requests in progress finish.

use std::{future::Future, num::NonZero, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::Instant};

use super::{
    binding_check::log_unknown_departments,
    build::Gateway,
    config::{DEFAULT_UNREAD_LIMIT, ServerConfig},
    file_descriptors::fit_connections,
    fleet::{Fleet, refresh_from_leader, remove_deleted_days, run_jobs_of_leader, step_down_if_unreachable},
    maintenance::Maintenance,
    server::Server,
    tls::{ReloadingTlsAcceptor, TlsError},
};
use crate::api::{self, ApiState, Draining};

/// Time limit for requests in progress after the listener is closed, and for pending archive writes.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// Time limit for saving the chains in flight.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for the release of the lease by a replica without others.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for pending archive writes after a second signal. Days that are not written are fetched again.
const ABORTED_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Connection limit of the operations listener, which serves only probes and scrapes.
const MAX_OPERATIONS_CONNECTIONS: NonZero<usize> = NonZero::new(64).unwrap();

/// Serves probes and metrics on a separate listener. It keeps serving while the gateway drains.
pub async fn serve_operations(state: ApiState, listener: TcpListener) {
    let (service, limit) = (api::operations_service(&state), DEFAULT_UNREAD_LIMIT);
    let server = Server::new(service, None, MAX_OPERATIONS_CONNECTIONS, limit, Draining::default());
    loop {
        server.accept_next(&listener).await;
    }
}

/// Serves the gateway on `listener` until `shutdown` completes, then lets requests in progress finish.
///
/// # Errors
/// [`TlsError`] if the TLS files cannot be used.
pub async fn serve(
    gateway: Gateway,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), TlsError> {
    serve_until(gateway, listener, shutdown, std::future::pending()).await
}

/// Like [`serve`], but aborts the requests that are still in progress when `abort` completes.
///
/// # Errors
/// [`TlsError`] if the TLS files cannot be used.
pub async fn serve_until(
    gateway: Gateway,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    abort: impl Future<Output = ()>,
) -> Result<(), TlsError> {
    let ServerConfig { tls, max_connections, unread_limit, drain_delay, .. } = gateway.server;
    let max_connections = fit_connections(max_connections);
    let tls = tls.map(ReloadingTlsAcceptor::load_and_watch).transpose()?;
    let authenticator = Arc::clone(&gateway.api.access.authenticator);
    if let Some(keys) = authenticator.keys_file().cloned() {
        let Maintenance { config, views, geos, .. } = gateway.maintenance.clone();
        tokio::spawn(log_unknown_departments(views, keys, geos, config.poll_interval));
    }
    let leadership = gateway.maintenance.leadership.clone();
    let upstream = gateway.upstream;
    // The next fetch of these days continues after the saved pages.
    let save_chains = async || {
        if let Some(upstream) = &upstream
            && tokio::time::timeout(SAVE_TIMEOUT, upstream.save_chains()).await.is_err()
        {
            tracing::warn!("the pages of some fetches could not be saved in time");
        }
    };
    let draining = gateway.api.operations.draining.clone();
    if let Some(fleet) = &gateway.fleet {
        let Fleet { member, link, .. } = fleet;
        tokio::spawn(step_down_if_unreachable(fleet.reachability_watch()));
        let (views, archive) = (gateway.maintenance.views.clone(), gateway.maintenance.archive.clone());
        let draining = draining.clone();
        let refreshing = refresh_from_leader(link.clone(), views.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = draining.begun() => {}
                () = refreshing => {}
            }
        });
        tokio::spawn(remove_deleted_days(member.status(), Arc::clone(member.replica_id()), views, archive));
    }
    tokio::spawn(gateway.maintenance.run());
    tokio::spawn(async move { authenticator.watch().await });
    tokio::spawn(run_jobs_of_leader(leadership, gateway.api.data.backfills.clone()));
    let server = Server::new(api::service(&gateway.api), tls, max_connections, unread_limit, draining.clone());
    let mut shutdown_requested = std::pin::pin!(async {
        shutdown.await;
        draining.begin();
        tracing::info!("shutting down; requests in progress may finish");
        // The next leader may begin before this process ends.
        save_chains().await;
        // Another replica calls Feishu from now on. The requests in progress here get days from it.
        let others = gateway.fleet.as_ref().filter(|fleet| fleet.has_others());
        if let Some(fleet) = others {
            fleet.member.leave().await;
        }
        tokio::time::sleep(drain_delay).await;
    });
    let mut abort = std::pin::pin!(abort);
    let mut is_aborted = false;
    while !is_aborted {
        tokio::select! {
            () = server.accept_next(&listener) => {}
            () = &mut shutdown_requested => break,
            () = &mut abort => is_aborted = true,
        }
    }
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    if !is_aborted {
        tokio::select! {
            drained = tokio::time::timeout_at(deadline, server.drain(listener)) => if drained.is_err() {
                tracing::warn!(
                    drain_seconds = DRAIN_TIMEOUT.as_secs(),
                    "some requests did not finish in time and were aborted"
                );
            },
            () = &mut abort => is_aborted = true,
        }
    }
    save_chains().await;
    // A replica without others has called Feishu until now. It gives the lease back for the next process.
    if let Some(fleet) = &gateway.fleet {
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, fleet.member.leave()).await;
    }
    if is_aborted {
        tracing::warn!("a second signal ended the shutdown; requests in progress were aborted");
    }
    if let Some((archive, _)) = gateway.archive {
        let limit = deadline.saturating_duration_since(Instant::now());
        archive.flush(if is_aborted { limit.min(ABORTED_FLUSH_TIMEOUT) } else { limit }).await;
    }
    Ok(())
}
