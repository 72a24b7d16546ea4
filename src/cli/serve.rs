//! The command `serve`.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::{TcpListener, TcpSocket};

use super::{error::CliError, setting_error::SettingError, settings::Settings};
use crate::{
    app::{self, FleetConfig, FleetStoreError, GatewayConfig, telemetry},
    fleet::lease_store::UnfitStore,
    model::SystemClock,
};

/// Serves the gateway until the process receives a signal to stop.
pub(super) async fn run(settings: &Settings) -> Result<(), CliError> {
    let config = settings.gateway_config()?;
    let telemetry_guard = telemetry::init(&settings.telemetry()).map_err(|error| SettingError::telemetry(&error))?;
    let config = GatewayConfig { log_filter: Some(telemetry_guard.log_filter.clone()), ..config };
    let app::ShutdownSignals { first, second } = app::ShutdownSignals::install()?;
    let fleet_listener = match &config.fleet {
        Some(fleet) => {
            check_fleet_store(fleet, &config).await?;
            // Before the replica joins, so that it is reached as soon as it leads.
            Some(listen(settings.fleet_listen(), "PULSE_FLEET_LISTEN (--fleet-listen)")?)
        }
        None => None,
    };
    let gateway = app::build(config, Arc::new(SystemClock)).map_err(|error| SettingError::build(&error))?;
    gateway.claim_archive().await.map_err(|error| SettingError::build(&error))?;
    let listener = listen(settings.listen, "PULSE_LISTEN (--listen)")?;
    let address = listener.local_addr()?;
    let dashboard = settings.public_url.clone().unwrap_or_else(|| settings.local_url(address));
    let docs = format!("{}/docs", dashboard.as_str().trim_end_matches('/'));
    tracing::info!(%address, %dashboard, docs, upstream = %settings.base_url, "serving");
    if let Some(address) = settings.admin_listen {
        let listener = listen(address, "PULSE_ADMIN_LISTEN (--admin-listen)")?;
        tracing::info!(address = %listener.local_addr()?, "serving probes, metrics and the log filter");
        tokio::spawn(app::serve_operations(gateway.api.clone(), listener));
    }
    if let (Some(fleet), Some(listener)) = (&gateway.fleet, fleet_listener) {
        tracing::info!(address = %listener.local_addr()?, "serving other replicas");
        app::serve_fleet(fleet, &gateway.api, listener);
    }
    let served = app::serve_until(gateway, listener, first.cancelled_owned(), second.cancelled_owned()).await;
    telemetry_guard.end().await;
    served.map_err(|error| SettingError::tls(&error, settings.tls_key.as_deref()))?;
    Ok(())
}

/// Refuses a store that would elect several leaders. A store that does not answer may come later.
async fn check_fleet_store(fleet: &FleetConfig, config: &GatewayConfig) -> Result<(), CliError> {
    match fleet.probe(&config.archive, &config.owner).await {
        Ok(()) => Ok(()),
        Err(FleetStoreError::Unfit(UnfitStore::Failed(error))) => {
            tracing::warn!(%error, "the store of the fleet does not answer; days that are not stored are fetched when it does");
            Ok(())
        }
        Err(error) => Err(SettingError::fleet_store(&error).into()),
    }
}

/// Connections that the operating system queues until they are accepted (tokio's default is 128). If the queue is full,
/// a client retries after about a second.
const LISTEN_BACKLOG: u32 = 1024;

/// Listens on `address`, the value of `setting`.
pub(super) fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, CliError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart can bind the address while connections of the previous process are still closing.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(LISTEN_BACKLOG)
    };
    listen().map_err(|error| CliError::Listen { address, setting, error })
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    #[tokio::test]
    async fn many_clients_can_connect_before_the_first_is_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), "PULSE_LISTEN").unwrap();
        let address = listener.local_addr().unwrap();
        // The operating system limits the length of the queue.
        let limit =
            std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
        let count = limit.map_or(100, |limit: usize| limit.min(300));

        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let connected: Result<Vec<_>, _> = (0..count).map(connect).collect();

        assert!(connected.is_ok(), "{connected:?}");
    }
}
