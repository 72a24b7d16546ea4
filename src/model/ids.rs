//! The key of a day of data, and the id types that occur in it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Day, Geo};

/// The kind of user id in Feishu's requests and replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserIdType {
    /// Identifies a person within one app (`ou_…`). Feishu's default.
    #[default]
    OpenId,
    /// Identifies a person within all apps of one developer (`on_…`).
    UnionId,
    /// Identifies a person within the tenant. Feishu omits it unless the app has the permission
    /// `contact:user.employee_id:readonly`.
    UserId,
}

/// The kind of department id in requests to Feishu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DepartmentIdType {
    /// Identifies a department within one app (`od-…`). Feishu's default.
    #[default]
    OpenDepartmentId,
    /// Identifies a department within the tenant.
    DepartmentId,
}

/// The people whose data a day of data contains. Feishu resolves department ids and user ids; the gateway does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataScope {
    /// All people that are visible to the app.
    #[default]
    Everyone,
    /// The people of one department and its subdepartments.
    Department(DepartmentIdType, Arc<str>),
    /// One person.
    User(Arc<str>),
}

/// The key of one day of data, which is the unit of fetching, caching and archiving.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DayKey {
    /// The geo of the data.
    pub geo: Geo,
    /// The kind of user ids in the rows.
    pub user_id_type: UserIdType,
    /// The people that the rows are about.
    pub scope: DataScope,
    /// The day. It is the last field, so that keys that differ only in the day sort by day.
    pub day: Day,
}

/// The error of parsing a text that is not the name of an id type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {expected}")]
pub struct ParseIdTypeError {
    expected: &'static str,
}

impl UserIdType {
    /// All user id types.
    pub const ALL: [Self; 3] = [Self::OpenId, Self::UnionId, Self::UserId];

    /// Feishu's name of the id type.
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
    /// All department id types.
    pub const ALL: [Self; 2] = [Self::OpenDepartmentId, Self::DepartmentId];

    /// Feishu's name of the id type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenDepartmentId => "open_department_id",
            Self::DepartmentId => "department_id",
        }
    }
}

impl DayKey {
    /// The same key for all people.
    #[must_use]
    pub fn everyone(&self) -> Self {
        Self { scope: DataScope::Everyone, ..self.clone() }
    }

    /// The same key for another day.
    #[must_use]
    pub fn with_day(&self, day: Day) -> Self {
        Self { day, ..self.clone() }
    }
}

impl fmt::Display for DayKey {
    /// Writes the kind of the scope without its id, because keys are logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            DataScope::Everyone => "everyone",
            DataScope::Department(..) => "department",
            DataScope::User(_) => "user",
        };
        write!(f, "{}/{}/{scope}/{}", self.geo, self.user_id_type.name(), self.day)
    }
}

impl FromStr for UserIdType {
    type Err = ParseIdTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id_type = Self::ALL.into_iter().find(|id_type| id_type.name() == text);
        id_type.ok_or(ParseIdTypeError { expected: "open_id, union_id, user_id" })
    }
}

impl FromStr for DepartmentIdType {
    type Err = ParseIdTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id_type = Self::ALL.into_iter().find(|id_type| id_type.name() == text);
        id_type.ok_or(ParseIdTypeError { expected: "open_department_id, department_id" })
    }
}
