//! Checks that the store of a fleet can elect one leader. Writes and removes a record of its own.

use super::{finding::Finding, remedy};
use crate::{
    app::{FleetStoreError, GatewayConfig},
    cli::setting_error::SettingError,
    fleet::lease_store::UnfitStore,
};

/// The finding; `None` for one replica.
///
/// # Errors
/// If the store does not hold to the conditions of writes, so that it would elect several leaders.
pub(super) async fn check(config: &GatewayConfig) -> Result<Option<Finding>, SettingError> {
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
