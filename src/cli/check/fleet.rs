//! Checks what several replicas need: a store that can elect one leader, and a certificate that they accept.

use super::{finding::Finding, remedy};
use crate::{
    app::{FleetStoreError, GatewayConfig},
    cli::setting_error::SettingError,
    fleet::lease_store::UnfitStore,
};

/// Whether the store can elect one leader; `None` for one replica. Writes and removes a record of its own.
///
/// # Errors
/// If the store does not hold to the conditions of writes, so that it would elect several leaders.
pub(super) async fn check_store(config: &GatewayConfig) -> Result<Option<Finding>, SettingError> {
    let Some(fleet) = &config.fleet else { return Ok(None) };
    let subject = "fleet";
    match fleet.probe(&config.archive, &config.owner).await {
        Ok(()) => Ok(Some(Finding::passed(subject, "the store replaces a record only if nobody else has"))),
        Err(FleetStoreError::Unfit(UnfitStore::Failed(error))) => {
            Ok(Some(Finding::failed_with(subject, format!("the store fails: {error}"), remedy::FLEET_STORE.to_owned())))
        }
        Err(error) => Err(SettingError::fleet_store(&error)),
    }
}

/// Whether other replicas accept the certificate of this one, if their files are alike; `None` without TLS.
///
/// # Errors
/// If the files cannot be used.
pub(super) fn check_tls(config: &GatewayConfig) -> Result<Option<Finding>, SettingError> {
    let Some(files) = config.fleet.as_ref().and_then(|fleet| fleet.tls.as_ref()) else { return Ok(None) };
    let subject = "fleet TLS";
    let loaded = files.load().map_err(|error| SettingError::fleet_tls(&error, files))?;
    Ok(Some(match loaded.fault {
        None => Finding::passed(subject, "other replicas with these files accept the certificate"),
        Some(fault) => {
            let problem = format!("other replicas refuse the certificate: {fault}");
            Finding::failed_with(subject, problem, remedy::FLEET_CERTIFICATE.to_owned())
        }
    }))
}
