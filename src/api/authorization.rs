//! Who may ask for what: the one table that decides it, for every route. What stands in it is also what the OpenAPI
//! document says, since it is written from here.

use axum::http::Method;
use utoipa::openapi::{OpenApi, PathItem, path::Operation, security::SecurityRequirement};

use super::compat;
use crate::access::{Caller, Scope};

/// The name of the security scheme in the OpenAPI document.
pub const BEARER: &str = "access_key";

/// What a caller must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it tells nothing of people, and those who cannot tell who they are yet need it.
    Nothing,
    /// One of these scopes, the one that fits best first.
    Scope(&'static [Scope]),
    /// That scope, by a token that was issued here to an official SDK.
    Token(Scope),
}

const REPORTS: Need = Need::Scope(&[Scope::ReportsRead]);
const USERS: Need = Need::Scope(&[Scope::UsersRead]);
const ADMIN: Need = Need::Scope(&[Scope::Admin]);
/// Of both, each sees what is theirs.
const REPORTS_OR_ADMIN: Need = Need::Scope(&[Scope::ReportsRead, Scope::Admin]);

/// Every route with its methods. A route that does not stand here is closed to everyone.
const ROUTES: &[(&str, &[(Method, Need)])] = &[
    ("/v1/user-days", &[(Method::GET, USERS)]),
    ("/v1/users", &[(Method::GET, USERS)]),
    ("/v1/users/{user_id}", &[(Method::GET, USERS)]),
    ("/v1/reports/summary", &[(Method::GET, REPORTS)]),
    ("/v1/reports/activity", &[(Method::GET, REPORTS)]),
    ("/v1/reports/departments", &[(Method::GET, REPORTS)]),
    ("/v1/reports/retention", &[(Method::GET, REPORTS)]),
    ("/v1/reports/clients", &[(Method::GET, REPORTS)]),
    ("/v1/coverage", &[(Method::GET, REPORTS_OR_ADMIN)]),
    ("/v1/days/{date}", &[(Method::DELETE, ADMIN)]),
    ("/v1/backfills", &[(Method::POST, ADMIN), (Method::GET, REPORTS_OR_ADMIN)]),
    ("/v1/backfills/{id}", &[(Method::GET, REPORTS_OR_ADMIN), (Method::DELETE, REPORTS_OR_ADMIN)]),
    ("/v1/backfills/{id}/events", &[(Method::GET, REPORTS_OR_ADMIN)]),
    ("/open-apis/auth/v3/tenant_access_token/internal", &[(Method::POST, Need::Nothing)]),
    ("/open-apis/admin/v1/admin_user_stats", &[(Method::GET, Need::Token(Scope::UsersRead))]),
    ("/metrics", &[(Method::GET, ADMIN)]),
    ("/livez", &[(Method::GET, Need::Nothing)]),
    ("/readyz", &[(Method::GET, Need::Nothing)]),
    ("/problems/{code}", &[(Method::GET, Need::Nothing)]),
    ("/openapi.json", &[(Method::GET, Need::Nothing)]),
    ("/docs", &[(Method::GET, Need::Nothing)]),
    ("/docs/", &[(Method::GET, Need::Nothing)]),
    ("/docs/{*rest}", &[(Method::GET, Need::Nothing)]),
];

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This.
    Need(Need),
    /// The path is there, but only for these methods.
    NoSuchMethod(&'static [(Method, Need)]),
    /// Nobody has decided about the route.
    Undecided,
}

impl Need {
    /// Whether the caller has it; else the scope to ask for.
    ///
    /// # Errors
    /// The scope that is missing.
    pub fn is_met_by(self, caller: &Caller) -> Result<(), Scope> {
        let scopes = match &self {
            Self::Nothing => &[],
            Self::Scope(scopes) => *scopes,
            Self::Token(scope) => std::slice::from_ref(scope),
        };
        match scopes.first() {
            Some(first) if !scopes.iter().any(|scope| caller.may(*scope)) => Err(*first),
            _ => Ok(()),
        }
    }
}

/// What a request to `route`, as the router knows it, needs.
#[must_use]
pub fn decision(route: &str, method: &Method) -> Decision {
    let Some((_, methods)) = ROUTES.iter().find(|(known, _)| *known == route) else { return Decision::Undecided };
    // Whoever may read something may read what is said about it.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let need = methods.iter().find(|(known, _)| known == method);
    need.map_or(Decision::NoSuchMethod(methods), |(_, need)| Decision::Need(*need))
}

/// Writes into the document what each operation needs.
pub fn describe(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            if let Decision::Need(need) = decision(path, &method) {
                operation.security = Some(security(need));
            }
        }
    }
}

fn security(need: Need) -> Vec<SecurityRequirement> {
    match need {
        Need::Nothing => Vec::new(),
        Need::Scope(scopes) => scopes.iter().map(|scope| SecurityRequirement::new(BEARER, [scope.name()])).collect(),
        Need::Token(scope) => vec![SecurityRequirement::new(compat::BEARER, [scope.name()])],
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    let all = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::OPTIONS, options),
        (Method::HEAD, head),
        (Method::PATCH, patch),
        (Method::TRACE, trace),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    #[test]
    fn every_documented_operation_has_a_decision_and_says_so() {
        let mut document = api::openapi();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                assert!(matches!(decision(path, &method), Decision::Need(_)), "nobody decided about {method} {path}");
                assert!(operation.security.is_some(), "{method} {path}");
            }
        }
    }

    #[test]
    fn nothing_is_decided_about_routes_that_are_not_there() {
        let document = api::openapi();
        let undocumented = ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}"];
        for (route, _) in ROUTES {
            assert!(undocumented.contains(route) || document.paths.paths.contains_key(*route), "{route}");
        }
    }

    #[test]
    fn what_tells_of_people_is_open_to_nobody_without_a_scope() {
        let open = ROUTES.iter().filter(|(_, methods)| methods.iter().any(|(_, need)| *need == Need::Nothing));
        let open: Vec<&str> = open.map(|(route, _)| *route).collect();
        let expected = [
            "/open-apis/auth/v3/tenant_access_token/internal",
            "/livez",
            "/readyz",
            "/problems/{code}",
            "/openapi.json",
            "/docs",
            "/docs/",
            "/docs/{*rest}",
        ];
        assert_eq!(open, expected);
    }

    #[test]
    fn a_route_that_nobody_thought_of_is_closed() {
        assert_eq!(decision("/v1/secrets", &Method::GET), Decision::Undecided);
        assert!(matches!(decision("/v1/users", &Method::POST), Decision::NoSuchMethod(_)));
        assert_eq!(decision("/v1/users", &Method::HEAD), decision("/v1/users", &Method::GET));
    }
}
