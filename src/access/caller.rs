//! A caller: who asks, and what they may do and see.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{source::CallerId, table::View};

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Read figures over groups of people.
    #[serde(rename = "reports:read")]
    ReportsRead,
    /// Read what each person did. Whoever may can work out every figure, so this includes [`Self::ReportsRead`].
    #[serde(rename = "users:read")]
    UsersRead,
    /// Look after the service: backfills, forgetting days, metrics. It shows nothing of people.
    #[serde(rename = "admin")]
    Admin,
}

/// The scopes of one caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of reports:read, users:read, admin")]
pub struct ParseScopeError;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
    scopes: Scopes,
    view: View,
    sight: Arc<str>,
    id: Option<CallerId>,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 3] = [Self::ReportsRead, Self::UsersRead, Self::Admin];

    /// Its name, in the keys file and in tokens.
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
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is among them, or included in one of them.
    #[must_use]
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// These, without [`Scope::Admin`].
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
    /// A caller with a name, who may do what `scopes` say and see what `view` shows.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>, scopes: Scopes, view: View) -> Self {
        // Whoever sees no rows sees no ids either, and can share the days that others see.
        let view = if view.is_pseudonymous() && !scopes.allow(Scope::UsersRead) {
            View::new(view.departments(), false)
        } else {
            view
        };
        let name: Arc<str> = name.into();
        let id = Some(id(&name));
        Self { sight: sight(scopes, &view), name, scopes, view, id }
    }

    /// Whoever asks where there is no access control: may do and see everything.
    #[must_use]
    pub fn anyone() -> Self {
        let (scopes, view) = (Scopes::all(), View::default());
        Self { name: "anyone".into(), sight: sight(scopes, &view), scopes, view, id: None }
    }

    /// The caller's name: for logs, never an id of a person.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the caller may do that.
    #[must_use]
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }

    /// What the caller sees of the days.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Whatever an answer depends on of a caller, in words: two callers of one sight are answered alike.
    #[must_use]
    pub fn sight(&self) -> &str {
        &self.sight
    }

    /// The number by which turns at the upstream are shared, where it is known who asks: one for all requests of one name.
    #[must_use]
    pub const fn id(&self) -> Option<CallerId> {
        self.id
    }
}

fn sight(scopes: Scopes, view: &View) -> Arc<str> {
    format!("{scopes:?} {view:?}").into()
}

fn id(name: &str) -> CallerId {
    let digest = Sha256::digest(name);
    let number = u64::from_be_bytes(std::array::from_fn(|byte| digest[byte]));
    // Numbers of requests are counted from 0; the top bit keeps names apart from them.
    CallerId(number | 1 << 63)
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
    fn a_scope_is_named_alike_everywhere() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
        }
    }

    #[test]
    fn rows_include_figures_and_nothing_includes_anything_else() {
        let allowed = |scope: Scope| Scope::ALL.map(|other| Scopes::from_iter([scope]).allow(other));
        assert_eq!(allowed(Scope::ReportsRead), [true, false, false]);
        assert_eq!(allowed(Scope::UsersRead), [true, true, false]);
        assert_eq!(allowed(Scope::Admin), [false, false, true]);
    }

    #[test]
    fn requests_of_one_name_share_a_turn_and_those_of_anyone_do_not() {
        let id = |name: &str| Caller::named(name, Scopes::all(), View::default()).id();
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("b"));
        assert_eq!(Caller::anyone().id(), None);
    }
}
