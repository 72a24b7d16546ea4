//! What the claims of a token say of its holder.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::OidcConfig;
use crate::{
    access::{
        caller::{Caller, Scopes},
        key::Fingerprint,
    },
    table::View,
};

/// Stands for all departments.
const ALL_DEPARTMENTS: &str = "*";

/// The holder; `None` where a claim that must be there is not.
pub(super) fn caller(claims: &Map<String, Value>, config: &OidcConfig) -> Option<Caller> {
    let departments = match &config.departments_claim {
        None => None,
        Some(claim) => departments(words(find(claims, claim)?, None)?),
    };
    let scopes: Scopes = find(claims, &config.scopes_claim)
        .and_then(|scopes| words(scopes, Some(' ')))
        .unwrap_or_default()
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    // What an administrator does concerns all departments.
    let scopes = if departments.is_some() { scopes.without_admin() } else { scopes };
    Some(Caller::named(name(claims)?, scopes, View::new(departments.as_deref(), false)))
}

/// A name for logs: an id of a person does not belong there, a hash of it can be matched by who knows the person.
fn name(claims: &Map<String, Value>) -> Option<String> {
    let subject = claims.get("sub")?.as_str().filter(|subject| !subject.is_empty())?;
    Some(format!("oidc-{:.12}", Fingerprint::of(subject).to_string()))
}

/// The claim of that name, or the one that a path with dots leads to.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
    })
}

/// The words of a list, or of a text that `separator` divides.
fn words(value: &Value, separator: Option<char>) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => match separator {
            Some(separator) => Some(text.split(separator).collect()),
            None => Some(vec![text]),
        },
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// `None` for all of them.
fn departments(paths: Vec<&str>) -> Option<Vec<Arc<str>>> {
    if paths.contains(&ALL_DEPARTMENTS) {
        return None;
    }
    let paths = paths.into_iter().map(|path| path.trim_matches('/'));
    Some(paths.filter(|path| !path.is_empty()).map(Arc::from).collect())
}
