//! The caller of a request: a name, scopes, and the part of the data that they may see.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use serde::{Deserialize, Serialize};

use crate::{source::CallerId, table::AccessView};

/// A permission of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Read figures about groups of people.
    #[serde(rename = "reports:read")]
    ReportsRead,
    /// Read rows about single people. All figures can be computed from them, so this includes [`Self::ReportsRead`].
    #[serde(rename = "users:read")]
    UsersRead,
    /// Operate the service: backfills, deletion of days, metrics. Gives no access to data about people.
    #[serde(rename = "admin")]
    Admin,
}

/// The scopes of one caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

/// The text is not the name of a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of reports:read, users:read, admin")]
pub struct ParseScopeError;

/// An authenticated or anonymous caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
    scopes: Scopes,
    view: AccessView,
    view_key: Arc<str>,
    id: Option<CallerId>,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::ReportsRead, Self::UsersRead, Self::Admin];

    /// The name in the keys file and in tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReportsRead => "reports:read",
            Self::UsersRead => "users:read",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Scopes {
    /// All scopes.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is granted, directly or as part of another scope.
    #[must_use]
    pub const fn allows(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The same scopes without [`Scope::Admin`].
    #[must_use]
    pub const fn without_admin(self) -> Self {
        Self(self.0 & !Scope::Admin.bit())
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| match scope {
            Scope::UsersRead => all | Scope::UsersRead.bit() | Scope::ReportsRead.bit(),
            Scope::ReportsRead | Scope::Admin => all | scope.bit(),
        }))
    }
}

impl Caller {
    /// A named caller with these scopes who sees the data through `view`.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>, scopes: Scopes, view: AccessView) -> Self {
        // Without rows, no ids are visible, so pseudonyms are not needed and the cached days of other callers can be
        // shared.
        let view = if view.is_pseudonymous() && !scopes.allows(Scope::UsersRead) {
            AccessView::new(view.departments(), false)
        } else {
            view
        };
        let name: Arc<str> = name.into();
        let id = Some(CallerId::from_name(&name));
        Self { view_key: view_key(scopes, &view), name, scopes, view, id }
    }

    /// The caller of every request when there is no access control: has all scopes and sees all data.
    #[must_use]
    pub fn anonymous() -> Self {
        static ANONYMOUS: LazyLock<Caller> = LazyLock::new(|| {
            let (scopes, view) = (Scopes::all(), AccessView::default());
            Caller { name: "anyone".into(), view_key: view_key(scopes, &view), scopes, view, id: None }
        });
        ANONYMOUS.clone()
    }

    /// The name for logs. It never contains the id of a person.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the caller has the scope.
    #[must_use]
    pub const fn has_scope(&self, scope: Scope) -> bool {
        self.scopes.allows(scope)
    }

    /// The part of the data that the caller may see.
    #[must_use]
    pub const fn view(&self) -> &AccessView {
        &self.view
    }

    /// A cache key of scopes and view: callers with the same key receive the same response to the same request.
    #[must_use]
    pub fn view_key(&self) -> &str {
        &self.view_key
    }

    /// Identifies the caller for fair queueing of upstream calls; all requests with one name share it. `None` for
    /// anonymous callers.
    #[must_use]
    pub const fn id(&self) -> Option<CallerId> {
        self.id
    }
}

fn view_key(scopes: Scopes, view: &AccessView) -> Arc<str> {
    format!("{scopes:?} {view:?}").into()
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or(ParseScopeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_one_name_in_text_and_json() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
        }
    }

    #[test]
    fn only_users_read_includes_another_scope() {
        let allowed = |scope: Scope| Scope::ALL.map(|other| Scopes::from_iter([scope]).allows(other));
        assert_eq!(allowed(Scope::ReportsRead), [true, false, false]);
        assert_eq!(allowed(Scope::UsersRead), [true, true, false]);
        assert_eq!(allowed(Scope::Admin), [false, false, true]);
    }

    #[test]
    fn callers_with_one_name_share_an_id_and_anonymous_callers_have_none() {
        let id = |name: &str| Caller::named(name, Scopes::all(), AccessView::default()).id();
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("b"));
        assert_eq!(Caller::anonymous().id(), None);
    }
}
