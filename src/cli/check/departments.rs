//! Checks that the departments to which access keys are restricted exist in archived days.

use std::sync::Arc;

use super::{finding::Finding, remedy};
use crate::{
    access::Authenticator,
    app::{
        self, GatewayConfig,
        binding_check::{UnknownDepartment, has_bound_keys, stored_departments, unknown_departments},
    },
    model::Clock,
    store::archive::OwnershipClaim,
};

const SUBJECT: &str = "departments";

/// Compares the departments of access keys with archived days. No finding if no key is restricted to departments.
pub(super) async fn check(config: &GatewayConfig, clock: Arc<dyn Clock>) -> Vec<Finding> {
    // An unusable keys file is reported with the settings.
    let authenticator = Authenticator::new(&config.access).ok();
    let keys = authenticator.and_then(|authenticator| authenticator.keys_file().map(|file| file.keys()));
    let Some(keys) = keys.filter(|keys| has_bound_keys(keys)) else { return Vec::new() };
    let unchecked =
        || vec![Finding::passed(SUBJECT, "the departments of access keys cannot be checked without archived days")];
    // An unusable archive has a finding of its own.
    let geos = config.geos.clone();
    // The disk cache belongs to the gateway that runs.
    let config = GatewayConfig { archive_cache: None, ..config.clone() };
    let Ok(gateway) = app::build(config, clock) else { return unchecked() };
    let Some((archive, _)) = &gateway.archive else { return unchecked() };
    // A read would claim an archive without an owner.
    if archive.inspect_owner().await.ok() != Some(OwnershipClaim::Ours) {
        return unchecked();
    }
    let mut without_days = geos;
    let known = stored_departments(&gateway.maintenance.views, &mut without_days).await;
    if !without_days.is_empty() {
        return unchecked();
    }
    let unknown = unknown_departments(&keys, &known);
    if unknown.is_empty() {
        return vec![Finding::passed(SUBJECT, "every department of an access key has rows")];
    }
    let warning = |unknown: UnknownDepartment| {
        let problem = format!("the key {} is restricted to {}, which no row has", unknown.key, unknown.department);
        Finding::warning(SUBJECT, problem, remedy::UNKNOWN_DEPARTMENT.to_owned())
    };
    unknown.into_iter().map(warning).collect()
}
