//! Maps the claims of a token to a caller.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::config::OidcConfig;
use crate::{
    access::{
        access_key::KeyHash,
        caller::{Caller, Scopes},
    },
    table::AccessView,
};

/// The value of the departments claim that stands for all departments.
const ALL_DEPARTMENTS: &str = "*";

/// The caller; `None` if a required claim is missing or has the wrong type.
pub(super) fn caller_from_claims(claims: &Map<String, Value>, config: &OidcConfig) -> Option<Caller> {
    let departments = match &config.departments_claim {
        None => None,
        Some(claim) => departments(texts(find(claims, claim)?, None)?),
    };
    let scopes: Scopes = find(claims, &config.scopes_claim)
        .and_then(|scopes| texts(scopes, Some(' ')))
        .unwrap_or_default()
        .iter()
        .filter_map(|scope| scope.parse().ok())
        .collect();
    // Administration applies to all departments, so it is not granted to a caller who is restricted to some.
    let scopes = if departments.is_some() { scopes.without_admin() } else { scopes };
    let is_pseudonymous = match &config.pseudonymous_claim {
        None => false,
        Some(claim) => boolean(find(claims, claim)?)?,
    };
    Some(Caller::named(name(claims)?, scopes, AccessView::new(departments.as_deref(), is_pseudonymous)))
}

/// A name for logs. It is a hash of `sub`, because ids of people must not be logged; somebody who knows the id can
/// compute the hash.
fn name(claims: &Map<String, Value>) -> Option<String> {
    let subject = claims.get("sub")?.as_str().filter(|subject| !subject.is_empty())?;
    Some(format!("oidc-{:.12}", KeyHash::of(subject).to_string()))
}

/// The claim with this name, or the nested claim at this path with dots.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
    })
}

/// The texts of a list, or the parts of a text between separators; without a separator the whole text.
fn texts(value: &Value, separator: Option<char>) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => match separator {
            Some(separator) => Some(text.split(separator).collect()),
            None => Some(vec![text]),
        },
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// A boolean or its text: some providers write all values of claims as text.
fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The department paths without slashes at their ends; `None` if the claim stands for all departments.
fn departments(paths: Vec<&str>) -> Option<Vec<Arc<str>>> {
    if paths.contains(&ALL_DEPARTMENTS) {
        return None;
    }
    let paths = paths.into_iter().map(|path| path.trim_matches('/'));
    Some(paths.filter(|path| !path.is_empty()).map(Arc::from).collect())
}
