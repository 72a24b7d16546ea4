//! What a day of data is known by: whose ids, whose data, which geo, which day.

use std::{fmt, str::FromStr, sync::Arc};

use super::{Day, Geo};

/// Which of a person's ids upstream shall send and understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserIdType {
    /// The person within one app (`ou_…`). Upstream's default.
    #[default]
    OpenId,
    /// The person within one developer's apps (`on_…`).
    UnionId,
    /// The person within the tenant. Needs the scope `contact:user.employee_id:readonly`; withheld without it.
    UserId,
}

/// Which kind of id a department is named by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DepartmentIdType {
    /// The department within one app (`od-…`). Upstream's default.
    #[default]
    OpenDepartmentId,
    /// The department's id within the tenant.
    DepartmentId,
}

/// Whose data a day holds. Upstream resolves departments and users; the gateway never guesses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All people the app may see.
    #[default]
    Everyone,
    /// The people of one department and of all below it.
    Department(DepartmentIdType, Arc<str>),
    /// One person.
    User(Arc<str>),
}

/// The name of one day of data: what is fetched, cached and archived as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayKey {
    /// The geo whose people these are.
    pub geo: Geo,
    /// Which ids the rows carry.
    pub user_id_type: UserIdType,
    /// Whose rows they are.
    pub scope: Scope,
    /// The day. Last, so that keys of one series sort by day.
    pub day: Day,
}

/// A text that is none of the values that its parameter may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {expected}")]
pub struct ParseIdTypeError {
    expected: &'static str,
}

impl UserIdType {
    /// Every user id type there is.
    pub const ALL: [Self; 3] = [Self::OpenId, Self::UnionId, Self::UserId];

    /// Upstream's own name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenId => "open_id",
            Self::UnionId => "union_id",
            Self::UserId => "user_id",
        }
    }
}

impl DepartmentIdType {
    /// Upstream's own name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenDepartmentId => "open_department_id",
            Self::DepartmentId => "department_id",
        }
    }
}

impl DayKey {
    /// The key of all people on the same day: what answers any narrower question too.
    #[must_use]
    pub fn everyone(&self) -> Self {
        Self { scope: Scope::Everyone, ..self.clone() }
    }

    /// The same series on another day.
    #[must_use]
    pub fn on(&self, day: Day) -> Self {
        Self { day, ..self.clone() }
    }
}

impl fmt::Display for DayKey {
    /// Says what kind of scope it is, never whose: this goes to logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            Scope::Everyone => "everyone",
            Scope::Department(..) => "department",
            Scope::User(_) => "user",
        };
        write!(f, "{}/{}/{scope}/{}", self.geo, self.user_id_type.name(), self.day)
    }
}

impl FromStr for UserIdType {
    type Err = ParseIdTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|one| one.name() == text);
        known.ok_or(ParseIdTypeError { expected: "open_id, union_id, user_id" })
    }
}

impl FromStr for DepartmentIdType {
    type Err = ParseIdTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::OpenDepartmentId, Self::DepartmentId].into_iter().find(|one| one.name() == text);
        known.ok_or(ParseIdTypeError { expected: "open_department_id, department_id" })
    }
}
