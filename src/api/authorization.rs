//! Authorization: one table with the required scope of every route and method. The security requirements in the OpenAPI
//! document are generated from it.

use axum::http::Method;
use utoipa::openapi::{OpenApi, PathItem, path::Operation, security::SecurityRequirement};

use super::drop_in;
use crate::access::{Caller, Scope};

/// The name of the security scheme in the OpenAPI document.
pub const ACCESS_KEY_SCHEME: &str = "access_key";

/// The scope that a request requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredScope {
    /// None. The response contains no data about people, or the client needs it to authenticate.
    Public,
    /// One of these scopes. The first is named in the response if all are missing.
    AnyOf(&'static [Scope]),
    /// This scope, with a token that the drop-in issued to an official SDK.
    DropInToken(Scope),
}

const REPORTS: RequiredScope = RequiredScope::AnyOf(&[Scope::ReportsRead]);
const USERS: RequiredScope = RequiredScope::AnyOf(&[Scope::UsersRead]);
const ADMIN: RequiredScope = RequiredScope::AnyOf(&[Scope::Admin]);
/// Readers of reports and administrators each see their part of the response.
const REPORTS_OR_ADMIN: RequiredScope = RequiredScope::AnyOf(&[Scope::ReportsRead, Scope::Admin]);

/// Every route with its methods. A route that is not listed here is refused to all callers.
const ROUTES: &[(&str, &[(Method, RequiredScope)])] = &[
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
    ("/open-apis/auth/v3/tenant_access_token/internal", &[(Method::POST, RequiredScope::Public)]),
    ("/open-apis/admin/v1/admin_user_stats", &[(Method::GET, RequiredScope::DropInToken(Scope::UsersRead))]),
    ("/metrics", &[(Method::GET, ADMIN)]),
    ("/livez", &[(Method::GET, RequiredScope::Public)]),
    ("/readyz", &[(Method::GET, RequiredScope::Public)]),
    ("/problems/{code}", &[(Method::GET, RequiredScope::Public)]),
    ("/openapi.json", &[(Method::GET, RequiredScope::Public)]),
    ("/docs", &[(Method::GET, RequiredScope::Public)]),
    ("/docs/", &[(Method::GET, RequiredScope::Public)]),
    ("/docs/{*rest}", &[(Method::GET, RequiredScope::Public)]),
];

/// The policy for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutePolicy {
    /// The route and method exist and require this.
    Requires(RequiredScope),
    /// The route exists, but only for these methods.
    MethodNotAllowed(&'static [(Method, RequiredScope)]),
    /// The table has no entry for the route.
    Undeclared,
}

impl RequiredScope {
    /// Checks that the caller has a required scope.
    ///
    /// # Errors
    /// The missing scope.
    pub fn check(self, caller: &Caller) -> Result<(), Scope> {
        let scopes = match &self {
            Self::Public => &[],
            Self::AnyOf(scopes) => *scopes,
            Self::DropInToken(scope) => std::slice::from_ref(scope),
        };
        match scopes.first() {
            Some(first) if !scopes.iter().any(|scope| caller.has_scope(*scope)) => Err(*first),
            _ => Ok(()),
        }
    }
}

/// The policy of a route, given by the router's pattern.
#[must_use]
pub fn route_policy(route: &str, method: &Method) -> RoutePolicy {
    let Some((_, methods)) = ROUTES.iter().find(|(pattern, _)| *pattern == route) else {
        return RoutePolicy::Undeclared;
    };
    // HEAD requires the same as GET.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let required = methods.iter().find(|(allowed, _)| allowed == method);
    required.map_or(RoutePolicy::MethodNotAllowed(methods), |(_, required)| RoutePolicy::Requires(*required))
}

/// Whether the caller may read from the route with an access key or a token of the identity provider. Drop-in routes and
/// public routes are excluded.
#[must_use]
pub fn may_read(route: &str, caller: &Caller) -> bool {
    match route_policy(route, &Method::GET) {
        RoutePolicy::Requires(required @ RequiredScope::AnyOf(_)) => required.check(caller).is_ok(),
        RoutePolicy::Requires(RequiredScope::Public | RequiredScope::DropInToken(_))
        | RoutePolicy::MethodNotAllowed(_)
        | RoutePolicy::Undeclared => false,
    }
}

/// Adds the security requirement of each operation to the OpenAPI document.
pub fn describe(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            if let RoutePolicy::Requires(required) = route_policy(path, &method) {
                operation.security = Some(security(required));
            }
        }
    }
}

fn security(required: RequiredScope) -> Vec<SecurityRequirement> {
    match required {
        RequiredScope::Public => Vec::new(),
        RequiredScope::AnyOf(scopes) => {
            scopes.iter().map(|scope| SecurityRequirement::new(ACCESS_KEY_SCHEME, [scope.name()])).collect()
        }
        RequiredScope::DropInToken(scope) => {
            vec![SecurityRequirement::new(drop_in::TENANT_TOKEN_SCHEME, [scope.name()])]
        }
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
    fn every_documented_operation_has_a_policy_and_documents_it() {
        let mut document = api::openapi();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                assert!(
                    matches!(route_policy(path, &method), RoutePolicy::Requires(_)),
                    "{method} {path} has no policy"
                );
                assert!(operation.security.is_some(), "{method} {path}");
            }
        }
    }

    #[test]
    fn every_policy_belongs_to_a_route() {
        let document = api::openapi();
        let undocumented = ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}"];
        for (route, _) in ROUTES {
            assert!(undocumented.contains(route) || document.paths.paths.contains_key(*route), "{route}");
        }
    }

    #[test]
    fn only_routes_without_personal_data_are_public() {
        let public =
            ROUTES.iter().filter(|(_, methods)| methods.iter().any(|(_, required)| *required == RequiredScope::Public));
        let public: Vec<&str> = public.map(|(route, _)| *route).collect();
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
        assert_eq!(public, expected);
    }

    #[test]
    fn a_route_without_a_policy_is_refused() {
        assert_eq!(route_policy("/v1/secrets", &Method::GET), RoutePolicy::Undeclared);
        assert!(matches!(route_policy("/v1/users", &Method::POST), RoutePolicy::MethodNotAllowed(_)));
        assert_eq!(route_policy("/v1/users", &Method::HEAD), route_policy("/v1/users", &Method::GET));
    }
}
