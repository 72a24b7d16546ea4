//! Binding check: finds access keys that are restricted to a department that no row has, such as a misspelt or renamed one.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    access::{AccessKeys, KeysFile},
    model::Geo,
    query::ViewEngines,
    table::dictionary::is_path_within,
};

/// Number of latest days whose departments are known departments.
const MAX_DAYS: u16 = 35;

/// A department of an access key that no row has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDepartment {
    /// Name of the key.
    pub key: Arc<str>,
    /// Path of the department.
    pub department: Arc<str>,
}

/// Waits until days of every geo are in memory or in the archive, and then logs the departments of access keys that no
/// row of these days has. Fetches nothing from Feishu.
pub async fn log_unknown_departments(
    views: ViewEngines,
    keys: Arc<KeysFile>,
    geos: Arc<[Geo]>,
    poll_interval: Duration,
) {
    let (mut known, mut waiting) = (BTreeSet::new(), geos.to_vec());
    while has_bound_keys(&keys.keys()) {
        known.append(&mut stored_departments(&views, &mut waiting).await);
        if waiting.is_empty() {
            for UnknownDepartment { key, department } in unknown_departments(&keys.keys(), &known) {
                tracing::warn!(%key, %department, "an access key is restricted to a department that no row has");
            }
            return;
        }
        tokio::time::sleep(poll_interval).await;
    }
}

/// Whether a key is restricted to departments.
#[must_use]
pub fn has_bound_keys(keys: &AccessKeys) -> bool {
    keys.callers().any(|caller| caller.view().is_department_restricted())
}

/// The paths of the departments of stored days. Removes the geos that have such days from `geos`.
pub async fn stored_departments(views: &ViewEngines, geos: &mut Vec<Geo>) -> BTreeSet<Arc<str>> {
    let (mut known, mut without_days) = (BTreeSet::new(), Vec::new());
    for geo in geos.drain(..) {
        match views.unfiltered().stored_department_paths(geo, MAX_DAYS).await {
            Some(mut paths) => known.append(&mut paths),
            None => without_days.push(geo),
        }
    }
    *geos = without_days;
    known
}

/// The departments of keys that neither are nor contain a known department.
#[must_use]
pub fn unknown_departments(keys: &AccessKeys, known: &BTreeSet<Arc<str>>) -> Vec<UnknownDepartment> {
    let is_known = |department: &str| known.iter().any(|path| is_path_within(path, department));
    let departments = keys.callers().flat_map(|caller| {
        let departments = caller.view().departments().unwrap_or_default();
        departments
            .iter()
            .map(|department| UnknownDepartment { key: Arc::clone(caller.name()), department: Arc::clone(department) })
    });
    departments.filter(|unknown| !is_known(&unknown.department)).collect()
}
