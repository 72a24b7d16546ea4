//! The policy of a route: who may use it.

use utoipa::openapi::security::SecurityRequirement;

use crate::access::{Caller, Scope};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutePolicy {
    /// Everybody. The response contains no data about people, or the client needs it to authenticate.
    Public,
    /// Callers with one of these scopes. The first is named in the response if all are missing.
    AnyOf(&'static [Scope]),
}

impl RoutePolicy {
    /// Readers of figures.
    pub const REPORTS: Self = Self::AnyOf(&[Scope::ReportsRead]);
    /// Readers of rows about people.
    pub const USERS: Self = Self::AnyOf(&[Scope::UsersRead]);
    /// Administrators.
    pub const ADMIN: Self = Self::AnyOf(&[Scope::Admin]);
    /// Readers of reports and administrators, who each see their part of the response.
    pub const REPORTS_OR_ADMIN: Self = Self::AnyOf(&[Scope::ReportsRead, Scope::Admin]);

    /// Checks that the caller has a required scope.
    ///
    /// # Errors
    /// The missing scope.
    pub fn check_scope(self, caller: &Caller) -> Result<(), Scope> {
        match self {
            Self::AnyOf(scopes @ [first, ..]) if !scopes.iter().any(|scope| caller.has_scope(*scope)) => Err(*first),
            Self::AnyOf(_) | Self::Public => Ok(()),
        }
    }

    /// The security requirement in the OpenAPI document. One of its items is enough.
    #[must_use]
    pub fn security(self, scheme: &str) -> Vec<SecurityRequirement> {
        match self {
            Self::Public => Vec::new(),
            Self::AnyOf(scopes) => {
                scopes.iter().map(|scope| SecurityRequirement::new(scheme, [scope.name()])).collect()
            }
        }
    }
}
